//! What the fault script does to one call, at every point of its way.
//!
//! A fault counts as such (`faulted` of the ledger) when it takes effect, and not when it is
//! planned: a call that is refused before the method of payment is asked is not disturbed by a
//! scripted decline.

use std::time::Duration;

use serde_json::Value;
use service_kit::clock::{Clock, SystemClock};
use tokio_util::sync::CancellationToken;

use crate::answers::{altered, with_string_numbers};
use crate::faults::{Fault, Operation};
use crate::hold::{HeldCall, HoldPoint};
use crate::plan::Plan;
use crate::refusal::Refusal;
use crate::sim::{Reply, Sim};
use crate::world::MethodRefusal;

/// The longest a call stays on hold, so that a forgotten script ends by itself.
const HOLD_MAX: Duration = Duration::from_mins(1);

/// One call on its way, and what is planned for it.
pub(crate) struct Disturbance<'a> {
    sim: &'a Sim,
    pub(crate) operation: Operation,
    /// Known once the call has arrived.
    plan: Option<Plan>,
    is_hit: bool,
}

impl<'a> Disturbance<'a> {
    pub(crate) const fn new(sim: &'a Sim, operation: Operation) -> Self {
        Self { sim, operation, plan: None, is_hit: false }
    }

    /// Counts the call as disturbed, once.
    pub(crate) fn hits(&mut self) {
        if !self.is_hit {
            self.is_hit = true;
            self.sim.count(self.operation, |counts| counts.faulted += 1);
        }
    }

    /// Waits for as long as the call is late on the wire.
    pub(crate) async fn arrives(&mut self, body: &Value) {
        let now = self.sim.clock.now();
        let late = self.sim.faults().lateness(self.operation, body, now);
        if !late.pause.is_zero() || !late.released.is_empty() {
            self.hits();
        }
        real_time(late.pause).await;
        for released in &late.released {
            hold(released).await;
        }
        if let Some(held) = late.hold {
            hold_call(&held).await;
        }
    }

    /// Draws what happens to the call from its arrival on.
    pub(crate) fn has_arrived(&mut self, body: &Value) {
        let now = self.sim.clock.now();
        let plan = self.sim.faults().plan(self.operation, body, now);
        self.plan = Some(plan);
    }

    fn fault(&self) -> Option<Fault> {
        self.plan.as_ref()?.fault.clone()
    }

    /// The faults that keep a call from being carried out at all.
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other fault lets it be carried out")]
    pub(crate) async fn before(&mut self) -> Option<Reply> {
        let reply = match self.fault()? {
            Fault::Fail { status } => {
                Reply::Json(status, Refusal::new(-1, "internal error").body())
            }
            Fault::DropBeforeCommit => Reply::Cut,
            Fault::Maintenance => {
                Reply::Json(503, Refusal::new(-9798, "the service is under maintenance").body())
            }
            Fault::BadGateway => Reply::Page(502, "<html><h1>502 Bad Gateway</h1></html>"),
            _ => return None,
        };
        self.hits();
        real_time(self.latency()).await;
        Some(reply)
    }

    fn latency(&self) -> Duration {
        self.plan.as_ref().map_or(Duration::ZERO, |plan| plan.latency)
    }

    /// Everything a call waits for before it is carried out.
    pub(crate) async fn before_commit(&mut self) {
        real_time(self.latency()).await;
        match self.fault() {
            Some(Fault::DelayThenCommit { ms }) => {
                self.hits();
                real_time(Duration::from_millis(ms)).await;
            }
            Some(Fault::HoldThenCommit) => {
                self.hits();
                self.hold_by_rule().await;
            }
            _ => {}
        }
        self.hold_by_handle(HoldPoint::Commit).await;
    }

    /// The refusal that the script plans for the call.
    pub(crate) fn scripted_refusal(&self) -> Option<MethodRefusal> {
        let fault = self.plan.as_ref()?.fault.as_ref()?;
        if *fault == Fault::UserLocked {
            let refusal = user_locked(self.operation);
            return Some(MethodRefusal { refusal, leaves_open: true });
        }
        let refusal = declined(self.operation, fault)?;
        Some(MethodRefusal { refusal, leaves_open: false })
    }

    /// What the caller gets to see of a call that was carried out, or refused on its own account.
    pub(crate) async fn after(&mut self, reply: Reply, is_done: bool) -> Reply {
        let Some(fault) = self.fault() else {
            return reply;
        };
        let reply = match (fault, reply) {
            (Fault::CommitThenDrop, _) => Reply::Cut,
            (Fault::CommitThen500, _) => {
                Reply::Json(500, Refusal::new(-1, "internal error").body())
            }
            (Fault::CommitThenDecline { code, method_result_code }, Reply::Json(..)) if is_done => {
                let refusal = refusal_of(self.operation, code, method_result_code.as_deref());
                Reply::Json(refusal.http_status, refusal.body())
            }
            (Fault::CommitThenDelay { ms }, reply) => {
                self.hits();
                real_time(Duration::from_millis(ms)).await;
                reply
            }
            (Fault::CommitThenHold, reply) => {
                self.hits();
                self.hold_by_rule().await;
                reply
            }
            (Fault::TruncatedJson, Reply::Json(status, answer)) if is_done => {
                let text = answer.to_string();
                Reply::Raw(status, text.chars().take(text.chars().count() / 2).collect())
            }
            (Fault::AlterAnswer { patch }, Reply::Json(status, mut answer)) if is_done => {
                altered(&mut answer, &patch);
                Reply::Json(status, answer)
            }
            (Fault::StringNumbers, Reply::Json(status, answer)) if is_done => {
                Reply::Json(status, with_string_numbers(answer))
            }
            (_, reply) => return reply,
        };
        self.hits();
        reply
    }

    /// Holds the call before its answer, if it is to be held and was not held before.
    pub(crate) async fn before_answer(&mut self) {
        self.hold_by_handle(HoldPoint::Answer).await;
    }

    async fn hold_by_rule(&self) {
        if let Some(plan) = &self.plan {
            hold(&plan.released).await;
        }
    }

    async fn hold_by_handle(&mut self, point: HoldPoint) {
        let plan = self.plan.as_mut();
        let is_due =
            |held: &mut std::sync::Arc<HeldCall>| point == HoldPoint::Answer || held.at == point;
        if let Some(held) = plan.and_then(|plan| plan.hold.take_if(is_due)) {
            hold_call(&held).await;
        }
    }
}

async fn hold_call(call: &HeldCall) {
    call.reached.cancel();
    hold(&call.released).await;
}

async fn hold(released: &CancellationToken) {
    tokio::select! {
        () = released.cancelled() => {}
        () = SystemClock.sleep(HOLD_MAX) => {}
    }
}

/// Latency is a property of the wire: it passes in real time, whatever the simulator's clock says.
async fn real_time(pause: Duration) {
    if !pause.is_zero() {
        SystemClock.sleep(pause).await;
    }
}

/// Another transaction of the same account is under way.
pub(crate) fn user_locked(operation: Operation) -> Refusal {
    let (code, message) = own_refusal(operation);
    Refusal::new(code, message)
        .with_extras("USER_LOCKED", "진행중인 거래가 있습니다. 잠시 후 다시 시도해 주세요.")
}

/// Code and text with which an operation reports that the method of payment refused.
const fn own_refusal(operation: Operation) -> (i64, &'static str) {
    match operation {
        Operation::Cancel => (-781, "cancel failure!"),
        Operation::Subscription => (-782, "subscription payment failure!"),
        Operation::Ready
        | Operation::Approve
        | Operation::Order
        | Operation::Inactive
        | Operation::Status
        | Operation::PayPage => (-780, "approval failure!"),
    }
}

/// The refusal of a scripted decline.
fn declined(operation: Operation, fault: &Fault) -> Option<Refusal> {
    let Fault::Decline { code, message, method_result_code, method_result_message, status } = fault
    else {
        return None;
    };
    let mut refusal =
        Refusal::new(*code, message.as_deref().unwrap_or(stock_text(operation, *code)))
            .status(*status);
    if let Some(extras) = method_result_code {
        let text = method_result_message.as_deref().unwrap_or(STOCK_EXTRAS);
        refusal = refusal.with_extras(extras, text);
    }
    Some(refusal)
}

/// What a shopper is told when a script has no text.
const STOCK_EXTRAS: &str = "결제를 진행할 수 없습니다.";

/// A refusal with the stock texts.
fn refusal_of(operation: Operation, code: i64, method_result_code: Option<&str>) -> Refusal {
    let refusal = Refusal::new(code, stock_text(operation, code));
    match method_result_code {
        Some(extras) => refusal.with_extras(extras, STOCK_EXTRAS),
        None => refusal,
    }
}

const fn stock_text(operation: Operation, code: i64) -> &'static str {
    let (own_code, own_message) = own_refusal(operation);
    if code == own_code { own_message } else { "refused by the fault script" }
}
