//! What can be asked of an item.

use std::collections::BTreeSet;

use contracts::events::ItemDetails;
use contracts::{Category, DiscountRate, ReportNo, Text, Won};

use crate::kernel::Principal;

/// What the shop adds to the open data: price, discount, shelves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemTerms {
    /// Price of one piece before discount.
    pub origin_price: Won,
    /// Discount in tenths of a percent.
    pub discount_rate: DiscountRate,
    /// Where it is shown; ETC only alone.
    pub categories: BTreeSet<Category>,
}

/// A command to one item; its stream is `ItemId::of(report_no)`.
#[derive(Debug, Clone)]
pub enum ItemCommand {
    /// Puts a new item on sale.
    RegisterItem {
        /// An administrator.
        by: Principal,
        /// Its public registration number.
        report_no: ReportNo,
        /// What is known about it.
        details: Box<ItemDetails>,
        /// What the shop adds.
        terms: ItemTerms,
    },
    /// Makes the item be as the catalogue file says: registers it, or changes what differs.
    ImportItem {
        /// Its public registration number.
        report_no: ReportNo,
        /// What is known about it.
        details: Box<ItemDetails>,
        /// What the shop adds.
        terms: ItemTerms,
        /// Leaves price and discount of an item that exists as they are; for derived prices, which
        /// must not undo what an administrator set.
        keep_price: bool,
    },
    /// Replaces what is known about it.
    ChangeDetails {
        /// An administrator.
        by: Principal,
        /// What is known from here on, in whole.
        details: Box<ItemDetails>,
    },
    /// Sets the price before discount.
    RepriceItem {
        /// An administrator.
        by: Principal,
        /// The new price.
        origin_price: Won,
    },
    /// Sets the discount.
    ChangeDiscount {
        /// An administrator.
        by: Principal,
        /// The new discount in tenths of a percent.
        discount_rate: DiscountRate,
    },
    /// Sets price and discount together, so that nobody meets one without the other.
    PriceItem {
        /// An administrator.
        by: Principal,
        /// The new price before discount.
        origin_price: Won,
        /// The new discount in tenths of a percent.
        discount_rate: DiscountRate,
    },
    /// Sets where it is shown.
    RecategoriseItem {
        /// An administrator.
        by: Principal,
        /// The new categories, in whole.
        categories: BTreeSet<Category>,
    },
    /// Takes it out of the shop window.
    WithdrawItem {
        /// An administrator.
        by: Principal,
        /// Why, for the operators.
        reason: Option<Text<200>>,
    },
    /// Puts it back.
    RelistItem {
        /// An administrator.
        by: Principal,
    },
}

impl ItemCommand {
    /// On whose authority it acts.
    pub const fn by(&self) -> Principal {
        match self {
            Self::ImportItem { .. } => Principal::System,
            Self::RegisterItem { by, .. }
            | Self::ChangeDetails { by, .. }
            | Self::RepriceItem { by, .. }
            | Self::ChangeDiscount { by, .. }
            | Self::PriceItem { by, .. }
            | Self::RecategoriseItem { by, .. }
            | Self::WithdrawItem { by, .. }
            | Self::RelistItem { by } => *by,
        }
    }
}
