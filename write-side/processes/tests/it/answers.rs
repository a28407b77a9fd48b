//! What KakaoPay's answers are believed to state, as far as orders feel it.

use std::time::Duration;

use contracts::events::OrderKind;
use domain::order::{OrderStatus, RefundStage};
use kakaopay_sim::{Fault, FaultRule, FaultScript, Operation, When};
use serde_json::{Value, json};
use testkit::eventually;

use crate::world::{PATIENCE, World};

fn altered(patch: Value) -> Fault {
    Fault::AlterAnswer { patch }
}

/// F3: the merchant pages gave everything back while the approval was in doubt. Without
/// `canceled_amount` the look-up was read as "nothing refunded" and the order became paid.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_was_cancelled_elsewhere_is_not_believed_paid() {
    let sums_left = json!({ "total": 0, "tax_free": 0, "vat": 0 });
    for (left, status) in [(sums_left, "CANCEL_PAYMENT"), (Value::Null, "CANCEL_PAYMENT")] {
        let mut world = World::new().await;
        // An answer that cannot be read is asked for again for a day.
        world.config.retries.unknown_for_max = Duration::from_millis(300);
        let worker = world.worker();
        let order = world.place(OrderKind::OneOff, false).await;
        world.page_of(order).await;
        let cancelled = json!({
            "status": status,
            "canceled_amount": null,
            "cancel_available_amount": left,
            "payment_action_details": null,
        });
        world.sim.set_faults(FaultScript {
            seed: 0,
            rules: vec![
                FaultRule::new(Operation::Approve, When::Always, Fault::CommitThenDrop),
                FaultRule::new(Operation::Order, When::Always, altered(cancelled)),
            ],
        });
        world.pay(order).await;
        let placed = world.becomes(order, OrderStatus::Unresolved).await;
        assert!(placed.attempts[0].stage.approval().is_none());
        worker.stop().await.unwrap();
    }
}

/// F3: a refund in doubt whose look-up states the sum in any one of its three places is settled,
/// and the refund is sent once.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_in_doubt_is_found_in_whichever_sum_is_stated() {
    let omissions = [
        json!({ "canceled_amount": null }),
        json!({ "canceled_amount": null, "cancel_available_amount": null }),
        json!({ "canceled_amount": null, "payment_action_details": null }),
    ];
    for omitted in omissions {
        let world = World::new().await;
        let worker = world.worker();
        let order = world.place(OrderKind::OneOff, false).await;
        world.pay(order).await;
        world.is_paid_once(order).await;
        world.sim.set_faults(FaultScript {
            seed: 0,
            rules: vec![
                FaultRule::new(Operation::Cancel, When::Call(1), Fault::CommitThenDrop),
                FaultRule::new(Operation::Order, When::Always, altered(omitted)),
            ],
        });
        world.refund(order, 5_000).await;
        world.becomes(order, OrderStatus::PartlyRefunded).await;
        world.is_idle().await;
        assert_eq!(world.sim.ledger().calls(Operation::Cancel).arrived, 1);
        worker.stop().await.unwrap();
    }
}

/// F13: one refusal of our access is no refusal of the refund.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_ends_no_refund() {
    for code in [-401, -798, -731] {
        let world = World::new().await;
        let worker = world.worker();
        let order = world.place(OrderKind::OneOff, false).await;
        world.pay(order).await;
        world.is_paid_once(order).await;
        let refused = Fault::Decline {
            code,
            message: None,
            method_result_code: None,
            method_result_message: None,
            status: 401,
        };
        world.sim.set_faults(FaultScript::of(Operation::Cancel, When::First(1), refused));
        let refund = world.refund(order, 5_000).await;
        let stage = eventually(PATIENCE, || async {
            let order = world.order(order).await;
            let refund = order.refunds.iter().find(|it| it.id == refund)?;
            (refund.stage != RefundStage::Pending).then(|| refund.stage.clone())
        })
        .await;
        assert_eq!(stage, RefundStage::Succeeded, "after {code}");
        worker.stop().await.unwrap();
    }
}
