//! The books balance, and tell the same as the orders do.

use crate::history::History;
use crate::support::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn every_booking_sums_to_zero_and_the_whole_equals_the_orders() {
    let mut shop = Shop::open().await;
    let projector = shop.project();
    History::seeded(41).go_on(&mut shop, 300).await;
    shop.caught_up().await;
    projector.stop().await;

    let unbalanced = "select count(*) from (select booking from payment_ledger group by booking \
                      having sum(amount) <> 0 or count(*) <> 2) as it";
    assert_eq!(shop.number(unbalanced).await, 0);
    for (account, orders) in [
        ("sales", "-sum(paid)"),
        ("refunds", "sum(refunded)"),
        ("gateway_receivable", "sum(paid) - sum(refunded)"),
    ] {
        let sql =
            format!("select sum(amount)::bigint from payment_ledger where account = '{account}'");
        let told = format!("select ({orders})::bigint from order_history");
        let booked = shop.number(&sql).await;
        assert_ne!(booked, 0, "the history has none of {account}");
        assert_eq!(booked, shop.number(&told).await, "{account}");
    }
}
