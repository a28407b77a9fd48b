//! The demo: drives the main job once over real HTTP, checks every step, and says which one failed.
//!
//! It looks at the shop as a shopper, an operator and an auditor would: through the APIs, through
//! the projector's commands, and through the simulated gateway's own ledger.

mod client;
mod operator;
pub mod shopper;

use std::error::Error;
use std::future::Future;
use std::time::{Duration, Instant};

use projections::ProjectorConfig;
use service_kit::causes::with_causes;
use service_kit::config::Secret;

use crate::ready::Addresses;

/// Longest the demo waits for something that happens by itself, such as a projection.
const SETTLE_WAIT_MAX: Duration = Duration::from_secs(30);
/// Pause between two looks while waiting.
const SETTLE_LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Why a step failed, in words for a person.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Failure {
    /// A failure in these words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// An error with its causes, in one line.
    pub(crate) fn of(error: &dyn Error) -> Self {
        Self(with_causes(error))
    }
}

/// The demo stopped at a step.
#[derive(Debug, thiserror::Error)]
#[error("step {number} ({name}) failed: {failure}")]
pub struct DemoError {
    number: usize,
    name: &'static str,
    failure: Failure,
}

/// Numbers the steps, times them, and turns a failure into one that names its step.
struct Steps {
    done: usize,
}

impl Steps {
    async fn run<T>(
        &mut self,
        name: &'static str,
        work: impl Future<Output = Result<(String, T), Failure>>,
    ) -> Result<T, DemoError> {
        let number = self.done + 1;
        let begun = Instant::now();
        let (told, value) = work.await.map_err(|failure| DemoError { number, name, failure })?;
        self.done = number;
        say(&format!("  {number:>2}. {name}: {told} ({} ms)", begun.elapsed().as_millis()));
        Ok(value)
    }
}

/// Runs the demo against a shop that answers at `at`, whose log lies in `database_url` and holds at
/// least `items_min` items on sale.
///
/// # Errors
/// [`DemoError`] naming the first step that failed; what was done before it stays done.
pub async fn run(
    at: &Addresses,
    database_url: &Secret,
    projector: &ProjectorConfig,
    items_min: u64,
) -> Result<(), DemoError> {
    let mut steps = Steps { done: 0 };
    let visitor = steps.run("window", shopper::look_around(at, items_min)).await?;
    let shopper = steps.run("sign up", visitor.sign_up()).await?;
    let cart = steps.run("fill the cart", shopper.fill_cart("one-off", None)).await?;
    let order = steps.run("place the order", shopper.place_order("one-off", &cart)).await?;
    let again = steps.run("place it again", shopper.place_again("one-off", &order)).await?;
    let order = steps.run("pay", shopper.pay(again)).await?;
    steps.run("order history", shopper.sees_paid(&order)).await?;
    steps.run("empty cart", shopper.sees_empty_cart("one-off")).await?;
    let cart = steps.run("subscribe", shopper.fill_cart("subscription", Some(30))).await?;
    let subscribed =
        steps.run("place the subscription", shopper.place_order("subscription", &cart)).await?;
    let subscribed = steps.run("pay and register", shopper.pay(subscribed)).await?;
    steps.run("subscription history", shopper.sees_paid(&subscribed)).await?;
    steps
        .run("opened subscription", operator::subscriptions_are_open(at, database_url, &subscribed))
        .await?;
    steps.run("refund", shopper.refund(&order)).await?;
    steps.run("gateway's books", operator::books_agree(at, &order, &subscribed)).await?;
    for read_model in ["item_by_category", "order_history"] {
        steps.run("rebuild", operator::rebuild(projector, read_model)).await?;
        steps.run("verify", operator::verify(projector, read_model)).await?;
    }
    steps.run("window after rebuild", shopper::look_around(at, items_min)).await?;
    steps.run("history after rebuild", shopper.sees_refunded(&order)).await?;
    Ok(())
}

/// Asks `look` until it answers something, for at most [`SETTLE_WAIT_MAX`].
async fn settled<T, F, Fut>(what: &str, look: F) -> Result<T, Failure>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Option<T>, Failure>>,
{
    settled_within(SETTLE_WAIT_MAX, what, look).await
}

/// Asks `look` until it answers something, for at most `patience`.
async fn settled_within<T, F, Fut>(
    patience: Duration,
    what: &str,
    mut look: F,
) -> Result<T, Failure>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Option<T>, Failure>>,
{
    let clock = service_kit::clock::SystemClock::shared();
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if patience < begun.elapsed() {
            return Err(Failure::new(format!(
                "{what} did not happen within {} s",
                patience.as_secs()
            )));
        }
        clock.sleep(SETTLE_LOOK_PAUSE).await;
    }
}

#[expect(clippy::print_stdout, reason = "the demo talks to the person who started it")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}
