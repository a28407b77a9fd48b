//! What the environment of a shop must and may say.
//!
//! A shop on private services generates its secrets and simulates the gateway. Over somebody else's
//! database either would do harm: personal data sealed under keys that only this machine has, orders
//! paid at a simulator. So with `DATABASE_URL` set everything has to be, unless `--simulate` confirms
//! that nothing is real.

use service_kit::config::{
    self, ConfigError, Fallback, Secret, Shape, Table, Tables, Variable, shared,
};

use crate::Environment;
use crate::services::Outside;
use crate::system::Settings;

/// What the shop needs when it stands on a database that is not its own.
const REQUIRED_OUTSIDE: [&str; 7] = [
    "ACCESS_TOKEN_SIGNING_KEY",
    "ACCESS_TOKEN_VERIFYING_KEYS",
    "MASTER_KEY",
    "DIGEST_PEPPER",
    "RETURN_URL_KEY",
    "KAKAOPAY_BASE_URL",
    "KAKAOPAY_SECRET_KEY",
];

/// What differs from the processes' own tables: unset means private or generated.
const VARIABLES: Table = &[
    Variable {
        fallback: Fallback::Unset,
        sentence: "A database in place of a private one; then all secrets and the gateway must be set, \
                   unless --simulate is given.",
        ..shared::DATABASE_URL
    },
    shared::DATABASE_PLAINTEXT,
    Variable::optional("REDIS_URL", Shape::Redis, "A Redis in place of a private one."),
    shared::REDIS_PLAINTEXT,
    Variable::optional(
        "KAKAOPAY_BASE_URL",
        Shape::WebAddress,
        "KakaoPay in place of a simulated one.",
    ),
    generated("KAKAOPAY_SECRET_KEY", Shape::SecretText),
    generated("ACCESS_TOKEN_SIGNING_KEY", Shape::Key),
    Variable::optional(
        "ACCESS_TOKEN_VERIFYING_KEYS",
        Shape::Text,
        "The public key of the signing key when unset.",
    ),
    generated("MASTER_KEY", Shape::Base64Key),
    generated("DIGEST_PEPPER", Shape::Key),
    generated("RETURN_URL_KEY", Shape::Key),
    Variable::optional(
        "PUBLIC_BASE_URL",
        Shape::WebAddress,
        "Where browsers reach the shop; its own address when unset.",
    ),
];

/// Everything that the shop and its parts read.
pub(crate) const ALL: Tables = &[
    VARIABLES,
    checkout_api::VARIABLES,
    storefront_api::VARIABLES,
    processes::VARIABLES,
    projections::VARIABLES,
];

const fn generated(name: &'static str, shape: Shape) -> Variable {
    Variable::optional(name, shape, "Generated into the state directory when unset.")
}

/// The services that the environment names.
///
/// # Errors
/// A variable cannot be used, or what a real shop needs is missing.
pub(crate) fn load(
    lookup: impl Fn(&str) -> Option<String>,
    simulate: bool,
) -> Result<Outside, ConfigError> {
    let settings = config::Settings::of(VARIABLES, lookup)?;
    let database = match settings.optional("DATABASE_URL") {
        Some(_set) => Some(settings.database_url("DATABASE_URL")?),
        None => None,
    };
    if database.is_some() && !simulate {
        let missing = REQUIRED_OUTSIDE.into_iter().filter(|name| settings.optional(name).is_none());
        let expected = "expected with DATABASE_URL, or --simulate where nothing is real";
        ConfigError::refuse(missing.map(|name| ConfigError::invalid(name, expected)).collect())?;
    }
    Ok(Outside {
        database,
        redis: settings.optional("REDIS_URL").map(Secret::new),
        kakaopay: settings.optional("KAKAOPAY_BASE_URL"),
    })
}

/// What `check-config` and the start both ask: the services that the environment names, once every part
/// can use its settings too.
///
/// # Errors
/// As [`load`], and what a part cannot use.
pub(crate) fn check(
    lookup: impl Fn(&str) -> Option<String>,
    simulate: bool,
) -> Result<Outside, ConfigError> {
    let outside = load(&lookup, simulate)?;
    Settings::check(&Environment::of(&lookup), &outside)?;
    Ok(outside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(name: &str) -> Option<String> {
        (name == "DATABASE_URL").then(|| "postgres://shop:hunter2@127.0.0.1/shop".to_owned())
    }

    /// A forgotten gateway gave a real database the simulator, whose approval is a button.
    #[test]
    fn a_database_of_others_needs_every_secret_and_the_gateway() {
        let error = load(database, false).unwrap_err();
        let faults: Vec<String> = error.each().iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), REQUIRED_OUTSIDE.len(), "{faults:?}");
        for (fault, name) in faults.iter().zip(REQUIRED_OUTSIDE) {
            assert!(fault.starts_with(&format!("{name}: expected with DATABASE_URL")), "{fault}");
        }
    }

    #[test]
    fn a_shop_that_is_not_real_says_so_or_has_a_database_of_its_own() {
        assert!(load(database, true).unwrap().database.is_some());
        assert!(load(|_| None, false).unwrap().database.is_none());
    }
}
