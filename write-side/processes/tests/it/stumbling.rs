//! A gateway that stumbles at the n-th call, whatever call that is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use processes::gateway::{
    Admission, BillingSecret, BillingStanding, CancelRequest, Capabilities, ChargeRequest,
    Checkout, CheckoutRequest, CompletionRequest, Doubt, GivenBack, NotSent, Outcome, Paid,
    PaymentGateway, PaymentQuestion, Standing,
};
use service_kit::clock::BoxFuture;
use tokio::sync::Notify;

/// How it stumbles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stumble {
    /// The call is not sent.
    NotSent,
    /// The call is carried out and its answer lost.
    AnswerLost,
    /// The call is lost on its way, and we don't know it.
    CallLost,
    /// The call is carried out, and the worker dies before it hears the answer.
    WorkerDies,
}

/// Passes calls on to the real gateway, all but one.
pub(crate) struct Stumbling {
    inner: Arc<dyn PaymentGateway>,
    at: u32,
    how: Stumble,
    calls: AtomicU32,
    died: Notify,
}

impl Stumbling {
    pub(crate) fn at(call: u32, how: Stumble, inner: Arc<dyn PaymentGateway>) -> Arc<Self> {
        Arc::new(Self { inner, at: call, how, calls: AtomicU32::new(0), died: Notify::new() })
    }

    /// Whether it came to the call at which it stumbles.
    pub(crate) fn has_stumbled(&self) -> bool {
        self.at <= self.calls.load(Ordering::SeqCst)
    }

    /// Ends when the worker is to die.
    pub(crate) async fn died(&self) {
        self.died.notified().await;
    }

    async fn pass<'a, T>(&'a self, call: BoxFuture<'a, Outcome<T>>) -> Outcome<T> {
        let number = 1 + self.calls.fetch_add(1, Ordering::SeqCst);
        if number != self.at {
            return call.await;
        }
        let lost = || Outcome::Unknown(Doubt::Lost("unknown.timeout".to_owned()));
        match self.how {
            Stumble::NotSent => Outcome::NotSent(NotSent::Connect("refused".to_owned())),
            Stumble::CallLost => lost(),
            Stumble::AnswerLost => {
                drop(call.await);
                lost()
            }
            Stumble::WorkerDies => {
                drop(call.await);
                self.died.notify_one();
                std::future::pending().await
            }
        }
    }
}

impl PaymentGateway for Stumbling {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn begin_checkout<'a>(
        &'a self,
        request: &'a CheckoutRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<Checkout>> {
        Box::pin(self.pass(self.inner.begin_checkout(request, admission)))
    }

    fn complete_checkout<'a>(
        &'a self,
        request: &'a CompletionRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<Paid>> {
        Box::pin(self.pass(self.inner.complete_checkout(request, admission)))
    }

    fn charge<'a>(
        &'a self,
        request: &'a ChargeRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<Paid>> {
        Box::pin(self.pass(self.inner.charge(request, admission)))
    }

    fn look_up<'a>(&'a self, question: &'a PaymentQuestion) -> BoxFuture<'a, Outcome<Standing>> {
        Box::pin(self.pass(self.inner.look_up(question)))
    }

    fn cancel<'a>(
        &'a self,
        request: &'a CancelRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<GivenBack>> {
        Box::pin(self.pass(self.inner.cancel(request, admission)))
    }

    fn deactivate<'a>(&'a self, key: &'a BillingSecret) -> BoxFuture<'a, Outcome<()>> {
        Box::pin(self.pass(self.inner.deactivate(key)))
    }

    fn billing_status<'a>(
        &'a self,
        key: &'a BillingSecret,
    ) -> BoxFuture<'a, Outcome<BillingStanding>> {
        Box::pin(self.pass(self.inner.billing_status(key)))
    }
}

impl fmt::Debug for Stumbling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stumbling({:?} at {})", self.how, self.at)
    }
}
