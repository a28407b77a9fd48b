//! One call from its arrival to what goes back over the wire: faults, exclusion, commitment.
//!
//! Every call runs in a task of its own, because the caller's hanging up must not undo what
//! KakaoPay does: that is the very case this simulator exists for.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use service_kit::clock::{Clock, SystemClock};
use tokio::sync::{Semaphore, watch};

use crate::answers::{altered, with_string_numbers};
use crate::calls::Call;
use crate::clock::SimClock;
use crate::config::SimConfig;
use crate::faults::{Fault, Faults, Operation, Plan};
use crate::ledger::{CallCounts, Ledger};
use crate::refusal::Refusal;
use crate::wire::Connections;
use crate::world::{MethodRefusal, World};

/// The longest a call stays on hold, so that a forgotten script ends by itself.
const HOLD_MAX: Duration = Duration::from_mins(1);

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
        ledger
    }

    /// Carries out a call whose key was valid.
    pub(crate) async fn serve(&self, operation: Operation, body: &[u8], charset: bool) -> Reply {
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let plan = self.faults().plan(operation, &body);
        self.count(operation, |counts| counts.arrived += 1);
        if plan.fault.is_some() {
            self.count(operation, |counts| counts.faulted += 1);
        }
        let Ok(_permit) = self.permits.try_acquire() else {
            return self.refused(operation, &Refusal::new(-10, "request quota exceeded"));
        };
        if let Some(reply) = before(&plan).await {
            return reply;
        }
        match self.carry_out(operation, &body, charset, &plan).await {
            Ok(answer) => {
                self.count(operation, |counts| counts.committed += 1);
                after(&plan, answer).await
            }
            Err(refusal) => self.refused(operation, &refusal),
        }
    }

    async fn carry_out(
        &self,
        operation: Operation,
        body: &Value,
        charset: bool,
        plan: &Plan,
    ) -> Result<Value, Refusal> {
        let code = self.config.parameter_code;
        let fields: &Map<String, Value> =
            body.as_object().ok_or_else(|| Refusal::new(code, "invalid request body"))?;
        let name_is_ascii = body["item_name"].as_str().is_none_or(str::is_ascii);
        if self.config.demand_charset && !charset && !name_is_ascii {
            return Err(Refusal::new(-400, "item_name has invalid value"));
        }
        let call = Call::read(operation, fields, code)?;
        let _exclusive = self.exclusively(operation, call.exclusive_key())?;
        pause(plan).await;
        let method = match &plan.fault {
            Some(Fault::Decline { .. } | Fault::UserLocked) => {
                let scripted = scripted_refusal(operation, plan.fault.as_ref());
                if !scripted.refusal.is_of_the_method() {
                    return Err(scripted.refusal);
                }
                Some(scripted)
            }
            _ => None,
        };
        let now = self.clock.now();
        self.world().call(now, &call, method.as_ref())
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
            return Err(scripted_refusal(operation, Some(&Fault::UserLocked)).refusal);
        }
        Err(Refusal::new(-785, "the same request is being processed"))
    }

    fn running(&self) -> MutexGuard<'_, HashSet<String>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self, operation: Operation, refusal: &Refusal) -> Reply {
        self.count(operation, |counts| counts.refused += 1);
        Reply::Json(refusal.http_status, refusal.body())
    }

    fn count(&self, operation: Operation, change: impl FnOnce(&mut CallCounts)) {
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

/// The faults that keep a call from being carried out at all.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other fault lets it be carried out")]
async fn before(plan: &Plan) -> Option<Reply> {
    let reply = match plan.fault.as_ref()? {
        Fault::Fail { status } => Reply::Json(*status, Refusal::new(-1, "internal error").body()),
        Fault::DropBeforeCommit => Reply::Cut,
        Fault::Maintenance => {
            Reply::Json(503, Refusal::new(-9798, "the service is under maintenance").body())
        }
        Fault::BadGateway => Reply::Page(502, "<html><h1>502 Bad Gateway</h1></html>"),
        _ => return None,
    };
    real_time(plan.latency).await;
    Some(reply)
}

/// Everything a call waits for before it is carried out.
async fn pause(plan: &Plan) {
    real_time(plan.latency).await;
    match &plan.fault {
        Some(Fault::DelayThenCommit { ms }) => real_time(Duration::from_millis(*ms)).await,
        Some(Fault::HoldThenCommit) => hold(plan).await,
        _ => {}
    }
}

/// What the caller gets to see of a call that was carried out.
async fn after(plan: &Plan, mut answer: Value) -> Reply {
    match &plan.fault {
        Some(Fault::CommitThenDrop) => Reply::Cut,
        Some(Fault::CommitThen500) => Reply::Json(500, Refusal::new(-1, "internal error").body()),
        Some(Fault::TruncatedJson) => {
            let text = answer.to_string();
            Reply::Raw(200, text.chars().take(text.chars().count() / 2).collect())
        }
        Some(Fault::AlterAnswer { patch }) => {
            altered(&mut answer, patch);
            Reply::Json(200, answer)
        }
        Some(Fault::StringNumbers) => Reply::Json(200, with_string_numbers(answer)),
        Some(Fault::CommitThenDelay { ms }) => {
            real_time(Duration::from_millis(*ms)).await;
            Reply::Json(200, answer)
        }
        Some(Fault::CommitThenHold) => {
            hold(plan).await;
            Reply::Json(200, answer)
        }
        _ => Reply::Json(200, answer),
    }
}

/// Waits until the script is replaced.
async fn hold(plan: &Plan) {
    tokio::select! {
        () = plan.released.cancelled() => {}
        () = SystemClock.sleep(HOLD_MAX) => {}
    }
}

/// Latency is a property of the wire: it passes in real time, whatever the simulator's clock says.
async fn real_time(pause: Duration) {
    if !pause.is_zero() {
        SystemClock.sleep(pause).await;
    }
}

/// The refusal a fault script asks for.
fn scripted_refusal(operation: Operation, fault: Option<&Fault>) -> MethodRefusal {
    let (own_code, own_message) = match operation {
        Operation::Cancel => (-781, "cancel failure!"),
        Operation::Subscription => (-782, "subscription payment failure!"),
        Operation::Ready
        | Operation::Approve
        | Operation::Order
        | Operation::Inactive
        | Operation::Status
        | Operation::PayPage => (-780, "approval failure!"),
    };
    let Some(Fault::Decline { code, message, method_result_code, method_result_message, status }) =
        fault
    else {
        let refusal = Refusal::new(own_code, own_message)
            .with_extras("USER_LOCKED", "진행중인 거래가 있습니다. 잠시 후 다시 시도해 주세요.");
        return MethodRefusal { refusal, leaves_open: true };
    };
    let stock = if *code == own_code { own_message } else { "refused by the fault script" };
    let mut refusal = Refusal::new(*code, message.as_deref().unwrap_or(stock)).status(*status);
    if let Some(extras) = method_result_code {
        let text = method_result_message.as_deref().unwrap_or("결제를 진행할 수 없습니다.");
        refusal = refusal.with_extras(extras, text);
    }
    MethodRefusal { refusal, leaves_open: false }
}
