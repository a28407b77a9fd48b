//! A simulator that dies and comes back remembers what it charged.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use kakaopay_sim::{SimConfig, Simulator};
use serde_json::json;

use crate::merchant::{Merchant, ONE_TIME, RECURRING, approve, text, token};

fn keeping(path: &Path) -> SimConfig {
    SimConfig { state_file: Some(path.to_owned()), seed: Some(7), ..SimConfig::default() }
}

/// The process is killed: nothing is flushed, and the last line of the state file is torn.
#[tokio::test]
async fn payments_and_keys_survive_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state").join("sim.jsonl");
    let before = Merchant::with(keeping(&path)).await;
    let sid = text(&before.paid(RECURRING).await, "sid");
    let paid = text(&before.paid(ONE_TIME).await, "tid");
    let cancel = |amount: i64| {
        json!({
            "cid": ONE_TIME, "tid": paid, "cancel_amount": amount, "cancel_tax_free_amount": 0,
        })
    };
    before.call("cancel", &cancel(100)).await;
    let (open, page) = before.ready(ONE_TIME).await;
    let ledger = before.sim.ledger();
    drop(before);
    let mut file = OpenOptions::new().append(true).open(&path).expect("the state file");
    file.write_all("{\"payment\":{\"number\":99,\"tid\":\"T홍".as_bytes()).expect("torn");

    let after = Merchant::with(keeping(&path)).await;
    let restored = after.sim.ledger();
    assert_eq!((&restored.charges, &restored.sids), (&ledger.charges, &ledger.sids));
    let (_, url) = after.redirected(&format!("{page}?auto=approve")).await;
    let (status, body) = after.call("approve", &approve(ONE_TIME, &open, &token(&url))).await;
    assert_eq!(status, 200, "{body}");
    let charge = json!({
        "cid": RECURRING, "sid": sid, "partner_order_id": "order-2", "partner_user_id": "user-1",
        "quantity": 1, "total_amount": 5_000, "tax_free_amount": 0,
    });
    let (_, charged) = after.call("subscription", &charge).await;
    let (_, cancelled) = after.call("cancel", &cancel(200)).await;
    assert_eq!(cancelled["canceled_amount"]["total"], 300);

    // The seed is the same, the names are not.
    let charges = after.sim.ledger().charges;
    let mut tids: Vec<_> = charges.iter().map(|charge| &charge.tid).collect();
    tids.sort();
    tids.dedup();
    assert_eq!(tids.len(), 4);
    assert!(tids.contains(&&text(&charged, "tid")));
    let cancels = &charges.iter().find(|charge| charge.tid == paid).expect("paid").cancels;
    assert_ne!(cancels[0].aid, cancels[1].aid);
}

#[tokio::test]
async fn a_handle_that_is_dropped_frees_the_port() {
    let sim = Simulator::start(SimConfig::default()).await.expect("a simulator");
    let address = sim.address();
    sim.shutdown().await.expect("stopped");
    let config = SimConfig { listen: address, ..SimConfig::default() };
    Simulator::start(config).await.expect("the same port again").shutdown().await.expect("stopped");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let sim = Simulator::start(SimConfig::default()).await.expect("a simulator");
    let config = SimConfig { listen: sim.address(), ..SimConfig::default() };
    let error = Simulator::start(config).await.expect_err("taken");
    assert_eq!(error.to_string(), format!("listen on {}", sim.address()));
}
