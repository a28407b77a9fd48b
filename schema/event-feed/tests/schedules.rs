//! Schedules in which a reader of the log goes wrong unless it waits for what is settled.
//!
//! Each is exact: transactions are held open by the test, so nothing depends on luck. The two
//! known-bad readers run through the same schedules and are seen to miss an event every time; the
//! feed goes wrong in the same way when `append_events` loses its advisory lock (checked by
//! deleting it: two schedules fail).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod support;

use std::time::Duration;

use contracts::Position;
use event_feed::{
    Batch, FILTERED_SPAN_MAX, FeedReader, Filter, FollowOptions, SafePosition, Watcher,
    WatcherHandle, WatcherOptions, settled,
};
use service_kit::clock::SystemClock;
use service_kit::shutdown::{self, ShutdownTrigger};
use support::{
    append, append_as, read_in_one_slow_statement, read_in_one_statement, read_plainly, session,
};
use testkit::{TestDatabase, eventually};
use tokio_postgres::Client;

const SOON: Duration = Duration::from_secs(20);

struct World {
    database: TestDatabase,
    watcher: WatcherHandle,
    _trigger: ShutdownTrigger,
}

impl World {
    async fn new() -> Self {
        let database = TestDatabase::fresh().await;
        let (trigger, shutdown) = shutdown::pair();
        let options = WatcherOptions::default();
        let clock = SystemClock::shared();
        let watcher = Watcher::start(database.pool.clone(), clock, options, shutdown);
        Self { database, watcher, _trigger: trigger }
    }

    async fn session(&self) -> Client {
        session(&self.database.url).await
    }

    async fn settled_up_to(&self, position: Position) {
        assert!(self.watcher.safe().wait_for(position, SOON).await, "{position} never settled");
    }

    async fn read(&self, after: Position) -> Batch {
        FeedReader::new(self.database.pool.clone()).read(after, &Filter::all(), 100).await.unwrap()
    }
}

fn numbers(batch: &Batch) -> Vec<i64> {
    batch.events.iter().map(|event| event.position.number()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_commits_late_is_missed_by_the_plain_reader_and_not_by_the_feed() {
    let world = World::new().await;
    let (mut slow, quick) = (world.session().await, world.session().await);
    let transaction = slow.transaction().await.unwrap();
    let early = append(&transaction, "slow", 0, 1).await.unwrap()[0];
    let late = append(&quick, "quick", 0, 1).await.unwrap()[0];
    assert!(early < late);

    let plain_first = read_plainly(&quick, 0).await;
    let edge = settled(&quick).await.unwrap();
    let feed_first = world.read(Position::START).await;
    transaction.commit().await.unwrap();
    world.settled_up_to(late).await;
    let plain_second = read_plainly(&quick, *plain_first.last().unwrap()).await;
    let feed_second = world.read(feed_first.through).await;

    assert_eq!((plain_first, plain_second), (vec![late.number()], vec![]), "the early one is lost");
    assert!(edge.safe < early);
    assert!(feed_first.events.is_empty());
    assert_eq!(numbers(&feed_second), [early.number(), late.number()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_between_snapshot_and_scan_is_missed_by_the_one_statement_reader() {
    const GATE: i64 = 4711;
    let world = World::new().await;
    let (mut slow, keeper) = (world.session().await, world.session().await);
    keeper.execute("select pg_advisory_lock($1)", &[&GATE]).await.unwrap();
    let transaction = slow.transaction().await.unwrap();
    let early = append(&transaction, "slow", 0, 1).await.unwrap()[0];
    let reader = world.session().await;

    // Its snapshot is taken while `early` is not committed; its scan comes after.
    let reading =
        tokio::spawn(async move { (read_in_one_slow_statement(&reader, 0, GATE).await, reader) });
    // Locks are seen across databases, and other tests run beside this one.
    let waits = "select 1 from pg_locks l join pg_stat_activity a using (pid) \
                 where l.locktype = 'advisory' and not l.granted \
                 and a.datname = current_database()";
    eventually(SOON, || async { keeper.query_opt(waits, &[]).await.unwrap() }).await;
    transaction.commit().await.unwrap();
    let late = append(&slow, "quick", 0, 1).await.unwrap()[0];
    keeper.execute("select pg_advisory_unlock($1)", &[&GATE]).await.unwrap();
    let (first, reader) = reading.await.unwrap();

    // It found everything up to `late` settled, and saw nothing of it.
    assert_eq!(first, [] as [i64; 0]);
    let bound = settled(&reader).await.unwrap().safe;
    assert_eq!(bound, late);
    let second = read_in_one_statement(&reader, bound.number()).await;
    assert_eq!(second, [] as [i64; 0], "both are lost to whoever stored that bound");
    world.settled_up_to(late).await;
    assert_eq!(numbers(&world.read(Position::START).await), [early.number(), late.number()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_that_were_rolled_back_hold_nobody_up() {
    let world = World::new().await;
    let mut writer = world.session().await;
    let transaction = writer.transaction().await.unwrap();
    let gone = append(&transaction, "gone", 0, 3).await.unwrap();
    transaction.rollback().await.unwrap();
    let kept = append(&writer, "kept", 0, 1).await.unwrap()[0];

    world.settled_up_to(kept).await;

    assert!(gone.iter().all(|position| *position < kept));
    let batch = world.read(Position::START).await;
    assert_eq!((numbers(&batch), batch.through), (vec![kept.number()], kept));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_append_nothing_hold_nobody_up() {
    let world = World::new().await;
    let (foreign, idle) = (world.session().await, world.session().await);
    foreign
        .batch_execute("begin; insert into user_keys values (gen_random_uuid(), '')")
        .await
        .unwrap();
    idle.batch_execute("begin isolation level repeatable read; select count(*) from events")
        .await
        .unwrap();

    let position = append(&world.session().await, "stream", 0, 1).await.unwrap()[0];

    world.settled_up_to(position).await;
    assert_eq!(numbers(&world.read(Position::START).await), [position.number()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_bound_published_late_moves_nothing_back() {
    let world = World::new().await;
    let writer = world.session().await;
    let first = append(&writer, "stream", 0, 5).await.unwrap()[4];
    world.settled_up_to(first).await;
    // An append that read the counter long ago and took its lock only now.
    let late = world.session().await;
    late.batch_execute("select pg_advisory_lock_shared(event_append_class(), 1)").await.unwrap();

    let second = append(&writer, "stream", 5, 1).await.unwrap()[0];
    let edge = settled(&writer).await.unwrap();

    assert_eq!(edge.safe, Position::new(1), "one look alone would go back");
    assert_eq!(world.watcher.safe().current(), first);
    assert_eq!(world.read(Position::START).await.safe, first);
    drop(late);
    world.settled_up_to(second).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_survives_the_31st_bit() {
    let world = World::new().await;
    let (mut slow, quick) = (world.session().await, world.session().await);
    let last: i64 = (1 << 31) - 3;
    quick.execute("select setval('event_position', $1)", &[&last]).await.unwrap();
    let transaction = slow.transaction().await.unwrap();
    append(&transaction, "slow", 0, 1).await.unwrap();
    let newest = append(&quick, "quick", 0, 10).await.unwrap()[9];
    assert!(1 << 31 < newest.number());

    assert_eq!(settled(&quick).await.unwrap().safe, Position::new(last));
    transaction.commit().await.unwrap();

    world.settled_up_to(newest).await;
    assert_eq!(world.read(Position::START).await.events.len(), 11);
}

#[tokio::test]
async fn a_bound_newer_than_the_newest_position_read_is_no_old_one() {
    let database = TestDatabase::fresh().await;
    let client = session(&database.url).await;
    let bound = (1_i64 << 31) + 7;
    let lock = "select pg_advisory_lock_shared(event_append_class(), $1::int)";
    client.execute(lock, &[&i32::try_from(bound & 0x7fff_ffff).unwrap()]).await.unwrap();

    let oldest = include_str!("../src/sql/oldest_bound.sql");
    for newest in [bound - 10, bound, bound + 1_000_000] {
        let found: i64 = client.query_one(oldest, &[&newest]).await.unwrap().get(0);
        assert_eq!(found, bound, "read at {newest}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_takes_over_when_nobody_watches() {
    let database = TestDatabase::fresh().await;
    let (_trigger, shutdown) = shutdown::pair();
    let follower = SafePosition::follow(
        database.pool.clone(),
        SystemClock::shared(),
        FollowOptions::default(),
        shutdown,
    );

    let position = append(&session(&database.url).await, "stream", 0, 1).await.unwrap()[0];

    assert!(follower.safe().wait_for(position, SOON).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watcher_outlives_its_connections() {
    let world = World::new().await;
    let client = world.session().await;
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity \
                where datname = current_database() and pid <> pg_backend_pid()";
    for version in 0..5 {
        client.execute(kill, &[]).await.unwrap();
        let position = append(&client, "stream", version, 1).await.unwrap()[0];
        world.settled_up_to(position).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watcher_ends_at_shutdown_and_tells_what_it_finds() {
    let database = TestDatabase::fresh().await;
    let (trigger, shutdown) = shutdown::pair();
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    let options = WatcherOptions {
        on_advance: Some(std::sync::Arc::new(move |safe| {
            sender.send(safe).unwrap();
        })),
        ..WatcherOptions::default()
    };
    let clock = SystemClock::shared();
    let watcher = Watcher::start(database.pool.clone(), clock, options, shutdown);
    let position = append(&session(&database.url).await, "stream", 0, 1).await.unwrap()[0];

    while told.recv().await.unwrap() != position {}
    trigger.trigger();
    watcher.stopped().await;
}

#[tokio::test]
async fn waiting_for_what_never_comes_ends() {
    let world = World::new().await;

    let reached = world.watcher.safe().wait_for(Position::new(99), Duration::from_millis(1)).await;

    assert!(!reached);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_says_up_to_where_it_looked() {
    let world = World::new().await;
    let client = world.session().await;
    append_as(&client, "Wanted", "a", 0, 3).await.unwrap();
    let last = append_as(&client, "Other", "b", 0, 4).await.unwrap()[3];
    world.settled_up_to(last).await;
    let reader = FeedReader::new(world.database.pool.clone());
    let wanted = Filter::events(&["Wanted"]);

    let first = reader.read(Position::START, &wanted, 2).await.unwrap();
    let second = reader.read(first.through, &wanted, 2).await.unwrap();
    let third = reader.read(second.through, &wanted, 2).await.unwrap();
    let none = reader.read(Position::START, &Filter::aggregates(&["order"]), 2).await.unwrap();
    let beyond = reader.read(Position::new(99), &Filter::all(), 2).await.unwrap();

    assert_eq!((first.events.len(), first.is_caught_up()), (2, false));
    assert_eq!((second.events.len(), second.through, second.is_caught_up()), (1, last, true));
    assert_eq!((third.events.len(), third.through), (0, last));
    assert_eq!((none.events.len(), none.through), (0, last));
    assert_eq!((beyond.events.len(), beyond.through), (0, Position::new(99)));
    let event = &first.events[0];
    assert_eq!((event.event_type.as_str(), event.sequence), ("Wanted", 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filtered_read_walks_a_bounded_span() {
    let world = World::new().await;
    let client = world.session().await;
    let far = FILTERED_SPAN_MAX * 2 + 50;
    client.execute("select setval('event_position', $1)", &[&far]).await.unwrap();
    let last = append_as(&client, "Wanted", "a", 0, 1).await.unwrap()[0];
    world.settled_up_to(last).await;
    let reader = FeedReader::new(world.database.pool.clone());
    let wanted = Filter::events(&["Wanted"]);

    let mut through = Position::START;
    let mut found = vec![];
    let mut reads = 0;
    while through < last {
        let batch = reader.read(through, &wanted, 100).await.unwrap();
        assert!(through < batch.through);
        through = batch.through;
        found.extend(numbers(&batch));
        reads += 1;
    }

    assert_eq!((found, reads), (vec![last.number()], 3));
}
