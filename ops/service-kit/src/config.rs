//! Configuration: read once, named when wrong, shown without its secrets.
//!
//! A process declares one table of [`Variable`]s and one struct. [`Settings::of`] reads the whole
//! table, checks every value by its shape and reports all faults at once; the struct is filled from
//! it. The same table makes `--help`, `--print-config` and `check-config` ([`crate::cli`]). The
//! lookup is a parameter, so that a test passes a table and only `main` passes [`environment`]. An
//! error names the variable and what was expected, never the value: the value may be a secret in the
//! wrong place. A secret `NAME` is also accepted as `NAME_FILE`, the path of a file that holds it.

mod addresses;
mod exposed;
mod keys;
mod misspelt;
pub mod shared;
mod table;
#[cfg(test)]
mod tests;

pub use misspelt::refuse_misspelt;
pub use table::{Fallback, Shape, Table, Tables, Variable, help, shown};

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use zeroize::Zeroize;

use crate::pools;

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
    /// A variable that the process does not know differs from a known one by a letter or two.
    #[error("{name} is unknown; {meant} was probably meant")]
    Misspelt {
        /// The variable that is set.
        name: String,
        /// The known one.
        meant: String,
    },
    /// More than one fault.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<ConfigError>),
}

impl ConfigError {
    /// A setting that is there and cannot be used; `expected` must not repeat the value.
    pub fn invalid(name: &str, expected: impl Into<String>) -> Self {
        Self::Invalid { name: name.to_owned(), expected: expected.into() }
    }

    /// All of `faults` as one error.
    ///
    /// # Errors
    /// There is a fault.
    pub fn refuse(mut faults: Vec<Self>) -> Result<(), Self> {
        match faults.len() {
            0 => Ok(()),
            1 => Err(faults.remove(0)),
            _ => Err(Self::Several(faults)),
        }
    }

    /// The faults of all `checks` as one error, each once.
    ///
    /// # Errors
    /// A check found a fault.
    pub fn of_all(checks: impl IntoIterator<Item = Result<(), Self>>) -> Result<(), Self> {
        let mut faults: Vec<Self> = Vec::new();
        for fault in checks.into_iter().filter_map(Result::err).flat_map(Self::each) {
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
        Self::refuse(faults)
    }

    /// Each fault by itself.
    pub fn each(self) -> Vec<Self> {
        match self {
            Self::Several(faults) => faults,
            one @ (Self::NotSet { .. } | Self::Invalid { .. } | Self::Misspelt { .. }) => vec![one],
        }
    }
}

/// Where a setting's value comes from, by its name.
type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Reads settings by name. An empty value counts as absent.
pub struct Settings<'a> {
    lookup: Box<Lookup<'a>>,
    table: Table,
    /// What the table's variables are set to, files read.
    values: HashMap<&'static str, Secret>,
}

impl<'a> Settings<'a> {
    /// Settings over a lookup and no table: for a variable that belongs to a command alone.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + 'a) -> Self {
        Self { lookup: Box::new(lookup), table: &[], values: HashMap::new() }
    }

    /// The settings of `table`, each checked by its shape: [`environment`] in `main`, a table of
    /// values in tests.
    ///
    /// # Errors
    /// Names every variable that is missing or cannot be used, without its value.
    pub fn of(
        table: Table,
        lookup: impl Fn(&str) -> Option<String> + 'a,
    ) -> Result<Self, ConfigError> {
        let mut faults = Vec::new();
        let mut values = HashMap::new();
        for variable in table {
            match variable.read(&lookup) {
                Ok(Some(value)) => drop(values.insert(variable.name, Secret::from(value))),
                Ok(None) => {}
                Err(fault) => faults.push(fault),
            }
        }
        faults.extend(keys::equal(table, &values));
        faults.extend(addresses::equal(table, &values));
        faults.extend(exposed::faults(table, &values));
        ConfigError::refuse(faults)?;
        Ok(Self { lookup: Box::new(lookup), table, values })
    }

    /// The value, or `None` when it is absent or empty.
    pub fn optional(&self, name: &str) -> Option<String> {
        if let Some(value) = self.values.get(name) {
            return Some(value.expose().to_owned());
        }
        debug_assert!(
            self.table.is_empty() || self.variable(name).is_some(),
            "{name} is read and stands in no table"
        );
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

    /// The URL of a database. Without encryption to another machine only where
    /// [`shared::DATABASE_PLAINTEXT`] allows it.
    pub fn database_url(&self, name: &str) -> Result<Secret, ConfigError> {
        let url = self.secret(name)?;
        let is_plain = exposed::allows(&self.values, &shared::DATABASE_PLAINTEXT);
        Ok(if is_plain { pools::in_plain_text(&url) } else { url })
    }

    /// The value, or the table's default, as `T`.
    pub fn value<T>(&self, name: &str) -> Result<T, ConfigError>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let default = || self.variable(name).and_then(Variable::default_text);
        let text = self.optional(name).or_else(default);
        let text = text.ok_or_else(|| ConfigError::NotSet { name: name.to_owned() })?;
        text.trim().parse().map_err(|error: T::Err| ConfigError::invalid(name, error.to_string()))
    }

    /// The value as `T`, or `None` when it is absent.
    pub fn optional_value<T>(&self, name: &str) -> Result<Option<T>, ConfigError>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        self.optional(name).map(|_set| self.value(name)).transpose()
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

    fn variable(&self, name: &str) -> Option<&'static Variable> {
        self.table.iter().find(|variable| variable.name == name)
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

/// The names of all variables that are set, for `main` alone.
pub fn environment_names() -> impl Iterator<Item = String> {
    std::env::vars_os().filter_map(|(name, _value)| name.into_string().ok())
}
