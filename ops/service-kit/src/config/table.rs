//! The table of a process' variables: name, shape, default and a sentence.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use url::{Host, Url};

use super::{ConfigError, Secret, keys};
use crate::pools;

/// Every variable that one process reads.
pub type Table = &'static [Variable];

/// The tables of a program that runs several processes; the first row of a name counts.
pub type Tables = &'static [Table];

/// One variable of a process.
#[derive(Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What may stand in it, and whether it is a secret.
    pub shape: Shape,
    /// What holds when it is not set.
    pub fallback: Fallback,
    /// What it is for.
    pub sentence: &'static str,
}

/// What holds when a variable is not set.
#[derive(Debug)]
pub enum Fallback {
    /// The process does not start.
    Required,
    /// The process does without.
    Unset,
    /// This text.
    Text(&'static str),
    /// This number.
    Number(u64),
}

/// What may stand in a variable.
#[derive(Debug)]
pub enum Shape {
    /// Any text.
    Text,
    /// An address and a port.
    Address,
    /// A whole number within these bounds.
    Number(RangeInclusive<u64>),
    /// One of these words.
    Words(&'static [&'static str]),
    /// The path of a file.
    Path,
    /// A web address; `http` only for loopback.
    WebAddress,
    /// What a function accepts; the word stands in the help.
    Checked(&'static str, fn(&str) -> Result<(), &'static str>),
    /// Secret: any text.
    SecretText,
    /// Secret: at least 32 random bytes.
    Key,
    /// Secret: 32 random bytes in base64.
    Base64Key,
    /// Secret: the URL of a PostgreSQL database.
    Postgres,
    /// Secret: the URL of a Redis.
    Redis,
}

impl Shape {
    /// Whether the value must not be shown.
    pub const fn is_secret(&self) -> bool {
        matches!(
            self,
            Self::SecretText | Self::Key | Self::Base64Key | Self::Postgres | Self::Redis
        )
    }

    /// Whether it is a key, whose value no other key may have.
    pub const fn is_key(&self) -> bool {
        matches!(self, Self::Key | Self::Base64Key)
    }

    /// Whether `text` fits.
    ///
    /// # Errors
    /// What was expected; never what stood there.
    pub fn check(&self, text: &str) -> Result<(), String> {
        let expected = |is_fine: bool, what: &str| {
            if is_fine { Ok(()) } else { Err(format!("expected {what}")) }
        };
        match self {
            Self::Text | Self::Path | Self::SecretText => Ok(()),
            Self::Address => expected(text.parse::<SocketAddr>().is_ok(), "an address and a port"),
            Self::Number(range) => {
                let (low, high) = (range.start(), range.end());
                let is_within = text.parse().is_ok_and(|number| range.contains(&number));
                expected(is_within, &format!("a number between {low} and {high}"))
            }
            Self::Words(words) => {
                expected(words.contains(&text), &format!("one of {}", words.join(", ")))
            }
            Self::WebAddress => web_address(text),
            Self::Checked(_, check) => check(text).map_err(str::to_owned),
            Self::Key => keys::check(text.as_bytes()),
            Self::Base64Key => keys::check_base64(text),
            Self::Postgres => {
                let target = pools::database_target(&Secret::from(text));
                target.map(drop).map_err(|error| error.to_string())
            }
            Self::Redis => {
                expected(pools::redis(&Secret::from(text)).is_ok(), "redis://… or rediss://…")
            }
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Address => f.write_str("ADDRESS:PORT"),
            Self::Number(range) => write!(f, "{} to {}", range.start(), range.end()),
            Self::Words(words) => f.write_str(&words.join(" | ")),
            Self::Path => f.write_str("path"),
            Self::WebAddress => f.write_str("web address"),
            Self::Checked(word, _) => f.write_str(word),
            Self::SecretText => f.write_str("secret"),
            Self::Key => f.write_str("secret, at least 32 bytes"),
            Self::Base64Key => f.write_str("secret, 32 bytes in base64"),
            Self::Postgres => f.write_str("secret, postgres://…"),
            Self::Redis => f.write_str("secret, redis://… or rediss://…"),
        }
    }
}

impl Variable {
    /// A variable without which the process does not start.
    pub const fn required(name: &'static str, shape: Shape, sentence: &'static str) -> Self {
        Self { name, shape, fallback: Fallback::Required, sentence }
    }

    /// A variable that the process can do without.
    pub const fn optional(name: &'static str, shape: Shape, sentence: &'static str) -> Self {
        Self { name, shape, fallback: Fallback::Unset, sentence }
    }

    /// A variable with a default.
    pub const fn with(
        name: &'static str,
        shape: Shape,
        default: &'static str,
        sentence: &'static str,
    ) -> Self {
        Self { name, shape, fallback: Fallback::Text(default), sentence }
    }

    /// A number with a default.
    pub const fn number(
        name: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
        sentence: &'static str,
    ) -> Self {
        Self { name, shape: Shape::Number(range), fallback: Fallback::Number(default), sentence }
    }

    /// The default as it would stand in the environment.
    pub fn default_text(&self) -> Option<String> {
        match self.fallback {
            Fallback::Required | Fallback::Unset => None,
            Fallback::Text(text) => Some(text.to_owned()),
            Fallback::Number(number) => Some(number.to_string()),
        }
    }

    /// The value that is set, itself or as a file, if it is one that can be used.
    pub(super) fn read(
        &self,
        lookup: &impl Fn(&str) -> Option<String>,
    ) -> Result<Option<String>, ConfigError> {
        let value = self.set(lookup)?;
        match (&value, &self.fallback) {
            (None, Fallback::Required) => Err(ConfigError::NotSet { name: self.name.to_owned() }),
            (None, Fallback::Unset | Fallback::Text(_) | Fallback::Number(_)) => Ok(None),
            (Some(text), _) => {
                let fits = self.shape.check(text.trim());
                fits.map_err(|expected| ConfigError::invalid(self.name, expected))?;
                Ok(value)
            }
        }
    }

    fn set(&self, lookup: &impl Fn(&str) -> Option<String>) -> Result<Option<String>, ConfigError> {
        let there = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let value = there(self.name);
        if !self.shape.is_secret() {
            return Ok(value);
        }
        let file = self.file_name();
        match (value, there(&file)) {
            (value, None) => Ok(value),
            (None, Some(path)) => match std::fs::read_to_string(path.trim()) {
                Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
                Err(error) => Err(ConfigError::invalid(&file, format!("cannot be read: {error}"))),
            },
            (Some(_), Some(_)) => {
                let expected = format!("expected either {} or {file}, not both", self.name);
                Err(ConfigError::invalid(self.name, expected))
            }
        }
    }

    /// The variable that names a file in place of this one.
    pub(super) fn file_name(&self) -> String {
        format!("{}_FILE", self.name)
    }
}

/// Between two machines http can be read and changed on the way: keys, nonces and outcomes with it.
fn web_address(text: &str) -> Result<(), String> {
    let url = text.parse::<Url>();
    match url.as_ref().map(|url| (url.scheme(), url.host())) {
        Ok(("https", Some(_))) => Ok(()),
        Ok(("http", Some(host))) if is_loopback(&host) => Ok(()),
        Ok(("http", Some(_))) => {
            Err("expected an https address; http is for loopback addresses alone".to_owned())
        }
        _ => Err("expected a web address".to_owned()),
    }
}

/// Whether what is sent to `host` stays on this machine.
fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// Each variable of `tables` once.
pub(super) fn rows(tables: Tables) -> impl Iterator<Item = &'static Variable> {
    let mut seen = HashSet::new();
    let all = tables.iter().flat_map(|table| table.iter());
    all.filter(move |variable| seen.insert(variable.name))
}

/// The tables for `--help`.
pub fn help(tables: Tables) -> String {
    if rows(tables).next().is_none() {
        return "Reads no environment variables.".to_owned();
    }
    let mut text =
        "Environment variables (each secret NAME is also accepted as NAME_FILE, the path \
                    of a file that holds it):\n"
            .to_owned();
    for variable in rows(tables) {
        let default = match variable.fallback {
            Fallback::Required => "required".to_owned(),
            Fallback::Unset => "optional".to_owned(),
            Fallback::Text(_) | Fallback::Number(_) => {
                format!("default {}", variable.default_text().unwrap_or_default())
            }
        };
        let Variable { name, shape, sentence, .. } = variable;
        let line = format!("\n  {name}  [{shape}; {default}]\n      {sentence}");
        text.push_str(&line);
    }
    text
}

/// The variables with the values that hold, for `--print-config`: a line each, secrets as `***`.
pub fn shown(tables: Tables, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut text = String::new();
    for variable in rows(tables) {
        let name = variable.name;
        let line = match (variable.set(&lookup), variable.default_text()) {
            (Err(fault), _) => fault.to_string(),
            (Ok(Some(_)), _) if variable.shape.is_secret() => format!("{name}=***"),
            (Ok(Some(value)), _) => format!("{name}={}", value.trim()),
            (Ok(None), Some(default)) => format!("{name}={default} (default)"),
            (Ok(None), None) => format!("{name} is not set"),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}
