//! A projector that does not go on is seen from outside: by its status, by its readiness, and by every
//! process that measures the lag in the database.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use contracts::Category;
use contracts::events::ItemEvent;
use event_feed::{FollowOptions, ReadModelLag, SafePosition, read_model_lags};
use service_kit::clock::SystemClock;
use service_kit::shutdown::pair;
use testkit::{Login, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::history::{item_id, registered, won};
use crate::support::{SOON, Shop};

/// What the process at `address` answers.
async fn answer(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    Some(text)
}

async fn lag(shop: &Shop, name: &str) -> ReadModelLag {
    let lags = read_model_lags(&shop.db.pool).await.unwrap();
    lags.into_iter().find(|lag| lag.name == name).unwrap()
}

/// The database refuses what the model writes, for a reason that is not in the data. Seen to fail when
/// the gauge was set after each batch that succeeded: it stayed at 0 while the shard was stuck.
#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_shard_is_told_by_status_readiness_and_gauges() {
    let mut shop = Shop::open().await;
    let address = SocketAddr::from(([127, 0, 0, 1], testkit::free_port()));
    shop.config.ops_listen = Some(address);
    shop.record(item_id(1).uuid(), &registered(1, 1_000, 0, &[Category::Eye])).await;
    let projector = shop.project();
    shop.caught_up().await;
    let is_ready = |text: String| text.starts_with("HTTP/1.1 200").then_some(());
    let ready = || async { answer(address, "/health/ready").await.and_then(is_ready) };
    eventually(SOON, ready).await;
    assert_eq!(shop.status("item_detail", 1).await.stuck_since, None);

    shop.execute("alter table item_detail_v1 rename to item_detail_elsewhere").await;
    shop.record(item_id(1).uuid(), &ItemEvent::Repriced { origin_price: won(2_000) }).await;
    let status = eventually(SOON, || async {
        let status = shop.status("item_detail", 1).await;
        status.stuck_since.is_some().then_some(status)
    })
    .await;
    let error = status.last_error.unwrap();
    assert!(error.contains("item_detail_v1"), "{error}");
    assert_eq!(status.lag_events, 1);
    let stuck = lag(&shop, "item_detail").await;
    assert!(stuck.events == 1 && 5.0 <= stuck.seconds && stuck.stuck_shards == 1, "{stuck:?}");
    assert_eq!(lag(&shop, "cart_view").await.stuck_shards, 0);
    let (_, said) = shop.says(&["status"]).await;
    let line = said.lines().find(|line| line.starts_with("item_detail")).unwrap();
    assert!(said.contains("stuck since") && line.contains("item_detail_v1"), "{said}");
    let (_, said) = shop.says(&["status", "--json"]).await;
    assert!(said.contains(r#""stuck_since":"20"#), "{said}");
    let unready = answer(address, "/health/ready").await.unwrap();
    assert!(unready.starts_with("HTTP/1.1 503") && unready.contains("read_models"), "{unready}");
    eventually(SOON, || async {
        let numbers = answer(address, "/metrics").await?;
        numbers.contains("read_model_stuck_shards{projection=\"item_detail\"} 1").then_some(())
    })
    .await;

    shop.execute("alter table item_detail_elsewhere rename to item_detail_v1").await;
    shop.caught_up().await;
    eventually(SOON, ready).await;
    assert_eq!(shop.status("item_detail", 1).await.stuck_since, None);
    projector.stop().await;
}

/// A shard beyond the log skips what is recorded up to there, and lacks nothing by its own account. Seen
/// to fail when only a shard that lacks an event could be stuck.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_stands_beyond_the_log_is_stuck() {
    let shop = Shop::open().await;
    shop.execute("update projection_shard set position = 1000000 where name = 'item_detail'").await;
    let status = shop.status("item_detail", 1).await;
    assert!(status.stuck_since.is_some(), "{status:?}");
    let reason = status.last_error.unwrap();
    assert!(reason.contains("beyond the newest position of the log"), "{reason}");
    assert_eq!(lag(&shop, "item_detail").await.stuck_shards, 1);
    assert_eq!(lag(&shop, "cart_view").await.stuck_shards, 0);
    assert_eq!(shop.status("cart_view", 1).await.stuck_since, None);
}

/// An append that hangs keeps the safe position where it is, and with it the head that lags are measured
/// against. Seen to fail when readiness asked for the lag alone: the projector was ready, and every gauge
/// at 0.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_feed_is_reported_by_readiness_and_a_gauge() {
    let mut shop = Shop::open().await;
    let address = SocketAddr::from(([127, 0, 0, 1], testkit::free_port()));
    shop.config.ops_listen = Some(address);
    shop.record(item_id(1).uuid(), &registered(1, 1_000, 0, &[Category::Eye])).await;
    let projector = shop.project();
    shop.caught_up().await;
    let is_ready = |text: String| text.starts_with("HTTP/1.1 200").then_some(());
    let ready = || async { answer(address, "/health/ready").await.and_then(is_ready) };
    eventually(SOON, ready).await;

    // As an append does at its beginning; the event behind it is as old as if the test had waited.
    let hanging = shop.db.client().await;
    let publish = "select pg_advisory_lock_shared(event_append_class(), last_value::int) \
                   from event_position";
    hanging.batch_execute(publish).await.unwrap();
    shop.execute(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, \
         payload, metadata, recorded_at) values ('item', gen_random_uuid()::text, 1, 'Nothing', '1', \
         '{}', '{}', clock_timestamp() - interval '300 seconds')",
    )
    .await;
    let unready = answer(address, "/health/ready").await.unwrap();
    assert!(unready.starts_with("HTTP/1.1 503") && unready.contains("event_feed"), "{unready}");
    assert_eq!(lag(&shop, "item_detail").await.events, 0, "no lag shows it");
    eventually(SOON, || async {
        let numbers = answer(address, "/metrics").await?;
        numbers.contains("event_feed_unsettled_seconds 3").then_some(())
    })
    .await;

    hanging.batch_execute("select pg_advisory_unlock_all()").await.unwrap();
    eventually(SOON, ready).await;
    projector.stop().await;
}

/// A process that ends with the test, stopped or not.
struct Process(Child);

impl Process {
    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A projector that stands still reports nothing, and no longer finds out how far the log is settled.
/// Another process that follows the log, as every worker does, measures its lag.
#[tokio::test(flavor = "multi_thread")]
async fn a_projector_stopped_by_sigstop_is_measured_by_another_process_within_ten_seconds() {
    let mut shop = Shop::open().await;
    let projector = Command::new(env!("CARGO_BIN_EXE_projector"))
        .arg("run")
        .env("DATABASE_URL", shop.db.url_as(Login::Projector))
        .env("PROJECTOR_OPS_LISTEN", "127.0.0.1:0")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let projector = Process(projector.unwrap());
    let (end, shutdown) = pair();
    let clock = SystemClock::shared();
    let options = FollowOptions::default();
    let follower = SafePosition::follow(shop.db.pool.clone(), clock, options, shutdown);
    shop.record(item_id(1).uuid(), &registered(1, 1_000, 0, &[Category::Eye])).await;
    shop.caught_up().await;

    projector.signal("-STOP");
    shop.record(item_id(1).uuid(), &ItemEvent::Repriced { origin_price: won(2_000) }).await;
    let recorded = Instant::now();
    eventually(SOON, || async { (0 < lag(&shop, "item_detail").await.events).then_some(()) }).await;
    eventually(SOON, || async { (0 < lag(&shop, "item_detail").await.stuck_shards).then_some(()) })
        .await;
    assert!(recorded.elapsed().as_secs() < 10, "{:?}", recorded.elapsed());

    projector.signal("-CONT");
    shop.caught_up().await;
    eventually(SOON, || async { (lag(&shop, "item_detail").await.events == 0).then_some(()) })
        .await;
    end.trigger();
    follower.stopped().await;
}
