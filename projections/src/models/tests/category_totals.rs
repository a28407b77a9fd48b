//! How many items a category has.

use std::collections::BTreeMap;

use contracts::events::ItemEvent;
use contracts::{Category, DiscountRate};

use super::given::registered;
use super::log::{A, B, Log};
use crate::cell::{Cell, Row};

fn totals(log: &Log) -> BTreeMap<String, (i64, i64)> {
    let rows = log.rows("category_totals", 0).unwrap();
    let total = |row: &Row| match row.as_slice() {
        [Cell::Text(name), Cell::BigInt(items), Cell::BigInt(discounted)] => {
            (name.clone(), (*items, *discounted))
        }
        other => panic!("{other:?}"),
    };
    rows.iter().map(total).collect()
}

#[test]
fn totals_follow_categories_discounts_and_withdrawals() {
    let none = DiscountRate::NONE;
    let only_bone = ItemEvent::Recategorised { categories: [Category::Bone].into() };
    let log = Log::default()
        .with(A, &registered(&[Category::Eye, Category::Bone], 100))
        .with(B, &registered(&[Category::Eye], 0))
        .with(A, &only_bone);
    let expected = [("ALL", (2, 1)), ("BONE", (1, 1)), ("EYE", (1, 0))];
    assert_eq!(totals(&log), expected.map(|(name, total)| (name.to_owned(), total)).into());

    let log = log
        .with(A, &ItemEvent::DiscountChanged { discount_rate: none })
        .with(B, &ItemEvent::Withdrawn { reason: None })
        .with(B, &ItemEvent::Relisted {});
    let expected = [("ALL", (2, 0)), ("BONE", (1, 0)), ("EYE", (1, 0))];
    assert_eq!(totals(&log), expected.map(|(name, total)| (name.to_owned(), total)).into());
}
