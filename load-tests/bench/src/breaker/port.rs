//! An open breaker at the gateway port, without anything around it.

use std::time::{Duration, Instant};

use contracts::{OrderId, Text, UserId, Won};
use domain::effects::PaymentTerms;
use kakaopay_sim::{Fault, FaultScript, Operation, When};
use processes::gateway::{Admission, CheckoutRequest, NotSent, Outcome};
use service_kit::clock::{Clock as _, SystemClock};
use uuid::Uuid;

use crate::approve::stage::Stage;
use crate::world::BoxError;

/// Calls to an open breaker that are measured.
const CALLS: usize = 20_000;
/// Failing calls after which a breaker that is still closed is broken.
const FAILURES_MAX: usize = 200;
/// Pause between two looks whether it lets a call through again.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// Longest wait for a probe.
const PROBE_WAIT_MAX: Duration = Duration::from_secs(20);

/// What was found.
pub(super) struct Port {
    /// Milliseconds of each rejected call, sorted.
    pub(super) answers: Vec<f64>,
    /// Seconds from the first rejection to the first call let through.
    pub(super) probed_after_s: f64,
}

/// Opens a breaker by failures, then calls it while it is open.
///
/// # Errors
/// It does not open, or never probes.
pub(super) async fn measure(stage: &Stage) -> Result<Port, BoxError> {
    let gateway = processes::gateway(&stage.worker, &SystemClock::shared())?;
    let request = request()?;
    let failing = Fault::Fail { status: 500 };
    stage.kakaopay.set_faults(FaultScript::of(Operation::Ready, When::Always, failing));
    let mut failures = 0;
    while !is_open(&gateway.begin_checkout(&request, Admission::pending()).await) {
        failures += 1;
        if FAILURES_MAX < failures {
            return Err("open the breaker by failures".into());
        }
    }
    let opened = Instant::now();
    let mut answers = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let asked = Instant::now();
        let outcome = gateway.begin_checkout(&request, Admission::pending()).await;
        let took = asked.elapsed();
        if is_open(&outcome) {
            answers.push(took.as_secs_f64() * 1_000.0);
        }
    }
    answers.sort_by(f64::total_cmp);
    stage.kakaopay.clear_faults();
    while is_open(&gateway.begin_checkout(&request, Admission::pending()).await) {
        if PROBE_WAIT_MAX < opened.elapsed() {
            return Err("be let through as a probe".into());
        }
        SystemClock.sleep(LOOK_PAUSE).await;
    }
    Ok(Port { answers, probed_after_s: opened.elapsed().as_secs_f64() })
}

fn is_open<T>(outcome: &Outcome<T>) -> bool {
    matches!(outcome, Outcome::NotSent(NotSent::BreakerOpen { .. }))
}

fn request() -> Result<CheckoutRequest, BoxError> {
    let order = OrderId::new(Uuid::now_v7());
    Ok(CheckoutRequest {
        terms: PaymentTerms {
            user_id: UserId::new(Uuid::now_v7()),
            attempt: 1,
            partner_order_id: Text::parse(&format!("{order}-1"))?,
            amount: Won::try_from(29_900)?,
            tax_free: Won::ZERO,
            vat: Won::try_from(2_718)?,
            billing_key: None,
            merchant: None,
        },
        order_id: order,
        item_name: Text::parse("홍삼")?,
        quantity: 1,
        correlation_id: "bench".to_owned(),
    })
}
