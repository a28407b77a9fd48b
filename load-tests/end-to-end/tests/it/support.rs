//! What the tests of the whole shop say again and again: shoppers, the log, and waiting for charges.

use std::time::Duration;

use end_to_end::World;
use shop::demo::Failure;
use shop::demo::shopper::{Order, Shopper, look_around};
use shop::ready::Addresses;
use testkit::eventually;
use tokio_postgres::NoTls;

/// Longest a charge may take to show in the gateway's ledger after the shopper pressed the button.
const CHARGE_WAIT_MAX: Duration = Duration::from_secs(30);
/// Longest that something which only has to be tried again may take until it works.
const PATIENCE: Duration = Duration::from_mins(1);

/// A world whose shop is the one built with these tests.
pub(crate) async fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_shop-under-test")).await
}

/// A shopper with an account and an empty cart.
pub(crate) async fn shopper(at: &Addresses) -> Result<Shopper, Failure> {
    let (_, visitor) = look_around(at, 2).await?;
    Ok(visitor.sign_up().await?.1)
}

/// An order for whatever is put into the cart now.
pub(crate) async fn order(shopper: &Shopper, kind: &str) -> Result<Order, Failure> {
    let period_days = (kind == "subscription").then_some(30);
    let (_, cart) = shopper.fill_cart(kind, period_days).await?;
    Ok(shopper.place_order(kind, &cart).await?.1)
}

/// A shopper who stands before an open pay page.
pub(crate) async fn about_to_pay(at: &Addresses) -> (Shopper, Order, String) {
    let shopper = shopper(at).await.unwrap();
    let order = order(&shopper, "one-off").await.unwrap();
    let page = shopper.open_pay_page(&order).await.unwrap();
    (shopper, order, page)
}

/// Tries until it works, as a person would who is told to come back in a moment.
pub(crate) async fn patiently<T, F, Fut>(attempt: F) -> T
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, Failure>>,
{
    eventually(PATIENCE, || async { attempt().await.ok() }).await
}

/// A whole visit of somebody who tries again whatever fails; answers when the order is paid.
pub(crate) async fn visit(at: &Addresses, kind: &str) -> (Shopper, Order) {
    let shopper = patiently(|| shopper(at)).await;
    let order = patiently(|| order(&shopper, kind)).await;
    pay_patiently(&shopper, &order).await;
    (shopper, order)
}

/// Pays an order, trying again whatever fails.
pub(crate) async fn pay_patiently(shopper: &Shopper, order: &Order) {
    let page = patiently(|| shopper.open_pay_page(order)).await;
    patiently(|| shopper.approve_on(&page)).await;
    patiently(|| shopper.wait_for_status(order, "PAID")).await;
}

/// Waits until the gateway has moved the money of `order`.
pub(crate) async fn is_charged(world: &World, order: &Order) {
    eventually(CHARGE_WAIT_MAX, || async {
        (!world.charges_of(&order.id).is_empty()).then_some(())
    })
    .await;
}

/// The order becomes PAID, the cart empty, and the gateway charged it once.
pub(crate) async fn is_paid_once(world: &World, shopper: &Shopper, order: &Order) {
    shopper.wait_for_status(order, "PAID").await.unwrap();
    shopper.sees_empty_cart("one-off").await.unwrap();
    assert_eq!(world.charges_of(&order.id), [(order.total, 0)]);
}

/// The types of an order's events, in their order, as the database at `url` has them.
pub(crate) async fn history(url: &str, order: &Order) -> Vec<String> {
    let statement = "select e.event_type from events e
                     where e.aggregate_type = 'order' and e.aggregate_id = $1 order by e.sequence";
    let rows = database(url).await.query(statement, &[&order.id]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// How often an event stands in the whole log of the database at `url`.
pub(crate) async fn count(url: &str, event: &str) -> usize {
    let statement = "select 1 from events e where e.event_type = $1";
    database(url).await.query(statement, &[&event]).await.unwrap().len()
}

async fn database(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// How often `event` stands in an order's history.
pub(crate) fn times(history: &[String], event: &str) -> usize {
    history.iter().filter(|found| *found == event).count()
}

/// The value of a counter without labels among a worker's metrics; 0 before its first increment.
pub(crate) async fn counter(at: &Addresses, name: &str) -> u64 {
    let text = reqwest::get(format!("{}/metrics", at.ops["worker"])).await.unwrap();
    let text = text.text().await.unwrap();
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    values.next_back().map_or(0, |value| value.parse().unwrap())
}
