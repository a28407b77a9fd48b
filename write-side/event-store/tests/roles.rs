//! What each role of the database may not do, statement by statement, and who owns what.
//!
//! What each may do is shown by the tests of the processes, which log in as they do in production.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

use testkit::{Login, TestDatabase};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

async fn logged_in(database: &TestDatabase, login: Login) -> Client {
    let (client, connection) =
        tokio_postgres::connect(&database.url_as(login), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Refused to every process, whatever it is.
const NOBODY: [&str; 13] = [
    "update feed_position set safe = 1000000",
    "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
     metadata) values ('order', 'y', 1, 'PaymentApproved', '1', 'null', '{}')",
    "update events set sequence = 9",
    "delete from events",
    "truncate events",
    "alter table events disable trigger all",
    "drop trigger events_are_for_ever on events",
    "drop table events",
    "select nextval('event_position')",
    "insert into unique_claims values ('k', 'n', 'user', 'x')",
    "create table public.mine (id int)",
    "create function public.now() returns int language sql as 'select 1'",
    "set role pillivery_migrator",
];

/// What tempts a process that is not the writer.
const ACCOUNTS: [&str; 4] = [
    "insert into credentials values (gen_random_uuid(), 'x', 'ADMIN', 0, null, now(), now())",
    "update credentials set role = 'ADMIN'",
    "select * from credentials",
    "delete from user_keys",
];

const APPENDS: [&str; 3] = [
    "select append_events_after(gen_random_uuid(), 'order', 'x', 0, null, array['PaymentApproved'], \
     array['1'], array['null']::jsonb[], '{}'::jsonb)",
    "select append_events(gen_random_uuid(), 'order', 'x', 0, array['PaymentApproved'], array['1'], \
     array['null']::jsonb[], '{}'::jsonb)",
    "select append_pack_after(array[gen_random_uuid()], array['order'], array['x'], array[0], \
     array[null::uuid], array['{}']::jsonb[], array[1], array[1], array['PaymentApproved'], \
     array['1'], array['null']::jsonb[])",
];

const OUTBOX: [&str; 4] = [
    "select * from outbox",
    "update outbox set state = 'done'",
    "select * from billing_keys",
    "delete from gateway_breaker",
];

const READ_MODELS: [&str; 4] = [
    "update read_model.order_history_v1 set status = 'PAID'",
    "delete from read_model.projection_shard",
    "drop view read_model.order_history",
    "create table read_model.mine (id int)",
];

/// Of the writer: no row of the outbox or of the worker's tables appears or goes by its hand, none is made
/// another effect, and no account becomes an administrator's.
const WRITER: [&str; 12] = [
    "update outbox set payload = '{}'",
    "update outbox set kind = 'payment_cancel'",
    "update outbox set lease_owner = 'me'",
    "update credentials set role = 'ADMIN'",
    "update credentials set password_hash = 'x'",
    "update parked_reaction set position = 1",
    "insert into outbox (id) values (gen_random_uuid())",
    "delete from outbox",
    "update billing_keys set state = 'inactive'",
    "update payment_index set state = 'ended'",
    "select * from read_model.order_history",
    "delete from command_receipts",
];

/// Of the worker: what an effect is, whose a key is and which payment an index means stay as they are.
const WORKER: [&str; 15] = [
    "update outbox set payload = '{}'",
    "update outbox set kind = 'payment_cancel'",
    "update outbox set aggregate_id = 'x'",
    "update outbox set correlation_id = 'x'",
    "update billing_keys set user_id = gen_random_uuid()",
    "update reaction_checkpoint set name = 'x'",
    "update payment_difference set order_id = gen_random_uuid()",
    "update parked_reaction set event_type = 'x'",
    "update order_expiry set order_id = gen_random_uuid()",
    "update payment_index set order_id = gen_random_uuid()",
    "update refund_index set amount = 1",
    "update gateway_breaker set worker = 'x'",
    "select * from read_model.order_history",
    "insert into user_keys values (gen_random_uuid(), '')",
    "insert into outbox (id) values (gen_random_uuid())",
];

const READER: [&str; 3] = [
    "select * from events",
    "select publish_safe_position(1)",
    "insert into user_keys values (gen_random_uuid(), '')",
];

const PROJECTOR: [&str; 3] = [
    "select * from user_keys",
    "update item_views_daily set visitors = 0",
    "drop table item_views_daily",
];

/// A position past the log makes every reader skip what is recorded up to there. Seen to fail without the
/// comparison with `event_position` in `publish_safe_position`: the log of 40 events was settled up to 41.
#[tokio::test]
async fn the_safe_position_goes_neither_back_nor_past_the_log() {
    let database = TestDatabase::fresh().await;
    let owner = database.client().await;
    owner.batch_execute("select setval('event_position', 40)").await.unwrap();
    let publish = "select publish_safe_position($1)";
    for login in [Login::Writer, Login::Worker, Login::Projector] {
        let client = logged_in(&database, login).await;
        for (given, stands) in [(30_i64, 30_i64), (20, 30), (30, 30)] {
            let row = client.query_one(publish, &[&given]).await.unwrap();
            assert_eq!(row.get::<_, i64>(0), stands, "{login:?}: {given}");
        }
        let error = client.query_one(publish, &[&41_i64]).await.unwrap_err();
        assert_eq!(error.code().map(SqlState::code), Some("PV006"), "{login:?}: {error:?}");
    }
    let row = owner.query_one("select safe from feed_position", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 30);
}

/// Before the roles, one login of `pillivery_service` could do all but the first list.
#[tokio::test]
async fn each_role_is_refused_what_it_has_no_need_of() {
    let database = TestDatabase::fresh().await;
    let refused: [(Login, &[&[&str]]); 4] = [
        (Login::Writer, &[&NOBODY, &READ_MODELS, &WRITER]),
        (Login::Worker, &[&NOBODY, &ACCOUNTS, &READ_MODELS, &WORKER]),
        (Login::Projector, &[&NOBODY, &ACCOUNTS, &APPENDS[..], &OUTBOX, &PROJECTOR]),
        (Login::Reader, &[&NOBODY, &ACCOUNTS, &APPENDS[..], &OUTBOX, &READ_MODELS, &READER]),
    ];
    for (login, lists) in refused {
        let client = logged_in(&database, login).await;
        for statement in lists.iter().copied().flatten() {
            let error = client.batch_execute(statement).await.expect_err(statement);
            let is_refused = error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
            assert!(is_refused, "{login:?}: {statement}: {error:?}");
        }
    }
}

#[tokio::test]
async fn the_log_belongs_to_the_migrator_and_the_read_models_to_the_projector() {
    let database = TestDatabase::fresh().await;
    let client = database.client().await;
    let owners = "select n.nspname, r.rolname, count(*) \
                  from   pg_class c join pg_namespace n on n.oid = c.relnamespace \
                  join   pg_roles r on r.oid = c.relowner \
                  where  n.nspname in ('public', 'read_model') and c.relkind in ('r', 'v', 'S') \
                  group  by 1, 2 order by 1, 2";
    let found: Vec<(String, String)> = client
        .query(owners, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let expected = [("public", "pillivery_migrator"), ("read_model", "pillivery_projector")];
    assert_eq!(found, expected.map(|(schema, role)| (schema.to_owned(), role.to_owned())));
}

/// A definer's function that looked names up by the caller's path could be made to call the caller's.
#[tokio::test]
async fn a_function_that_runs_as_its_owner_sets_its_own_path() {
    let database = TestDatabase::fresh().await;
    let client = database.client().await;
    let careless = "select p.oid::regprocedure::text from pg_proc p \
                    where p.prosecdef and p.pronamespace = 'public'::regnamespace \
                      and not coalesce(p.proconfig @> array['search_path=pg_catalog, pg_temp'], false)";
    let found: Vec<String> =
        client.query(careless, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(found.is_empty(), "{found:?}");
}

/// Processes of the release before log in as members of `pillivery_service`, and know no schema.
#[tokio::test]
async fn the_release_before_goes_on() {
    let database = TestDatabase::fresh().await;
    let client = database.client().await;
    client.batch_execute("set role pillivery_service").await.unwrap();
    client
        .batch_execute(
            "select * from order_history; update item_by_category set views = 1; \
             update projection_shard set position = 0; select * from projection_position; \
             insert into category_totals_v1 values ('EYE', 1, 1); delete from parked_event; \
             select * from outbox; update outbox set state = 'ready'; \
             delete from user_keys; delete from credentials; \
             update feed_position set safe = 1 where safe < 1",
        )
        .await
        .unwrap();
}
