//! What KakaoPay does not document is a setting of the simulator: paying, refunding and looking up
//! keep their promises with each of them on either side.
//!
//! One test an assumption, all of them the same course: two orders, one whose calls are carried out
//! and lose their answers, one whose calls are lost themselves. Each is paid once, each gives back
//! two equal parts once each and then the rest, and the comparison with KakaoPay finds them equal.

use std::time::Duration;

use contracts::OrderId;
use contracts::events::OrderKind;
use domain::order::{OrderStatus, RefundStage};
use kakaopay_sim::{
    Fault, FaultRule, FaultScript, Hold, HoldPoint, Operation, PendingWord, SimSettings,
    UnknownStatus, When,
};
use testkit::eventually;

use crate::reconciling::{compared, indexed};
use crate::world::{PATIENCE, World};

/// How long look-ups lag behind, or show a word of their own: long enough that the first look-ups
/// after a call, which follow within milliseconds, are in it.
const A_WHILE_MS: u64 = 200;
/// How long callers wait for the answer to a call that is late on the wire.
const CALL_TIMEOUT: Duration = Duration::from_millis(300);

/// Parts of 27,000 won that the default formula taxes with 2,456 won, one more than the whole.
const PARTS: [i64; 4] = [5_000, 5_000, 4_000, 13_000];

fn friendly() -> SimSettings {
    SimSettings::default()
}

fn without(field: &str) -> SimSettings {
    SimSettings { omit: vec![field.to_owned()], ..friendly() }
}

fn pending_shown_as(word: PendingWord) -> SimSettings {
    SimSettings { pending_word: Some(word), ..friendly() }
}

/// Runs the course with these settings.
async fn money_moves_once(settings: SimSettings) {
    let lost = [Fault::CommitThenDrop, Fault::DropBeforeCommit];
    run(World::new().await, settings, &lost.map(|fault| first_calls(1, &fault))).await;
}

/// An order whose approval and first cancellation arrive after their callers have given up.
async fn money_moves_once_although_calls_are_late(settings: SimSettings) {
    let mut world = World::new().await;
    world.config.gateway.connect_timeout = CALL_TIMEOUT / 2;
    world.config.gateway.call_timeout = CALL_TIMEOUT;
    // Longer than the call is late, as in production.
    world.config.retries.refund_repeat_after = Duration::from_secs(5);
    let worker = world.worker();
    world.sim.set_settings(settings);
    let order = world.place(OrderKind::OneOff, false).await;
    world.page_of(order).await;
    let late = world.sim.hold_next(Operation::Approve, 1, HoldPoint::Arrival);
    world.pay(order).await;
    arrives_late(&world, Operation::Approve, late).await;
    world.is_paid_once(order).await;

    let late = world.sim.hold_next(Operation::Cancel, 1, HoldPoint::Arrival);
    world.refund(order, PARTS[0]).await;
    arrives_late(&world, Operation::Cancel, late).await;
    for amount in &PARTS[1..] {
        world.refund(order, *amount).await;
    }
    gives_back_once_each(&world, order).await;
    worker.stop().await.unwrap();
}

/// Keeps a call on the wire until its caller has looked up once without finding anything, or has
/// called again.
async fn arrives_late(world: &World, operation: Operation, late: Hold) {
    late.reached().await;
    let (looked_up, again) = (world.sim.calls(Operation::Order), world.sim.calls(operation));
    eventually(PATIENCE, || async {
        let look_ups = world.sim.calls(Operation::Order).committed - looked_up.committed;
        let calls = world.sim.calls(operation).committed - again.committed;
        (0 < look_ups || 0 < calls).then_some(())
    })
    .await;
    let arrived = world.sim.calls(operation).arrived;
    late.release();
    world.sim.calls_reach(operation, arrived + 1).await;
}

/// The first calls of an order that move its money meet this fault.
fn first_calls(many: u64, fault: &Fault) -> Vec<FaultRule> {
    let rule = |operation| FaultRule::new(operation, When::First(many), fault.clone());
    vec![rule(Operation::Approve), rule(Operation::Cancel)]
}

/// One order for each script.
async fn run(mut world: World, settings: SimSettings, scripts: &[Vec<FaultRule>]) {
    // Longer than look-ups lag, as in production.
    world.config.retries.refund_repeat_after = Duration::from_secs(1);
    let worker = world.worker();
    world.sim.set_settings(settings.clone());
    for rules in scripts {
        let order = world.place(OrderKind::OneOff, false).await;
        world.page_of(order).await;
        world.sim.set_faults(FaultScript { seed: 0, rules: rules.clone() });
        world.pay(order).await;
        world.is_paid_once(order).await;
        for amount in PARTS {
            world.refund(order, amount).await;
        }
        gives_back_once_each(&world, order).await;
    }

    // The comparison comes at night, when nothing lags any more.
    world.sim.set_settings(SimSettings { stale_look_up_ms: 0, unknown_status: None, ..settings });
    let orders = scripts.len();
    indexed(&world, "approved", i64::try_from(orders).unwrap()).await;
    let (summary, seen) = compared(&world).await;
    let same = usize::try_from(summary.same).unwrap();
    assert_eq!((same, summary.is_clean()), (orders, true), "{seen:?}");
    worker.stop().await.unwrap();
}

/// Every refund of the order succeeds, and KakaoPay gave each back once.
async fn gives_back_once_each(world: &World, order: OrderId) {
    eventually(PATIENCE, || async {
        let given_back = given_back(world, order);
        let refunds = world.order(order).await.refunds;
        let is_done = |stage: &RefundStage| *stage == RefundStage::Succeeded;
        let done = refunds.iter().filter(|refund| is_done(&refund.stage)).count();
        // Refunds of an order are carried out one after the other.
        assert!(given_back.len() <= done + 1, "{given_back:?} went back for {done} refunds");
        (done == PARTS.len()).then_some(())
    })
    .await;
    world.becomes(order, OrderStatus::Refunded).await;
    assert_eq!(given_back(world, order), PARTS);
}

/// What KakaoPay gave back of the order's one charge.
fn given_back(world: &World, order: OrderId) -> Vec<i64> {
    let charges = world.charges(order);
    assert_eq!(charges.len(), 1, "{charges:?}");
    charges[0].cancels.iter().map(|cancel| cancel.amount).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_assumption_on_its_friendly_side() {
    money_moves_once(friendly()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_the_guard_is_ignored() {
    money_moves_once(SimSettings { guard_enforced: false, ..friendly() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_more_tax_than_is_left_is_refused() {
    money_moves_once(SimSettings { remaining_vat_enforced: true, ..friendly() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_look_ups_lag_behind() {
    money_moves_once(SimSettings { stale_look_up_ms: A_WHILE_MS, ..friendly() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_look_ups_lag_behind_and_the_guard_is_ignored() {
    let stale = SimSettings { stale_look_up_ms: 2 * A_WHILE_MS, ..friendly() };
    money_moves_once(SimSettings { guard_enforced: false, ..stale }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_a_status_is_unknown_for_a_while() {
    let word = "SETTLING".to_owned();
    let unknown_status = Some(UnknownStatus { word, for_ms: A_WHILE_MS });
    money_moves_once(SimSettings { unknown_status, ..friendly() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_the_sum_given_back_is_missing() {
    money_moves_once(without("canceled_amount")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_the_sum_given_back_is_missing_and_the_guard_is_ignored() {
    money_moves_once(SimSettings { guard_enforced: false, ..without("canceled_amount") }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_only_the_history_shows_the_sum_given_back() {
    let omit = ["canceled_amount", "cancel_available_amount"].map(str::to_owned).to_vec();
    money_moves_once(SimSettings { omit, ..friendly() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_the_sum_left_is_missing() {
    money_moves_once(without("cancel_available_amount")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_the_history_is_missing() {
    money_moves_once(without("payment_action_details")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_the_time_of_opening_is_missing() {
    money_moves_once(without("created_at")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_the_time_of_approval_is_missing() {
    money_moves_once(without("approved_at")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_the_time_of_cancelling_is_missing() {
    money_moves_once(without("canceled_at")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_the_method_is_missing() {
    money_moves_once(without("payment_method_type")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_the_tax_is_missing() {
    money_moves_once(without("amount.vat")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_a_pending_payment_is_shown_as_opened() {
    money_moves_once(pending_shown_as(PendingWord::Ready)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_a_pending_payment_is_shown_as_a_message() {
    money_moves_once(pending_shown_as(PendingWord::SendTms)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_a_pending_payment_is_shown_as_choosing() {
    money_moves_once(pending_shown_as(PendingWord::SelectMethod)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_a_pending_payment_is_shown_as_telephoning() {
    money_moves_once(pending_shown_as(PendingWord::ArsWaiting)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_calls_are_late_on_the_wire() {
    money_moves_once_although_calls_are_late(friendly()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_calls_are_late_on_the_wire_and_the_guard_is_ignored() {
    let settings = SimSettings { guard_enforced: false, ..friendly() };
    money_moves_once_although_calls_are_late(settings).await;
}

/// `6666` is the code of the documentation's own sample, and in no table of classes.
#[tokio::test(flavor = "multi_thread")]
async fn although_a_refund_is_refused_twice_with_a_code_that_has_no_class() {
    let refused = Fault::Decline {
        code: -781,
        message: None,
        method_result_code: Some("6666".to_owned()),
        method_result_message: None,
        status: 400,
    };
    let rule = FaultRule::new(Operation::Cancel, When::First(2), refused);
    run(World::new().await, friendly(), &[vec![rule]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn although_maintenance_comes_in_between() {
    let when = When::For { ms: A_WHILE_MS };
    let rule =
        FaultRule { operation: None, ..FaultRule::new(Operation::Order, when, Fault::Maintenance) };
    run(World::new().await, friendly(), &[vec![rule]]).await;
}
