//! Configuration: read once, named when wrong, shown without its secrets.
//!
//! A process declares one table of [`Variable`]s and one struct. [`Settings::of`] reads the whole
//! table, checks every value by its shape and reports all faults at once; the struct is filled from
//! it. The same table makes `--help`, `--print-config` and `check-config` ([`crate::cli`]). The
//! lookup is a parameter, so that a test passes a table and only `main` passes [`environment`]. An
//! error names the variable and what was expected, never the value: the value may be a secret in the
//! wrong place. A secret `NAME` is also accepted as `NAME_FILE`, the path of a file that holds it.

mod exposed;
mod keys;
mod misspelt;
pub mod shared;
mod table;

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
    /// A variable that no process knows differs from a known one by a slip of the keyboard.
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

    const VARIABLES: Table = &[
        Variable::required("DATABASE_URL", Shape::Postgres, "The database."),
        Variable::number("SIZE", 8, 1..=200, "How many."),
        Variable::required("FIRST_KEY", Shape::Key, "A key."),
        Variable::optional("SECOND_KEY", Shape::Key, "Another one."),
        Variable::with("FORMAT", Shape::Words(&["json", "text"]), "json", "How it looks."),
        Variable::required("PUBLIC_URL", Shape::WebAddress, "Where browsers are."),
    ];

    const KEY: &str = "q8J/2vJY0mJm1kUuJZb3Yy6c9v0TzN4w";

    fn table<'a>(set: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        let usual = [
            ("DATABASE_URL", "postgres://shop:hunter2@127.0.0.1/shop"),
            ("FIRST_KEY", KEY),
            ("PUBLIC_URL", "https://shop.example"),
        ];
        move |name| {
            let of = |pairs: &[(&str, &str)]| {
                let found = pairs.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            of(set).or_else(|| of(&usual))
        }
    }

    fn faults(set: &[(&str, &str)]) -> Vec<String> {
        match Settings::of(VARIABLES, table(set)) {
            Ok(_) => Vec::new(),
            Err(error) => error.each().iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn defaults_come_from_the_table() {
        let settings = Settings::of(VARIABLES, table(&[])).unwrap();
        assert_eq!(settings.value("SIZE"), Ok(8_usize));
        assert_eq!(settings.value("FORMAT"), Ok("json".to_owned()));
        assert_eq!(settings.optional_value::<String>("SECOND_KEY"), Ok(None));
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let found = faults(&[
            ("DATABASE_URL", ""),
            ("SIZE", "0"),
            ("FORMAT", "yaml"),
            ("FIRST_KEY", "hunter2"),
            ("PUBLIC_URL", "http://shop.example"),
        ]);
        assert_eq!(
            found,
            [
                "DATABASE_URL is not set",
                "SIZE: expected a number between 1 and 200",
                "FIRST_KEY: expected at least 32 bytes",
                "FORMAT: expected one of json, text",
                "PUBLIC_URL: expected an https address; http is for loopback addresses alone",
            ]
        );
    }

    #[test]
    fn a_wrong_database_url_is_named_and_not_repeated() {
        let found = faults(&[("DATABASE_URL", "foo-hunter2")]);
        assert_eq!(found, ["DATABASE_URL: expected postgres://USER:PASSWORD@HOST/DATABASE"]);
    }

    #[test]
    fn a_secret_may_come_from_a_file_and_not_from_two_places() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, format!("{KEY}\n")).unwrap();
        let path = path.to_str().unwrap();
        let set = [("FIRST_KEY", ""), ("FIRST_KEY_FILE", path)];
        let settings = Settings::of(VARIABLES, table(&set)).unwrap();
        assert_eq!(settings.secret("FIRST_KEY").unwrap().expose(), KEY);

        let both = faults(&[("FIRST_KEY_FILE", path)]);
        assert_eq!(both, ["FIRST_KEY: expected either FIRST_KEY or FIRST_KEY_FILE, not both"]);
        let absent = faults(&[("FIRST_KEY", ""), ("FIRST_KEY_FILE", "/nowhere")]);
        assert!(absent[0].starts_with("FIRST_KEY_FILE: cannot be read"), "{absent:?}");
    }

    #[test]
    fn weak_and_equal_keys_are_refused() {
        for weak in ["abababababababababababababababababab", "0123456789abcdef0123456789abcdef"] {
            let found = faults(&[("FIRST_KEY", weak)]);
            assert_eq!(
                found,
                ["FIRST_KEY: expected random bytes, for example from `openssl rand -base64 32`"]
            );
        }
        let found = faults(&[("SECOND_KEY", KEY)]);
        assert_eq!(found, ["SECOND_KEY: expected another value than FIRST_KEY's"]);
    }

    #[test]
    fn a_variable_that_differs_by_a_slip_is_refused() {
        let names = ["DATABSE_URL", "SIZE", "HOME", "FORMATS", "FIRST_KEY_FLIE", "PUBLIC_URL_FILE"];
        let error = refuse_misspelt(&[VARIABLES], names.map(str::to_owned)).unwrap_err();
        let found: Vec<String> = error.each().iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "DATABSE_URL is unknown; DATABASE_URL was probably meant",
                "FORMATS is unknown; FORMAT was probably meant",
                "FIRST_KEY_FLIE is unknown; FIRST_KEY_FILE was probably meant",
            ]
        );
    }

    #[test]
    fn the_table_is_shown_without_its_secrets() {
        let lines = shown(&[VARIABLES], table(&[("SIZE", "9")]));
        assert!(lines.contains("DATABASE_URL=***\n"), "{lines}");
        assert!(lines.contains("SIZE=9\n") && lines.contains("FORMAT=json (default)\n"), "{lines}");
        assert!(!lines.contains("hunter2") && !lines.contains(KEY), "{lines}");
        let help = help(&[VARIABLES]);
        for variable in VARIABLES {
            assert!(help.contains(variable.name) && help.contains(variable.sentence), "{help}");
        }
    }
}
