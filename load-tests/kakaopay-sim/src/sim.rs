//! One call from its arrival to what goes back over the wire: faults, exclusion, commitment.
//!
//! Every call runs in a task of its own, because the caller's hanging up must not undo what
//! KakaoPay does: that is the very case this simulator exists for.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use tokio::sync::{Semaphore, watch};

use crate::calls::Call;
use crate::clock::SimClock;
use crate::config::SimConfig;
use crate::disturbance::{Disturbance, user_locked};
use crate::faults::Operation;
use crate::ledger::{CallCounts, Ledger, RefusedCancel};
use crate::plan::Faults;
use crate::refusal::Refusal;
use crate::wire::Connections;
use crate::world::World;

/// Refused cancellations that are remembered; the oldest are forgotten first.
const REFUSED_CANCELS_MAX: usize = 100_000;

/// What goes back over the wire.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A JSON body.
    Json(u16, Value),
    /// Bytes that are said to be JSON.
    Raw(u16, String),
    /// A page instead of JSON.
    Page(u16, &'static str),
    /// Nothing: the connection is cut.
    Cut,
}

/// Everything the endpoints share.
#[derive(Debug)]
pub(crate) struct Sim {
    pub(crate) config: Arc<SimConfig>,
    pub(crate) clock: SimClock,
    pub(crate) connections: Connections,
    world: Mutex<World>,
    faults: Mutex<Faults>,
    counts: watch::Sender<BTreeMap<Operation, CallCounts>>,
    refused_cancels: Mutex<VecDeque<RefusedCancel>>,
    in_flight: Mutex<HashSet<String>>,
    permits: Semaphore,
}

impl Sim {
    pub(crate) fn new(config: Arc<SimConfig>, world: World, faults: Faults) -> Self {
        Self {
            clock: SimClock::new(Arc::clone(&config.clock)),
            permits: Semaphore::new(config.calls_in_flight_max),
            config,
            connections: Connections::default(),
            world: Mutex::new(world),
            faults: Mutex::new(faults),
            counts: watch::Sender::new(BTreeMap::new()),
            refused_cancels: Mutex::default(),
            in_flight: Mutex::new(HashSet::new()),
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counts(&self) -> watch::Receiver<BTreeMap<Operation, CallCounts>> {
        self.counts.subscribe()
    }

    pub(crate) fn ledger(&self) -> Ledger {
        let mut ledger = self.world().ledger();
        ledger.calls.clone_from(&self.counts.borrow());
        ledger.refused_cancels = self.refused_cancels().iter().cloned().collect();
        ledger
    }

    /// Carries out a call whose key was valid.
    pub(crate) async fn serve(&self, operation: Operation, body: &[u8], charset: bool) -> Reply {
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let permit = self.permits.try_acquire();
        let mut call = Disturbance::new(self, operation);
        if permit.is_ok() {
            call.arrives(&body).await;
        }
        self.count(operation, |counts| counts.arrived += 1);
        if permit.is_err() {
            return self.refused(operation, &Refusal::new(-10, "request quota exceeded"));
        }
        call.has_arrived(&body);
        let reply = match call.before().await {
            Some(reply) => reply,
            None => self.answered(&body, charset, &mut call).await,
        };
        call.before_answer().await;
        reply
    }

    async fn answered(&self, body: &Value, charset: bool, call: &mut Disturbance<'_>) -> Reply {
        let operation = call.operation;
        let outcome = self.carry_out(body, charset, call).await;
        let is_done = outcome.is_ok();
        let reply = match outcome {
            Ok(answer) => {
                self.count(operation, |counts| counts.committed += 1);
                Reply::Json(200, answer)
            }
            Err(refusal) => {
                if operation == Operation::Cancel {
                    self.note_refused_cancel(body, &refusal);
                }
                self.refused(operation, &refusal)
            }
        };
        call.after(reply, is_done).await
    }

    async fn carry_out(
        &self,
        body: &Value,
        charset: bool,
        disturbance: &mut Disturbance<'_>,
    ) -> Result<Value, Refusal> {
        let operation = disturbance.operation;
        let code = self.config.parameter_code;
        let fields: &Map<String, Value> =
            body.as_object().ok_or_else(|| Refusal::new(code, "invalid request body"))?;
        let name_is_ascii = body["item_name"].as_str().is_none_or(str::is_ascii);
        if self.config.demand_charset && !charset && !name_is_ascii {
            return Err(Refusal::new(-400, "item_name has invalid value"));
        }
        let call = Call::read(operation, fields, code)?;
        let _exclusive = self.exclusively(operation, call.exclusive_key())?;
        disturbance.before_commit().await;
        let method = disturbance.scripted_refusal();
        if let Some(scripted) = method.as_ref().filter(|it| !it.refusal.is_of_the_method()) {
            disturbance.hits();
            return Err(scripted.refusal.clone());
        }
        let now = self.clock.now();
        let outcome = self.world().call(now, &call, method.as_ref());
        if method.is_some_and(|method| outcome.as_ref().err() == Some(&method.refusal)) {
            disturbance.hits();
        }
        outcome
    }

    /// Refuses a second call on the same payment or key while the first one runs.
    fn exclusively(
        &self,
        operation: Operation,
        key: Option<&str>,
    ) -> Result<Option<Exclusive<'_>>, Refusal> {
        let Some(key) = key else {
            return Ok(None);
        };
        if self.running().insert(key.to_owned()) {
            return Ok(Some(Exclusive { sim: self, key: key.to_owned() }));
        }
        if operation == Operation::Subscription {
            return Err(user_locked(operation));
        }
        Err(Refusal::new(-785, "the same request is being processed"))
    }

    fn running(&self) -> MutexGuard<'_, HashSet<String>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused_cancels(&self) -> MutexGuard<'_, VecDeque<RefusedCancel>> {
        self.refused_cancels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_refused_cancel(&self, body: &Value, refusal: &Refusal) {
        let refused = RefusedCancel {
            tid: body["tid"].as_str().unwrap_or_default().to_owned(),
            amount: body["cancel_amount"].as_i64().unwrap_or_default(),
            code: refusal.code,
            method_result_code: refusal.extras.as_ref().map(|(code, _)| code.clone()),
        };
        let mut refused_cancels = self.refused_cancels();
        if REFUSED_CANCELS_MAX <= refused_cancels.len() {
            refused_cancels.pop_front();
        }
        refused_cancels.push_back(refused);
    }

    fn refused(&self, operation: Operation, refusal: &Refusal) -> Reply {
        self.count(operation, |counts| counts.refused += 1);
        Reply::Json(refusal.http_status, refusal.body())
    }

    pub(crate) fn count(&self, operation: Operation, change: impl FnOnce(&mut CallCounts)) {
        self.counts.send_modify(|counts| change(counts.entry(operation).or_default()));
    }
}

/// While it lives, no second call touches the same payment or key.
struct Exclusive<'a> {
    sim: &'a Sim,
    key: String,
}

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        self.sim.running().remove(&self.key);
    }
}
