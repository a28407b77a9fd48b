//! What stands under `/__sim`: clock, faults, keys and the ledger.

use kakaopay_sim::{Ledger, Operation};
use serde_json::{Value, json};

use crate::merchant::{Merchant, ONE_TIME, RECURRING, ready, text};

#[tokio::test]
async fn the_clock_is_set_moved_and_released() {
    let merchant = Merchant::open().await;
    let now = json!("2026-12-31T15:00:00Z");
    let (status, answer) = merchant.put("/__sim/clock", &json!({ "now": now })).await;
    assert_eq!((status, &answer["now"]), (200, &now));
    let (_, answer) = merchant.put("/__sim/clock", &json!({ "advance_seconds": 60 })).await;
    assert_eq!(answer["now"], "2026-12-31T15:01:00Z");
    let (_, body) = merchant.call("ready", &ready(ONE_TIME)).await;
    assert_eq!(body["created_at"], "2027-01-01T00:01:00");
    let (_, released) = merchant.put("/__sim/clock", &json!({ "system": true })).await;
    assert_ne!(released["now"], "2026-12-31T15:01:00Z");
    assert_eq!(merchant.put("/__sim/clock", &json!({ "later": 1 })).await.0, 400);
}

#[tokio::test]
async fn a_script_is_put_read_and_deleted() {
    let merchant = Merchant::open().await;
    let script = json!([
        { "operation": "ready", "when": { "call": 2 }, "fault": { "kind": "maintenance" } }
    ]);
    let (status, _) = merchant.put("/__sim/faults", &script).await;
    assert_eq!(status, 200);
    assert_eq!(merchant.get("/__sim/faults").await.1["rules"][0]["fault"]["kind"], "maintenance");
    merchant.ready(ONE_TIME).await;
    let (status, body) = merchant.call("ready", &ready(ONE_TIME)).await;
    assert_eq!((status, &body["error_code"]), (503, &json!(-9_798)));

    merchant.put("/__sim/faults", &json!([{ "fault": { "kind": "fail" } }])).await;
    assert_eq!(merchant.call("ready", &ready(ONE_TIME)).await.0, 500);
    merchant.http.delete(merchant.url("/__sim/faults")).send().await.expect("deleted");
    merchant.ready(ONE_TIME).await;
    let counts = merchant.sim.ledger().calls(Operation::Ready);
    assert_eq!((counts.arrived, counts.committed, counts.faulted), (4, 2, 2));
}

#[tokio::test]
async fn a_script_that_makes_no_sense_is_refused_and_changes_nothing() {
    let merchant = Merchant::open().await;
    for script in [
        json!([{ "fault": { "kind": "explode" } }]),
        json!([{ "operation": "pay", "fault": { "kind": "fail" } }]),
        json!({ "seed": 1 }),
    ] {
        let (status, body) = merchant.put("/__sim/faults", &script).await;
        assert_eq!(status, 400, "{script}");
        assert!(body["error"].is_string());
    }
    merchant.ready(ONE_TIME).await;
}

/// Every kind by its name in a script, so that scripts written down elsewhere stay valid.
#[tokio::test]
async fn every_kind_of_fault_has_its_name() {
    let merchant = Merchant::open().await;
    let kinds: Vec<Value> = [
        json!({ "kind": "latency", "ms": 1 }),
        json!({ "kind": "latency_uniform", "min_ms": 1, "max_ms": 2 }),
        json!({ "kind": "fail" }),
        json!({ "kind": "fail", "status": 502 }),
        json!({ "kind": "decline", "code": -782, "method_result_code": "LACK_BALANCE" }),
        json!({ "kind": "user_locked" }),
        json!({ "kind": "commit_then_drop" }),
        json!({ "kind": "drop_before_commit" }),
        json!({ "kind": "commit_then_500" }),
        json!({ "kind": "delay_then_commit", "ms": 1 }),
        json!({ "kind": "commit_then_delay", "ms": 1 }),
        json!({ "kind": "arrive_late", "ms": 1 }),
        json!({ "kind": "hold_then_arrive" }),
        json!({ "kind": "hold_then_commit" }),
        json!({ "kind": "commit_then_hold" }),
        json!({ "kind": "truncated_json" }),
        json!({ "kind": "alter_answer", "patch": { "amount": { "total": 1 } } }),
        json!({ "kind": "string_numbers" }),
        json!({ "kind": "maintenance" }),
        json!({ "kind": "bad_gateway" }),
        json!({ "kind": "duplicate_redirect" }),
    ]
    .into_iter()
    .map(|fault| json!({ "operation": "approve", "when": { "probability": 0.5 }, "fault": fault }))
    .chain([
        json!({ "when": { "for": { "ms": 1 } }, "fault": { "kind": "fail" } }),
        json!({ "when": { "between": { "from_ms": 1, "to_ms": 2 } }, "fault": { "kind": "fail" } }),
    ])
    .collect();
    let (status, body) = merchant.put("/__sim/faults", &json!(kinds)).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn the_ledger_tells_every_charge_cancellation_key_and_call() {
    let merchant = Merchant::open().await;
    let single = merchant.paid(ONE_TIME).await;
    let first = merchant.paid(RECURRING).await;
    let sid = text(&first, "sid");
    let charge = json!({
        "cid": RECURRING, "sid": sid, "partner_order_id": "order-2", "partner_user_id": "user-1",
        "quantity": 1, "total_amount": 5_000, "tax_free_amount": 0,
    });
    assert_eq!(merchant.call("subscription", &charge).await.0, 200);
    let cancel = json!({
        "cid": ONE_TIME, "tid": single["tid"], "cancel_amount": 200, "cancel_tax_free_amount": 0,
    });
    assert_eq!(merchant.call("cancel", &cancel).await.0, 200);
    merchant.ready(ONE_TIME).await;

    let (_, body) = merchant.get("/__sim/ledger").await;
    let ledger: Ledger = serde_json::from_value(body).expect("a ledger");
    assert_eq!(ledger, merchant.sim.ledger());
    assert_eq!((ledger.totals.charges, ledger.totals.charged), (3, 9_400));
    assert_eq!((ledger.totals.cancels, ledger.totals.cancelled), (1, 200));
    let of_first = &ledger.charges[0];
    assert_eq!((of_first.tax_free, of_first.vat, of_first.cancelled_vat), (0, 200, 18));
    let cancel = &of_first.cancels[0];
    assert_eq!((cancel.amount, cancel.tax_free, cancel.vat), (200, 0, 18));
    let recurring: Vec<_> = ledger.of_order("order-2").collect();
    assert_eq!(recurring.len(), 1);
    assert_eq!(recurring[0].sid.as_ref(), Some(&sid));
    assert!(recurring[0].is_recurring && !ledger.charges[1].is_recurring);
    assert_eq!(ledger.sids.len(), 1);
    assert_eq!(ledger.sids[0].last_approved_at, Some(recurring[0].approved_at));
    assert_eq!(ledger.calls(Operation::Ready).committed, 3);
    assert_eq!(ledger.calls(Operation::Subscription).committed, 1);
}

#[tokio::test]
async fn a_shopper_cuts_a_key() {
    let merchant = Merchant::open().await;
    let sid = text(&merchant.paid(RECURRING).await, "sid");
    let cut = async |sid: &str| {
        let url = merchant.url(&format!("/__sim/sids/{sid}/cut"));
        merchant.http.post(url).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(cut(&sid).await, 204);
    assert_eq!(cut("S0").await, 404);
    let status = json!({ "cid": RECURRING, "sid": sid });
    let (_, body) = merchant.call("manage/subscription/status", &status).await;
    assert_eq!((&body["available"], &body["status"]), (&json!(false), &json!("INACTIVE")));
    assert!(body["inactivated_at"].is_string());
}

#[tokio::test]
async fn what_is_not_offered_is_not_found() {
    let merchant = Merchant::open().await;
    assert_eq!(merchant.get("/__sim/health").await.0, 200);
    assert_eq!(merchant.get("/online/v1/payment/order").await.0, 405);
    assert_eq!(merchant.call("refund", &json!({})).await.0, 404);
}
