//! What a fold asks for that starts without documents.

use std::collections::HashSet;

use contracts::Category;

use super::given::{approved, placed, placed_with, registered, requested};
use super::log::{A, B, Log};
use crate::cell::Cell;
use crate::models::model;
use crate::working::Pass;

/// How often documents are loaded until a paid order of so many items is folded, by a projection
/// that has none of them in memory.
fn loads(name: &str, lines: u16) -> usize {
    let log = Log::default().with(A, &placed_with(lines)).with(A, &approved(1, 1_000));
    let mut working = model(name).unwrap().working(false);
    let events = log.incoming(name);
    for loads in 0.. {
        match working.fold(&events, &HashSet::new()) {
            Pass::Folded(aside) => {
                assert!(aside.is_empty(), "{name}, {lines} lines: {aside:?}");
                return loads;
            }
            Pass::Missing(missing) => {
                for (table, keys) in missing {
                    working.supply(table, keys, Vec::new()).unwrap();
                }
            }
        }
        assert!(loads < 200, "{name}, {lines} lines: asks for ever more documents");
    }
    unreachable!("the loop ends by itself");
}

/// When the loop over an order's items ended at the first one that was missing, an order of `n`
/// items took `n + 1` loads, and one of seven stopped the shop window for ever.
#[test]
fn an_order_of_any_size_needs_no_more_loads_than_one_of_one_item() {
    for name in crate::names() {
        for lines in 1..=100 {
            assert!(loads(name, lines) <= 2, "{name}, {lines} lines: {}", loads(name, lines));
        }
    }
}

#[test]
fn what_a_fold_lacks_is_asked_for_table_by_table() {
    let log = Log::default()
        .with(A, &placed())
        .with(A, &requested(1))
        .with(A, &approved(1, 1_000))
        .with(B, &registered(&[Category::Eye], 0));
    let events = log.incoming("item_by_category");
    let mut working = model("item_by_category").unwrap().working(false);
    let none = HashSet::new();
    let mut asked = Vec::new();
    while let Pass::Missing(missing) = working.fold(&events, &none) {
        for (table, keys) in missing {
            asked.push((table, keys.clone()));
            working.supply(table, keys, Vec::new()).unwrap();
        }
    }
    // The item and the order at once, although the order's events come first.
    assert_eq!(asked, [(2, vec![Cell::Uuid(B)]), (3, vec![Cell::Uuid(A)])]);
    let changes = working.changes().unwrap();
    assert_eq!(changes[0].upserts.len(), 2);
    assert_eq!(changes[0].upserts[0][5], Cell::BigInt(2), "two pieces sold");
}
