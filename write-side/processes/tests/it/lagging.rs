//! The worker reports read models that are behind: their projector may be unable to.

use contracts::events::OrderKind;
use testkit::eventually;

use crate::world::{PATIENCE, World};

/// No projector runs here. Seen to fail before the worker measured: only a projector that makes
/// progress published a lag.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_reports_the_lag_of_a_projector_that_is_dead() {
    let world = World::new().await;
    let worker = world.worker();
    world.place(OrderKind::OneOff, false).await;
    // The gauges are the process's, so that workers of other tests set them too: all in one report.
    eventually(PATIENCE, || async {
        let numbers = service_kit::telemetry::metrics().render();
        let of = |name: &str| {
            let start = format!("{name}{{projection=\"order_history\"}} ");
            let number = numbers.lines().find_map(|line| line.strip_prefix(&start));
            number?.parse::<f64>().ok()
        };
        let is_stuck = 0.0 < of("read_model_stuck_shards")?;
        let is_late = 0.0 < of("read_model_lag_events")? && 5.0 <= of("read_model_lag_seconds")?;
        (is_stuck && is_late && of("read_model_parked_events").is_some()).then_some(())
    })
    .await;
    worker.stop().await.unwrap();
}
