//! The dry check tells a good key from a bad one, and both from a gateway that is not there.

use kakaopay_sim::{SimConfig, Simulator};
use processes::{WorkerConfig, check_kakaopay};
use service_kit::config::Secret;

use crate::world::World;

async fn found(config: &WorkerConfig) -> Vec<(bool, String)> {
    let steps = check_kakaopay(config).await.unwrap();
    steps.into_iter().map(|step| (step.is_ok, step.found)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_work_are_accepted_without_opening_anything() {
    let world = World::new().await;
    let found = found(&world.config).await;
    assert!(found.iter().all(|(is_ok, _)| *is_ok), "{found:?}");
    assert_eq!(found.len(), 3);
    assert!(found[1].1.contains("-721"), "{found:?}");
    assert!(world.sim.ledger().charges.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_a_wrong_code_and_an_absent_gateway_are_told_apart() {
    let world = World::new().await;
    let secret_key = Some(Secret::new("DEV-the-other-key"));
    let sim = Simulator::start(SimConfig { secret_key, ..SimConfig::default() }).await.unwrap();
    let mut config = world.config.clone();
    config.kakaopay_base_url = sim.base_url().parse().unwrap();
    let refused = found(&config).await;
    assert!(refused[1..].iter().all(|(is_ok, _)| !is_ok), "{refused:?}");
    assert!(refused[1].1.contains("KAKAOPAY_SECRET_KEY is refused"), "{refused:?}");
    assert!(!format!("{refused:?}").contains("DEV-test"), "the key is never told");

    let mut config = world.config.clone();
    config.kakaopay_cid_recurring = "TCNOTHINGS".to_owned();
    let wrong = found(&config).await;
    assert_eq!(wrong.iter().map(|(is_ok, _)| *is_ok).collect::<Vec<_>>(), [true, true, false]);
    assert!(wrong[2].1.contains("merchant code is wrong"), "{wrong:?}");

    let mut config = world.config.clone();
    let nobody = format!("http://127.0.0.1:{}", testkit::free_port());
    config.kakaopay_base_url = nobody.parse().unwrap();
    let absent = found(&config).await;
    assert!(absent[1].1.contains("not sent"), "{absent:?}");
}
