//! Why an item refuses.

use crate::kernel::{Refusal, RefusalKind};

/// Why a command to an item was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemRefusal {
    /// There is no such item, or the caller may not edit the catalogue.
    #[error("there is no such item")]
    NotFound,
    /// The report number is in the catalogue already.
    #[error("the item is registered already")]
    AlreadyRegistered,
    /// The stream belongs to another report number.
    #[error("the item has another report number")]
    OtherReportNo,
    /// Not 1 won to the most an item may cost.
    #[error("a price is between 1 and 1,000,000 won")]
    PriceOutOfRange,
    /// An item must be shown somewhere.
    #[error("an item has at least one category")]
    NoCategory,
    /// "Everything else" and something else.
    #[error("the category ETC stands alone")]
    EtcNotAlone,
}

impl Refusal for ItemRefusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "item.not_found",
            Self::AlreadyRegistered => "item.already_registered",
            Self::OtherReportNo => "item.other_report_no",
            Self::PriceOutOfRange => "item.price_out_of_range",
            Self::NoCategory => "item.no_category",
            Self::EtcNotAlone => "item.etc_not_alone",
        }
    }

    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound => RefusalKind::NotFound,
            Self::AlreadyRegistered | Self::OtherReportNo => RefusalKind::Conflict,
            Self::PriceOutOfRange | Self::NoCategory | Self::EtcNotAlone => RefusalKind::Rule,
        }
    }
}
