//! The folds alone, without a database: given events, then rows.

mod cart_view;
mod category_totals;
mod given;
mod loading;
mod log;
mod order_history;
mod payment_ledger;
mod shapes;

use contracts::Category;
use contracts::events::ItemEvent;

use self::given::{approved, registered};
use self::log::{A, Log};

#[test]
fn history_that_makes_no_sense_is_refused_and_not_guessed() {
    let unknown = Log::default().with(A, &ItemEvent::Relisted {});
    for name in ["item_detail", "item_by_category", "category_totals"] {
        assert_eq!(unknown.rows(name, 0).unwrap_err(), "the item was never registered", "{name}");
    }
    let twice =
        Log::default().with(A, &registered(&[Category::Eye], 0)).with(A, &registered(&[], 0));
    assert_eq!(twice.rows("item_detail", 0).unwrap_err(), "the item was registered before");
    let unpaid = Log::default().with(A, &approved(1, 1_000));
    assert_eq!(unpaid.rows("order_history", 0).unwrap_err(), "the order was never placed");
}
