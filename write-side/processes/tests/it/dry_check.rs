//! The dry check tells a good key from a bad one, and both from a gateway that is not there.

use kakaopay_sim::{Fault, FaultScript, Operation, SimConfig, Simulator, When};
use processes::CheckVerdict::{self, Fine, Refused, Unanswered};
use processes::{WorkerConfig, check_kakaopay};
use service_kit::config::Secret;

use crate::world::World;

async fn found(config: &WorkerConfig) -> Vec<(CheckVerdict, String)> {
    let steps = check_kakaopay(config).await.unwrap();
    steps.into_iter().map(|step| (step.verdict, step.found)).collect()
}

fn verdicts(found: &[(CheckVerdict, String)]) -> Vec<CheckVerdict> {
    found.iter().map(|(verdict, _)| *verdict).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_work_are_accepted_without_opening_anything() {
    let world = World::new().await;
    let found = found(&world.config).await;
    assert_eq!(verdicts(&found), [Fine, Fine, Fine], "{found:?}");
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
    assert_eq!(verdicts(&refused), [Fine, Refused, Refused], "{refused:?}");
    assert!(refused[1].1.contains("KAKAOPAY_SECRET_KEY is refused"), "{refused:?}");
    assert!(!format!("{refused:?}").contains("DEV-test"), "the key is never told");

    let mut config = world.config.clone();
    config.kakaopay_cid_recurring = "TCNOTHINGS".to_owned();
    let wrong = found(&config).await;
    assert_eq!(verdicts(&wrong), [Fine, Fine, Refused]);
    assert!(wrong[2].1.contains("merchant code is wrong"), "{wrong:?}");

    let mut config = world.config.clone();
    let nobody = format!("http://127.0.0.1:{}", testkit::free_port());
    config.kakaopay_base_url = nobody.parse().unwrap();
    let absent = found(&config).await;
    assert_eq!(verdicts(&absent), [Fine, Unanswered, Unanswered]);
    assert!(absent[1].1.contains("not sent"), "{absent:?}");
}

/// An outage named `KAKAOPAY_SECRET_KEY` or another setting as wrong, and an operator would change it.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_blames_no_setting() {
    let world = World::new().await;
    let quota = Fault::Decline {
        code: -10,
        message: None,
        method_result_code: None,
        method_result_message: None,
        status: 429,
    };
    for outage in [Fault::Maintenance, Fault::Fail { status: 500 }, Fault::BadGateway, quota] {
        world.sim.set_faults(FaultScript::of(Operation::Order, When::Always, outage.clone()));
        let found = found(&world.config).await;
        assert_eq!(verdicts(&found), [Fine, Unanswered, Unanswered], "{outage:?}: {found:?}");
    }
}
