//! Why a cart refuses.

use crate::kernel::{Refusal, RefusalKind};

/// Why a command to a cart was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CartRefusal {
    /// It is somebody else's.
    #[error("there is no such cart")]
    NotFound,
    /// The item isn't in the cart.
    #[error("the item is not in the cart")]
    NoSuchLine,
    /// The cart is full.
    #[error("a cart has at most 100 lines")]
    LineLimit,
    /// The item can't be bought today.
    #[error("the item is not on sale")]
    ItemWithdrawn,
    /// A line of the subscription cart has a rhythm.
    #[error("a line of the subscription cart has a period")]
    PeriodRequired,
    /// A line that is bought once has none.
    #[error("only the subscription cart has periods")]
    PeriodNotAllowed,
}

impl Refusal for CartRefusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "cart.not_found",
            Self::NoSuchLine => "cart.no_such_line",
            Self::LineLimit => "cart.line_limit",
            Self::ItemWithdrawn => "cart.item_withdrawn",
            Self::PeriodRequired => "cart.period_required",
            Self::PeriodNotAllowed => "cart.period_not_allowed",
        }
    }

    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound | Self::NoSuchLine => RefusalKind::NotFound,
            Self::LineLimit
            | Self::ItemWithdrawn
            | Self::PeriodRequired
            | Self::PeriodNotAllowed => RefusalKind::Rule,
        }
    }
}
