//! The caller's carts: each line as it was when it was added, beside what it costs today.

use std::collections::HashMap;

use contracts::{CartKey, CartKind, UserId};
use deadpool_postgres::Client;
use serde::Deserialize;
use uuid::Uuid;

use super::Own;
use super::rows::document;
use crate::api::models::{CartLine, CartTotals, CartView};
use crate::prepared;
use crate::read_error::ReadError;

/// A line as the projection stores it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredLine {
    item_id: Uuid,
    item_name: String,
    quantity: i64,
    #[serde(default)]
    period_days: Option<u16>,
    unit_price: i64,
}

/// What an item costs today.
#[derive(Debug)]
struct Offer {
    origin_price: i64,
    price: i64,
    on_sale: bool,
    thumbnail_url: Option<String>,
}

impl Own {
    /// One of the user's carts with its version; empty and version 0 when it was never touched.
    pub(crate) async fn cart(
        &self,
        user_id: UserId,
        kind: CartKind,
    ) -> Result<(CartView, i64), ReadError> {
        let client = self.pool.get().await?;
        let (text, owner) = (include_str!("cart.sql"), user_id.uuid());
        let row = prepared::query_opt(&client, text, &[&owner, &kind.as_str()]).await?;
        let (stored, version) = match row {
            Some(row) => (document(&row, "lines")?, row.try_get("version")?),
            None => (Vec::new(), 0),
        };
        let offers = offers(&client, &stored).await?;
        let lines: Vec<CartLine> =
            stored.into_iter().map(|line| beside_today(line, &offers)).collect();
        let cart = CartView {
            cart_id: CartKey { user_id, kind }.id().uuid(),
            kind: kind.into(),
            totals: totals(&lines),
            lines,
        };
        Ok((cart, version))
    }
}

async fn offers(client: &Client, lines: &[StoredLine]) -> Result<HashMap<Uuid, Offer>, ReadError> {
    if lines.is_empty() {
        return Ok(HashMap::new());
    }
    let items: Vec<Uuid> = lines.iter().map(|line| line.item_id).collect();
    let rows = prepared::query(client, include_str!("offers.sql"), &[&items]).await?;
    rows.iter()
        .map(|row| {
            let offer = Offer {
                origin_price: row.try_get("origin_price")?,
                price: row.try_get("price")?,
                on_sale: row.try_get("on_sale")?,
                thumbnail_url: row.try_get("thumbnail_url")?,
            };
            Ok((row.try_get("item_id")?, offer))
        })
        .collect()
}

/// A line beside today's offer. An item that the catalogue's projection has not shown yet keeps its
/// snapshot: the cart may be ahead of it by a moment.
fn beside_today(line: StoredLine, offers: &HashMap<Uuid, Offer>) -> CartLine {
    let StoredLine { item_id, item_name, quantity, period_days, unit_price } = line;
    let offer = offers.get(&item_id);
    let current_price = offer.map_or(unit_price, |offer| offer.price);
    CartLine {
        item_id,
        item_name,
        thumbnail_url: offer.and_then(|offer| offer.thumbnail_url.clone()),
        quantity,
        period_days,
        snapshot_price: unit_price,
        origin_price: offer.map_or(unit_price, |offer| offer.origin_price),
        current_price,
        price_changed: current_price != unit_price,
        withdrawn: offer.is_some_and(|offer| !offer.on_sale),
        line_total: current_price.saturating_mul(quantity),
    }
}

/// Sums over the lines that can be ordered. An order's own totals are checked sums; these only show
/// what is in the cart, so that a sum past all money stays at the largest.
fn totals(lines: &[CartLine]) -> CartTotals {
    let mut totals = CartTotals::default();
    for line in lines.iter().filter(|line| !line.withdrawn) {
        let origin = line.origin_price.saturating_mul(line.quantity);
        totals.quantity = totals.quantity.saturating_add(line.quantity);
        totals.origin_total = totals.origin_total.saturating_add(origin);
        totals.payable_total = totals.payable_total.saturating_add(line.line_total);
    }
    totals.discount_total = totals.origin_total.saturating_sub(totals.payable_total);
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(id: u128, quantity: i64, unit_price: i64) -> StoredLine {
        let item_id = Uuid::from_u128(id);
        StoredLine { item_id, item_name: "홍삼".into(), quantity, period_days: None, unit_price }
    }

    fn offer(origin_price: i64, price: i64, on_sale: bool) -> Offer {
        Offer { origin_price, price, on_sale, thumbnail_url: None }
    }

    #[test]
    fn totals_subtract_the_discount_once_and_leave_withdrawn_lines_out() {
        let offers = HashMap::from([
            (Uuid::from_u128(1), offer(10_000, 8_000, true)),
            (Uuid::from_u128(2), offer(5_000, 5_000, false)),
        ]);
        let lines: Vec<CartLine> = [stored(1, 3, 9_000), stored(2, 1, 5_000)]
            .into_iter()
            .map(|line| beside_today(line, &offers))
            .collect();
        assert!(lines[0].price_changed && !lines[0].withdrawn);
        assert!(!lines[1].price_changed && lines[1].withdrawn);
        let totals = totals(&lines);
        assert_eq!(totals.quantity, 3);
        assert_eq!(totals.origin_total, 30_000);
        assert_eq!(totals.discount_total, 6_000);
        assert_eq!(totals.payable_total, 24_000);
    }

    #[test]
    fn an_item_the_catalogue_does_not_show_yet_keeps_its_snapshot() {
        let line = beside_today(stored(1, 2, 700), &HashMap::new());
        assert_eq!((line.current_price, line.line_total), (700, 1400));
        assert!(!line.price_changed && !line.withdrawn);
    }
}
