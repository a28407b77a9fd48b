//! What is booked.

use contracts::events::GatewayStep;

use super::given::{approved, refund, unresolved};
use super::log::{A, Log};
use crate::cell::{Cell, Row};

/// The ledger as (account, amount), in the order of its bookings.
pub(super) fn entries(log: &Log) -> Vec<(String, i64)> {
    let rows = log.rows("payment_ledger", 0).unwrap();
    let entry = |row: &Row| match row.as_slice() {
        [_, Cell::Text(account), _, _, Cell::BigInt(amount), ..] => (account.clone(), *amount),
        other => panic!("{other:?}"),
    };
    rows.iter().map(entry).collect()
}

#[test]
fn only_money_that_moved_is_booked_and_each_booking_sums_to_zero() {
    let [part_asked, part_back] = refund(1, 400);
    let [rest_asked, _] = refund(2, 600);
    let asked = Log::default()
        .with(A, &approved(1, 1_000))
        .with(A, &part_asked)
        .with(A, &unresolved(GatewayStep::Cancel));
    let sold = [("gateway_receivable".to_owned(), 1_000), ("sales".to_owned(), -1_000)];
    assert_eq!(entries(&asked), sold);

    let back = asked.with(A, &part_back).with(A, &rest_asked);
    let given = [("gateway_receivable".to_owned(), -400), ("refunds".to_owned(), 400)];
    assert_eq!(entries(&back), [sold, given].concat());

    let twice = back.with(A, &approved(1, 1_000));
    let refusal = twice.rows("payment_ledger", 0).unwrap_err();
    assert_eq!(refusal, "attempt 1 was approved before");
}
