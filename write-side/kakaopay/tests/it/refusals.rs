//! Every documented refusal the simulator can be brought to, and which one comes first.

use kakaopay::{
    Amounts, ApproveRequest, CallError, CancelAmounts, CancelRequest, CidSecret, ErrorClass,
    NotSent, OrderRequest, OrderStatus, PartnerIds, PgToken, Sid, Tid, Unknown,
};
use kakaopay_sim::{CidConfig, CidKind, Fault, Operation, PayAction, SimConfig};

use crate::shop::{
    ONE_TIME, PRICE, RECURRING, Shop, amounts, approve_request, cancel_request, charge_request,
    client, config_for, declined, item, merchant, partner, ready_request, return_urls, sid_request,
};

fn tid(text: &str) -> Tid {
    Tid::new(text).expect("a tid")
}

fn token(text: &str) -> PgToken {
    PgToken::new(text).expect("a token")
}

#[tokio::test]
async fn a_wrong_key_is_refused_before_anything_else() {
    let shop =
        Shop::with(SimConfig { secret_key: Some("another".into()), ..SimConfig::default() }).await;
    let answer = shop.client.ready(&ready_request("NOSUCHCID", amounts()), None).await;
    let Err(CallError::Declined(error)) = answer else { panic!("{answer:?}") };
    assert_eq!((error.http_status, error.code.0), (401, -401));
    assert_eq!(error.class(), ErrorClass::Access);
    assert_eq!(shop.sim.ledger().calls(Operation::Ready).arrived, 0);
}

#[tokio::test]
async fn merchant_codes_and_their_keys_are_checked() {
    let cids = vec![CidConfig {
        cid: "CT00000001".to_owned(),
        kind: CidKind::OneTime,
        secret: Some("abcdefghijklmnopqrstuvwx".to_owned()),
    }];
    let shop = Shop::with(SimConfig { cids, ..SimConfig::default() }).await;
    let ready = |merchant| {
        let request =
            kakaopay::ReadyRequest::new(merchant, partner(), item(), amounts(), return_urls());
        let client = shop.client.clone();
        async move { client.ready(&request, None).await }
    };
    let secret = |text: &str| CidSecret::new(text).expect("a secret");
    assert_eq!(declined(ready(merchant(ONE_TIME)).await), -731);
    assert_eq!(declined(ready(merchant("CT00000001")).await), -733);
    let wrong = merchant("CT00000001").with_secret(secret("wrong"));
    assert_eq!(declined(ready(wrong).await), -733);
    let right = merchant("CT00000001").with_secret(secret("abcdefghijklmnopqrstuvwx"));
    ready(right).await.expect("the right key");
}

#[tokio::test]
async fn approvals_are_checked_in_the_documented_order() {
    let shop = Shop::open().await;
    let opened = shop.ready(ONE_TIME).await.tid;
    let other = PartnerIds::new("order-2", "user-2").expect("ids");
    let other_user = PartnerIds::new("order-1", "user-2").expect("ids");
    let all_wrong = |tid: &Tid, ids: &PartnerIds, total: i64| {
        ApproveRequest::new(merchant(ONE_TIME), tid.clone(), ids.clone(), token("wrong"))
            .expecting_total(total)
    };
    let approve =
        async |request: ApproveRequest| declined(shop.client.approve(&request, None).await);

    // From here each step mends the fault that was found, and the next one shows.
    assert_eq!(approve(all_wrong(&tid("T0000000000000000000"), &other, 1)).await, -721);
    assert_eq!(approve(all_wrong(&opened, &other, 1)).await, -701);
    let right = shop.authenticate(&opened);
    shop.pass_minutes(16);
    assert_eq!(approve(all_wrong(&opened, &other, 1)).await, -723);
    shop.pass_minutes(-16);
    assert_eq!(approve(all_wrong(&opened, &other, 1)).await, -706);
    assert_eq!(approve(all_wrong(&opened, &other_user, 1)).await, -707);
    assert_eq!(approve(all_wrong(&opened, &partner(), 1)).await, -708);
    let wrong_total = approve_request(ONE_TIME, &opened, right.clone()).expecting_total(1);
    assert_eq!(approve(wrong_total).await, -725);
    shop.decline_next(Operation::Approve, -780, Some("LACK_BALANCE"));
    assert_eq!(approve(approve_request(ONE_TIME, &opened, right.clone())).await, -780);
    // The method's refusal ended the payment, and that is found before its age.
    shop.pass_minutes(16);
    assert_eq!(approve(approve_request(ONE_TIME, &opened, right)).await, -783);

    let paid = shop.authenticated(ONE_TIME).await;
    shop.client.approve(&paid, None).await.expect("approved");
    shop.pass_minutes(60);
    assert_eq!(approve(paid).await, -702);
    assert_eq!(shop.sim.ledger().totals.charges, 1);
}

#[tokio::test]
async fn a_payment_expires_after_fifteen_minutes_and_stays_pending() {
    let shop = Shop::open().await;
    shop.at("2026-11-23T12:00:00Z");
    let in_time = shop.authenticated(ONE_TIME).await;
    let late = shop.ready(ONE_TIME).await.tid;
    shop.pass_minutes(15);
    shop.client.approve(&in_time, None).await.expect("the fifteenth minute still counts");
    shop.pass_minutes(1);
    let late = approve_request(ONE_TIME, &late, shop.authenticate(&late));
    let answer = shop.client.approve(&late, None).await;
    let Err(CallError::Declined(error)) = answer else { panic!("{answer:?}") };
    assert_eq!((error.code.0, error.class()), (-723, ErrorClass::Expired));
}

#[tokio::test]
async fn a_payment_the_shopper_left_cannot_be_approved() {
    let shop = Shop::open().await;
    for (action, status) in [
        (PayAction::Cancel, OrderStatus::QuitPayment),
        (PayAction::Fail, OrderStatus::FailAuthPassword),
    ] {
        let tid = shop.ready(ONE_TIME).await.tid;
        let url = shop.sim.press(tid.as_str(), action).expect("a pay page");
        assert_eq!(url.query(), None, "KakaoPay adds nothing to these two");
        assert_eq!(shop.order(ONE_TIME, &tid).await.status, status);
        let request = approve_request(ONE_TIME, &tid, token("any"));
        assert_eq!(declined(shop.client.approve(&request, None).await), -783);
    }
}

#[tokio::test]
async fn sums_of_a_payment_must_fit_the_code_and_the_limit() {
    let shop =
        Shop::with(SimConfig { one_payment_max: Some(2_000_000), ..SimConfig::default() }).await;
    let ready = async |cid, total| {
        let amounts = Amounts::new(total, 0).expect("amounts");
        declined(shop.client.ready(&ready_request(cid, amounts), None).await)
    };
    assert_eq!(ready(ONE_TIME, 0).await, -722);
    assert_eq!(ready(ONE_TIME, 2_000_001).await, -797);
}

#[tokio::test]
async fn return_urls_must_be_registered_where_domains_are_checked() {
    let config = |origin: &str| SimConfig {
        registered_origins: Some(vec![origin.to_owned()]),
        ..SimConfig::default()
    };
    let shop = Shop::with(config("https://other.example")).await;
    let answer = shop.client.ready(&ready_request(ONE_TIME, amounts()), None).await;
    let Err(CallError::Declined(error)) = answer else { panic!("{answer:?}") };
    assert_eq!(error.code.0, -799);
    assert!(error.message.starts_with("approve_url(https://shop.example/"), "{}", error.message);
    let shop = Shop::with(config("https://shop.example")).await;
    shop.ready(ONE_TIME).await;
}

#[tokio::test]
async fn a_look_up_finds_only_payments_of_its_own_code() {
    let shop = Shop::open().await;
    let tid = shop.ready(ONE_TIME).await.tid;
    let request = OrderRequest::new(merchant(RECURRING), tid);
    assert_eq!(declined(shop.client.order(&request, None).await), -721);
}

#[tokio::test]
async fn cancellations_are_checked_in_the_documented_order() {
    let shop = Shop::open().await;
    let unpaid = shop.ready(ONE_TIME).await.tid;
    let paid = shop.paid(ONE_TIME).await.tid;
    let unknown = tid("T0000000000000000000");

    assert_eq!(declined(shop.cancel(&unknown, 1, 1).await), -721);
    assert_eq!(declined(shop.cancel(&unpaid, 1, 1).await), -784);
    assert_eq!(declined(shop.cancel(&paid, 1, PRICE - 1).await), -710);
    assert_eq!(declined(shop.cancel(&paid, PRICE + 1, PRICE + 1).await), -710);
    let tax_free = CancelAmounts::new(100, 100).expect("amounts");
    let request =
        CancelRequest::new(merchant(ONE_TIME), paid.clone(), tax_free, PRICE).expect("a request");
    assert_eq!(declined(shop.client.cancel(&request, None).await), -722);
    shop.decline_next(Operation::Cancel, -781, Some("6666"));
    let refused = shop.cancel(&paid, PRICE, PRICE).await;
    let Err(CallError::Declined(error)) = refused else { panic!("{refused:?}") };
    assert_eq!((error.code.0, error.class()), (-781, ErrorClass::LookUp));
    shop.cancel(&paid, PRICE, PRICE).await.expect("cancelled");
    assert_eq!(declined(shop.cancel(&paid, 1, 1).await), -784);
}

#[tokio::test]
async fn the_same_cancellation_sent_twice_gives_back_once() {
    let shop = Shop::open().await;
    let tid = shop.paid(ONE_TIME).await.tid;
    shop.cancel(&tid, 5_000, PRICE).await.expect("cancelled");
    assert_eq!(declined(shop.cancel(&tid, 5_000, PRICE).await), -710);
    assert_eq!(shop.sim.ledger().totals.cancelled, 5_000);
}

#[tokio::test]
async fn a_payment_with_a_deposit_is_only_cancelled_whole() {
    let shop = Shop::open().await;
    let amounts = amounts().with_green_deposit(300).expect("a deposit");
    let ready = shop.client.ready(&ready_request(ONE_TIME, amounts), None).await.expect("ready");
    let request = approve_request(ONE_TIME, &ready.tid, shop.authenticate(&ready.tid));
    shop.client.approve(&request, None).await.expect("approved");
    assert_eq!(declined(shop.cancel(&ready.tid, 100, PRICE).await), -784);
    shop.cancel(&ready.tid, PRICE, PRICE).await.expect("cancelled");
}

#[tokio::test]
async fn charges_of_a_key_are_checked_in_the_documented_order() {
    let config = SimConfig { sid_uses_per_month_max: Some(1), ..SimConfig::default() };
    let shop = Shop::with(config).await;
    shop.at("2026-11-30T14:59:59Z");
    let sid = shop.subscribed().await;
    let unknown = Sid::new("S0000000000000000000").expect("a sid");
    assert_eq!(declined(shop.charge(&unknown).await), -750);

    let strangers = PartnerIds::new("order-2", "user-2").expect("ids");
    let request = kakaopay::SubscriptionRequest::new(
        merchant(RECURRING),
        sid.clone(),
        strangers,
        item(),
        amounts(),
    )
    .expect("a charge");
    assert_eq!(declined(shop.client.subscription(&request, None).await), -753);

    shop.charge(&sid).await.expect("the one charge of November");
    assert_eq!(declined(shop.charge(&sid).await), -752);
    shop.at("2026-11-30T15:00:00Z");
    shop.charge(&sid).await.expect("December has begun in Korea");

    shop.at("2027-01-01T00:00:00Z");
    shop.decline_next(Operation::Subscription, -782, Some("8323"));
    let answer = shop.charge(&sid).await;
    let Err(CallError::Declined(error)) = answer else { panic!("{answer:?}") };
    assert_eq!((error.code.0, error.class()), (-782, ErrorClass::SoftDecline));
    let extras = error.extras.expect("extras");
    assert_eq!(extras.method_result_code, "8323");
    assert!(extras.method_result_message.is_some());

    shop.client.inactive(&sid_request(&sid), None).await.expect("ended");
    let answer = shop.client.subscription(&request, None).await;
    assert_eq!(declined(answer), -751, "an ended key is found before its payer");
    assert_eq!(shop.sim.ledger().totals.charges, 3);
}

#[tokio::test]
async fn a_key_the_shopper_cut_fails_at_the_next_charge() {
    let shop = Shop::open().await;
    let sid = shop.subscribed().await;
    assert!(shop.sim.cut_sid(sid.as_str()));
    let answer = shop.charge(&sid).await;
    let Err(CallError::Declined(error)) = answer else { panic!("{answer:?}") };
    assert_eq!((error.code.0, error.class()), (-751, ErrorClass::RegisterAgain));
    assert!(!shop.sim.cut_sid("S0000000000000000000"));
}

#[tokio::test]
async fn an_unused_key_dies_where_dormancy_is_set() {
    let config = SimConfig { sid_dormant_after_days: Some(90), ..SimConfig::default() };
    let shop = Shop::with(config).await;
    shop.at("2026-01-01T00:00:00Z");
    let sid = shop.subscribed().await;
    shop.at("2026-04-01T00:00:00Z");
    shop.charge(&sid).await.expect("the ninetieth day");
    shop.at("2026-07-01T00:00:00Z");
    assert_eq!(declined(shop.charge(&sid).await), -751);
}

#[tokio::test]
async fn a_repeated_order_is_only_refused_where_that_is_set() {
    let config = SimConfig { refuse_repeated_orders: true, ..SimConfig::default() };
    let shop = Shop::with(config).await;
    let sid = shop.subscribed().await;
    shop.charge(&sid).await.expect("charged");
    assert_eq!(declined(shop.charge(&sid).await), -726);
}

/// Two approvals (or cancellations, or charges) of the same thing at once: the second one is
/// refused while the first one runs. The first is held, so the overlap is certain.
///
/// The simulator's `exclusively` keeps the second one out. With its test ignored (checked) the
/// second approval goes through and the held one is told that it is paid already.
#[tokio::test]
async fn the_same_thing_twice_at_once_is_refused() {
    let shop = Shop::open().await;
    let approve = shop.authenticated(ONE_TIME).await;
    let paid = shop.paid(ONE_TIME).await.tid;
    let sid = shop.subscribed().await;
    let cancel = cancel_request(&paid, PRICE, PRICE);
    let charge = charge_request(&sid);

    shop.break_next(Operation::Approve, Fault::HoldThenCommit);
    let arrived = shop.sim.ledger().calls(Operation::Approve).arrived;
    let (first, second) = tokio::join!(shop.client.approve(&approve, None), async {
        shop.sim.calls_reach(Operation::Approve, arrived + 1).await;
        let second = shop.client.approve(&approve, None).await;
        shop.sim.clear_faults();
        second
    });
    first.expect("the first one goes through");
    assert_eq!(declined(second), -785);

    shop.break_next(Operation::Cancel, Fault::HoldThenCommit);
    let (first, second) = tokio::join!(shop.client.cancel(&cancel, None), async {
        shop.sim.calls_reach(Operation::Cancel, 1).await;
        let second = shop.client.cancel(&cancel, None).await;
        shop.sim.clear_faults();
        second
    });
    first.expect("the first one goes through");
    assert_eq!(declined(second), -785);

    shop.break_next(Operation::Subscription, Fault::HoldThenCommit);
    let (first, second) = tokio::join!(shop.client.subscription(&charge, None), async {
        shop.sim.calls_reach(Operation::Subscription, 1).await;
        let second = shop.client.subscription(&charge, None).await;
        shop.sim.clear_faults();
        second
    });
    first.expect("the first one goes through");
    let Err(CallError::Declined(error)) = second else { panic!("{second:?}") };
    assert_eq!((error.code.0, error.class()), (-782, ErrorClass::Transient));
    let totals = shop.sim.ledger().totals;
    assert_eq!((totals.charges, totals.cancels), (4, 1));
}

/// Twenty approvals of one payment at once, without a hold: exactly one goes through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_approvals_at_once_one_goes_through() {
    let shop = Shop::open().await;
    let request = shop.authenticated(ONE_TIME).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (client, request) = (shop.client.clone(), request.clone());
        calls.spawn(async move { client.approve(&request, None).await });
    }
    let answers = calls.join_all().await;
    let (paid, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(paid.len(), 1);
    for answer in refused {
        assert!(matches!(declined(answer), -702 | -785));
    }
    assert_eq!(shop.sim.ledger().totals.charges, 1);
}

#[tokio::test]
async fn a_locked_account_leaves_the_payment_open() {
    let shop = Shop::open().await;
    let request = shop.authenticated(ONE_TIME).await;
    shop.break_next(Operation::Approve, Fault::UserLocked);
    let answer = shop.client.approve(&request, None).await;
    let Err(CallError::Declined(error)) = answer else { panic!("{answer:?}") };
    assert_eq!((error.code.0, error.class()), (-780, ErrorClass::Transient));
    shop.client.approve(&request, None).await.expect("a moment later it goes through");
}

#[tokio::test]
async fn codes_nobody_documented_are_refusals_too() {
    let shop = Shop::open().await;
    let request = shop.authenticated(ONE_TIME).await;
    shop.decline_next(Operation::Approve, -4_711, None);
    let answer = shop.client.approve(&request, None).await;
    let Err(CallError::Declined(error)) = answer else { panic!("{answer:?}") };
    assert_eq!((error.code.0, error.class()), (-4_711, ErrorClass::LookUp));
}

#[tokio::test]
async fn an_internal_error_says_nothing_about_the_outcome() {
    let shop = Shop::open().await;
    let request = shop.authenticated(ONE_TIME).await;
    shop.decline_next(Operation::Approve, -1, None);
    let answer = shop.client.approve(&request, None).await;
    assert!(matches!(answer, Err(CallError::Unknown(Unknown::Internal(_)))), "{answer:?}");
}

#[tokio::test]
async fn maintenance_is_not_sent() {
    let shop = Shop::open().await;
    shop.break_next(Operation::Ready, Fault::Maintenance);
    let answer = shop.client.ready(&ready_request(ONE_TIME, amounts()), None).await;
    let Err(CallError::NotSent(NotSent::Maintenance(error))) = answer else { panic!("{answer:?}") };
    assert_eq!((error.http_status, error.code.0), (503, -9_798));
}

#[tokio::test]
async fn a_korean_name_is_understood_where_the_charset_is_demanded() {
    let shop = Shop::with(SimConfig { demand_charset: true, ..SimConfig::default() }).await;
    shop.ready(ONE_TIME).await;
}

#[tokio::test]
async fn too_many_calls_at_once_are_refused() {
    let shop = Shop::with(SimConfig { calls_in_flight_max: 0, ..SimConfig::default() }).await;
    let client = client(&config_for(shop.sim.base_url()));
    let answer = client.ready(&ready_request(ONE_TIME, amounts()), None).await;
    assert_eq!(declined(answer), -10);
}
