//! What every store promises, asked of both: memory and PostgreSQL.
//!
//! A test that only one of them passes is a test against a twin that lies.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use contracts::Position;
use event_store::{
    Append, AppendError, DispatchError, EventIdentity, Executor, MemoryStore, NewEvent, Outcome,
    PgEventStore, Store, StoreSizes, outbox_id,
};
use serde_json::json;
use service_kit::config::Secret;
use support::{FORGETFUL, PATIENT, Tally, TallyClosed, TallyCommand, TallyEvent};
use support::{executor, keyed, metadata, plain};
use testkit::{TestDatabase, eventually};
use tokio::task::JoinSet;
use uuid::Uuid;

/// A store, and a look at what it holds beside the events.
trait World: Send + Sync {
    type S: Store<Tally>;
    fn store(&self) -> &Arc<Self::S>;
    fn holder(&self, name: &str) -> impl Future<Output = Option<Uuid>> + Send;
    fn outbox(&self) -> impl Future<Output = Vec<Uuid>> + Send;

    fn executor(&self) -> Executor<Tally> {
        executor(self.store(), PATIENT)
    }
}

struct InMemory(Arc<MemoryStore>);

impl World for InMemory {
    type S = MemoryStore;

    fn store(&self) -> &Arc<MemoryStore> {
        &self.0
    }

    async fn holder(&self, name: &str) -> Option<Uuid> {
        self.0.lookup_claim("tally.name", name).await.unwrap()
    }

    async fn outbox(&self) -> Vec<Uuid> {
        self.0.outbox().iter().map(|row| row.id).collect()
    }
}

struct InPostgres {
    store: Arc<PgEventStore>,
    database: TestDatabase,
}

impl World for InPostgres {
    type S = PgEventStore;

    fn store(&self) -> &Arc<PgEventStore> {
        &self.store
    }

    async fn holder(&self, name: &str) -> Option<Uuid> {
        self.store.lookup_claim("tally.name", name).await.unwrap()
    }

    async fn outbox(&self) -> Vec<Uuid> {
        let select = "select id from outbox order by sequence, effect_index";
        let rows = self.database.client().await.query(select, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

async fn postgres(sizes: StoreSizes) -> InPostgres {
    let database = TestDatabase::fresh().await;
    let store = PgEventStore::open(&Secret::new(database.url.clone()), sizes).unwrap();
    InPostgres { store, database }
}

macro_rules! contract {
    ($($promise:ident,)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise(super::InMemory(std::sync::Arc::default())).await;
            })*
        }
        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise(super::postgres(super::StoreSizes::default()).await).await;
            })*
        }
        mod postgresql_one_by_one {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let sizes = super::StoreSizes { lanes: 0, ..super::StoreSizes::default() };
                super::$promise(super::postgres(sizes).await).await;
            })*
        }
    };
}

contract! {
    a_stream_nobody_wrote_to_is_empty,
    events_come_back_as_they_went_in,
    twenty_parallel_appends_have_one_winner_a_version,
    parallel_commands_all_find_their_place,
    a_version_the_stream_never_reached_is_a_conflict,
    a_repeated_command_is_answered_and_not_repeated,
    a_command_that_its_own_first_hearing_forbids_is_still_answered,
    parallel_repetitions_are_carried_out_once,
    a_key_of_another_request_is_refused,
    a_refused_command_leaves_no_receipt,
    a_command_that_changes_nothing_writes_nothing,
    a_command_that_changes_nothing_is_remembered_under_its_key,
    a_name_has_one_holder,
    a_name_given_back_can_be_taken,
    a_stale_expectation_is_told_the_current_version,
    an_old_memory_costs_a_retry_and_no_more,
    a_refusal_is_checked_against_the_log,
    what_a_memory_missed_is_caught_up,
    a_state_is_proven_by_its_last_event,
    effects_become_outbox_rows_with_lasting_ids,
    an_abandoned_command_is_carried_out,
    a_crowd_of_commands_each_gets_its_own_outcome,
}

async fn a_stream_nobody_wrote_to_is_empty(world: impl World) {
    let loaded = world.executor().load(Uuid::now_v7()).await.unwrap();

    assert_eq!((loaded.version, loaded.state), (0, Tally::default()));
}

async fn events_come_back_as_they_went_in(world: impl World) {
    let id = Uuid::now_v7();
    let executor = world.executor();
    let first = executor.dispatch(id, TallyCommand::Raise(vec![1, 2]), plain()).await.unwrap();
    let second = executor.dispatch(id, TallyCommand::Close, plain()).await.unwrap();

    assert_eq!((first.version, second.version), (2, 3));
    assert!(first.position < second.position);
    let history = world.store().history(id).await.unwrap();
    assert_eq!(
        history.events,
        [TallyEvent::Raised { by: 1 }, TallyEvent::Raised { by: 2 }, TallyEvent::Closed]
    );
    let loaded = executor.load(id).await.unwrap();
    assert_eq!(loaded.state, second.state);
    assert_eq!(loaded.state, Tally { sum: 3, closed: true });
}

fn raising(id: Uuid, expected_version: u64) -> Append {
    let event =
        NewEvent { event_type: "TallyRaised", event_version: 1, payload: r#"{"by":1}"#.to_owned() };
    Append {
        command_id: Uuid::now_v7(),
        aggregate_type: "tally",
        aggregate_id: id,
        expected_version,
        predecessor: None,
        events: vec![event],
        metadata: serde_json::to_string(&metadata()).unwrap(),
        correlation_id: "request-1".to_owned(),
        outbox: vec![],
        claims: vec![],
        receipt: None,
    }
}

async fn twenty_parallel_appends_have_one_winner_a_version(world: impl World) {
    let id = Uuid::now_v7();
    for version in 0..5 {
        let mut crowd = JoinSet::new();
        for _ in 0..20 {
            let store = Arc::clone(world.store());
            crowd.spawn(async move { store.append(raising(id, version)).await });
        }
        let outcomes = crowd.join_all().await;
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let lost = outcomes.iter().filter(|o| matches!(o, Err(AppendError::Conflict))).count();
        assert_eq!((won, lost), (1, 19), "at version {version}: {outcomes:?}");
    }
    assert_eq!(world.store().history(id).await.unwrap().events.len(), 5);
}

async fn parallel_commands_all_find_their_place(world: impl World) {
    let id = Uuid::now_v7();
    let executor = world.executor();
    let mut crowd = JoinSet::new();
    for by in 1..=20 {
        let executor = executor.clone();
        crowd.spawn(async move {
            executor.dispatch(id, TallyCommand::Raise(vec![by]), plain()).await.unwrap().version
        });
    }
    let mut versions = crowd.join_all().await;
    versions.sort_unstable();

    assert_eq!(versions, (1..=20).collect::<Vec<_>>());
    assert_eq!(executor.load(id).await.unwrap().state.sum, 210);
}

async fn a_version_the_stream_never_reached_is_a_conflict(world: impl World) {
    let id = Uuid::now_v7();
    world.store().append(raising(id, 0)).await.unwrap();

    let outcome = world.store().append(raising(id, 5)).await;

    assert!(matches!(outcome, Err(AppendError::Conflict)), "{outcome:?}");
}

async fn a_repeated_command_is_answered_and_not_repeated(world: impl World) {
    let id = Uuid::now_v7();
    let executor = world.executor();
    let raise = TallyCommand::Raise(vec![5, 6]);
    let first = executor.dispatch(id, raise.clone(), keyed("k", "d")).await.unwrap();
    executor.dispatch(id, TallyCommand::Raise(vec![100]), plain()).await.unwrap();

    let second = executor.dispatch(id, raise, keyed("k", "d")).await.unwrap();

    assert_eq!(first.replayed, None);
    assert_eq!(second.replayed, Some(json!({ "sum": 11, "events": 2 })));
    assert_eq!(second.events, first.events);
    assert_eq!((second.version, second.position), (first.version, first.position));
    assert_eq!(executor.load(id).await.unwrap().state.sum, 111);
}

async fn a_command_that_its_own_first_hearing_forbids_is_still_answered(world: impl World) {
    let id = Uuid::now_v7();
    let executor = world.executor();
    executor.dispatch(id, TallyCommand::Close, keyed("k", "d")).await.unwrap();

    let again = executor.dispatch(id, TallyCommand::Close, keyed("k", "d")).await.unwrap();
    let other = executor.dispatch(id, TallyCommand::Close, keyed("l", "d")).await;

    assert!(again.replayed.is_some());
    assert!(matches!(other, Err(DispatchError::Refused(TallyClosed))), "{other:?}");
}

async fn parallel_repetitions_are_carried_out_once(world: impl World) {
    let id = Uuid::now_v7();
    let mut crowd = JoinSet::new();
    for _ in 0..10 {
        let executor = world.executor();
        crowd.spawn(async move {
            executor.dispatch(id, TallyCommand::Raise(vec![7]), keyed("k", "d")).await.unwrap()
        });
    }
    let outcomes = crowd.join_all().await;

    assert_eq!(outcomes.iter().filter(|outcome| outcome.replayed.is_none()).count(), 1);
    assert!(outcomes.iter().all(|outcome| outcome.position == outcomes[0].position));
    assert_eq!(world.executor().load(id).await.unwrap().state.sum, 7);
}

async fn a_key_of_another_request_is_refused(world: impl World) {
    let id = Uuid::now_v7();
    let executor = world.executor();
    executor.dispatch(id, TallyCommand::Raise(vec![1]), keyed("k", "d")).await.unwrap();

    let outcome = executor.dispatch(id, TallyCommand::Raise(vec![2]), keyed("k", "e")).await;

    assert!(matches!(outcome, Err(DispatchError::KeyReused)), "{outcome:?}");
    assert_eq!(executor.load(id).await.unwrap().state.sum, 1);
}

async fn a_refused_command_leaves_no_receipt(world: impl World) {
    let id = Uuid::now_v7();
    let executor = world.executor();
    executor.dispatch(id, TallyCommand::Close, plain()).await.unwrap();
    let raise = TallyCommand::Raise(vec![1]);
    let refused = executor.dispatch(id, raise.clone(), keyed("k", "d")).await;
    executor.dispatch(id, TallyCommand::Reopen, plain()).await.unwrap();

    let carried = executor.dispatch(id, raise, keyed("k", "d")).await.unwrap();

    assert!(matches!(refused, Err(DispatchError::Refused(TallyClosed))), "{refused:?}");
    assert_eq!((carried.replayed, carried.state.sum), (None, 1));
}

async fn a_command_that_changes_nothing_writes_nothing(world: impl World) {
    let id = Uuid::now_v7();
    let executor = world.executor();
    executor.dispatch(id, TallyCommand::RaiseTo(3), plain()).await.unwrap();

    let outcome = executor.dispatch(id, TallyCommand::RaiseTo(3), plain()).await.unwrap();

    assert_eq!((outcome.version, outcome.position, outcome.events.len()), (1, None, 0));
}

async fn a_command_that_changes_nothing_is_remembered_under_its_key(world: impl World) {
    let id = Uuid::now_v7();
    let executor = world.executor();
    let idle = TallyCommand::RaiseTo(0);
    let first = executor.dispatch(id, idle.clone(), keyed("k", "d")).await.unwrap();
    executor.dispatch(id, TallyCommand::Raise(vec![9]), plain()).await.unwrap();

    let second = executor.dispatch(id, idle, keyed("k", "d")).await.unwrap();

    assert_eq!((first.version, first.position, first.replayed), (0, None, None));
    assert_eq!(second.replayed, Some(json!({ "sum": 0, "events": 0 })));
    assert_eq!((second.version, second.position, second.events.len()), (0, None, 0));
    assert_eq!(executor.load(id).await.unwrap().state.sum, 9);
}

async fn a_name_has_one_holder(world: impl World) {
    let (kim, lee) = (Uuid::now_v7(), Uuid::now_v7());
    let executor = world.executor();
    let name = || TallyCommand::Name("digest".to_owned());
    executor.dispatch(kim, name(), plain()).await.unwrap();

    let refused = executor.dispatch(lee, name(), keyed("k", "d")).await;
    let again = executor.dispatch(kim, name(), plain()).await.unwrap();

    assert!(
        matches!(&refused, Err(DispatchError::ClaimTaken { kind, name })
            if kind == "tally.name" && name == "digest"),
        "{refused:?}"
    );
    assert_eq!(again.version, 2);
    assert_eq!(world.holder("digest").await, Some(kim));
    assert_eq!(executor.load(lee).await.unwrap().version, 0);
    assert_eq!(world.store().receipt("raise/kim", "k").await.unwrap(), None);
}

async fn a_name_given_back_can_be_taken(world: impl World) {
    let (kim, lee) = (Uuid::now_v7(), Uuid::now_v7());
    let executor = world.executor();
    let name = || "digest".to_owned();
    executor.dispatch(kim, TallyCommand::Name(name()), plain()).await.unwrap();
    // Only its holder can give it back.
    executor.dispatch(lee, TallyCommand::Unname(name()), plain()).await.unwrap();
    assert_eq!(world.holder("digest").await, Some(kim));

    executor.dispatch(kim, TallyCommand::Unname(name()), plain()).await.unwrap();
    assert_eq!(world.holder("digest").await, None);
    executor.dispatch(lee, TallyCommand::Name(name()), plain()).await.unwrap();

    assert_eq!(world.holder("digest").await, Some(lee));
}

async fn a_stale_expectation_is_told_the_current_version(world: impl World) {
    let id = Uuid::now_v7();
    let executor = world.executor();
    let raise = || TallyCommand::Raise(vec![1, 1]);
    executor.dispatch(id, raise(), plain().at_version(0)).await.unwrap();

    let stale = executor.dispatch(id, raise(), plain().at_version(1)).await;
    let fresh = executor.dispatch(id, raise(), plain().at_version(2)).await.unwrap();

    assert!(matches!(stale, Err(DispatchError::Stale { current: 2 })), "{stale:?}");
    assert_eq!(fresh.version, 4);
}

async fn an_old_memory_costs_a_retry_and_no_more(world: impl World) {
    let id = Uuid::now_v7();
    let mut options = PATIENT;
    options.conflict_retries = 0;
    let (here, there) = (executor(world.store(), options), executor(world.store(), options));
    let raise = || TallyCommand::Raise(vec![1]);
    here.dispatch(id, raise(), plain()).await.unwrap();
    there.dispatch(id, raise(), plain()).await.unwrap();

    let third = here.dispatch(id, raise(), plain()).await.unwrap();
    there.dispatch(id, raise(), plain()).await.unwrap();
    let expecting = here.dispatch(id, raise(), plain().at_version(3)).await;

    assert_eq!((third.version, third.state.sum), (3, 3));
    assert!(matches!(expecting, Err(DispatchError::Stale { current: 4 })), "{expecting:?}");
}

async fn a_refusal_is_checked_against_the_log(world: impl World) {
    let id = Uuid::now_v7();
    let (here, there) = (world.executor(), world.executor());
    here.dispatch(id, TallyCommand::Close, plain()).await.unwrap();
    there.dispatch(id, TallyCommand::Reopen, plain()).await.unwrap();

    // `here` remembers a closed tally, and one whose sum is 0.
    let raised = here.dispatch(id, TallyCommand::Raise(vec![1]), plain()).await.unwrap();
    there.dispatch(id, TallyCommand::Raise(vec![1]), plain()).await.unwrap();
    let idle = here.dispatch(id, TallyCommand::RaiseTo(1), plain()).await.unwrap();

    assert_eq!(raised.version, 3);
    assert_eq!((idle.version, idle.state.sum), (5, 1));
}

async fn what_a_memory_missed_is_caught_up(world: impl World) {
    let (here, there) = (world.executor(), world.executor());
    let mut crowd = JoinSet::new();
    for missed in 0..40_u32 {
        let (here, there) = (here.clone(), there.clone());
        crowd.spawn(async move {
            let id = Uuid::now_v7();
            here.dispatch(id, TallyCommand::Raise(vec![100, 1]), plain()).await.unwrap();
            for _ in 0..missed {
                there.dispatch(id, TallyCommand::Raise(vec![1]), plain()).await.unwrap();
            }
            (id, missed)
        });
    }
    let crowd = crowd.join_all().await;

    // All at once, so that they are asked for together.
    let mut telling = JoinSet::new();
    for (id, missed) in crowd.iter().copied() {
        let (here, version) = (here.clone(), 2 + u64::from(missed));
        telling.spawn(async move {
            let raise = TallyCommand::Raise(vec![1000]);
            let told = here.dispatch(id, raise, plain().knowing(version)).await.unwrap();
            assert_eq!(told.version, version + 1);
            assert_eq!(told.state.sum, 1101 + i64::from(missed));
        });
    }
    telling.join_all().await;
    for (id, missed) in crowd {
        let version = 3 + u64::from(missed);
        let remembered = here.load_at_least(id, version).await.unwrap();
        assert_eq!((remembered.version, remembered.state.closed), (version, false));
        there.dispatch(id, TallyCommand::Close, plain()).await.unwrap();
        let fetched = here.load_at_least(id, version).await.unwrap();
        assert_eq!((fetched.version, fetched.state.closed), (version + 1, true));
        let tail = world.store().history_after(id, version, remembered.last).await.unwrap();
        let tail = tail.unwrap();
        assert_eq!((tail.events, tail.last), (vec![TallyEvent::Closed], fetched.last));
    }
}

/// However the state came to be known: by an append, a load, or a tail.
async fn a_state_is_proven_by_its_last_event(world: impl World) {
    let (id, other) = (Uuid::now_v7(), Uuid::now_v7());
    let store = world.store();
    for stream in [id, other] {
        let executor = world.executor();
        executor.dispatch(stream, TallyCommand::Raise(vec![1, 2]), plain()).await.unwrap();
    }
    let here = world.executor();
    let loaded = here.load(id).await.unwrap();
    let foreign = here.load(other).await.unwrap();
    let (last, foreign_last) = (loaded.last.unwrap(), foreign.last.unwrap());
    let behind = EventIdentity { position: Position::new(0), ..last };

    let known = store.history_after(id, 2, Some(last)).await.unwrap().unwrap();
    assert_eq!((known.events, known.last), (vec![], Some(last)));
    for (version, claimed) in
        [(2, Some(foreign_last)), (2, Some(behind)), (2, None), (1, Some(last)), (3, Some(last))]
    {
        let unproven = store.history_after(id, version, claimed).await.unwrap();
        assert_eq!(unproven, None, "{version} {claimed:?}");
    }
    let append = |predecessor| Append { predecessor, ..raising(id, 2) };
    let refused = store.append(append(Some(foreign_last.command_id))).await;
    assert!(matches!(refused, Err(AppendError::Conflict)), "{refused:?}");

    store.append(append(Some(last.command_id))).await.unwrap();
    let told = here.dispatch(id, TallyCommand::Raise(vec![1]), plain()).await.unwrap();
    let caught_up = here.load_at_least(id, told.version).await.unwrap();
    assert_eq!((caught_up.version, caught_up.state.sum), (4, 5));
    assert_eq!(caught_up.last, here.load(id).await.unwrap().last);
}

async fn effects_become_outbox_rows_with_lasting_ids(world: impl World) {
    let id = Uuid::now_v7();
    let executor = world.executor();
    executor.dispatch(id, TallyCommand::Raise(vec![1]), plain()).await.unwrap();
    executor.dispatch(id, TallyCommand::AskForCalls, plain()).await.unwrap();

    assert_eq!(world.outbox().await, [outbox_id("tally", id, 2, 0), outbox_id("tally", id, 2, 1)]);
}

async fn an_abandoned_command_is_carried_out(world: impl World) {
    let id = Uuid::now_v7();
    let executor = executor(world.store(), FORGETFUL);
    let mut dispatch = Box::pin(executor.dispatch(id, TallyCommand::Raise(vec![1]), plain()));
    let first_look = futures_util::poll!(&mut dispatch);
    assert!(first_look.is_pending());

    drop(dispatch);

    eventually(Duration::from_secs(10), || async {
        (executor.load(id).await.unwrap().version == 1).then_some(())
    })
    .await;
}

async fn a_crowd_of_commands_each_gets_its_own_outcome(world: impl World) {
    // Every third stream has moved on already: its append must lose, and no other with it.
    let streams: Vec<Uuid> = (0..120).map(|_| Uuid::now_v7()).collect();
    for id in streams.iter().step_by(3) {
        world.store().append(raising(*id, 0)).await.unwrap();
    }
    let mut crowd = JoinSet::new();
    for (number, id) in streams.iter().copied().enumerate() {
        let store = Arc::clone(world.store());
        crowd.spawn(async move { (number, store.append(raising(id, 0)).await) });
    }
    let mut positions: Vec<Position> = vec![];
    for (number, outcome) in crowd.join_all().await {
        match outcome {
            Ok(Outcome::Written(written)) => {
                assert_ne!(number % 3, 0, "stream {number} was at another version");
                assert_eq!(written.len(), 1);
                positions.extend(written);
            }
            Err(AppendError::Conflict) => assert_eq!(number % 3, 0, "stream {number} was free"),
            other => panic!("stream {number}: {other:?}"),
        }
    }
    positions.sort_unstable();
    positions.dedup();
    assert_eq!(positions.len(), 80);
}
