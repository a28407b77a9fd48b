//! Every documented `error_code`, and what a refusal means for whoever asked.
//!
//! Most codes are only known from the legacy API and assumed to hold for the current one, so an
//! unknown code is normal: it means "look up", never a panic and never "surely not paid".

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::method_result;

/// KakaoPay's number of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorCode(pub i64);

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error {}", self.0)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal => $class:ident,)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// Every documented code.
            pub const DOCUMENTED: &'static [Self] = &[$(Self::$name),*];
        }

        /// The class by the code alone; `None` for a code nobody documented.
        const fn class_of(code: ErrorCode) -> Option<ErrorClass> {
            match code {
                $(ErrorCode::$name => Some(ErrorClass::$class),)*
                _ => None,
            }
        }
    };
}

codes! {
    /// Something broke at KakaoPay; what became of the request is not said.
    INTERNAL = -1 => LookUp,
    /// A parameter is missing or wrong.
    PARAMETER = -2 => Bug,
    /// The API is not enabled for us.
    API_DISABLED = -3 => Access,
    /// Our account is restricted.
    ACCOUNT_RESTRICTED = -4 => Access,
    /// We may not call this.
    NO_PERMISSION = -5 => Access,
    /// The service is being checked.
    SERVICE_CHECK = -7 => TransientLong,
    /// A header is wrong.
    HEADER = -8 => Access,
    /// The API was closed down.
    API_CLOSED = -9 => Access,
    /// Too many requests.
    QUOTA = -10 => Transient,
    /// A parameter is wrong, in the current API's own numbering.
    PARAMETER_TEXT = -400 => Bug,
    /// The key is wrong.
    KEY = -401 => Access,
    /// Approval before the shopper authenticated.
    NOT_AUTHENTICATED = -701 => NotAuthenticated,
    /// Approval of a payment that is paid already.
    ALREADY_PAID = -702 => AlreadyPaid,
    /// The points do not add up at the approval.
    POINT_AMOUNT = -703 => Bug,
    /// The method's part does not add up at the approval.
    METHOD_AMOUNT = -704 => Bug,
    /// The method is not allowed; another one may be.
    METHOD_NOT_ALLOWED = -705 => UserAction,
    /// Not the order id of the ready call.
    PARTNER_ORDER = -706 => Bug,
    /// Not the user id of the ready call.
    PARTNER_USER = -707 => Bug,
    /// Not the token KakaoPay sent with the shopper.
    PG_TOKEN = -708 => Bug,
    /// More to cancel than is left: often our own earlier cancellation.
    CANCEL_OVER_LEFT = -710 => LookUp,
    /// More to cancel than was paid.
    CANCEL_OVER_PAID = -711 => LookUp,
    /// No such payment.
    TID_UNKNOWN = -721 => Bug,
    /// The sums contradict one another.
    AMOUNT = -722 => Bug,
    /// The payment was not completed in its fifteen minutes.
    EXPIRED = -723 => Expired,
    /// The sum of a single payment is wrong.
    SINGLE_AMOUNT = -724 => Bug,
    /// The total is not the one of the ready call.
    TOTAL_AMOUNT = -725 => Bug,
    /// The order's data are wrong.
    ORDER_DATA = -726 => Bug,
    /// Our application's data are wrong at KakaoPay.
    APP_DATA = -730 => Access,
    /// No such merchant code.
    CID = -731 => Access,
    /// No such merchant group.
    GID = -732 => Access,
    /// Not this merchant code's key.
    CID_SECRET = -733 => Access,
    /// No such recurring key.
    SID_UNKNOWN = -750 => RegisterAgain,
    /// The recurring key was ended, by us or by the shopper.
    SID_INACTIVE = -751 => RegisterAgain,
    /// The recurring key was used more often this month than our contract allows.
    SID_MONTHLY_USE = -752 => ContractLimit,
    /// The recurring key is another payer's. A fault of ours, but one that only a new key mends.
    SID_PARTNER_USER = -753 => RegisterAgain,
    /// The telephone number has no KakaoTalk.
    PHONE = -761 => UserAction,
    /// The method refused the approval; see the extras.
    APPROVE_FAILED = -780 => SoftDecline,
    /// The method refused the cancellation; see the extras.
    CANCEL_FAILED = -781 => LookUp,
    /// The method refused the recurring charge; see the extras.
    SUBSCRIPTION_FAILED = -782 => SoftDecline,
    /// The payment is in no state to be approved.
    APPROVE_STATE = -783 => LookUp,
    /// The payment is in no state to be cancelled.
    CANCEL_STATE = -784 => LookUp,
    /// The same thing is being done at this moment.
    IN_FLIGHT = -785 => LookUp,
    /// More than one payment may be.
    ONE_PAYMENT_LIMIT = -797 => ContractLimit,
    /// Our address is not allowed.
    CALLER_ADDRESS = -798 => Access,
    /// The return URLs' host is not registered.
    DOMAIN = -799 => Merchant,
    /// Closed for maintenance.
    MAINTENANCE = -9798 => TransientLong,
}

/// What a refusal means for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Nothing happened and nobody is at fault: try again in a moment.
    Transient,
    /// The same, but it lasts: try again in twenty minutes or more.
    TransientLong,
    /// The payer has not enough or may not spend more today: try again another day.
    SoftDecline,
    /// Only the payer can mend it, at the bank, the card company or KakaoPay.
    UserAction,
    /// The recurring key is dead for us: the payer has to register again.
    RegisterAgain,
    /// Too early: the shopper has not finished authenticating.
    NotAuthenticated,
    /// It is paid. Look it up to learn how; it is no failure.
    AlreadyPaid,
    /// Too late: open another payment.
    Expired,
    /// The refusal does not say whether money moved, now or before. Look up.
    LookUp,
    /// A limit of our contract. The payer cannot help it, trying again today neither.
    ContractLimit,
    /// KakaoPay refuses our access: key, address, application or merchant code. Nothing was done,
    /// and nothing about the payment follows from it: the same call works once that is mended.
    Access,
    /// Our registration or data are wrong for this call: an operator has to mend them.
    Merchant,
    /// We sent nonsense: repeating it is pointless.
    Bug,
}

impl ErrorClass {
    /// The one decision table: an `error_code` and, where the method of payment refused, its
    /// `method_result_code`.
    pub fn of(code: ErrorCode, method_result_code: Option<&str>) -> Self {
        let by_code = class_of(code).unwrap_or(Self::LookUp);
        let Some(method) = method_result_code else {
            return by_code;
        };
        match code {
            ErrorCode::APPROVE_FAILED | ErrorCode::SUBSCRIPTION_FAILED => {
                method_result::class_of(method).unwrap_or(Self::SoftDecline)
            }
            // A cancellation is never declined softly: nobody pays, so an unclear "no" is a
            // question about how much has been given back.
            ErrorCode::CANCEL_FAILED => match method_result::class_of(method) {
                Some(Self::SoftDecline) | None => Self::LookUp,
                Some(class) => class,
            },
            _ => by_code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[(i64, ErrorClass)] = &[
        (-1, ErrorClass::LookUp),
        (-2, ErrorClass::Bug),
        (-3, ErrorClass::Access),
        (-4, ErrorClass::Access),
        (-5, ErrorClass::Access),
        (-7, ErrorClass::TransientLong),
        (-8, ErrorClass::Access),
        (-9, ErrorClass::Access),
        (-10, ErrorClass::Transient),
        (-400, ErrorClass::Bug),
        (-401, ErrorClass::Access),
        (-701, ErrorClass::NotAuthenticated),
        (-702, ErrorClass::AlreadyPaid),
        (-703, ErrorClass::Bug),
        (-704, ErrorClass::Bug),
        (-705, ErrorClass::UserAction),
        (-706, ErrorClass::Bug),
        (-707, ErrorClass::Bug),
        (-708, ErrorClass::Bug),
        (-710, ErrorClass::LookUp),
        (-711, ErrorClass::LookUp),
        (-721, ErrorClass::Bug),
        (-722, ErrorClass::Bug),
        (-723, ErrorClass::Expired),
        (-724, ErrorClass::Bug),
        (-725, ErrorClass::Bug),
        (-726, ErrorClass::Bug),
        (-730, ErrorClass::Access),
        (-731, ErrorClass::Access),
        (-732, ErrorClass::Access),
        (-733, ErrorClass::Access),
        (-750, ErrorClass::RegisterAgain),
        (-751, ErrorClass::RegisterAgain),
        (-752, ErrorClass::ContractLimit),
        (-753, ErrorClass::RegisterAgain),
        (-761, ErrorClass::UserAction),
        (-780, ErrorClass::SoftDecline),
        (-781, ErrorClass::LookUp),
        (-782, ErrorClass::SoftDecline),
        (-783, ErrorClass::LookUp),
        (-784, ErrorClass::LookUp),
        (-785, ErrorClass::LookUp),
        (-797, ErrorClass::ContractLimit),
        (-798, ErrorClass::Access),
        (-799, ErrorClass::Merchant),
        (-9798, ErrorClass::TransientLong),
    ];

    #[test]
    fn every_documented_code_has_its_class() {
        for (code, class) in TABLE {
            assert_eq!(ErrorClass::of(ErrorCode(*code), None), *class, "{code}");
        }
        let listed: Vec<ErrorCode> = TABLE.iter().map(|(code, _)| ErrorCode(*code)).collect();
        assert_eq!(listed, ErrorCode::DOCUMENTED);
    }

    #[test]
    fn an_undocumented_code_asks_for_a_look_up() {
        for code in [i64::MIN, -9_999, -786, 0, 42, i64::MAX] {
            assert_eq!(ErrorClass::of(ErrorCode(code), None), ErrorClass::LookUp, "{code}");
        }
    }

    #[test]
    fn extras_only_count_where_the_method_refused() {
        let class = |code, method| ErrorClass::of(ErrorCode(code), Some(method));
        assert_eq!(class(-780, "USER_LOCKED"), ErrorClass::Transient);
        assert_eq!(class(-782, "LACK_BALANCE"), ErrorClass::SoftDecline);
        assert_eq!(class(-781, "LACK_BALANCE"), ErrorClass::LookUp);
        assert_eq!(class(-781, "BANK_FIRM_UNAVAILABLE"), ErrorClass::TransientLong);
        assert_eq!(class(-702, "LACK_BALANCE"), ErrorClass::AlreadyPaid);
        assert_eq!(class(-782, "9ZZZ"), ErrorClass::SoftDecline);
        assert_eq!(class(-781, "9ZZZ"), ErrorClass::LookUp);
    }
}
