//! Variables that several processes read: one name, one meaning.

use super::{Shape, Variable};
use crate::http::{Origins, TrustedProxies};
use crate::telemetry::LogFilter;

/// PostgreSQL, reached over TLS from another machine.
pub const DATABASE_URL: Variable = Variable::required(
    "DATABASE_URL",
    Shape::Postgres,
    "The one PostgreSQL. Another machine is reached over TLS with its name verified; sslrootcert=FILE \
     names the authority where it is not a public one.",
);
/// Switches encryption off.
pub const DATABASE_PLAINTEXT: Variable = Variable::with(
    "DATABASE_PLAINTEXT",
    Shape::Words(&["0", "1"]),
    "0",
    "1 lets a database on another machine be reached without encryption.",
);
/// Redis, optional because nothing that must be right depends on it.
pub const REDIS_URL: Variable = Variable::optional(
    "REDIS_URL",
    Shape::Redis,
    "A Redis; nothing that must be right depends on it.",
);
/// Switches encryption off.
pub const REDIS_PLAINTEXT: Variable = Variable::with(
    "REDIS_PLAINTEXT",
    Shape::Words(&["0", "1"]),
    "0",
    "1 lets a Redis on another machine be reached without encryption.",
);
/// The form of log lines.
pub const LOG_FORMAT: Variable =
    Variable::with("LOG_FORMAT", Shape::Words(&["json", "text"]), "json", "How log lines look.");
/// Which log lines are written.
pub const LOG_FILTER: Variable = Variable::optional(
    "LOG_FILTER",
    Shape::Checked("levels, as in warn,projections=debug", |text| {
        let levels =
            "expected levels (off, error, warn, info, debug, trace) as in info,projections=debug";
        text.parse::<LogFilter>().map(drop).map_err(|_invalid| levels)
    }),
    "Which log lines are written: levels, for everything or by target, that replace single defaults.",
);
/// Wraps the users' keys.
pub const MASTER_KEY: Variable = Variable::required(
    "MASTER_KEY",
    Shape::Base64Key,
    "Wraps the keys that seal personal data. Keep a copy: without it that data cannot be read.",
);
/// Keys digests.
pub const DIGEST_PEPPER: Variable = Variable::required(
    "DIGEST_PEPPER",
    Shape::Key,
    "Keys the digests of e-mail addresses and payers. Must never change.",
);
/// Makes return URLs unguessable.
pub const RETURN_URL_KEY: Variable = Variable::required(
    "RETURN_URL_KEY",
    Shape::Key,
    "Makes the addresses unguessable that KakaoPay sends shoppers back to; checkout-api and worker \
     have the same one.",
);
/// Where browsers are.
pub const PUBLIC_BASE_URL: Variable = Variable::required(
    "PUBLIC_BASE_URL",
    Shape::WebAddress,
    "Where shoppers' browsers reach checkout-api, for example https://pillivery.example.",
);
/// Who forwards.
pub const TRUSTED_PROXIES: Variable = Variable::optional(
    "TRUSTED_PROXIES",
    Shape::Checked("networks, separated by commas", |text| {
        text.parse::<TrustedProxies>().map(drop)
    }),
    "The proxies whose X-Forwarded-For is believed, for example 10.0.0.0/8,::1.",
);
/// Whose pages may call.
pub const CORS_ORIGINS: Variable = Variable::optional(
    "CORS_ORIGINS",
    Shape::Checked("origins, separated by commas", |text| text.parse::<Origins>().map(drop)),
    "The origins whose pages may call this process from a browser.",
);
/// How long a process that is about to stop goes on accepting.
pub const DRAIN_DELAY_SECONDS: Variable = Variable::number(
    "DRAIN_DELAY_SECONDS",
    0,
    0..=60,
    "How long connections are still accepted after the process reported itself unready, so that a \
     balancer turns away first.",
);
/// The moved clock.
pub const CLOCK_FILE: Variable = Variable::optional(
    "CLOCK_FILE",
    Shape::Path,
    "Development only: a file of seconds by which the clock is moved.",
);
/// Allows the moved clock.
pub const CLOCK_SETTABLE: Variable =
    Variable::with("CLOCK_SETTABLE", Shape::Words(&["0", "1"]), "0", "1 allows CLOCK_FILE.");
