//! What a process remembers of a stream, and how it is proven and caught up.

use contracts::Position;
use event_store::{Append, AppendError, DispatchError, EventIdentity, Store};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{PATIENT, TallyCommand, TallyEvent, executor, plain};
use crate::{World, raising};

contract! {
    a_stale_expectation_is_told_the_current_version,
    an_old_memory_costs_a_retry_and_no_more,
    a_refusal_is_checked_against_the_log,
    what_a_memory_missed_is_caught_up,
    a_state_is_proven_by_its_last_event,
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
