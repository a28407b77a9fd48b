//! Every variable of `worker`, with its default and meaning. That the defaults are those of the
//! policies is tested beside [`WorkerConfig`](super::WorkerConfig).

use service_kit::config::{Shape, Table, Variable, shared};

use super::{
    CHARGE, CHARGE_RATE_DEFAULT, CHECKOUT, CHECKOUT_RATE_DEFAULT, LOOK_UP, LOOK_UP_RATE_DEFAULT,
    RATE_MAX,
};

/// Most calls of one class under way at once that can be set.
const CALLS_MAX: u64 = 5_000;
/// Longest duration that can be set, in milliseconds: an hour.
const MILLIS_MAX: u64 = 3_600_000;

/// Every variable of `worker`.
pub const VARIABLES: Table = &[
    shared::DATABASE_URL,
    shared::DATABASE_PLAINTEXT,
    Variable::with(
        "WORKER_OPS_LISTEN",
        Shape::Address,
        "127.0.0.1:9083",
        "Health, metrics and version.",
    ),
    Variable::number(
        "WORKER_DATABASE_CONNECTIONS",
        8,
        6..=100,
        "Most connections of relay, reactions and schedule together. A fold holds one and reads the log \
         through another, so fewer than 6 would wait for each other.",
    ),
    Variable::required(
        "KAKAOPAY_BASE_URL",
        Shape::WebAddress,
        "Scheme, host and port of KakaoPay's API.",
    ),
    Variable::required(
        "KAKAOPAY_SECRET_KEY",
        Shape::SecretText,
        "The key of our application at KakaoPay.",
    ),
    Variable::optional(
        "KAKAOPAY_CID_ONE_TIME",
        Shape::Text,
        "The merchant code of payments made once. Required unless the gateway is on this machine.",
    ),
    Variable::optional(
        "KAKAOPAY_CID_ONE_TIME_SECRET",
        Shape::SecretText,
        "That code's own key, if it has one.",
    ),
    Variable::optional(
        "KAKAOPAY_CID_RECURRING",
        Shape::Text,
        "The merchant code of recurring payments. Required unless the gateway is on this machine.",
    ),
    Variable::optional(
        "KAKAOPAY_CID_RECURRING_SECRET",
        Shape::SecretText,
        "That code's own key, if it has one.",
    ),
    Variable::with(
        "KAKAOPAY_TEST_MODE",
        Shape::Words(&["0", "1"]),
        "0",
        "1 allows KakaoPay's test codes (TC…) on its real address: orders are paid and no money moves.",
    ),
    shared::PUBLIC_BASE_URL,
    shared::RETURN_URL_KEY,
    shared::MASTER_KEY,
    shared::DIGEST_PEPPER,
    Variable::number(
        "KAKAOPAY_CONNECT_TIMEOUT_MS",
        3_000,
        1..=MILLIS_MAX,
        "Longest wait for a connection to KakaoPay, in milliseconds.",
    ),
    Variable::number(
        "KAKAOPAY_CALL_TIMEOUT_MS",
        12_000,
        1..=MILLIS_MAX,
        "Longest call in milliseconds; KakaoPay itself gives up after 11 s.",
    ),
    calls(CHECKOUT.calls_max, 2_500, "ready, approve and cancel under way at once."),
    rate(CHECKOUT.calls_per_second, CHECKOUT_RATE_DEFAULT),
    burst(CHECKOUT.burst),
    calls(CHARGE.calls_max, 16, "Recurring charges under way at once."),
    rate(CHARGE.calls_per_second, CHARGE_RATE_DEFAULT),
    burst(CHARGE.burst),
    calls(LOOK_UP.calls_max, 32, "Look-ups under way at once."),
    rate(LOOK_UP.calls_per_second, LOOK_UP_RATE_DEFAULT),
    burst(LOOK_UP.burst),
    Variable::number(
        "RELAY_ROWS_MAX",
        3_000,
        1..=10_000,
        "Outbox rows of shoppers claimed at once.",
    ),
    Variable::number(
        "RELAY_BACKGROUND_ROWS_MAX",
        64,
        1..=1_000,
        "Outbox rows of charges, keys and look-ups claimed at once.",
    ),
    Variable::number(
        "RELAY_POLL_MS",
        250,
        1..=MILLIS_MAX,
        "Pause between two polls of the outbox, in milliseconds.",
    ),
    Variable::number(
        "RELAY_LEASE_MS",
        10_000,
        1..=MILLIS_MAX,
        "How long a row stays claimed after its worker died, in milliseconds.",
    ),
    shared::LOG_FORMAT,
    shared::LOG_FILTER,
    shared::CLOCK_FILE,
    shared::CLOCK_SETTABLE,
];

const fn calls(name: &'static str, default: u32, sentence: &'static str) -> Variable {
    Variable::number(name, default as u64, 1..=CALLS_MAX, sentence)
}

const fn rate(name: &'static str, default: u32) -> Variable {
    let sentence =
        "How many of them a second in this process; with several workers each gets a part.";
    Variable::number(name, default as u64, 1..=RATE_MAX as u64, sentence)
}

const fn burst(name: &'static str) -> Variable {
    let sentence = "How many of them at once after a rest; a second's worth when unset.";
    Variable::optional(name, Shape::Number(1..=RATE_MAX as u64), sentence)
}
