//! What only PostgreSQL can get wrong: the guards of the schema, packs, and the framework's door.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use cqrs_es::{AggregateError, CqrsFramework, EventStore};
use domain::Fact;
use event_store::{DispatchError, PgEventStore, StoreError, StoreSizes, outbox_id};
use service_kit::config::Secret;
use support::{FORGETFUL, PATIENT, Tally, TallyClosed, TallyCommand, TallyEvent, executor, plain};
use testkit::{TestDatabase, eventually};
use tokio::task::JoinSet;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

async fn world() -> (TestDatabase, Arc<PgEventStore>) {
    let database = TestDatabase::fresh().await;
    let store =
        PgEventStore::open(&Secret::new(database.url.clone()), StoreSizes::default()).unwrap();
    (database, store)
}

#[tokio::test]
async fn the_log_refuses_to_be_changed() {
    let (database, store) = world().await;
    executor(&store, PATIENT)
        .dispatch(Uuid::now_v7(), TallyCommand::Raise(vec![1]), plain())
        .await
        .unwrap();
    let client = database.client().await;

    for change in ["update events set sequence = 9", "delete from events", "truncate events"] {
        let error = client.batch_execute(change).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "PV004", "{change}");
    }
}

/// A reader can't go on behind an id that it can't read. Seen to fail without
/// `events_stream_id_is_uuid`: the event was recorded, and every read model stopped at it.
#[tokio::test]
async fn an_event_of_a_stream_whose_id_is_no_uuid_is_refused() {
    let (database, _store) = world().await;
    let client = database.client().await;
    let append = "select positions from append_events_after(gen_random_uuid(), 'tally', $1, 0, null, \
                  array['TallyClosed'], array['1'], array['null']::jsonb[], '{}'::jsonb)";
    for id in [
        "x",
        "",
        "01939F5E-0000-7000-8000-00000000000A",
        "01939f5e000070008000000000000001",
        "{01939f5e-0000-7000-8000-000000000001}",
    ] {
        let error = client.query_one(append, &[&id]).await.expect_err(id);
        let code = error.code().map(SqlState::code);
        assert!(matches!(code, Some("22P02" | "23514")), "{id}: {error:?}");
    }
    let id = "01939f5e-0000-7000-8000-000000000001";
    client.query_one(append, &[&id]).await.unwrap();
}

#[tokio::test]
async fn a_service_can_append_and_read_and_nothing_else() {
    let (database, _store) = world().await;
    let client = database.client().await;
    client.batch_execute("set role pillivery_service").await.unwrap();

    // The second is the name by which the release before this one appends.
    for append in [
        "select positions from append_events_after(gen_random_uuid(), 'tally', \
         '01939f5e-0000-7000-8000-000000000001', 0, null, \
         array['TallyClosed'], array['1'], array['null']::jsonb[], '{}'::jsonb)",
        "select positions from append_events(gen_random_uuid(), 'tally', \
         '01939f5e-0000-7000-8000-000000000001', 1, \
         array['TallyClosed'], array['1'], array['null']::jsonb[], '{}'::jsonb)",
        "select positions from append_pack(array[gen_random_uuid()], array['tally'], \
         array['01939f5e-0000-7000-8000-000000000001'], array[2], array['{}']::jsonb[], array[1], array[1], array['TallyClosed'], array['1'], \
         array['null']::jsonb[])",
    ] {
        let positions: Vec<i64> = client.query_one(append, &[]).await.unwrap().get(0);
        assert_eq!(positions.len(), 1, "{append}");
    }
    client.query("select * from events", &[]).await.unwrap();
    client.query("select * from events_with_identity", &[]).await.unwrap();
    for forbidden in [
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, \
         payload, metadata) values ('tally', 'y', 1, 'TallyClosed', '1', 'null', '{}')",
        "update events set sequence = 9",
        "delete from events",
        "truncate events",
        "alter table events disable trigger all",
        "select nextval('event_position')",
        "insert into unique_claims values ('k', 'n', 'tally', 'x')",
        "drop table events",
    ] {
        let error = client.batch_execute(forbidden).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{forbidden}");
    }
}

#[tokio::test]
async fn a_unique_violation_of_another_table_is_no_conflict() {
    let (database, store) = world().await;
    let id = Uuid::now_v7();
    let squatter = "insert into outbox (id, aggregate_type, aggregate_id, sequence, effect_index, \
                    kind, payload, correlation_id) values ($1, 'x', 'x', 1, 0, 'x', '{}', 'x')";
    let taken = outbox_id("tally", id, 1, 1);
    database.client().await.execute(squatter, &[&taken]).await.unwrap();

    let outcome = executor(&store, PATIENT).dispatch(id, TallyCommand::AskForCalls, plain()).await;

    assert!(matches!(outcome, Err(DispatchError::Store(StoreError::Database(_)))), "{outcome:?}");
    assert_eq!(executor(&store, PATIENT).load(id).await.unwrap().version, 0);
}

#[tokio::test]
async fn an_absent_database_is_said_to_be_unavailable() {
    let url = format!("postgres://nobody@127.0.0.1:{}/nothing", testkit::free_port());
    let store = PgEventStore::open(&Secret::new(url), StoreSizes::default()).unwrap();

    let outcome = executor(&store, PATIENT)
        .dispatch(Uuid::now_v7(), TallyCommand::Raise(vec![1]), plain())
        .await;

    assert!(
        matches!(&outcome, Err(DispatchError::Store(error)) if error.is_transient()),
        "{outcome:?}"
    );
}

/// Somebody holds an uncommitted event of one stream; a pack that meets it must not wait with all
/// its commands. Without the fall-back to single calls in `packer::carry` (checked by answering
/// every ticket of a failed pack with the failure) the other streams fail too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_hangs_does_not_take_its_company_along() {
    let (database, store) = world().await;
    let hung = Uuid::now_v7();
    let mut holder = database.client().await;
    let transaction = holder.transaction().await.unwrap();
    let insert = "insert into events (aggregate_type, aggregate_id, sequence, event_type, \
                  event_version, payload, metadata) \
                  values ('tally', $1, 1, 'TallyClosed', '1', 'null', '{}')";
    transaction.execute(insert, &[&hung.to_string()]).await.unwrap();

    let executor = executor(&store, PATIENT);
    let waiting = {
        let executor = executor.clone();
        let raise = TallyCommand::Raise(vec![1]);
        tokio::spawn(async move { executor.dispatch(hung, raise, plain()).await })
    };
    let mut crowd = JoinSet::new();
    for _ in 0..50 {
        let executor = executor.clone();
        let raise = TallyCommand::Raise(vec![1]);
        crowd.spawn(async move { executor.dispatch(Uuid::now_v7(), raise, plain()).await });
    }

    for outcome in crowd.join_all().await {
        assert_eq!(outcome.unwrap().version, 1);
    }
    assert!(!waiting.is_finished());
    transaction.rollback().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().version, 1);
}

/// Commands with a key travel in packs too, and each key counts once, in whatever company its
/// repetition comes. Without `v_left_out` in `append_pack` (checked by leaving it empty) a repetition
/// that meets its first hearing is written a second time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_counts_once_in_whatever_pack_it_travels() {
    const STREAMS: usize = 60;
    let (database, store) = world().await;
    let executor = executor(&store, PATIENT);
    let mut crowd = JoinSet::new();
    for number in 0..STREAMS {
        // Every key is sent for two streams, as a double click on "order" does.
        for _ in 0..2 {
            let executor = executor.clone();
            let context = support::keyed(&format!("key-{number}"), "digest");
            let raise = TallyCommand::Raise(vec![1, 2]);
            crowd.spawn(async move { executor.dispatch(Uuid::now_v7(), raise, context).await });
        }
    }
    let answers = crowd.join_all().await;
    let replayed = answers.iter().filter(|it| it.as_ref().unwrap().replayed.is_some()).count();
    assert_eq!(replayed, STREAMS);
    let client = database.client().await;
    let count = |sql: &'static str| client.query_one(sql, &[]);
    let events: i64 = count("select count(*) from events").await.unwrap().get(0);
    let receipts: i64 = count("select count(*) from command_receipts").await.unwrap().get(0);
    assert_eq!((events, receipts), (120, 60), "two events and a receipt a key");
}

/// A command whose stream has moved on is left out of its pack, and so is its receipt. Without the
/// delete in `append_pack` (checked by removing it) the command is taken for its own repetition when
/// it is sent again, and is never carried out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_left_out_of_its_pack_leaves_no_receipt() {
    const STREAMS: usize = 60;
    let (_database, store) = world().await;
    let (behind, ahead) = (executor(&store, PATIENT), executor(&store, PATIENT));
    let streams: Vec<Uuid> = (0..STREAMS).map(|_| Uuid::now_v7()).collect();
    let raise = || TallyCommand::Raise(vec![1]);
    for stream in &streams {
        behind.dispatch(*stream, raise(), plain()).await.unwrap();
        ahead.dispatch(*stream, raise(), plain()).await.unwrap();
    }
    let mut crowd = JoinSet::new();
    for (number, stream) in streams.into_iter().enumerate() {
        let behind = behind.clone();
        let context = support::keyed(&format!("key-{number}"), "digest");
        crowd.spawn(async move { behind.dispatch(stream, raise(), context).await });
    }
    for outcome in crowd.join_all().await {
        let recorded = outcome.unwrap();
        assert_eq!((recorded.version, recorded.replayed), (3, None));
    }
}

#[tokio::test]
async fn the_framework_works_on_our_log() {
    let (_database, store) = world().await;
    let framework = CqrsFramework::<Tally, PgEventStore>::new(store.as_ref().clone(), vec![], ());
    let id = Uuid::now_v7();

    framework.execute(&id.to_string(), TallyCommand::Raise(vec![1, 2])).await.unwrap();
    framework.execute(&id.to_string(), TallyCommand::Close).await.unwrap();
    let refused = framework.execute(&id.to_string(), TallyCommand::Close).await;

    assert!(matches!(refused, Err(AggregateError::UserError(TallyClosed))), "{refused:?}");
    let loaded = executor(&store, FORGETFUL).load(id).await.unwrap();
    assert_eq!((loaded.version, loaded.state), (3, Tally { sum: 3, closed: true }));
    let events = EventStore::<Tally>::load_events(store.as_ref(), &id.to_string()).await.unwrap();
    assert_eq!(events[1].payload, Fact(TallyEvent::Raised { by: 2 }));
    assert_eq!(events[2].sequence, 3);
}

#[tokio::test]
async fn the_framework_is_told_of_a_conflict() {
    let (_database, store) = world().await;
    let id = Uuid::now_v7();
    let old = EventStore::<Tally>::load_aggregate(store.as_ref(), &id.to_string()).await.unwrap();
    executor(&store, PATIENT).dispatch(id, TallyCommand::Close, plain()).await.unwrap();

    let outcome = EventStore::<Tally>::commit(
        store.as_ref(),
        vec![Fact(TallyEvent::Raised { by: 1 })],
        old,
        std::collections::HashMap::new(),
    )
    .await;

    assert!(matches!(outcome, Err(AggregateError::AggregateConflict)));
}

/// Whether its time is over is for the clock that set it: with the caller's clock (seen so) a worker
/// that is far ahead removes receipts that are still needed.
#[tokio::test]
async fn receipts_are_forgotten_when_their_time_is_over() {
    let (database, store) = world().await;
    let client = database.client().await;
    let id = Uuid::now_v7();
    let executor = executor(&store, PATIENT);
    let raise = || TallyCommand::Raise(vec![1]);
    executor.dispatch(id, raise(), support::keyed("k", "d")).await.unwrap();

    assert_eq!(store.forget_receipts(10).await.unwrap(), 0);
    let expire = "update command_receipts set expires_at = clock_timestamp()";
    client.execute(expire, &[]).await.unwrap();
    assert_eq!(store.forget_receipts(10).await.unwrap(), 1);

    let again = executor.dispatch(id, raise(), support::keyed("k", "d")).await.unwrap();
    assert_eq!((again.replayed, again.version), (None, 2));
}

/// The receipt that kept the repetition from being recorded is removed before it is read. Without the
/// loop in `append_events_after` (seen so with a read that must find a row) the repetition ends with
/// P0002 and an answer of 500.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_removed_under_a_repetition_is_as_if_it_had_expired() {
    let (database, store) = world().await;
    let keeper = database.client().await;
    let id = Uuid::now_v7();
    let executor = executor(&store, PATIENT);
    let raise = || TallyCommand::Raise(vec![1]);
    executor.dispatch(id, raise(), support::keyed("k", "d")).await.unwrap();
    // A trigger of a statement runs although the statement inserted nothing.
    let gate = "create function wait_at_gate() returns trigger language plpgsql as $$
                begin
                  perform pg_advisory_xact_lock_shared(4711);
                  return null;
                end $$;
                create trigger gate after insert on command_receipts
                for each statement execute function wait_at_gate();
                select pg_advisory_lock(4711)";
    keeper.batch_execute(gate).await.unwrap();
    let repetition = {
        let executor = executor.clone();
        tokio::spawn(async move { executor.dispatch(id, raise(), support::keyed("k", "d")).await })
    };
    let waiting = "select from pg_locks l join pg_stat_activity a using (pid) \
                   where l.locktype = 'advisory' and not l.granted \
                     and a.datname = current_database()";
    eventually(Duration::from_secs(10), || async {
        keeper.query_opt(waiting, &[]).await.unwrap().map(|_| ())
    })
    .await;
    keeper.batch_execute("delete from command_receipts").await.unwrap();
    keeper.batch_execute("select pg_advisory_unlock(4711)").await.unwrap();

    let recorded = repetition.await.unwrap().unwrap();

    assert_eq!((recorded.replayed, recorded.version), (None, 2));
}

#[tokio::test]
async fn the_store_comes_back_with_its_database() {
    let (database, store) = world().await;
    let executor = executor(&store, PATIENT);
    let id = Uuid::now_v7();
    executor.dispatch(id, TallyCommand::Raise(vec![1]), plain()).await.unwrap();
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity \
                where datname = current_database() and pid <> pg_backend_pid()";
    database.client().await.execute(kill, &[]).await.unwrap();

    let version = eventually(Duration::from_secs(10), || async {
        executor.dispatch(id, TallyCommand::RaiseTo(2), plain()).await.ok()
    })
    .await
    .version;

    assert_eq!(version, 2);
}
