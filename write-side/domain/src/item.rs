//! An item of the catalogue: what is known about it, what it costs, where it is shown.
//!
//! Everything is changed by an administrator or by the import; a change to what already holds is no
//! event. A withdrawn item keeps being edited, it just can't be bought.

mod command;
mod refusal;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use contracts::events::{ItemDetails, ItemEvent};
use contracts::{Category, DiscountRate, ReportNo, Text, Won};
use serde::{Deserialize, Serialize};

pub use self::command::{ItemCommand, ItemTerms};
pub use self::refusal::ItemRefusal;
use crate::kernel::{EventSourced, Principal};
use crate::pricing::ITEM_PRICE_MAX;

/// One item, or the absence of one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Item {
    /// Nothing is known under this id.
    #[default]
    Unregistered,
    /// In the catalogue.
    Registered(Box<RegisteredItem>),
}

/// What the catalogue holds about an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredItem {
    /// Its public registration number.
    pub report_no: ReportNo,
    /// What the open data says about it.
    pub details: ItemDetails,
    /// Price of one piece before discount.
    pub origin_price: Won,
    /// Discount in tenths of a percent.
    pub discount_rate: DiscountRate,
    /// Where it is shown; never empty.
    pub categories: BTreeSet<Category>,
    /// Whether it can be bought.
    pub sale: Sale,
}

/// Whether an item can be bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sale {
    /// It can.
    OnSale,
    /// It left the shop window.
    Withdrawn,
}

/// What a cart and an order need to know of an item, as of now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemOffer {
    /// Its name.
    pub name: Text<300>,
    /// Price of one piece before discount.
    pub origin_price: Won,
    /// Discount in tenths of a percent.
    pub discount_rate: DiscountRate,
    /// Price of one piece after discount.
    pub unit_price: Won,
    /// Whether it can be bought.
    pub on_sale: bool,
}

impl Item {
    /// What it costs now; `None` when there is no such item.
    pub fn offer(&self) -> Option<ItemOffer> {
        let item = self.registered()?;
        Some(ItemOffer {
            name: item.details.product_name.clone(),
            origin_price: item.origin_price,
            discount_rate: item.discount_rate,
            unit_price: item.discount_rate.price_of(item.origin_price),
            on_sale: item.sale == Sale::OnSale,
        })
    }

    /// What is known about it; `None` when there is no such item.
    pub fn registered(&self) -> Option<&RegisteredItem> {
        match self {
            Self::Unregistered => None,
            Self::Registered(item) => Some(item),
        }
    }

    fn import(
        &self,
        report_no: ReportNo,
        details: ItemDetails,
        terms: ItemTerms,
        keep_price: bool,
    ) -> Result<Vec<ItemEvent>, ItemRefusal> {
        let ItemTerms { origin_price, discount_rate, categories } = terms;
        let Some(item) = self.registered() else {
            check_price(origin_price)?;
            check_categories(&categories)?;
            return Ok(vec![ItemEvent::Registered {
                report_no,
                details,
                origin_price,
                discount_rate,
                categories,
            }]);
        };
        if item.report_no != report_no {
            return Err(ItemRefusal::OtherReportNo);
        }
        let mut events = Vec::from_iter(item.change_details(details));
        if !keep_price {
            events.extend(item.reprice(origin_price)?);
            events.extend(item.change_discount(discount_rate));
        }
        events.extend(item.recategorise(categories)?);
        Ok(events)
    }
}

impl RegisteredItem {
    fn change_details(&self, details: ItemDetails) -> Option<ItemEvent> {
        (self.details != details).then_some(ItemEvent::DetailsChanged { details })
    }

    fn reprice(&self, origin_price: Won) -> Result<Option<ItemEvent>, ItemRefusal> {
        check_price(origin_price)?;
        Ok((self.origin_price != origin_price).then_some(ItemEvent::Repriced { origin_price }))
    }

    fn change_discount(&self, discount_rate: DiscountRate) -> Option<ItemEvent> {
        (self.discount_rate != discount_rate)
            .then_some(ItemEvent::DiscountChanged { discount_rate })
    }

    fn recategorise(
        &self,
        categories: BTreeSet<Category>,
    ) -> Result<Option<ItemEvent>, ItemRefusal> {
        check_categories(&categories)?;
        Ok((self.categories != categories).then_some(ItemEvent::Recategorised { categories }))
    }

    fn withdraw(&self, reason: Option<Text<200>>) -> Option<ItemEvent> {
        (self.sale == Sale::OnSale).then_some(ItemEvent::Withdrawn { reason })
    }

    fn relist(&self) -> Option<ItemEvent> {
        (self.sale == Sale::Withdrawn).then_some(ItemEvent::Relisted {})
    }
}

/// Only the shop edits its catalogue; to a shopper there is nothing here to edit.
fn check_may_edit(by: Principal) -> Result<(), ItemRefusal> {
    match by {
        Principal::Admin(_) | Principal::System => Ok(()),
        Principal::User(_) => Err(ItemRefusal::NotFound),
    }
}

fn check_price(origin_price: Won) -> Result<(), ItemRefusal> {
    if (1..=ITEM_PRICE_MAX).contains(&origin_price.amount()) {
        return Ok(());
    }
    Err(ItemRefusal::PriceOutOfRange)
}

fn check_categories(categories: &BTreeSet<Category>) -> Result<(), ItemRefusal> {
    if categories.is_empty() {
        return Err(ItemRefusal::NoCategory);
    }
    if categories.contains(&Category::Etc) && 1 < categories.len() {
        return Err(ItemRefusal::EtcNotAlone);
    }
    Ok(())
}

impl EventSourced for Item {
    type Body = ItemEvent;
    type Order = ItemCommand;
    type Refused = ItemRefusal;

    fn decide(&self, command: ItemCommand) -> Result<Vec<ItemEvent>, ItemRefusal> {
        if let ItemCommand::ImportItem { report_no, details, terms, keep_price } = command {
            return self.import(report_no, *details, terms, keep_price);
        }
        if let ItemCommand::RegisterItem { by, report_no, details, terms } = command {
            check_may_edit(by)?;
            return match self {
                Self::Unregistered => self.import(report_no, *details, terms, false),
                Self::Registered(_) => Err(ItemRefusal::AlreadyRegistered),
            };
        }
        let item = self.registered().ok_or(ItemRefusal::NotFound)?;
        check_may_edit(command.by())?;
        if let ItemCommand::PriceItem { origin_price, discount_rate, .. } = command {
            let events = [item.reprice(origin_price)?, item.change_discount(discount_rate)];
            return Ok(events.into_iter().flatten().collect());
        }
        let event = match command {
            ItemCommand::RegisterItem { .. }
            | ItemCommand::ImportItem { .. }
            | ItemCommand::PriceItem { .. } => None,
            ItemCommand::ChangeDetails { details, .. } => item.change_details(*details),
            ItemCommand::RepriceItem { origin_price, .. } => item.reprice(origin_price)?,
            ItemCommand::ChangeDiscount { discount_rate, .. } => {
                item.change_discount(discount_rate)
            }
            ItemCommand::RecategoriseItem { categories, .. } => item.recategorise(categories)?,
            ItemCommand::WithdrawItem { reason, .. } => item.withdraw(reason),
            ItemCommand::RelistItem { .. } => item.relist(),
        };
        Ok(event.into_iter().collect())
    }

    fn evolve(&mut self, event: &ItemEvent) {
        if let ItemEvent::Registered {
            report_no,
            details,
            origin_price,
            discount_rate,
            categories,
        } = event
        {
            *self = Self::Registered(Box::new(RegisteredItem {
                report_no: report_no.clone(),
                details: details.clone(),
                origin_price: *origin_price,
                discount_rate: *discount_rate,
                categories: categories.clone(),
                sale: Sale::OnSale,
            }));
            return;
        }
        // A change of an item that was never registered is history all the same: nothing to fold.
        let Self::Registered(item) = self else { return };
        match event {
            ItemEvent::Registered { .. } => {}
            ItemEvent::DetailsChanged { details } => item.details.clone_from(details),
            ItemEvent::Repriced { origin_price } => item.origin_price = *origin_price,
            ItemEvent::DiscountChanged { discount_rate } => item.discount_rate = *discount_rate,
            ItemEvent::Recategorised { categories } => item.categories.clone_from(categories),
            ItemEvent::Withdrawn { .. } => item.sale = Sale::Withdrawn,
            ItemEvent::Relisted {} => item.sale = Sale::OnSale,
        }
    }
}

crate::aggregate!(Item, ItemEvent, ItemCommand, ItemRefusal);
