//! What the worker's log lines can be found by.

use contracts::events::OrderKind;
use processes::relay::RowClass;
use testkit::LogLines;

use crate::world::World;

/// The id that a shopper was given leads to what the worker did for it.
#[tokio::test]
async fn a_rows_lines_carry_the_row_the_order_and_the_request() {
    let world = World::new().await;
    let order = world.place(OrderKind::OneOff, false).await;
    let rows = world.rows("worker-log");
    let mut claimed = rows.claim(RowClass::Shopper, 1).await.unwrap();
    let row = claimed.remove(0);
    let (id, request_id) = (row.id.to_string(), row.correlation_id.clone());
    let carrier = world.carrier(rows, world.gateway());

    let (lines, _guard) = LogLines::capture();
    carrier.carry(row).await;

    let settled = lines.of("row settled");
    let [line] = settled.as_slice() else { panic!("{}", lines.text()) };
    let span = &line["spans"][0];
    assert_eq!(span["request_id"], request_id);
    assert_eq!(span["outbox.id"], id);
    assert_eq!(span["order.id"], order.to_string());
}
