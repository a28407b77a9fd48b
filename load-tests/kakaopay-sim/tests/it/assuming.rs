//! Each assumption about KakaoPay, switched to its unfriendly side.

use std::process::Command;

use kakaopay_sim::{PendingWord, SimConfig, SimSettings, UnknownStatus};
use serde_json::{Value, json};

use crate::merchant::{Merchant, ONE_TIME, RECURRING, ready, text};

/// Longer than any test; a lag of this length never ends.
const FOR_EVER_MS: u64 = 3_600_000;

fn cancel(tid: &str, amount: i64) -> Value {
    json!({ "cid": ONE_TIME, "tid": tid, "cancel_amount": amount, "cancel_tax_free_amount": 0 })
}

async fn assuming(settings: SimSettings) -> Merchant {
    Merchant::with(SimConfig { settings, ..SimConfig::default() }).await
}

impl Merchant {
    async fn order(&self, tid: &str) -> Value {
        self.call("order", &json!({ "cid": ONE_TIME, "tid": tid })).await.1
    }
}

#[tokio::test]
async fn settings_are_read_replaced_and_restored() {
    let merchant = assuming(SimSettings { stale_look_up_ms: 7, ..SimSettings::default() }).await;
    let (_, shown) = merchant.get("/__sim/settings").await;
    assert_eq!((&shown["guard_enforced"], &shown["stale_look_up_ms"]), (&json!(true), &json!(7)));

    let new = json!({ "guard_enforced": false, "pending_word": "ARS_WAITING" });
    assert_eq!(merchant.put("/__sim/settings", &new).await.0, 200);
    let expected = SimSettings {
        guard_enforced: false,
        pending_word: Some(PendingWord::ArsWaiting),
        ..SimSettings::default()
    };
    assert_eq!(merchant.sim.settings(), expected);

    for wrong in [json!({ "gaurd_enforced": false }), json!({ "pending_word": "PAID" })] {
        assert_eq!(merchant.put("/__sim/settings", &wrong).await.0, 400, "{wrong}");
    }
    assert_eq!(merchant.sim.settings(), expected, "a refused change changes nothing");
    merchant.http.delete(merchant.url("/__sim/settings")).send().await.expect("restored");
    assert_eq!(merchant.sim.settings().stale_look_up_ms, 7);
}

#[tokio::test]
async fn a_guard_that_is_not_enforced_is_ignored() {
    let merchant = Merchant::open().await;
    let tid = text(&merchant.paid(ONE_TIME).await, "tid");
    let mut stale = cancel(&tid, 1_000);
    stale["cancel_available_amount"] = json!(2_100);
    assert_eq!(merchant.call("cancel", &stale).await.1["error_code"], -710);

    let settings = SimSettings { guard_enforced: false, ..SimSettings::default() };
    merchant.sim.set_settings(settings);
    assert_eq!(merchant.call("cancel", &stale).await.0, 200);
    assert_eq!(merchant.call("cancel", &stale).await.0, 200, "two equal ones are two");
    assert_eq!(merchant.call("cancel", &stale).await.1["error_code"], -710, "more than is left");
}

/// 100 won contain 9 of tax, of which the default formula gives 5 to either half.
#[tokio::test]
async fn more_tax_than_is_left_is_refused_where_that_is_set() {
    let merchant =
        assuming(SimSettings { remaining_vat_enforced: true, ..SimSettings::default() }).await;
    let mut body = ready(ONE_TIME);
    body["total_amount"] = json!(100);
    let tid = text(&merchant.paid_for(&body).await, "tid");
    assert_eq!(merchant.call("cancel", &cancel(&tid, 50)).await.0, 200);

    let by_default = merchant.call("cancel", &cancel(&tid, 50)).await;
    assert_eq!(
        by_default.1["error_code"], -722,
        "the default formula gives 5, of which 4 are left"
    );
    let mut last = cancel(&tid, 50);
    last["cancel_vat_amount"] = json!(5);
    assert_eq!(merchant.call("cancel", &last).await.1["error_code"], -722);
    last["cancel_vat_amount"] = json!(4);
    let (status, answer) = merchant.call("cancel", &last).await;
    assert_eq!((status, &answer["status"]), (200, &json!("CANCEL_PAYMENT")));
    let charge = &merchant.sim.ledger().charges[0];
    let taxes: Vec<_> = charge.cancels.iter().map(|cancel| cancel.vat).collect();
    assert_eq!((taxes, charge.cancelled_vat), (vec![5, 4], 9));
}

#[tokio::test]
async fn more_tax_than_is_left_is_cut_otherwise() {
    let merchant = Merchant::open().await;
    let mut body = ready(ONE_TIME);
    body["total_amount"] = json!(100);
    let tid = text(&merchant.paid_for(&body).await, "tid");
    for _ in 0..2 {
        assert_eq!(merchant.call("cancel", &cancel(&tid, 50)).await.0, 200);
    }
    let taxes: Vec<_> =
        merchant.sim.ledger().charges[0].cancels.iter().map(|cancel| cancel.vat).collect();
    assert_eq!(taxes, [5, 4]);
}

#[tokio::test]
async fn look_ups_lag_behind_approvals_and_cancellations() {
    let merchant =
        assuming(SimSettings { stale_look_up_ms: FOR_EVER_MS, ..SimSettings::default() }).await;
    let tid = text(&merchant.paid(ONE_TIME).await, "tid");
    assert_eq!(merchant.order(&tid).await["status"], "READY", "opened is seen at once");
    assert_eq!(merchant.get(&format!("/__sim/orders/{tid}")).await.1["status"], "SUCCESS_PAYMENT");

    // What was changed before a lag began is seen; what is changed during it is not.
    merchant.sim.set_settings(SimSettings::default());
    assert_eq!(merchant.order(&tid).await["status"], "SUCCESS_PAYMENT");
    let stale = SimSettings { stale_look_up_ms: FOR_EVER_MS, ..SimSettings::default() };
    merchant.sim.set_settings(stale);
    assert_eq!(merchant.call("cancel", &cancel(&tid, 1_000)).await.0, 200);
    let seen = merchant.order(&tid).await;
    assert_eq!(
        (&seen["status"], &seen["canceled_amount"]["total"]),
        (&json!("SUCCESS_PAYMENT"), &json!(0))
    );
    // The money itself does not lag.
    assert_eq!(merchant.call("cancel", &cancel(&tid, 1_300)).await.1["error_code"], -710);
}

#[tokio::test]
async fn a_short_lag_ends() {
    let merchant = assuming(SimSettings { stale_look_up_ms: 5, ..SimSettings::default() }).await;
    let tid = text(&merchant.paid(ONE_TIME).await, "tid");
    while merchant.order(&tid).await["status"] != "SUCCESS_PAYMENT" {}
}

#[tokio::test]
async fn the_last_charge_of_a_key_is_seen_late_or_not_at_all() {
    let merchant = Merchant::open().await;
    let first = merchant.paid(RECURRING).await;
    let sid = text(&first, "sid");
    let status = json!({ "cid": RECURRING, "sid": sid });
    let last = async || {
        let (_, body) = merchant.call("manage/subscription/status", &status).await;
        assert_eq!(body["status"], "ACTIVE");
        body.get("last_approved_at").cloned()
    };
    let before = last().await;
    assert_eq!(before.as_ref(), Some(&first["approved_at"]));

    let lag = SimSettings { last_approved_at_lag_ms: FOR_EVER_MS, ..SimSettings::default() };
    merchant.sim.set_settings(lag);
    merchant.put("/__sim/clock", &json!({ "advance_seconds": 60 })).await;
    let charge = json!({
        "cid": RECURRING, "sid": sid, "partner_order_id": "order-2", "partner_user_id": "user-1",
        "quantity": 1, "total_amount": 5_000, "tax_free_amount": 0,
    });
    let (_, charged) = merchant.call("subscription", &charge).await;
    assert_eq!(last().await, before, "late");

    let withheld = vec!["last_approved_at".to_owned()];
    merchant.sim.set_settings(SimSettings { omit: withheld, ..SimSettings::default() });
    assert_eq!(last().await, None, "withheld");
    merchant.sim.set_settings(SimSettings::default());
    assert_eq!(last().await.as_ref(), Some(&charged["approved_at"]));
}

#[tokio::test]
async fn omitted_fields_are_missing_from_every_answer() {
    let paths = ["canceled_amount", "created_at", "amount.vat", "payment_action_details.aid"];
    let omit = paths.map(str::to_owned).to_vec();
    let merchant = assuming(SimSettings { omit, ..SimSettings::default() }).await;
    let paid = merchant.paid(ONE_TIME).await;
    assert_eq!((paid.get("created_at"), paid["amount"].get("vat")), (None, None));
    let order = merchant.order(&text(&paid, "tid")).await;
    assert_eq!((order.get("canceled_amount"), order["amount"].get("vat")), (None, None));
    assert_eq!(order["amount"]["total"], 2_200);
    assert_eq!(order["cancel_available_amount"]["vat"], 200, "a path leads from the top");
    let actions = order["payment_action_details"].as_array().expect("a list");
    assert_eq!(actions.len(), 1);
    assert!(actions[0].get("aid").is_none() && actions[0]["amount"] == 2_200);
}

#[tokio::test]
async fn pending_payments_show_any_of_the_six_words() {
    let merchant = Merchant::open().await;
    let paid = text(&merchant.paid(ONE_TIME).await, "tid");
    let (pending, _) = merchant.ready(ONE_TIME).await;
    for word in
        ["READY", "SEND_TMS", "OPEN_PAYMENT", "SELECT_METHOD", "ARS_WAITING", "AUTH_PASSWORD"]
    {
        let (status, _) = merchant.put("/__sim/settings", &json!({ "pending_word": word })).await;
        assert_eq!(status, 200);
        assert_eq!(merchant.order(&pending).await["status"], word);
        assert_eq!(merchant.order(&paid).await["status"], "SUCCESS_PAYMENT");
    }
}

#[tokio::test]
async fn an_unknown_status_is_shown_for_a_while_after_each_change() {
    let unknown = |for_ms| {
        let unknown_status = Some(UnknownStatus { word: "SETTLING".to_owned(), for_ms });
        SimSettings { unknown_status, ..SimSettings::default() }
    };
    let merchant = assuming(unknown(FOR_EVER_MS)).await;
    let tid = text(&merchant.paid(ONE_TIME).await, "tid");
    assert_eq!(merchant.order(&tid).await["status"], "SETTLING");
    merchant.sim.set_settings(unknown(5));
    assert_eq!(merchant.call("cancel", &cancel(&tid, 1_000)).await.0, 200);
    while merchant.order(&tid).await["status"] == "SETTLING" {}
    assert_eq!(merchant.order(&tid).await["status"], "PART_CANCEL_PAYMENT");
}

/// The flags are read; a word that is none of KakaoPay's ends the process at once.
#[test]
fn settings_can_be_given_on_the_command_line() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_kakaopay-sim"))
            .args(arguments)
            .output()
            .expect("run the simulator");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = run(&["--pending-word", "PAID"]);
    assert!(code == Some(2) && text.contains("ARS_WAITING"), "{text}");
    let (code, text) = run(&["--unknown-status", "SETTLING"]);
    assert!(code == Some(2) && text.contains("--unknown-status-ms"), "{text}");
    // Every flag is known: what is refused is the last one.
    let (code, text) = run(&[
        "--no-guard",
        "--enforce-remaining-vat",
        "--stale-look-up-ms=5",
        "--last-approved-at-lag-ms=5",
        "--omit=canceled_amount,amount.vat",
        "--pending-word=SEND_TMS",
        "--unknown-status=SETTLING",
        "--unknown-status-ms=5",
        "--listen=nowhere",
    ]);
    assert!(code == Some(2) && text.contains("nowhere"), "{text}");
    // Options are all its settings, and `check-config` behind them refuses what the start does.
    assert_eq!((code, text), run(&["--no-guard", "--listen=nowhere", "check-config"]));
    assert_eq!(run(&["--no-guard", "check-config"]), (Some(0), String::new()));
}
