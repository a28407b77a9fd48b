//! An order that moves while the gateway is being asked about it is no difference.
//!
//! The order is read, the gateway is asked, and before it answers a refund of ours goes through on
//! both sides: the answer fits the order as it is and not as it was read. Told to the order without
//! the version that was compared (`at_version` in `reconcile/differences.rs`, checked by deleting
//! it), the payment comes out as differing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use contracts::OrderId;
use contracts::events::OrderKind;
use domain::order::{OrderStatus, RefundStage};
use kakaopay_sim::{Fault, FaultScript, Operation, When};
use processes::gateway::{
    Admission, BillingSecret, BillingStanding, CancelRequest, Capabilities, ChargeRequest,
    Checkout, CheckoutRequest, CompletionRequest, GivenBack, Outcome, Paid, PaymentGateway,
    PaymentQuestion, Standing,
};
use processes::reconcile::{Pace, Reconciler, Span, Summary};
use service_kit::clock::{BoxFuture, ManualClock};
use service_kit::shutdown::Shutdown;
use testkit::eventually;

use crate::world::{PATIENCE, World, clock};

/// KakaoPay, before whose first answer the shop gives money back.
struct Slow {
    inner: Arc<dyn PaymentGateway>,
    world: Arc<World>,
    order: OrderId,
    has_moved: AtomicBool,
}

impl fmt::Debug for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slow")
    }
}

impl PaymentGateway for Slow {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn begin_checkout<'a>(
        &'a self,
        request: &'a CheckoutRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<Checkout>> {
        self.inner.begin_checkout(request, admission)
    }

    fn complete_checkout<'a>(
        &'a self,
        request: &'a CompletionRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<Paid>> {
        self.inner.complete_checkout(request, admission)
    }

    fn charge<'a>(
        &'a self,
        request: &'a ChargeRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<Paid>> {
        self.inner.charge(request, admission)
    }

    fn look_up<'a>(&'a self, question: &'a PaymentQuestion) -> BoxFuture<'a, Outcome<Standing>> {
        Box::pin(async move {
            if !self.has_moved.swap(true, Ordering::SeqCst) {
                self.world.refund(self.order, 2_000).await;
                self.world.becomes(self.order, OrderStatus::PartlyRefunded).await;
            }
            self.inner.look_up(question).await
        })
    }

    fn cancel<'a>(
        &'a self,
        request: &'a CancelRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<GivenBack>> {
        self.inner.cancel(request, admission)
    }

    fn deactivate<'a>(&'a self, key: &'a BillingSecret) -> BoxFuture<'a, Outcome<()>> {
        self.inner.deactivate(key)
    }

    fn billing_status<'a>(
        &'a self,
        key: &'a BillingSecret,
    ) -> BoxFuture<'a, Outcome<BillingStanding>> {
        self.inner.billing_status(key)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_moves_under_the_question_is_compared_anew() {
    let world = Arc::new(World::new().await);
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.pay(order).await;
    world.is_paid_once(order).await;
    let indexed = "select count(*) from payment_index where state = 'approved'";
    eventually(PATIENCE, || async { (world.number(indexed).await == 1).then_some(()) }).await;

    let gateway = Slow {
        inner: world.gateway(),
        world: Arc::clone(&world),
        order,
        has_moved: AtomicBool::new(false),
    };
    let reconciler = Reconciler {
        pool: world.db.pool.clone(),
        orders: world.orders.clone(),
        gateway: Arc::new(gateway),
        clock: clock(),
        pace: Pace::default(),
        shutdown: Shutdown::never(),
    };
    let now = clock().now();
    let span = Span { from: now - TimeDelta::days(1), to: now + TimeDelta::days(1) };
    let summary = reconciler.compare(span, |_compared| ()).await.unwrap();

    assert_eq!(summary, Summary { same: 1, ..Summary::default() });
    let recorded = "select count(*) from events where event_type like 'PaymentDifference%'";
    assert_eq!(world.number(recorded).await, 0);
    worker.stop().await.unwrap();
}

/// The net under a refused refund asks, and before the answer another refund of the same sum goes
/// through: the money is the other's. Recorded without the version that was asked about (seen so) the
/// order has both as refunded, and KakaoPay only one.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_goes_through_under_the_question_is_not_taken_for_a_refused_one() {
    let world = Arc::new(World::new().await);
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.pay(order).await;
    world.is_paid_once(order).await;
    let blocked = Fault::Decline {
        code: -781,
        message: None,
        method_result_code: Some("BANK_ACCOUNT_BLOCKED".to_owned()),
        method_result_message: None,
        status: 400,
    };
    world.sim.set_faults(FaultScript::of(Operation::Cancel, When::Call(1), blocked));
    let refused = world.refund(order, 2_000).await;
    let is_refused = "select count(*) from refund_index where state = 'refused'";
    eventually(PATIENCE, || async { (world.number(is_refused).await == 1).then_some(()) }).await;

    let gateway = Slow {
        inner: world.gateway(),
        world: Arc::clone(&world),
        order,
        has_moved: AtomicBool::new(false),
    };
    let night = clock().now() + TimeDelta::hours(26);
    let reconciler = Reconciler {
        pool: world.db.pool.clone(),
        orders: world.orders.clone(),
        gateway: Arc::new(gateway),
        clock: ManualClock::at(night).shared(),
        pace: Pace { pause: Duration::ZERO, ..Pace::default() },
        shutdown: Shutdown::never(),
    };
    reconciler.look_up_refunds().await.unwrap();

    let order = world.order(order).await;
    let stage = &order.refund(refused).unwrap().stage;
    assert!(matches!(stage, RefundStage::Failed { .. }), "{stage:?}");
    assert_eq!(world.charges(order.order_id)[0].cancelled, 2_000);
    worker.stop().await.unwrap();
}
