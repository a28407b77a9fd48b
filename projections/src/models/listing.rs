//! What an item's events make of it, as far as read models care.

use std::collections::BTreeSet;

use contracts::events::{ItemDetails, ItemEvent};
use contracts::{Category, DiscountRate, Won};
use serde::{Deserialize, Serialize};

use crate::projection::Refusal;

/// The part of an item's details that a read model keeps.
pub(crate) trait Excerpt: Sized {
    /// Cuts the part out.
    fn of(details: &ItemDetails) -> Self;
}

impl Excerpt for ItemDetails {
    fn of(details: &ItemDetails) -> Self {
        details.clone()
    }
}

/// Nothing of the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Nothing {}

impl Excerpt for Nothing {
    fn of(_details: &ItemDetails) -> Self {
        Self {}
    }
}

/// An item of the catalogue, with the part `D` of its details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listing<D> {
    pub(crate) details: D,
    pub(crate) origin_price: Won,
    pub(crate) discount_rate: DiscountRate,
    pub(crate) categories: BTreeSet<Category>,
    /// Whether it can be bought: not withdrawn.
    pub(crate) on_sale: bool,
    /// The position of its registration.
    pub(crate) listed_position: i64,
}

impl<D: Excerpt> Listing<D> {
    /// The item after `event`, recorded at `position`.
    ///
    /// # Errors
    /// It was registered before, or never.
    pub(crate) fn after(
        before: Option<Self>,
        event: &ItemEvent,
        position: i64,
    ) -> Result<Self, Refusal> {
        let Some(mut listing) = before else {
            return Self::registered(event, position);
        };
        match event {
            ItemEvent::Registered { .. } => {
                return Err(Refusal::new("the item was registered before"));
            }
            ItemEvent::DetailsChanged { details } => listing.details = D::of(details),
            ItemEvent::Repriced { origin_price } => listing.origin_price = *origin_price,
            ItemEvent::DiscountChanged { discount_rate } => listing.discount_rate = *discount_rate,
            ItemEvent::Recategorised { categories } => listing.categories.clone_from(categories),
            ItemEvent::Withdrawn { .. } => listing.on_sale = false,
            ItemEvent::Relisted {} => listing.on_sale = true,
        }
        Ok(listing)
    }

    fn registered(event: &ItemEvent, position: i64) -> Result<Self, Refusal> {
        let ItemEvent::Registered { details, origin_price, discount_rate, categories, .. } = event
        else {
            return Err(Refusal::new("the item was never registered"));
        };
        Ok(Self {
            details: D::of(details),
            origin_price: *origin_price,
            discount_rate: *discount_rate,
            categories: categories.clone(),
            on_sale: true,
            listed_position: position,
        })
    }

    /// What is paid for one piece.
    pub(crate) fn price(&self) -> Won {
        self.discount_rate.price_of(self.origin_price)
    }

    /// The discount in tenths of a percent, as columns keep it.
    pub(crate) fn discount_tenths(&self) -> i64 {
        i64::from(self.discount_rate.tenths())
    }

    /// The stored names of its categories.
    pub(crate) fn category_names(&self) -> Vec<&'static str> {
        self.categories.iter().map(|category| category.as_str()).collect()
    }
}
