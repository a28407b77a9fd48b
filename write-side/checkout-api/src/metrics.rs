//! The numbers that this process tells about itself.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

/// Tries to log in, by outcome: `right`, `wrong`, `throttled`.
const LOGINS: &str = "checkout_api_logins_total";
/// People signed up.
const SIGN_UPS: &str = "checkout_api_sign_ups_total";
/// Orders placed, by kind.
const ORDERS_PLACED: &str = "checkout_api_orders_placed_total";
/// Seconds a shopper waited for the payment page, by outcome.
const PAYMENT_PAGE_SECONDS: &str = "checkout_api_payment_page_seconds";
/// Orders whose payment page somebody waits for now.
const PAYMENT_WAITERS: &str = "checkout_api_payment_waiters";
/// Returns from the payment page, by outcome: `recorded`, `repeated`, `refused`, `tampered`.
const RETURNS: &str = "checkout_api_payment_returns_total";

/// Describes the metrics; called once when the process is put together.
pub(crate) fn describe() {
    describe_counter!(LOGINS, Unit::Count, "tries to log in");
    describe_counter!(SIGN_UPS, Unit::Count, "people signed up");
    describe_counter!(ORDERS_PLACED, Unit::Count, "orders placed");
    describe_histogram!(
        PAYMENT_PAGE_SECONDS,
        Unit::Seconds,
        "time a shopper waited for the payment page"
    );
    describe_gauge!(PAYMENT_WAITERS, Unit::Count, "orders whose payment page is waited for");
    describe_counter!(RETURNS, Unit::Count, "returns from the payment page");
}

pub(crate) fn login(outcome: &'static str) {
    counter!(LOGINS, "outcome" => outcome).increment(1);
}

pub(crate) fn sign_up() {
    counter!(SIGN_UPS).increment(1);
}

pub(crate) fn order_placed(kind: &'static str) {
    counter!(ORDERS_PLACED, "kind" => kind).increment(1);
}

pub(crate) fn payment_page(outcome: &'static str, waited: Duration) {
    histogram!(PAYMENT_PAGE_SECONDS, "outcome" => outcome).record(waited);
}

pub(crate) fn payment_waiters(orders: usize) {
    gauge!(PAYMENT_WAITERS).set(u32::try_from(orders).unwrap_or(u32::MAX));
}

pub(crate) fn payment_return(outcome: &'static str) {
    counter!(RETURNS, "outcome" => outcome).increment(1);
}
