//! What administrators see of the outbox and of payments that need somebody, and what they can do.

use contracts::OrderId;
use domain::Settlement;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Person, TestApp};

/// An order whose payment page nobody opened yet: its only row, as it stands in the outbox.
struct Waiting {
    app: TestApp,
    admin: Person,
    order: OrderId,
    row: Uuid,
}

impl Waiting {
    async fn new() -> Self {
        let app = TestApp::start().await;
        let (admin, kim) = (app.administrator().await, app.person("kim").await);
        let order = app.placed(&kim, 12_000).await;
        app.pay_page(&kim, order, "pay").await.with(200);
        let client = app.database.client().await;
        let row = client.query_one("select id from outbox", &[]).await.unwrap().get(0);
        Self { app, admin, order, row }
    }

    async fn execute(&self, sql: &str) {
        self.app.database.client().await.batch_execute(sql).await.unwrap();
    }

    /// As the relay leaves a row that it gave up.
    async fn is(&self, state: &str) {
        let sql = format!("update outbox set state = '{state}', last_error = 'look_up_failed'");
        self.execute(&sql).await;
    }

    /// As if it was sent.
    async fn was_sent(&self) {
        self.execute(r#"update outbox set request = '{"call": "begin_checkout"}'"#).await;
    }

    async fn get(&self, path: &str) -> Answer {
        self.app.admin_call("GET", path).by(&self.admin).send().await
    }

    async fn act(&self, action: &str) -> Answer {
        let path = format!("/admin/outbox/{}/{action}", self.row);
        let body = if action == "resolve" { json!({ "notDone": true }) } else { Value::Null };
        self.app.admin_call("POST", path).by(&self.admin).json(body).send().await
    }

    /// The outcome that the relay would tell the order.
    async fn outcome(&self) -> Option<Settlement> {
        let client = self.app.database.client().await;
        let stored = client.query_one("select outcome from outbox", &[]).await.unwrap();
        let stored: Option<Value> = stored.get(0);
        stored.map(|outcome| serde_json::from_value(outcome).unwrap())
    }
}

#[tokio::test]
async fn only_administrators_operate() {
    let it = Waiting::new().await;
    let lee = it.app.person("lee").await;
    let row = it.row;
    let paths = ["retry", "resolve", "hold", "release"];
    let actions = paths.map(|action| ("POST", format!("/admin/outbox/{row}/{action}")));
    let looks = ["outbox", &format!("outbox/{row}"), "payments/differences", "payments/unresolved"]
        .map(|path| ("GET", format!("/admin/{path}")));
    for (method, path) in actions.into_iter().chain(looks) {
        let body = json!({ "notDone": true });
        let call = || it.app.admin_call(method, &path).json(body.clone());
        call().send().await.refused(401, "auth.token_missing");
        call().by(&lee).send().await.refused(401, "auth.token_invalid");
        let elsewhere = it.app.call(method, &path).by(&it.admin).json(body.clone()).send().await;
        elsewhere.refused(404, "route.not_found");
    }
    assert_eq!(it.app.count("select count(*) from outbox_intervention").await, 0);
    assert_eq!(it.app.count("select count(*) from outbox where state = 'ready'").await, 1);
}

#[tokio::test]
async fn the_outbox_is_listed_by_state_and_shown_without_secrets() {
    let it = Waiting::new().await;
    let all = it.get("/admin/outbox").await.with(200).body;
    let [row] = all["rows"].as_array().unwrap().as_slice() else { panic!("{all}") };
    assert_eq!(row["id"], it.row.to_string());
    assert_eq!(row["stream"], format!("order/{}", it.order));
    assert_eq!((&row["kind"], &row["state"]), (&json!("payment_ready"), &json!("ready")));
    assert!(row["createdAt"].as_str().unwrap().ends_with("+09:00"), "{row}");
    assert_eq!(it.get("/admin/outbox?state=ready&limit=1").await.with(200).body, all);
    assert_eq!(it.get("/admin/outbox?state=dead").await.with(200).body, json!({ "rows": [] }));

    // What was sent and what came of it, but neither a token nor the address to pay at.
    it.was_sent().await;
    it.execute(
        r#"update outbox set payload = payload || '{"pg_token": "hunter2"}',
           outcome = '{"settled": "opened", "tid": "T1", "redirect": {"pc": "hunter2"}}'"#,
    )
    .await;
    let shown = it.get(&format!("/admin/outbox/{}", it.row)).await.with(200).body;
    assert_eq!(shown["row"]["id"], it.row.to_string());
    assert_eq!(shown["request"], json!({ "call": "begin_checkout" }));
    assert_eq!(shown["outcome"], json!({ "settled": "opened", "tid": "T1" }));
    assert_eq!(shown["interventions"], json!([]));
    assert!(!shown.to_string().contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn a_state_or_limit_that_is_none_is_the_senders_fault() {
    let it = Waiting::new().await;
    for query in
        ["state=lost", "state=done", "state=", "limit=0", "limit=101", "limit=-1", "limit=x"]
    {
        let answer = it.get(&format!("/admin/outbox?{query}")).await;
        answer.refused(400, "request.malformed_parameter");
    }
    for list in ["differences", "unresolved"] {
        let answer = it.get(&format!("/admin/payments/{list}?limit=101")).await;
        answer.refused(400, "request.malformed_parameter");
        it.get(&format!("/admin/payments/{list}?limit=100")).await.with(200);
    }
}

#[tokio::test]
async fn each_action_does_its_work_and_keeps_who_did_it() {
    let it = Waiting::new().await;
    let state = async |action| it.act(action).await.with(200).body["row"]["state"].clone();

    assert_eq!(state("hold").await, "held");
    assert_eq!(state("release").await, "ready", "it was never sent");
    it.was_sent().await;
    it.is("dead").await;
    assert_eq!(state("retry").await, "unknown", "it may have been sent: looked up first");
    assert_eq!(state("hold").await, "held");
    assert_eq!(state("release").await, "unknown");
    it.is("dead").await;
    assert_eq!(it.outcome().await, None);
    let path = format!("/admin/outbox/{}/resolve", it.row);
    let resolve = it.app.admin_call("POST", path).by(&it.admin).json(json!({ "notDone": true }));
    let resolved = resolve.header("x-request-id", "req-4711").send().await.with(200).body;
    assert_eq!(resolved["row"]["state"], "waiting", "the relay tells the order");
    let Some(Settlement::Declined { code, .. }) = it.outcome().await else { panic!("{resolved}") };
    assert_eq!(code.as_str(), "resolved_by_operator");

    let kept = resolved["interventions"].as_array().unwrap();
    let kept: Vec<_> = kept.iter().map(|it| (&it["action"], &it["stateBefore"])).collect();
    let expected = [
        ("hold", "ready"),
        ("release", "held"),
        ("retry", "dead"),
        ("hold", "unknown"),
        ("release", "held"),
        ("resolve", "dead"),
    ]
    .map(|(action, before)| (json!(action), json!(before)));
    assert_eq!(kept, expected.iter().map(|(action, before)| (action, before)).collect::<Vec<_>>());
    let last = &resolved["interventions"][5];
    assert_eq!(last["actor"], it.admin.user_id.to_string());
    assert_eq!(last["requestId"], "req-4711");
    let stored: Value = it
        .app
        .database
        .client()
        .await
        .query_one("select actor from outbox_intervention where action = 'resolve'", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(stored, json!({ "admin": it.admin.user_id.to_string() }));
}

#[tokio::test]
async fn a_row_in_another_state_is_left_as_it_is() {
    let it = Waiting::new().await;
    for (state, refused) in [
        ("ready", ["retry", "resolve", "release"].as_slice()),
        ("in_flight", &["retry", "resolve", "hold", "release"]),
        ("waiting", &["resolve", "release"]),
        ("unknown", &["resolve", "release"]),
        ("dead", &["release"]),
        ("held", &["hold"]),
    ] {
        it.is(state).await;
        for action in refused {
            let answer = it.act(action).await.refused(409, "outbox.wrong_state");
            assert!(answer.body["detail"].as_str().unwrap().contains(state), "{}", answer.body);
        }
        let standing = format!("select count(*) from outbox where state = '{state}'");
        assert_eq!(it.app.count(&standing).await, 1);
    }
    // One that was carried out is known and shown, and nothing can be done about it.
    it.execute(
        "insert into outbox_done (id, aggregate_type, aggregate_id, sequence, effect_index, kind,
                                  payload, correlation_id)
         select id, aggregate_type, aggregate_id, sequence, effect_index, kind, payload,
                correlation_id
         from   outbox;
         update outbox_done set state = 'done'; delete from outbox",
    )
    .await;
    it.act("retry").await.refused(409, "outbox.wrong_state");
    let shown = it.get(&format!("/admin/outbox/{}", it.row)).await.with(200).body;
    assert_eq!(shown["row"]["state"], "done");
    assert_eq!(it.app.count("select count(*) from outbox_intervention").await, 0);
}

#[tokio::test]
async fn an_unknown_row_and_an_unconfirmed_resolution_are_refused() {
    let mut it = Waiting::new().await;
    it.is("dead").await;
    let resolve = async |body: Value| {
        let path = format!("/admin/outbox/{}/resolve", it.row);
        it.app.admin_call("POST", path).by(&it.admin).json(body).send().await
    };
    resolve(json!({ "notDone": false })).await.refused(422, "request.invalid");
    resolve(json!({})).await.refused(400, "request.malformed_body");
    resolve(json!({ "notDone": true, "force": true })).await.refused(400, "request.malformed_body");
    assert_eq!(it.outcome().await, None);

    it.row = Uuid::now_v7();
    for action in ["retry", "resolve", "hold", "release"] {
        it.act(action).await.refused(404, "outbox.not_found");
    }
    it.get(&format!("/admin/outbox/{}", it.row)).await.refused(404, "outbox.not_found");
    let refused = it.get("/admin/outbox/nonsense").await;
    let refused = refused.refused(400, "request.malformed_parameter");
    assert_eq!(refused.body["errors"][0]["pointer"], "path");
}

#[tokio::test]
async fn payments_that_need_somebody_are_told() {
    let it = Waiting::new().await;
    let none = it.get("/admin/payments/differences").await.with(200).body;
    assert_eq!(none, json!({ "differences": [] }));
    let none = it.get("/admin/payments/unresolved").await.with(200).body;
    assert_eq!(none, json!({ "payments": [], "refunds": [] }));

    // As the worker's reactions fold them from the log.
    let order = it.order;
    let other = Uuid::now_v7();
    it.execute(&format!(
        r#"insert into payment_difference values
             ('{order}', 1, 'cancelled', '0', '5000', '2026-11-23T18:40:07Z', '2026-11-24T18:40:07Z', null),
             ('{order}', 1, 'status', 'PAID', 'REFUNDED', now(), now(), now());
           insert into payment_index (order_id, attempt, state, since, not_before) values
             ('{order}', 1, 'unresolved', '2026-11-23T03:00:00Z', '2026-11-23T04:00:00Z'),
             ('{other}', 1, 'approving', now(), now()),
             ('{other}', 2, 'approved', '2026-11-23T03:00:00Z', now());
           update outbox set kind = 'payment_approve', state = 'dead', last_error = 'mismatch',
             payload = '{{"payment_approve": {{"terms": {{"attempt": 1}}}}}}'"#
    ))
    .await;
    let found = it.get("/admin/payments/differences").await.with(200).body;
    let expected = json!({
        "orderId": order.to_string(), "attempt": 1, "kind": "cancelled",
        "ours": "0", "theirs": "5000",
        "foundAt": "2026-11-24T03:40:07+09:00", "changedAt": "2026-11-25T03:40:07+09:00",
    });
    assert_eq!(found["differences"], json!([expected]));
    let found = it.get("/admin/payments/unresolved").await.with(200).body;
    let expected = json!({
        "orderId": order.to_string(), "attempt": 1, "state": "unresolved",
        "since": "2026-11-23T12:00:00+09:00", "nextLookUpAt": "2026-11-23T13:00:00+09:00",
        "rowId": it.row.to_string(), "rowState": "dead", "lastError": "mismatch",
    });
    assert_eq!(found["payments"], json!([expected]));
}

#[tokio::test]
async fn refunds_that_the_shop_owes_and_keys_that_are_missing_are_listed() {
    let it = Waiting::new().await;
    let none = it.get("/admin/refunds/open").await.with(200).body;
    assert_eq!(none, json!({ "refunds": [] }));
    let none = it.get("/admin/billing-keys/missing").await.with(200).body;
    assert_eq!(none, json!({ "keys": [] }));

    let order = it.order;
    let [dead, refused, young, key, user] = [(); 5].map(|()| Uuid::now_v7());
    it.execute(&format!(
        r#"insert into refund_index values
             ('{dead}', '{order}', 1, 2000, 'pending', false, null, now(), '2026-11-27', now(), now(), 3, 3),
             ('{young}', '{order}', 1, 500, 'pending', false, null, now(), '2026-11-27', now(), now(), 4, 4),
             ('{refused}', '{order}', 2, 27000, 'refused', true, '-401', '2026-11-23T03:00:00Z',
              '2026-11-26', '2026-11-23T04:00:00Z', null, 5, 6);
           update outbox set kind = 'payment_cancel', state = 'dead', last_error = 'look_up_failed',
             payload = '{{"payment_cancel": {{"refund_id": "{dead}"}}}}';
           insert into billing_keys (billing_key_id, user_id, state, created_at) values
             ('{key}', '{user}', 'missing', '2026-11-23T03:00:00Z')"#
    ))
    .await;
    let found = it.get("/admin/refunds/open").await.with(200).body;
    let expected = json!({
        "refundId": refused.to_string(), "orderId": order.to_string(), "attempt": 2,
        "amount": 27000, "state": "refused", "isAutomatic": true, "code": "-401",
        "requestedAt": "2026-11-23T12:00:00+09:00", "since": "2026-11-23T13:00:00+09:00",
        "dueOn": "2026-11-26",
    });
    assert_eq!(found["refunds"][0], expected);
    let second = &found["refunds"][1];
    assert_eq!(second["refundId"], dead.to_string(), "{found}");
    assert_eq!((&second["rowState"], &second["dueOn"]), (&json!("dead"), &json!("2026-11-27")));
    assert_eq!(found["refunds"].as_array().unwrap().len(), 2, "what has just begun waits for none");
    let found = it.get("/admin/payments/unresolved").await.with(200).body;
    assert_eq!(found["refunds"], json!([second]));
    let found = it.get("/admin/billing-keys/missing").await.with(200).body;
    let expected = json!({
        "billingKeyId": key.to_string(), "userId": user.to_string(),
        "since": "2026-11-23T12:00:00+09:00",
    });
    assert_eq!(found["keys"], json!([expected]));
}
