//! A connection lost while its commit is under way: the outcome is found out, never guessed.
//!
//! A gate in the database (a trigger that runs at commit and waits for an advisory lock) holds the
//! commit until the test lets it go on, so each schedule is exact. Without `Single::resolve`
//! (checked by answering `OutcomeUnknown` at once) every test here fails.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use event_store::{CommandContext, DispatchError, PgEventStore, Recorded, StoreError, StoreSizes};
use service_kit::config::Secret;
use service_kit::pools::{self, PoolSettings};
use support::{PATIENT, Tally, TallyClosed, TallyCommand, executor, keyed, plain};
use testkit::{ChaosProxy, TestDatabase, eventually};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(10);
const GATE: i64 = 4711;

/// What a server lets requests finish in: reaching it means that something hangs.
const HANGS: Duration = service_kit::http::DRAIN_WAIT_MAX;

type Dispatched = Result<Recorded<Tally>, DispatchError<TallyClosed>>;

struct World {
    database: TestDatabase,
    proxy: ChaosProxy,
    store: Arc<PgEventStore>,
    /// Holds the gate shut.
    keeper: deadpool_postgres::Client,
    id: Uuid,
}

impl World {
    /// A store whose appends go through a proxy, and a gate before every commit that writes events.
    /// Loads go past the proxy, so that a command can be decided again at once.
    async fn with_gate_shut() -> Self {
        let database = TestDatabase::fresh().await;
        let keeper = database.client().await;
        keeper
            .batch_execute(
                "create function wait_at_gate() returns trigger language plpgsql as $$
                 begin
                   perform pg_advisory_xact_lock_shared(4711);
                   return null;
                 end $$;
                 create constraint trigger gate after insert on events
                 deferrable initially deferred for each row execute function wait_at_gate();

                 create table refusing (sqlstate text);
                 create sequence refusals;
                 create function refuse_if_told() returns trigger language plpgsql security definer as $$
                 declare v_sqlstate text := (select r.sqlstate from public.refusing r);
                 begin
                   if v_sqlstate is not null then
                     perform nextval('public.refusals');
                     raise exception 'refused by the test' using errcode = v_sqlstate;
                   end if;
                   return null;
                 end $$;
                 create trigger refuse before insert on events
                 for each statement execute function refuse_if_told()",
            )
            .await
            .unwrap();
        keeper.execute("select pg_advisory_lock($1)", &[&GATE]).await.unwrap();
        let (proxy, url) = ChaosProxy::before(&database.url).await;
        let settings = PoolSettings::named("event-store");
        let appends = pools::postgres(&Secret::new(url), &settings).unwrap();
        let loads = sqlx::PgPool::connect_lazy(&database.url).unwrap();
        let store = PgEventStore::connect(appends, loads);
        Self { database, proxy, store, keeper, id: Uuid::now_v7() }
    }

    fn raise(&self, context: CommandContext<Tally>) -> JoinHandle<Dispatched> {
        self.dispatch(TallyCommand::Raise(vec![1, 2]), context)
    }

    fn dispatch(
        &self,
        command: TallyCommand,
        context: CommandContext<Tally>,
    ) -> JoinHandle<Dispatched> {
        let (executor, id) = (executor(&self.store, PATIENT), self.id);
        tokio::spawn(async move { executor.dispatch(id, command, context).await })
    }

    /// From here on the database refuses to insert events; what was inserted stays under way.
    async fn refuse_inserts(&self, sqlstate: &str) {
        self.keeper.execute("insert into refusing values ($1)", &[&sqlstate]).await.unwrap();
    }

    async fn accept_inserts(&self) {
        self.keeper.execute("delete from refusing", &[]).await.unwrap();
    }

    async fn has_refused(&self) {
        let count = "select is_called from refusals";
        eventually(SOON, || async {
            let is_called = self.keeper.query_one(count, &[]).await.unwrap().get(0);
            if is_called { Some(()) } else { None }
        })
        .await;
    }

    /// Returns the backend that waits at the gate, once one does.
    async fn arrived_at_gate(&self) -> i32 {
        self.waiter("advisory").await
    }

    /// Returns a backend of this database that waits for a lock of this kind, once one does.
    /// Locks are seen across databases, and other tests run beside this one.
    async fn waiter(&self, kind: &str) -> i32 {
        let look = "select l.pid from pg_locks l join pg_stat_activity a using (pid) \
                    where l.locktype = $1 and not l.granted and a.datname = current_database() \
                    limit 1";
        eventually(SOON, || async {
            self.keeper.query_opt(look, &[&kind]).await.unwrap().map(|row| row.get(0))
        })
        .await
    }

    async fn open_gate(&self) {
        self.keeper.execute("select pg_advisory_unlock($1)", &[&GATE]).await.unwrap();
    }

    async fn terminate(&self, pid: i32) {
        self.keeper.execute("select pg_terminate_backend($1)", &[&pid]).await.unwrap();
    }

    async fn written(&self) -> i64 {
        let count = "select count(*) from events where aggregate_id = $1";
        let client = self.database.client().await;
        client.query_one(count, &[&self.id.to_string()]).await.unwrap().get(0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_was_cut_off_is_recognised() {
    let mut world = World::with_gate_shut().await;
    let dispatched = world.raise(plain());
    world.arrived_at_gate().await;
    world.proxy.cut().await;
    world.open_gate().await;
    eventually(SOON, || async { (world.written().await == 2).then_some(()) }).await;
    world.proxy.pass().await;

    let recorded = dispatched.await.unwrap().unwrap();

    assert_eq!((recorded.version, recorded.replayed), (2, None));
    assert!(recorded.position.is_some());
    assert_eq!(world.written().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_still_under_way_is_waited_for() {
    let mut world = World::with_gate_shut().await;
    let dispatched = world.raise(plain());
    world.arrived_at_gate().await;
    world.proxy.cut().await;
    world.proxy.pass().await;
    // The second hearing waits at the primary key for the first.
    world.waiter("transactionid").await;
    world.open_gate().await;

    let recorded = dispatched.await.unwrap().unwrap();

    assert_eq!(recorded.version, 2);
    assert_eq!(world.written().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_died_with_its_backend_is_made_again() {
    let world = World::with_gate_shut().await;
    let dispatched = world.raise(plain());
    let first = world.arrived_at_gate().await;
    world.terminate(first).await;
    let second = eventually(SOON, || async {
        let pid = world.arrived_at_gate().await;
        (pid != first).then_some(pid)
    })
    .await;
    assert_ne!(first, second);
    world.open_gate().await;

    let recorded = dispatched.await.unwrap().unwrap();

    assert_eq!((recorded.version, recorded.state.sum), (2, 3));
    assert_eq!(world.written().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_of_the_lost_commit_is_our_own_and_no_replay() {
    let mut world = World::with_gate_shut().await;
    let dispatched = world.raise(keyed("k", "d"));
    world.arrived_at_gate().await;
    world.proxy.cut().await;
    world.open_gate().await;
    eventually(SOON, || async { (world.written().await == 2).then_some(()) }).await;
    world.proxy.pass().await;

    let recorded = dispatched.await.unwrap().unwrap();

    assert_eq!((recorded.version, recorded.replayed), (2, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_another_took_in_the_meantime_is_decided_again() {
    let world = World::with_gate_shut().await;
    let dispatched = world.raise(plain());
    let first = world.arrived_at_gate().await;
    let rival = "insert into events (aggregate_type, aggregate_id, sequence, event_type, \
                 event_version, payload, metadata) \
                 values ('tally', $1, 1, 'TallyRaised', '1', '{\"by\": 10}', '{}')";
    let (client, id) = (world.database.client().await, world.id.to_string());
    // Waits at the primary key for ours, and goes first when ours dies.
    let rival = tokio::spawn(async move { client.execute(rival, &[&id]).await });
    world.waiter("transactionid").await;
    world.terminate(first).await;
    eventually(SOON, || async {
        let pid = world.arrived_at_gate().await;
        (pid != first).then_some(())
    })
    .await;
    world.open_gate().await;
    rival.await.unwrap().unwrap();

    let recorded = dispatched.await.unwrap().unwrap();

    assert_eq!((recorded.version, recorded.state.sum), (3, 13));
    assert_eq!(world.written().await, 3);
}

/// A question about the first append that the database refuses is no answer: the first one may be
/// under way still, and is committed here after the refusal. With a refusal taken for an answer (seen
/// so in `Single::resolve`) the command is decided again and carried out twice after a deadlock, and
/// reported as not carried out after a full disk.
async fn a_refused_question_is_no_answer(sqlstate: &str) {
    let mut world = World::with_gate_shut().await;
    let dispatched = world.raise(plain());
    world.arrived_at_gate().await;
    world.refuse_inserts(sqlstate).await;
    world.proxy.cut().await;
    world.proxy.pass().await;
    world.has_refused().await;
    world.accept_inserts().await;
    world.waiter("transactionid").await;
    world.open_gate().await;

    let recorded = dispatched.await.unwrap().unwrap();

    assert_eq!((recorded.version, recorded.state.sum), (2, 3));
    assert_eq!(world.written().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_of_the_question_is_no_answer() {
    a_refused_question_is_no_answer("40P01").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_met_by_the_question_is_no_answer() {
    a_refused_question_is_no_answer("53100").await;
}

/// Bounded, and not called rolled back, although every question was refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_stays_under_way_ends_as_unknown() {
    for sqlstate in [None, Some("40P01"), Some("25006")] {
        let mut world = World::with_gate_shut().await;
        let dispatched = world.raise(plain());
        world.arrived_at_gate().await;
        if let Some(sqlstate) = sqlstate {
            world.refuse_inserts(sqlstate).await;
        }
        world.proxy.cut().await;
        world.proxy.pass().await;

        let answer = timeout(HANGS, dispatched).await.unwrap().unwrap();
        world.open_gate().await;

        assert!(
            matches!(answer, Err(DispatchError::Store(StoreError::OutcomeUnknown))),
            "{sqlstate:?}: {answer:?}"
        );
        eventually(SOON, || async { (world.written().await == 2).then_some(()) }).await;
    }
}

/// The first append took a name that was released and taken by another stream before the question
/// was asked. Without the look for the append's own events after every refusal (seen so in
/// `Single::resolve`) the command is reported as refused although it was carried out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_given_away_since_does_not_undo_its_append() {
    let mut world = World::with_gate_shut().await;
    let name = || "digest".to_owned();
    let dispatched = world.dispatch(TallyCommand::Name(name()), plain());
    world.arrived_at_gate().await;
    world.proxy.cut().await;
    world.open_gate().await;
    eventually(SOON, || async { (world.written().await == 1).then_some(()) }).await;
    let url = Secret::new(world.database.url.clone());
    let elsewhere = executor(&PgEventStore::open(&url, StoreSizes::default()).unwrap(), PATIENT);
    elsewhere.dispatch(world.id, TallyCommand::Unname(name()), plain()).await.unwrap();
    elsewhere.dispatch(Uuid::now_v7(), TallyCommand::Name(name()), plain()).await.unwrap();
    world.proxy.pass().await;

    let recorded = dispatched.await.unwrap().unwrap();

    assert_eq!(recorded.version, 1);
}
