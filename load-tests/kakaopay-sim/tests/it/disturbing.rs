//! Calls that are late, held, or meant to go wrong and refused before they could.

use std::time::Duration;

use kakaopay_sim::{
    CallCounts, Fault, FaultRule, FaultScript, HoldPoint, Operation, PayAction, RefusedCancel, When,
};
use serde_json::{Value, json};

use crate::merchant::{Merchant, ONE_TIME, RECURRING, approve, text, token};

/// A time-out that has passed before any answer of a call on hold.
const GIVES_UP_AFTER: Duration = Duration::from_millis(50);

fn cancel(tid: &str, amount: i64) -> Value {
    json!({ "cid": ONE_TIME, "tid": tid, "cancel_amount": amount, "cancel_tax_free_amount": 0 })
}

impl Merchant {
    async fn authenticated(&self) -> Value {
        let (tid, _) = self.ready(ONE_TIME).await;
        let url = self.sim.press(&tid, PayAction::Approve).expect("a page");
        approve(ONE_TIME, &tid, &token(url.as_str()))
    }

    /// Makes a call, and hangs up without waiting for its answer.
    async fn hang_up(&self, path: &str, body: &Value) {
        let url = self.url(&format!("/online/v1/payment/{path}"));
        let request = self.http.post(url).header("authorization", "SECRET_KEY DEV1234").json(body);
        let error = request.timeout(GIVES_UP_AFTER).send().await.expect_err("no answer");
        assert!(error.is_timeout(), "{error}");
    }

    async fn is_cut(&self, path: &str, body: &Value) -> bool {
        let url = self.url(&format!("/online/v1/payment/{path}"));
        let request = self.http.post(url).header("authorization", "SECRET_KEY DEV1234").json(body);
        request.send().await.is_err()
    }

    fn script(&self, operation: Operation, fault: Fault) {
        self.sim.set_faults(FaultScript::of(operation, When::Always, fault));
    }

    fn counts(&self, operation: Operation) -> CallCounts {
        self.sim.ledger().calls(operation)
    }
}

fn declined(code: i64, method_result_code: &str) -> Fault {
    Fault::Decline {
        code,
        message: None,
        method_result_code: Some(method_result_code.to_owned()),
        method_result_message: None,
        status: 400,
    }
}

/// The double refund that a look-up cannot prevent: the first request arrives after the second one
/// was carried out, whether or not its caller still waits.
#[tokio::test]
async fn a_call_that_is_late_on_the_wire_is_overtaken_and_still_carried_out() {
    let merchant = Merchant::open().await;
    let tid = text(&merchant.paid(ONE_TIME).await, "tid");
    let rule = FaultRule::new(Operation::Cancel, When::Call(1), Fault::HoldThenArrive);
    merchant.sim.set_faults(FaultScript { seed: 0, rules: vec![rule] });
    merchant.hang_up("cancel", &cancel(&tid, 700)).await;
    assert_eq!(merchant.counts(Operation::Cancel).arrived, 0);

    let (status, body) = merchant.call("cancel", &cancel(&tid, 700)).await;
    assert_eq!(status, 200, "not refused with -785: {body}");
    assert!(merchant.sim.release(0));
    merchant.sim.calls_reach(Operation::Cancel, 2).await;
    let order = format!("/__sim/orders/{tid}");
    while merchant.get(&order).await.1["canceled_amount"]["total"] != 1_400 {}
    assert_eq!(merchant.counts(Operation::Cancel).faulted, 1);
}

#[tokio::test]
async fn a_late_call_arrives_by_itself_and_may_lose_its_answer_too() {
    let merchant = Merchant::open().await;
    let request = merchant.authenticated().await;
    let rule = |fault| FaultRule::new(Operation::Approve, When::Call(1), fault);
    let rules = vec![rule(Fault::ArriveLate { ms: 5 }), rule(Fault::CommitThenDrop)];
    merchant.sim.set_faults(FaultScript { seed: 0, rules });
    assert!(merchant.is_cut("approve", &request).await);
    let counts = merchant.counts(Operation::Approve);
    assert_eq!((counts.arrived, counts.committed, counts.faulted), (1, 1, 1));
}

#[tokio::test]
async fn a_lost_answer_is_lost_although_it_is_a_refusal() {
    let merchant = Merchant::open().await;
    let request = merchant.authenticated().await;
    assert_eq!(merchant.call("approve", &request).await.0, 200);
    merchant.script(Operation::Approve, Fault::CommitThenDrop);
    assert!(merchant.is_cut("approve", &request).await, "a -702 that was to be dropped");
    merchant.script(Operation::Approve, Fault::CommitThen500);
    assert_eq!(merchant.call("approve", &request).await.0, 500);
    let counts = merchant.counts(Operation::Approve);
    assert_eq!((counts.arrived, counts.committed, counts.refused, counts.faulted), (3, 1, 2, 2));
}

/// A refusal is no proof that nothing moved: the second call finds the payment paid, and the first
/// part refunded.
#[tokio::test]
async fn a_call_is_carried_out_although_its_answer_is_a_refusal() {
    let merchant = Merchant::open().await;
    let request = merchant.authenticated().await;
    let tid = text(&request, "tid");
    let lies = |code| Fault::CommitThenDecline {
        code,
        method_result_code: Some("BANK_FIRM_UNKNOWN".to_owned()),
    };
    merchant.script(Operation::Approve, lies(-780));
    let (status, body) = merchant.call("approve", &request).await;
    assert_eq!((status, &body["error_code"]), (400, &json!(-780)));
    assert_eq!(body["extras"]["method_result_code"], "BANK_FIRM_UNKNOWN");
    assert_eq!(merchant.call("approve", &request).await.1["error_code"], -702);
    merchant.script(Operation::Cancel, lies(-781));
    assert_eq!(merchant.call("cancel", &cancel(&tid, 100)).await.1["error_code"], -781);

    let ledger = merchant.sim.ledger();
    assert_eq!((ledger.totals.charges, ledger.totals.cancelled), (1, 100));
    assert!(ledger.refused_cancels.is_empty(), "it was carried out");
    let counts = ledger.calls(Operation::Approve);
    assert_eq!((counts.committed, counts.refused, counts.faulted), (1, 1, 1));
}

/// The ledger counts faults that took effect, so that a chaos run knows what it survived.
#[tokio::test]
async fn a_planned_fault_that_does_not_take_effect_is_not_counted() {
    let merchant = Merchant::open().await;
    let request = merchant.authenticated().await;
    assert_eq!(merchant.call("approve", &request).await.0, 200);
    for fault in [
        declined(-780, "LACK_BALANCE"),
        Fault::UserLocked,
        Fault::TruncatedJson,
        Fault::StringNumbers,
        Fault::AlterAnswer { patch: json!({ "error_code": 0 }) },
        Fault::DuplicateRedirect,
    ] {
        merchant.script(Operation::Approve, fault);
        assert_eq!(merchant.call("approve", &request).await.1["error_code"], -702);
    }
    assert_eq!(merchant.counts(Operation::Approve).faulted, 0);

    let request = merchant.authenticated().await;
    merchant.script(Operation::Approve, declined(-780, "LACK_BALANCE"));
    assert_eq!(merchant.call("approve", &request).await.1["error_code"], -780);
    assert_eq!(merchant.counts(Operation::Approve).faulted, 1);
}

/// `9X9X` is in no documentation and no list of classes; `6666` of the documentation's sample is.
#[tokio::test]
async fn a_cancellation_is_refused_with_a_code_that_has_no_class() {
    let merchant = Merchant::open().await;
    let tid = text(&merchant.paid(ONE_TIME).await, "tid");
    merchant.script(Operation::Cancel, declined(-781, "9X9X"));
    let (status, body) = merchant.call("cancel", &cancel(&tid, 100)).await;
    assert_eq!((status, &body["error_code"]), (400, &json!(-781)));
    assert_eq!(body["extras"]["method_result_code"], "9X9X");
    let ledger = merchant.sim.ledger();
    assert_eq!(ledger.totals.cancelled, 0);
    let refused = RefusedCancel {
        tid: tid.clone(),
        amount: 100,
        code: -781,
        method_result_code: Some("9X9X".to_owned()),
    };
    assert_eq!(ledger.refused_cancels, [refused]);
    merchant.sim.clear_faults();
    assert_eq!(merchant.call("cancel", &cancel(&tid, 100)).await.0, 200);
}

#[tokio::test]
async fn maintenance_lasts_for_its_window_of_the_simulators_clock() {
    let merchant = Merchant::open().await;
    let now = json!("2026-12-31T15:00:00Z");
    merchant.put("/__sim/clock", &json!({ "now": now })).await;
    let script = json!([{
        "when": { "between": { "from_ms": 60_000, "to_ms": 180_000 } },
        "fault": { "kind": "maintenance" },
    }]);
    assert_eq!(merchant.put("/__sim/faults", &script).await.0, 200);
    for expected in [200, 503, 503, 200] {
        let (status, _) = merchant.call("ready", &crate::merchant::ready(ONE_TIME)).await;
        assert_eq!(status, expected);
        merchant.put("/__sim/clock", &json!({ "advance_seconds": 60 })).await;
    }
}

#[tokio::test]
async fn a_rule_is_released_without_replacing_the_script() {
    let merchant = Merchant::open().await;
    let request = merchant.authenticated().await;
    merchant.script(Operation::Approve, Fault::CommitThenHold);
    let release = async |rule: &str| {
        let url = merchant.url(&format!("/__sim/faults/{rule}/release"));
        merchant.http.post(url).send().await.expect("an answer").status().as_u16()
    };
    merchant.hang_up("approve", &request).await;
    assert_eq!(merchant.sim.ledger().totals.charges, 1);
    for wrong in ["1", "-1", "x"] {
        assert_eq!(release(wrong).await, 404);
    }
    // The rule still holds the next call, whose answer is a refusal, until it is released again.
    let held = async {
        merchant.sim.calls_reach(Operation::Approve, 2).await;
        while merchant.counts(Operation::Approve).faulted < 2 {
            tokio::task::yield_now().await;
        }
        release("0").await
    };
    let (answer, released) = tokio::join!(merchant.call("approve", &request), held);
    assert_eq!((answer.1["error_code"].as_i64(), released), (Some(-702), 204));
    assert_eq!(merchant.get("/__sim/faults").await.1["rules"].as_array().map(Vec::len), Some(1));
}

/// Where a process has to be ended: before the money moves, and after it but before the answer.
#[tokio::test]
async fn the_nth_call_is_held_where_a_test_wants_it() {
    let merchant = Merchant::open().await;
    let (first, second) = (merchant.authenticated().await, merchant.authenticated().await);
    for (at, arrived, committed) in
        [(HoldPoint::Arrival, 1, 1), (HoldPoint::Commit, 4, 3), (HoldPoint::Answer, 6, 6)]
    {
        let before = merchant.counts(Operation::Order);
        let hold = merchant.sim.hold_next(Operation::Order, 2, at);
        let look_up = json!({ "cid": ONE_TIME, "tid": first["tid"] });
        assert_eq!(merchant.call("order", &look_up).await.0, 200, "the first is not held");
        assert!(!hold.is_reached());
        let meanwhile = async {
            hold.reached().await;
            let counts = merchant.counts(Operation::Order);
            assert_eq!((counts.arrived, counts.committed), (arrived, committed), "{at:?}");
            hold.release();
        };
        let (answer, ()) = tokio::join!(merchant.call("order", &look_up), meanwhile);
        assert_eq!(answer.0, 200);
        assert_eq!(merchant.counts(Operation::Order).faulted, before.faulted, "not the script's");
    }

    // A call that never comes to its commit is held before its answer, and a dropped hold ends.
    merchant.script(Operation::Approve, Fault::Maintenance);
    let hold = merchant.sim.hold_next(Operation::Approve, 1, HoldPoint::Commit);
    let meanwhile = async {
        hold.reached().await;
        drop(hold);
    };
    let (answer, ()) = tokio::join!(merchant.call("approve", &second), meanwhile);
    assert_eq!(answer.0, 503);
}

#[tokio::test]
async fn a_call_held_before_its_commit_keeps_others_off_its_payment() {
    let merchant = Merchant::open().await;
    let request = merchant.authenticated().await;
    let hold = merchant.sim.hold_next(Operation::Approve, 1, HoldPoint::Commit);
    let meanwhile = async {
        hold.reached().await;
        let second = merchant.call("approve", &request).await;
        assert_eq!(second.1["error_code"], -785);
        assert_eq!(merchant.sim.ledger().totals.charges, 0);
        hold.release();
    };
    let (answer, ()) = tokio::join!(merchant.call("approve", &request), meanwhile);
    assert_eq!(answer.0, 200);
    assert_eq!(merchant.paid(RECURRING).await["tid"].as_str().map(str::len), Some(20));
}
