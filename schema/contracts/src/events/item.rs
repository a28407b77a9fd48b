//! What happens to an item of the catalogue.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::event_body;
use crate::{Category, DiscountRate, ReportNo, Text, Won};

/// What the food-safety ministry's open data says about a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemDetails {
    /// The product's name.
    pub product_name: Text<300>,
    /// Who reported it, usually the plant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enterprise: Option<Text<300>>,
    /// When it was registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_on: Option<NaiveDate>,
    /// How long it keeps, in the reporter's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration: Option<Text<4000>>,
    /// What it looks like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appearance: Option<Text<4000>>,
    /// How it is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving_use: Option<Text<4000>>,
    /// How it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Text<4000>>,
    /// Who should be careful.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intake_hint: Option<Text<4000>>,
    /// What it is good for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main_function: Option<Text<4000>>,
    /// What it was measured against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_standard: Option<Text<4000>>,
    /// Picture in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail_url: Option<Text<500>>,
    /// Picture on the product page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description_image_url: Option<Text<500>>,
}

/// Facts about one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ItemEvent {
    /// The item entered the catalogue, on sale.
    #[serde(rename = "ItemRegistered")]
    Registered {
        /// Its public registration number; the item's id derives from it.
        report_no: ReportNo,
        /// What is known about it.
        details: ItemDetails,
        /// Price before discount.
        origin_price: Won,
        /// Discount in tenths of a percent.
        discount_rate: DiscountRate,
        /// Where it is shown; never empty.
        categories: BTreeSet<Category>,
    },
    /// What is known about it changed; the new text in whole.
    #[serde(rename = "ItemDetailsChanged")]
    DetailsChanged {
        /// What is known from here on.
        details: ItemDetails,
    },
    /// The price before discount changed.
    #[serde(rename = "ItemRepriced")]
    Repriced {
        /// The new price before discount.
        origin_price: Won,
    },
    /// The discount changed.
    #[serde(rename = "ItemDiscountChanged")]
    DiscountChanged {
        /// The new discount in tenths of a percent.
        discount_rate: DiscountRate,
    },
    /// The categories changed; the new set in whole.
    #[serde(rename = "ItemRecategorised")]
    Recategorised {
        /// Where it is shown from here on; never empty.
        categories: BTreeSet<Category>,
    },
    /// The item left the shop window and can no longer be bought.
    #[serde(rename = "ItemWithdrawn")]
    Withdrawn {
        /// Why, for the operators.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Text<200>>,
    },
    /// The item is on sale again.
    #[serde(rename = "ItemRelisted")]
    Relisted {},
}

event_body!(ItemEvent, "item", {
    Registered => "ItemRegistered" v 1,
    DetailsChanged => "ItemDetailsChanged" v 1,
    Repriced => "ItemRepriced" v 1,
    DiscountChanged => "ItemDiscountChanged" v 1,
    Recategorised => "ItemRecategorised" v 1,
    Withdrawn => "ItemWithdrawn" v 1,
    Relisted => "ItemRelisted" v 1,
});
