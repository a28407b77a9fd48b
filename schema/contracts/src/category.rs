//! The nine categories of the shop window.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an item is good for. An item may be in several; [`Category::Etc`] only stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Category {
    /// Eyes.
    Eye,
    /// Bones and osteoporosis.
    Bone,
    /// Memory and cognition.
    Brain,
    /// Bowels and lactic acid bacteria.
    Intestine,
    /// The liver.
    Liver,
    /// The skin.
    Skin,
    /// Antioxidants.
    Antioxidant,
    /// Tiredness and blood circulation.
    Fatigue,
    /// Everything else.
    Etc,
}

/// A name that is none of the nine categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such category")]
pub struct UnknownCategory;

impl Category {
    /// All nine, in the order the shop shows them.
    pub const ALL: [Self; 9] = [
        Self::Eye,
        Self::Bone,
        Self::Brain,
        Self::Intestine,
        Self::Liver,
        Self::Skin,
        Self::Antioxidant,
        Self::Fatigue,
        Self::Etc,
    ];

    /// The stored name, as in URLs: `EYE`, `BONE`, …
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eye => "EYE",
            Self::Bone => "BONE",
            Self::Brain => "BRAIN",
            Self::Intestine => "INTESTINE",
            Self::Liver => "LIVER",
            Self::Skin => "SKIN",
            Self::Antioxidant => "ANTIOXIDANT",
            Self::Fatigue => "FATIGUE",
            Self::Etc => "ETC",
        }
    }

    /// The Korean label that shoppers see.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Eye => "눈",
            Self::Bone => "뼈,골다공증",
            Self::Brain => "두뇌",
            Self::Intestine => "배변,장,유산균",
            Self::Liver => "간",
            Self::Skin => "피부",
            Self::Antioxidant => "항산화",
            Self::Fatigue => "피로,혈액순환",
            Self::Etc => "기타",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Category {
    type Err = UnknownCategory;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|category| category.as_str() == name).ok_or(UnknownCategory)
    }
}
