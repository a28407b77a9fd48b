//! The three scenes that shoppers go through.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kakaopay_sim::{Fault, FaultRule, FaultScript, Operation, When};
use reqwest::StatusCode;
use service_kit::clock::{Clock as _, SystemClock};
use service_kit::telemetry;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::approve::observer;
use crate::approve::shopper::{self, Answer};
use crate::approve::stage::Stage;
use crate::world::BoxError;

use super::Arguments;

/// Longest wait for payments that are looked up and tried again: pauses double from half a second.
const PATIENCE: Duration = Duration::from_mins(3);
/// Longest wait for a breaker to open or to close.
const BREAKER_WAIT_MAX: Duration = Duration::from_mins(1);
/// How long an open breaker is asked: less than it stays open.
const ASKED_FOR: Duration = Duration::from_secs(6);
/// Pause between two requests while waiting for the probes.
const REQUEST_PAUSE: Duration = Duration::from_millis(20);
/// What a client waits when told 503 without a time.
const RETRY_AFTER_DEFAULT: u64 = 10;
/// The class of calls that shoppers cause.
const CLASS: &str = "class=\"checkout\"";

/// What shoppers of a flaky gateway met.
pub(super) struct Flaky {
    pub(super) checkouts: usize,
    pub(super) told_unavailable: usize,
    pub(super) unpaid: usize,
    pub(super) opened: u64,
}

/// What an outage looked like.
pub(super) struct Outage {
    pub(super) is_opened: bool,
    pub(super) calls_until_open: u64,
    /// Milliseconds of each 503 while the breaker was open, sorted.
    pub(super) answers: Vec<f64>,
    pub(super) calls_while_open: u64,
    pub(super) probed_after_s: f64,
    pub(super) is_closed: bool,
    pub(super) closed_after_s: f64,
}

/// `part` of `whole`, as a fraction.
pub(super) fn share(part: usize, whole: usize) -> f64 {
    let number = |count| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    if whole == 0 { 0.0 } else { number(part) / number(whole) }
}

/// Everybody checks out, again and again, while some calls fail.
///
/// # Errors
/// A request got no answer, or one that nobody expects.
pub(super) async fn flaky(stage: &Arc<Stage>, arguments: Arguments) -> Result<Flaky, BoxError> {
    stage.kakaopay.set_faults(failing(arguments.flaky_percent, arguments.seed));
    let (opened_before, after) = (times_opened(), observer::end_of_log(&stage.pool).await?);
    let mut street = JoinSet::new();
    for _ in 0..arguments.shoppers {
        let (stage, token) = (Arc::clone(stage), stage.admit().await?);
        street.spawn(async move {
            let browser = shopper::browser()?;
            let (mut came_back, mut told_unavailable) = (0, 0);
            for _ in 0..arguments.checkouts {
                let order = shopper::place_order(&stage, &browser, &token).await?;
                let (page, is_second) = page_of(&stage, &browser, &token, order).await?;
                told_unavailable += usize::from(is_second);
                let Some(page) = page else { continue };
                let way_back = shopper::press(&browser, &page.body).await?;
                let back = browser.get(&way_back).send().await?;
                came_back += usize::from(back.status() == StatusCode::OK);
            }
            Ok::<_, BoxError>((came_back, told_unavailable))
        });
    }
    let (mut came_back, mut told_unavailable) = (0, 0);
    for shopper in street.join_all().await {
        let (back, told) = shopper?;
        came_back += back;
        told_unavailable += told;
    }
    let paid = seen(stage, "PaymentApproved", after, came_back).await?;
    let checkouts = arguments.shoppers * arguments.checkouts;
    let opened = times_opened() - opened_before;
    Ok(Flaky { checkouts, told_unavailable, unpaid: checkouts - paid, opened })
}

/// The payment page, asked for once more under the same key when told to come back later; and
/// whether that was necessary.
async fn page_of(
    stage: &Stage,
    browser: &reqwest::Client,
    token: &str,
    order: Uuid,
) -> Result<(Option<Answer>, bool), BoxError> {
    let key = shopper::key();
    let first = shopper::ask_to_pay(stage, browser, token, order, &key).await?;
    if first.status == StatusCode::OK {
        return Ok((Some(first), false));
    }
    let pause = first.retry_after.unwrap_or(RETRY_AFTER_DEFAULT);
    SystemClock.sleep(Duration::from_secs(pause)).await;
    let second = shopper::ask_to_pay(stage, browser, token, order, &key).await?;
    Ok(((second.status == StatusCode::OK).then_some(second), true))
}

/// Everybody is declined; how often the breaker opened.
///
/// # Errors
/// Not everybody was declined.
pub(super) async fn declining(stage: &Arc<Stage>, shoppers: usize) -> Result<u64, BoxError> {
    stage.kakaopay.clear_faults();
    let waiting = shopper::prepare(stage, shoppers).await?;
    let (opened_before, after) = (times_opened(), observer::end_of_log(&stage.pool).await?);
    let no_balance = Fault::Decline {
        code: -780,
        message: None,
        method_result_code: Some("LACK_BALANCE".to_owned()),
        method_result_message: None,
        status: 400,
    };
    stage.kakaopay.set_faults(FaultScript::of(Operation::Approve, When::Always, no_balance));
    let browser = shopper::browser()?;
    for shopper in waiting {
        browser.get(&shopper.way_back).send().await?;
    }
    let declined = seen(stage, "PaymentDeclined", after, shoppers).await?;
    stage.kakaopay.clear_faults();
    if declined != shoppers {
        return Err(format!("decline {shoppers} payments, not {declined}").into());
    }
    Ok(times_opened() - opened_before)
}

/// Most calls fail until the breaker opens; then the gateway recovers.
///
/// # Errors
/// A request got no answer.
pub(super) async fn outage(stage: &Arc<Stage>, arguments: Arguments) -> Result<Outage, BoxError> {
    let (browser, token) = (shopper::browser()?, stage.admit().await?);
    let (opened_before, calls_before) = (times_opened(), ready_calls(stage));
    stage.kakaopay.set_faults(failing(arguments.outage_percent, arguments.seed));
    let begun = Instant::now();
    let mut asking = JoinSet::new();
    while times_opened() == opened_before && begun.elapsed() < BREAKER_WAIT_MAX {
        while asking.len() < arguments.shoppers {
            let order = shopper::place_order(stage, &browser, &token).await?;
            let (stage, browser, token) = (Arc::clone(stage), browser.clone(), token.clone());
            asking.spawn(async move {
                let key = shopper::key();
                shopper::ask_to_pay(&stage, &browser, &token, order, &key).await.map(drop)
            });
            if times_opened() != opened_before {
                break;
            }
        }
        SystemClock.sleep(REQUEST_PAUSE).await;
    }
    let opened = Instant::now();
    let is_opened = times_opened() != opened_before;
    let calls_until_open = ready_calls(stage) - calls_before;
    asking.join_all().await.into_iter().collect::<Result<(), _>>()?;

    let calls_at_open = ready_calls(stage);
    let mut answers = Vec::new();
    while opened.elapsed() < ASKED_FOR {
        let order = shopper::place_order(stage, &browser, &token).await?;
        let asked = Instant::now();
        let answer = shopper::ask_to_pay(stage, &browser, &token, order, &shopper::key()).await?;
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            answers.push(asked.elapsed().as_secs_f64() * 1_000.0);
        }
    }
    answers.sort_by(f64::total_cmp);
    let calls_while_open = ready_calls(stage) - calls_at_open;

    stage.kakaopay.clear_faults();
    let (mut probed_after_s, mut is_closed) = (0.0, false);
    while !is_closed && opened.elapsed() < BREAKER_WAIT_MAX {
        let order = shopper::place_order(stage, &browser, &token).await?;
        shopper::ask_to_pay(stage, &browser, &token, order, &shopper::key()).await?;
        if probed_after_s == 0.0 && ready_calls(stage) != calls_at_open {
            probed_after_s = opened.elapsed().as_secs_f64();
        }
        is_closed = metric("gateway_breaker_state", &[CLASS]) == Some(0);
    }
    let closed_after_s = opened.elapsed().as_secs_f64();
    Ok(Outage {
        is_opened,
        calls_until_open,
        answers,
        calls_while_open,
        probed_after_s,
        is_closed,
        closed_after_s,
    })
}

/// A share of all calls that shoppers cause, and of the look-ups, answers 500 and commits nothing.
fn failing(percent: u8, seed: u64) -> FaultScript {
    let when = When::Probability(f64::from(percent) / 100.0);
    let rule = |operation| FaultRule::new(operation, when, Fault::Fail { status: 500 });
    let operations = [Operation::Ready, Operation::Approve, Operation::Order];
    FaultScript { seed, rules: operations.map(rule).to_vec() }
}

/// How many of `count` events called `name` the log shows within a while.
async fn seen(
    stage: &Stage,
    name: &'static str,
    after: contracts::Position,
    count: usize,
) -> Result<usize, BoxError> {
    let seen = observer::events(stage.pool.clone(), name, after, count, PATIENCE).await?;
    Ok(seen.len())
}

fn ready_calls(stage: &Stage) -> u64 {
    stage.kakaopay.calls(Operation::Ready).arrived
}

fn times_opened() -> u64 {
    metric("gateway_breaker_changes_total", &[CLASS, "to=\"open\""]).unwrap_or_default()
}

/// The value of a metric of this process, as an operator would see it; whole numbers only.
fn metric(name: &str, labels: &[&str]) -> Option<u64> {
    let shown = telemetry::metrics().render();
    let line = shown
        .lines()
        .find(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)))?;
    line.rsplit(' ').next()?.parse().ok()
}
