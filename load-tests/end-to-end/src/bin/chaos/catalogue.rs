//! What is on sale in a run, and what it costs by the run's own arithmetic.

use std::collections::BTreeSet;

use contracts::events::ItemDetails;
use contracts::{Actor, Category, DiscountRate, ItemId, Metadata, ReportNo, Text, Won};
use domain::item::{Item, ItemCommand, ItemTerms};
use event_store::{CommandContext, Executor, ExecutorOptions, PgEventStore, StoreSizes};
use service_kit::config::Secret;

use crate::Failure;
use crate::schedule::ITEMS;

/// An item on sale.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnSale {
    /// Its id.
    pub(crate) id: ItemId,
    /// The price of one piece after discount, in won.
    pub(crate) price: i64,
}

/// The price before discount, in won, and the discount in tenths of a percent.
const fn offer(number: u16) -> (i64, u16) {
    (9_900 + 1_370 * number as i64, number % 4 * 50)
}

/// The discount is rounded half up and subtracted once.
const fn price((origin, rate): (i64, u16)) -> i64 {
    origin - (origin * rate as i64 + 500) / 1_000
}

/// Puts everything on sale.
pub(crate) async fn register_items(database_url: &str) -> Result<Vec<OnSale>, Failure> {
    let store = PgEventStore::open(&Secret::new(database_url), StoreSizes::default())?;
    let executor = Executor::<Item>::new(store, ExecutorOptions::default());
    let mut items = Vec::new();
    for number in 0..u16::try_from(ITEMS)? {
        let report_no = ReportNo::try_from(format!("2026{number:08}"))?;
        let id = ItemId::of(&report_no);
        let command = ItemCommand::ImportItem {
            report_no,
            details: Box::new(details(number)?),
            terms: terms(number)?,
            keep_price: false,
        };
        let metadata = Metadata {
            actor: Actor::System("import".to_owned()),
            correlation_id: "chaos".to_owned(),
            causation_id: None,
            idempotency_key: None,
        };
        executor.dispatch(id.uuid(), command, CommandContext::new(metadata)).await?;
        items.push(OnSale { id, price: price(offer(number)) });
    }
    Ok(items)
}

fn details(number: u16) -> Result<ItemDetails, Failure> {
    Ok(ItemDetails {
        product_name: Text::parse(&format!("홍삼 {number}"))?,
        enterprise: Some(Text::parse("고려제약")?),
        registered_on: None,
        expiration: None,
        appearance: None,
        serving_use: None,
        storage: None,
        intake_hint: None,
        main_function: Some(Text::parse("면역력 증진, 피로 개선")?),
        base_standard: None,
        thumbnail_url: None,
        description_image_url: None,
    })
}

fn terms(number: u16) -> Result<ItemTerms, Failure> {
    let (origin, rate) = offer(number);
    let category = Category::ALL[usize::from(number) % Category::ALL.len()];
    Ok(ItemTerms {
        origin_price: Won::try_from(origin)?,
        discount_rate: DiscountRate::try_from(rate)?,
        categories: BTreeSet::from([category]),
    })
}
