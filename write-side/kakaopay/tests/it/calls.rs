//! Each of the seven calls as it goes when nothing goes wrong.

use kakaopay::{ActionType, Amounts, Difference, Expected, OrderStatus, PaymentMethod, SidState};
use kakaopay_sim::Operation;

use crate::shop::{
    ONE_TIME, PRICE, RECURRING, Shop, approve_request, cancel_request, partner, ready_request,
    sid_request,
};

#[tokio::test]
async fn ready_names_the_payment_and_three_pages_of_one_hash() {
    let shop = Shop::open().await;
    shop.at("2026-11-23T03:00:00Z");
    let ready = shop.ready(ONE_TIME).await;

    assert_eq!(ready.tid.as_str().len(), 20);
    let hash = ready.next_redirect_pc_url.path_segments().expect("a path").next_back();
    let hash = hash.expect("a hash").to_owned();
    assert_eq!(hash.len(), 64);
    for (url, device) in [
        (&ready.next_redirect_pc_url, "pc"),
        (&ready.next_redirect_mobile_url, "mobile-web"),
        (&ready.next_redirect_app_url, "mobile-app"),
    ] {
        let base = shop.sim.base_url();
        assert_eq!(
            url.as_str(),
            format!("{base}/mockup/bridge/{device}/pg/one-time/payment/{hash}")
        );
    }
    assert_eq!(ready.created_at.expect("a time").to_string(), "2026-11-23T12:00:00");
    assert!(shop.sim.ledger().charges.is_empty(), "no money moves at ready");
}

#[tokio::test]
async fn a_recurring_code_leads_to_the_issuing_page() {
    let shop = Shop::open().await;
    let ready = shop.ready(RECURRING).await;
    assert!(ready.next_redirect_pc_url.path().contains("/pg/subscription/payment-issue/"));
}

#[tokio::test]
async fn approve_moves_the_money_once_and_says_when() {
    let shop = Shop::open().await;
    shop.at("2026-11-22T23:00:00Z");
    let approval = shop.paid(ONE_TIME).await;

    let partner = partner();
    let expected = Expected {
        cid: ONE_TIME,
        tid: Some(&approval.tid),
        partner: &partner,
        total: PRICE,
        tax_free: 0,
        vat: 1_809,
    };
    assert_eq!(approval.differences(&expected), []);
    assert_eq!(approval.payment_method_type, Some(PaymentMethod::Money));
    assert_eq!(approval.approved_at.to_string(), "2026-11-23T08:00:00");
    assert_eq!(approval.sid, None);

    let ledger = shop.sim.ledger();
    assert_eq!(ledger.totals.charged, PRICE);
    assert_eq!(ledger.charges[0].tid, approval.tid.as_str());
    assert_eq!(ledger.charges[0].approved_at, approval.approved_at.to_utc());
}

#[tokio::test]
async fn an_answer_about_something_else_is_told_apart() {
    let shop = Shop::open().await;
    let approval = shop.paid(ONE_TIME).await;
    let other = kakaopay::PartnerIds::new("order-2", "user-1").expect("ids");
    let expected = Expected {
        cid: RECURRING,
        tid: None,
        partner: &other,
        total: PRICE + 1,
        tax_free: 0,
        vat: 1_809,
    };
    assert_eq!(
        approval.differences(&expected),
        [Difference::Cid, Difference::PartnerOrder, Difference::Total]
    );
}

#[tokio::test]
async fn order_tells_the_whole_story_of_a_payment() {
    let shop = Shop::open().await;
    let ready = shop.ready(ONE_TIME).await;
    let opened = shop.order(ONE_TIME, &ready.tid).await;
    assert_eq!(opened.status, OrderStatus::Ready);
    assert_eq!((opened.payment_method_type, opened.approved_at), (None, None));

    let token = shop.authenticate(&ready.tid);
    let pending = shop.order(ONE_TIME, &ready.tid).await;
    assert!(pending.status.is_pending(), "{:?}", pending.status);

    let request = approve_request(ONE_TIME, &ready.tid, token);
    let approval = shop.client.approve(&request, None).await.expect("approved");
    shop.cancel(&ready.tid, 900, PRICE).await.expect("cancelled");
    let order = shop.order(ONE_TIME, &ready.tid).await;
    assert_eq!(order.status, OrderStatus::PartCancelPayment);
    assert_eq!(order.approval_aid(), Some(&approval.aid));
    assert_eq!(order.canceled_total(), Some(900));
    assert_eq!(order.cancel_available_amount.expect("what is left").total, PRICE - 900);
    let kinds: Vec<_> = order
        .payment_action_details
        .readable
        .iter()
        .map(|action| (action.payment_action_type.clone(), action.amount.expect("a sum")))
        .collect();
    assert_eq!(kinds, [(ActionType::Payment, PRICE), (ActionType::Cancel, 900)]);
}

#[tokio::test]
async fn partial_cancellations_add_up_until_nothing_is_left() {
    let shop = Shop::open().await;
    let tid = shop.paid(ONE_TIME).await.tid;

    let first = shop.cancel(&tid, 10_000, PRICE).await.expect("cancelled");
    assert_eq!(first.status, OrderStatus::PartCancelPayment);
    assert_eq!(first.approved_cancel_amount.expect("a sum").total, 10_000);
    let last = shop.cancel(&tid, 9_900, 9_900).await.expect("cancelled");
    assert_eq!(last.status, OrderStatus::CancelPayment);
    assert_ne!(first.aid, last.aid);
    let canceled = last.canceled_amount.expect("a sum");
    assert_eq!((canceled.total, canceled.vat), (PRICE, Some(1_809)));

    let ledger = shop.sim.ledger();
    assert_eq!(ledger.totals.cancelled, PRICE);
    assert_eq!(ledger.charges[0].cancels.len(), 2);
}

#[tokio::test]
async fn a_payload_comes_back_as_it_went() {
    let shop = Shop::open().await;
    let request = shop.authenticated(ONE_TIME).await.with_payload("메모").expect("a payload");
    let approval = shop.client.approve(&request, None).await.expect("approved");
    assert_eq!(approval.payload.as_deref(), Some("메모"));
    let request = cancel_request(&approval.tid, 1, PRICE).with_payload("why").expect("a payload");
    let cancellation = shop.client.cancel(&request, None).await.expect("cancelled");
    assert_eq!(cancellation.payload.as_deref(), Some("why"));
}

#[tokio::test]
async fn one_approval_pays_and_yields_the_recurring_key() {
    let shop = Shop::open().await;
    let first = shop.paid(RECURRING).await;
    let sid = first.sid.clone().expect("a recurring key");
    assert_eq!(shop.sim.ledger().totals.charged, PRICE);

    let second = shop.charge(&sid).await.expect("charged");
    assert_ne!(second.tid, first.tid);
    assert_eq!(second.sid.as_ref(), Some(&sid));
    let third = shop.charge(&sid).await.expect("KakaoPay does not know a repetition");
    assert_ne!(third.tid, second.tid);
    let ledger = shop.sim.ledger();
    assert_eq!(ledger.totals.charges, 3);
    assert_eq!(ledger.charges.iter().filter(|charge| charge.is_recurring).count(), 2);
}

#[tokio::test]
async fn a_total_of_nothing_only_issues_the_key() {
    let shop = Shop::open().await;
    let request = ready_request(RECURRING, Amounts::new(0, 0).expect("nothing"));
    let ready = shop.client.ready(&request, None).await.expect("ready");
    let token = shop.authenticate(&ready.tid);
    let request = approve_request(RECURRING, &ready.tid, token).expecting_total(0);
    let approval = shop.client.approve(&request, None).await.expect("approved");

    assert!(approval.sid.is_some());
    let order = shop.order(RECURRING, &ready.tid).await;
    assert_eq!(order.status, OrderStatus::IssuedSid);
    assert_eq!(order.payment_action_details.readable[0].payment_action_type, ActionType::IssuedSid);
    assert!(shop.sim.ledger().charges.is_empty());
}

#[tokio::test]
async fn status_shows_the_last_charge_and_the_end() {
    let shop = Shop::open().await;
    shop.at("2026-11-01T00:00:00Z");
    let sid = shop.subscribed().await;
    shop.at("2026-12-01T00:00:00Z");
    shop.charge(&sid).await.expect("charged");

    let alive = shop.client.status(&sid_request(&sid), None).await.expect("a status");
    assert_eq!((alive.available, alive.status), (Some(true), SidState::Active));
    let last = alive.last_approved_at.expect("a time");
    assert_eq!(last.to_utc().to_rfc3339(), "2026-12-01T00:00:00+00:00");

    shop.at("2026-12-02T00:00:00Z");
    let ended = shop.client.inactive(&sid_request(&sid), None).await.expect("ended");
    assert_eq!(ended.status, SidState::Inactive);
    shop.at("2026-12-03T00:00:00Z");
    let again = shop.client.inactive(&sid_request(&sid), None).await.expect("ended twice");
    assert_eq!(again.inactivated_at, ended.inactivated_at);
    let dead = shop.client.status(&sid_request(&sid), None).await.expect("a status");
    assert_eq!((dead.available, dead.status), (Some(false), SidState::Inactive));
    assert_eq!(shop.sim.ledger().calls(Operation::Inactive).committed, 2);
}

#[tokio::test]
async fn a_recurring_charge_is_given_back_by_its_own_name() {
    let shop = Shop::open().await;
    let sid = shop.subscribed().await;
    let charge = shop.charge(&sid).await.expect("charged");
    let amounts = kakaopay::CancelAmounts::new(PRICE, 0).expect("amounts");
    let merchant = crate::shop::merchant(RECURRING);
    let request =
        kakaopay::CancelRequest::new(merchant, charge.tid, amounts, PRICE).expect("a request");
    shop.client.cancel(&request, None).await.expect("cancelled");
    shop.charge(&sid).await.expect("the key lives on");
}
