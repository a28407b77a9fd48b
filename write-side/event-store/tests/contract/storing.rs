//! Events, commands that are repeated, names and effects.

use std::sync::Arc;
use std::time::Duration;

use contracts::Position;
use event_store::{AppendError, DispatchError, Outcome, Store, outbox_id};
use serde_json::json;
use testkit::eventually;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{
    FORGETFUL, Tally, TallyClosed, TallyCommand, TallyEvent, executor, keyed, plain,
};
use crate::{World, raising};

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
