//! Shapes that several operations share.

use contracts::{Period, Quantity};
use poem_openapi::Enum;

use crate::http::Fields;

/// Which of the caller's two carts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "kebab-case")]
pub(crate) enum CartName {
    /// Lines that are bought once.
    OneOff,
    /// Lines that come again every period.
    Subscription,
}

impl From<CartName> for contracts::CartKind {
    fn from(name: CartName) -> Self {
        match name {
            CartName::OneOff => Self::OneOff,
            CartName::Subscription => Self::Subscription,
        }
    }
}

/// The quantity in the field at `pointer`.
pub(crate) fn quantity(fields: &mut Fields, pointer: String, raw: i64) -> Option<Quantity> {
    fields.take(pointer, "quantity.out_of_range", Quantity::try_from(raw))
}

/// The period in the field at `pointer`, when there is one. The outer `None` says that it is wrong.
#[expect(clippy::option_option, reason = "wrong and absent are told apart")]
pub(crate) fn period(
    fields: &mut Fields,
    pointer: String,
    raw: Option<i64>,
) -> Option<Option<Period>> {
    match raw {
        None => Some(None),
        Some(days) => fields.take(pointer, "period.not_offered", Period::try_from(days)).map(Some),
    }
}
