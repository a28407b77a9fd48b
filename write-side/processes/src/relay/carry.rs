//! Carries one claimed row from where it stands to the next resting place.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::OrderId;
use domain::Effect;
use event_store::StoreError;
use serde_json::Value;
use service_kit::clock::SharedClock;
use service_kit::vault::{Vault, VaultError};
use tracing::Instrument;

use super::decide::{Next, REFUND_MARGIN, RetryPolicy, Try};
use super::deliver::{Delivery, Task};
use super::rows::{ClaimedRow, KeptKey, PutOff, RowError, Rows, WaitingState};
use super::with_causes;
use crate::failpoints::{Point, reach};
use crate::gateway::{NotSent, PaymentGateway};
use crate::metrics;

mod calls;
mod keys;
mod settling;
mod unavailable;

use settling::Patience;

pub use keys::Keys;
pub use unavailable::Unavailable;

/// Longest text kept as a row's last error.
const ERROR_LENGTH_MAX: usize = 500;

/// Tries to store what became of a row while the database is unavailable: about ten seconds with the
/// default pauses. A settlement is then left to a look-up, a row to the end of its lease. A recurring
/// key has no such bound ([`Keys`]).
const STORE_TRIES_MAX: u32 = 5;

/// Longest time between storing a request and sending it. A worker that stood still in between may
/// have lost the row to another one, whose look-up would not see this call. Less than a refund waits
/// in addition to the call's time-out, so that a call that passes is over before another one begins.
const REQUEST_AGE_MAX: Duration = Duration::from_secs(10);

const _: () = assert!(REQUEST_AGE_MAX.as_secs() < REFUND_MARGIN.as_secs());

/// Carries rows; shared by all tasks of a relay.
pub struct Carrier {
    /// The outbox.
    pub rows: Rows,
    /// Whoever moves the money.
    pub gateway: Arc<dyn PaymentGateway>,
    /// Tells the aggregates.
    pub delivery: Delivery,
    /// Opens tokens and seals recurring keys.
    pub vault: Vault,
    /// When to try again.
    pub retries: RetryPolicy,
    /// Recurring keys that are not stored yet.
    pub keys: Keys,
    /// Rows that cannot go on now.
    pub unavailable: Unavailable,
    /// The time of our own records.
    pub clock: SharedClock,
}

/// Why a row cannot go on now.
enum Stop {
    /// Another worker has it.
    LeaseLost,
    /// Something of ours is unavailable for the moment.
    Away {
        /// What.
        why: String,
        /// What of the call had happened by then.
        call: CallState,
    },
    /// Trying again would end the same way.
    Hopeless(String),
}

/// How far a call had come under this claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallState {
    /// No request was stored.
    NotStored,
    /// A request was stored, or may be, and certainly not sent.
    Unsent,
    /// It may have moved money: it must be looked up, not repeated.
    MaybeSent,
}

/// When a request was stored, on both clocks: one doesn't run while the machine is suspended, the
/// other may be set.
#[derive(Debug, Clone, Copy)]
struct StoredAt {
    wall: DateTime<Utc>,
    monotonic: Duration,
}

impl Stop {
    fn away(error: &dyn std::error::Error) -> Self {
        Self::Away { why: with_causes(error), call: CallState::NotStored }
    }

    fn with(self, call: CallState) -> Self {
        match self {
            Self::Away { why, .. } => Self::Away { why, call },
            other @ (Self::LeaseLost | Self::Hopeless(_)) => other,
        }
    }

    fn unsent(self) -> Self {
        self.with(CallState::Unsent)
    }

    fn after_call(self) -> Self {
        self.with(CallState::MaybeSent)
    }
}

impl From<RowError> for Stop {
    fn from(error: RowError) -> Self {
        match error {
            RowError::LeaseLost => Self::LeaseLost,
            RowError::Database(_) => Self::away(&error),
        }
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Decode(_) | StoreError::Corrupt { .. } => {
                Self::Hopeless(with_causes(&error))
            }
            // Whatever else the database refuses today may be mended without touching the row.
            StoreError::Database(_)
            | StoreError::Settings
            | StoreError::Unavailable(_)
            | StoreError::OutcomeUnknown => Self::away(&error),
        }
    }
}

impl From<VaultError> for Stop {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Keys(_) => Self::away(&error),
            VaultError::NoKey(_)
            | VaultError::NotAuthentic
            | VaultError::WrongMasterKey(_)
            | VaultError::Shape => Self::Hopeless(with_causes(&error)),
        }
    }
}

impl Carrier {
    /// Carries `row`; whatever happens is in the row afterwards. Every line of it, of whatever part,
    /// carries the row, its order and the id of the request that asked for it.
    pub async fn carry(&self, row: ClaimedRow) {
        let span = tracing::info_span!(
            "outbox_row",
            request_id = row.correlation_id,
            outbox.id = %row.id,
            order.id = row.aggregate_id,
            kind = row.kind,
        );
        self.carry_claimed(row).instrument(span).await;
    }

    async fn carry_claimed(&self, row: ClaimedRow) {
        reach(Point::AfterClaim).await;
        let advanced = self.advance(&row).await;
        if !matches!(advanced, Err(Stop::Away { .. }))
            && let Some(put_offs) = self.unavailable.ended(row.id)
        {
            tracing::info!(put_offs, "outbox rows go on again");
        }
        let stopped = match advanced {
            Ok(()) => return,
            Err(stopped) => stopped,
        };
        let kept = match stopped {
            Stop::LeaseLost => Err(RowError::LeaseLost),
            Stop::Away { why, call } => {
                let repeated = self.unavailable.occurred(row.id);
                // The row's last error is the reason in any case.
                if let Some(put_offs) = repeated.logged {
                    tracing::warn!(why, put_offs, "outbox row put off");
                }
                let is_unknown = call == CallState::MaybeSent || row.unknown_for.is_some();
                let put_off = PutOff {
                    state: if is_unknown { WaitingState::Unknown } else { WaitingState::Waiting },
                    pause: self.retries.unavailable_pause(repeated.times),
                    is_counted: false,
                    is_unsent: call == CallState::Unsent,
                    why: clipped(&why),
                };
                reach(Point::BeforePutOff).await;
                let write = || self.rows.put_off(&row, &put_off);
                self.patiently(Patience::Bounded, write).await
            }
            Stop::Hopeless(why) => self.bury(&row, &why).await,
        };
        log_lost(kept);
    }

    async fn advance(&self, row: &ClaimedRow) -> Result<(), Stop> {
        let effect: Effect = serde_json::from_value(row.payload.clone())
            .map_err(|error| Stop::Hopeless(format!("an effect that cannot be read: {error}")))?;
        let order: OrderId = row
            .aggregate_id
            .parse()
            .map_err(|error| Stop::Hopeless(format!("not an order's stream: {error}")))?;
        let task = Task { row, order, effect: &effect };
        if let Some(outcome) = &row.outcome {
            let settlement = serde_json::from_value(outcome.clone()).map_err(|error| {
                Stop::Hopeless(format!("an outcome that cannot be read: {error}"))
            })?;
            return self.tell(task, settlement, None).await;
        }
        match &effect {
            Effect::PaymentReady(ready) => self.ready(task, ready).await,
            Effect::PaymentApprove(approve) => self.approve(task, approve).await,
            Effect::PaymentCancel(cancel) => self.cancel(task, cancel).await,
        }
    }

    /// Stores what is about to be sent.
    async fn store(&self, row: &ClaimedRow, request: &Value) -> Result<StoredAt, Stop> {
        // Read before the write, so that a slow one counts.
        let stored = StoredAt { wall: self.clock.now(), monotonic: self.clock.monotonic() };
        let written = self.rows.store_request(row, request).await;
        // A write whose answer was lost may have happened.
        written.map_err(|error| Stop::from(error).unsent())?;
        Ok(stored)
    }

    /// Asked directly before sending: a request that was stored then may still be sent.
    fn check_age(&self, stored: StoredAt) -> Result<(), NotSent> {
        let elapsed = self.clock.monotonic().saturating_sub(stored.monotonic);
        // Negative when the clock was set back.
        let by_wall = (self.clock.now() - stored.wall).to_std().unwrap_or_default();
        let age = elapsed.max(by_wall);
        if REQUEST_AGE_MAX < age {
            return Err(NotSent::Stale { age });
        }
        Ok(())
    }

    /// Does what was decided; `call`: how far the call had come if it certainly was not sent.
    /// [`Proceed::Call`] means: call now, under the same lease.
    async fn proceed(
        &self,
        task: Task<'_>,
        next: Next,
        key: Option<KeptKey>,
        call: CallState,
    ) -> Result<Proceed, Stop> {
        let is_stored = call != CallState::NotStored;
        let put_off = match next {
            Next::CallNow => return Ok(Proceed::Call),
            Next::Settle(settlement, note) => {
                self.settle(task, settlement, note, key).await?;
                return Ok(Proceed::Done);
            }
            Next::Again { pause, is_counted, why } => PutOff {
                state: WaitingState::Waiting,
                pause,
                is_counted,
                is_unsent: is_stored,
                why: clipped(&why),
            },
            Next::LookUp { pause, is_counted, is_unsent, why } => PutOff {
                state: WaitingState::Unknown,
                pause,
                is_counted,
                is_unsent: is_stored && is_unsent,
                why: clipped(&why),
            },
        };
        let Task { row, effect, order: _ } = task;
        let kind = effect.kind();
        let reason = put_off.state.reason();
        let why = put_off.why.as_str();
        tracing::info!(reason, why, "row put off");
        metrics::relay_put_off(kind, reason);
        reach(Point::BeforePutOff).await;
        self.rows.put_off(row, &put_off).await?;
        reach(Point::AfterPutOff).await;
        Ok(Proceed::Done)
    }

    fn this_try(&self, row: &ClaimedRow) -> Try {
        Try {
            number: row.attempt,
            age: row.age,
            now: self.clock.now(),
            unknown_for: row.unknown_for,
            sent_ago: row.sent_ago,
            calls: row.calls,
        }
    }
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carrier").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

/// What could not be written down is found out by whoever has the row next.
fn log_lost(kept: Result<(), RowError>) {
    match kept {
        Ok(()) => (),
        Err(RowError::LeaseLost) => {
            metrics::relay_lease_lost();
            tracing::warn!("lease lost; nothing recorded");
        }
        Err(error) => {
            let error = with_causes(&error);
            tracing::error!(error, "row not put back; its lease will run out");
        }
    }
}

/// Whether a row has come to rest, or a call is to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proceed {
    Done,
    Call,
}

fn clipped(text: &str) -> String {
    text.chars().take(ERROR_LENGTH_MAX).collect()
}
