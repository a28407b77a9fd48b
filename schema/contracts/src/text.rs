//! Text with a rule: bounded, and free of what would break a page, a log line or a header.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Text of 1 to `MAX` characters, trimmed, without control characters other than line feed and tab.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text<const MAX: usize>(String);

/// Why a text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextRefusal {
    /// Nothing was left after trimming.
    #[error("the text is empty")]
    Empty,
    /// More characters than allowed.
    #[error("the text is longer than {0} characters")]
    TooLong(usize),
    /// A control character that has no place in text.
    #[error("the text has a control character")]
    ControlCharacter,
}

impl<const MAX: usize> Text<MAX> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Trims and checks `raw`.
    ///
    /// # Errors
    /// [`TextRefusal`] when nothing is left, it is longer than `MAX` characters, or a control
    /// character other than line feed and tab is in it.
    pub fn parse(raw: &str) -> Result<Self, TextRefusal> {
        let text = raw.trim();
        if text.is_empty() {
            return Err(TextRefusal::Empty);
        }
        if MAX < text.chars().count() {
            return Err(TextRefusal::TooLong(MAX));
        }
        if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t' && c != '\r') {
            return Err(TextRefusal::ControlCharacter);
        }
        Ok(Self(text.to_owned()))
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> TryFrom<String> for Text<MAX> {
    type Error = TextRefusal;

    fn try_from(raw: String) -> Result<Self, Self::Error> {
        Self::parse(&raw)
    }
}

impl<const MAX: usize> From<Text<MAX>> for String {
    fn from(text: Text<MAX>) -> Self {
        text.0
    }
}

/// The public registration number of an item: 12 to 15 digits, kept as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReportNo(String);

/// A report number was not 12 to 15 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a report number has 12 to 15 digits")]
pub struct MalformedReportNo;

impl ReportNo {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ReportNo {
    type Error = MalformedReportNo;

    fn try_from(raw: String) -> Result<Self, Self::Error> {
        if !(12..=15).contains(&raw.len()) || !raw.bytes().all(|b| b.is_ascii_digit()) {
            return Err(MalformedReportNo);
        }
        Ok(Self(raw))
    }
}

impl From<ReportNo> for String {
    fn from(report_no: ReportNo) -> Self {
        report_no.0
    }
}
