//! Configuration: read once, named when wrong, shown without its secrets.
//!
//! A process declares one struct and fills it from [`Settings`]; the lookup is a parameter, so that
//! a test passes a table and only `main` passes [`environment`]. An error names the variable and
//! what was expected, never the value: the value may be a secret in the wrong place.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use zeroize::Zeroize;

/// Text that must not be seen: `Debug` prints `***`, there is no `Display` and no `Serialize`.
///
/// The memory is overwritten when it is dropped.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Call it where it is used and don't keep the result.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What is wrong with a setting, by its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A setting without a default is absent or empty.
    #[error("{name} is not set")]
    NotSet {
        /// The variable.
        name: String,
    },
    /// A setting is there and cannot be used.
    #[error("{name}: {expected}")]
    Invalid {
        /// The variable.
        name: String,
        /// What should have stood there; never what stood there.
        expected: String,
    },
}

impl ConfigError {
    /// A setting that is there and cannot be used; `expected` must not repeat the value.
    pub fn invalid(name: &str, expected: impl Into<String>) -> Self {
        Self::Invalid { name: name.to_owned(), expected: expected.into() }
    }
}

/// Where a setting's value comes from, by its name.
type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Reads settings by name from a lookup. An empty value counts as absent.
pub struct Settings<'a> {
    lookup: Box<Lookup<'a>>,
}

impl<'a> Settings<'a> {
    /// Settings over a lookup: [`environment`] in `main`, a table in tests.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + 'a) -> Self {
        Self { lookup: Box::new(lookup) }
    }

    /// The value, or `None` when it is absent or empty.
    pub fn optional(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.trim().is_empty())
    }

    /// The value; absent or empty is an error.
    pub fn required(&self, name: &str) -> Result<String, ConfigError> {
        self.optional(name).ok_or_else(|| ConfigError::NotSet { name: name.to_owned() })
    }

    /// A required value that must not be seen.
    pub fn secret(&self, name: &str) -> Result<Secret, ConfigError> {
        self.required(name).map(Secret::from)
    }

    /// A value that must not be seen, or `None` when it is absent or empty.
    pub fn optional_secret(&self, name: &str) -> Option<Secret> {
        self.optional(name).map(Secret::from)
    }

    /// The value as `T`, or `default` when it is absent.
    pub fn parsed<T>(&self, name: &str, default: T) -> Result<T, ConfigError>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        match self.optional(name) {
            None => Ok(default),
            Some(text) => text.trim().parse().map_err(|error| ConfigError::Invalid {
                name: name.to_owned(),
                expected: format!("{error}"),
            }),
        }
    }

    /// A number within `range`, or `default` when it is absent.
    pub fn number<T>(
        &self,
        name: &str,
        default: T,
        range: RangeInclusive<T>,
    ) -> Result<T, ConfigError>
    where
        T: FromStr + PartialOrd + fmt::Display,
    {
        let Some(text) = self.optional(name) else {
            return Ok(default);
        };
        text.trim().parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            ConfigError::invalid(name, format!("expected a number between {low} and {high}"))
        })
    }
}

impl fmt::Debug for Settings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Settings")
    }
}

/// The lookup over the process' environment, for `main` alone.
pub fn environment() -> impl Fn(&str) -> Option<String> + Clone + Send + Sync + 'static {
    #[expect(clippy::disallowed_methods, reason = "the one door to the environment, for `main`")]
    |name: &str| std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings<'static> {
        Settings::new(|name| match name {
            "DATABASE_URL" => Some("postgres://shop:hunter2@db/shop".to_owned()),
            "PORT" => Some("70000".to_owned()),
            "SIZE" => Some(" 20 ".to_owned()),
            "EMPTY" => Some("  ".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn a_missing_setting_is_named() {
        let error = settings().required("REDIS_URL").unwrap_err();
        assert_eq!(error.to_string(), "REDIS_URL is not set");
    }

    #[test]
    fn an_empty_setting_is_a_missing_one() {
        assert_eq!(settings().required("EMPTY").unwrap_err().to_string(), "EMPTY is not set");
        assert_eq!(settings().parsed("EMPTY", 7_u16).unwrap(), 7);
    }

    #[test]
    fn a_number_out_of_range_says_the_range_and_not_the_value() {
        let error = settings().number("PORT", 8080_u32, 1..=65_535).unwrap_err();
        assert_eq!(error.to_string(), "PORT: expected a number between 1 and 65535");
    }

    #[test]
    fn a_value_that_does_not_parse_is_not_repeated() {
        let error = settings().parsed("DATABASE_URL", 1_u16).unwrap_err();
        assert_eq!(error.to_string(), "DATABASE_URL: invalid digit found in string");
    }

    #[test]
    fn surrounding_blanks_do_not_matter() {
        assert_eq!(settings().parsed("SIZE", 1_usize).unwrap(), 20);
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = settings().secret("DATABASE_URL").unwrap();
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(format!("{:?}", Some(&secret)), "Some(***)");
        assert!(secret.expose().contains("hunter2"));
    }
}
