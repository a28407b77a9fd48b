//! How often one user or one address may ask for something costly.

use std::time::Duration;

use contracts::UserId;
use service_kit::config::{ConfigError, Settings, Variable};
use service_kit::http::{Allowance, Limit};

/// A person who mistypes stays below.
pub(crate) const LOGIN_ACCOUNT_TRIES: Variable =
    most("LOGIN_ACCOUNT_TRIES", 10, "Logins at once per account; 0 for no limit.");
/// See its sentence.
pub(crate) const LOGIN_ACCOUNT_REFILL_SECONDS: Variable = Variable::number(
    "LOGIN_ACCOUNT_REFILL_SECONDS",
    30,
    1..=3_600,
    "Seconds until an account is allowed another login.",
);
/// Offices share an address.
pub(crate) const LOGIN_ADDRESS_TRIES: Variable =
    most("LOGIN_ADDRESS_TRIES", 200, "Logins at once per address; 0 for no limit.");
/// See its sentence.
pub(crate) const LOGIN_ADDRESS_REFILL_MS: Variable = Variable::number(
    "LOGIN_ADDRESS_REFILL_MS",
    200,
    1..=3_600_000,
    "Milliseconds until an address is allowed another login.",
);
/// A class signs up from one address.
pub(crate) const SIGN_UPS_PER_MINUTE: Variable =
    most("SIGN_UPS_PER_MINUTE", 30, "Sign-ups a minute and address; 0 for no limit.");
/// A person clicks more slowly.
pub(crate) const EDITS_PER_SECOND: Variable =
    most("EDITS_PER_SECOND", 5, "Requests a second by which a user writes; 0 for no limit.");
/// Each order is a stream of the log.
pub(crate) const ORDERS_PER_MINUTE: Variable =
    most("ORDERS_PER_MINUTE", 10, "Orders a minute and user; 0 for no limit.");
/// Each attempt costs a call of the gateway.
pub(crate) const PAYMENTS_PER_HOUR: Variable =
    most("PAYMENTS_PER_HOUR", 10, "Payment attempts an hour and user; 0 for no limit.");

const fn most(name: &'static str, default: u64, sentence: &'static str) -> Variable {
    Variable::number(name, default, 0..=1_000_000, sentence)
}

/// What the limits allow, each by its variable. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitConfig {
    /// `LOGIN_ACCOUNT_TRIES` at once per account (10 when unset, 0 for no limit), and another one
    /// every `LOGIN_ACCOUNT_REFILL_SECONDS` (30 when unset).
    pub login_per_account: Option<Allowance>,
    /// `LOGIN_ADDRESS_TRIES` logins at once per address (200 when unset, 0 for no limit), and another
    /// one every `LOGIN_ADDRESS_REFILL_MS` milliseconds (200 when unset).
    pub login_per_address: Option<Allowance>,
    /// `SIGN_UPS_PER_MINUTE` per address; 30 when unset, 0 for no limit.
    pub sign_ups_per_address: Option<Allowance>,
    /// `EDITS_PER_SECOND`: requests by which a user writes; 5 when unset, 0 for no limit.
    pub edits_per_user: Option<Allowance>,
    /// `ORDERS_PER_MINUTE` per user; 10 when unset, 0 for no limit.
    pub orders_per_user: Option<Allowance>,
    /// `PAYMENTS_PER_HOUR`: payment attempts per user; 10 when unset, 0 for no limit.
    pub payments_per_user: Option<Allowance>,
}

impl LimitConfig {
    /// No limit at all.
    pub const OFF: Self = Self {
        login_per_account: None,
        login_per_address: None,
        sign_ups_per_address: None,
        edits_per_user: None,
        orders_per_user: None,
        payments_per_user: None,
    };

    /// Reads the limits.
    ///
    /// # Errors
    /// Names the variable that cannot be used.
    pub fn load(settings: &Settings<'_>) -> Result<Self, ConfigError> {
        let number = |name: &str| settings.value::<u32>(name);
        let minute = Duration::from_mins(1);
        let account_refill = settings.value("LOGIN_ACCOUNT_REFILL_SECONDS")?;
        let address_refill = settings.value("LOGIN_ADDRESS_REFILL_MS")?;
        Ok(Self {
            login_per_account: Allowance::refilled(
                number("LOGIN_ACCOUNT_TRIES")?,
                Duration::from_secs(account_refill),
            ),
            login_per_address: Allowance::refilled(
                number("LOGIN_ADDRESS_TRIES")?,
                Duration::from_millis(address_refill),
            ),
            sign_ups_per_address: Allowance::per(minute, number("SIGN_UPS_PER_MINUTE")?),
            edits_per_user: Allowance::per(Duration::from_secs(1), number("EDITS_PER_SECOND")?),
            orders_per_user: Allowance::per(minute, number("ORDERS_PER_MINUTE")?),
            payments_per_user: Allowance::per(
                Duration::from_hours(1),
                number("PAYMENTS_PER_HOUR")?,
            ),
        })
    }
}

/// The limits of what signed-in shoppers do.
#[derive(Debug)]
pub(crate) struct UserLimits {
    /// Requests that write: edits of carts, orders, payments, cancellations, refunds.
    pub(crate) edits: Limit<UserId>,
    /// Orders placed; a repeated request is none.
    pub(crate) orders: Limit<UserId>,
    /// Payment attempts opened; asking for an open one again is none.
    pub(crate) payments: Limit<UserId>,
}

#[cfg(test)]
mod tests {
    use service_kit::config::Table;

    use super::*;

    const LIMITS: Table = &[
        LOGIN_ACCOUNT_TRIES,
        LOGIN_ACCOUNT_REFILL_SECONDS,
        LOGIN_ADDRESS_TRIES,
        LOGIN_ADDRESS_REFILL_MS,
        SIGN_UPS_PER_MINUTE,
        EDITS_PER_SECOND,
        ORDERS_PER_MINUTE,
        PAYMENTS_PER_HOUR,
    ];

    /// The limits where only `set` is set.
    fn loaded(set: impl Fn(&str) -> Option<String>) -> LimitConfig {
        LimitConfig::load(&Settings::of(LIMITS, set).unwrap()).unwrap()
    }

    #[test]
    fn zero_is_no_limit() {
        assert_eq!(
            loaded(|name| (!name.contains("REFILL")).then(|| "0".to_owned())),
            LimitConfig::OFF
        );
    }

    #[test]
    fn without_variables_a_shop_has_limits() {
        let limits = loaded(|_| None);
        assert_eq!(limits.edits_per_user, Allowance::per(Duration::from_secs(1), 5));
        assert_eq!(limits.orders_per_user, Allowance::per(Duration::from_mins(1), 10));
        assert_eq!(limits.payments_per_user, Allowance::per(Duration::from_hours(1), 10));
        assert_eq!(limits.sign_ups_per_address, Allowance::per(Duration::from_mins(1), 30));
        assert_eq!(limits.login_per_address.unwrap().burst.get(), 200);
    }
}
