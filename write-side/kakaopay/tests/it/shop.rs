//! A merchant with good defaults: one simulator, one client, and the steps every test repeats.

use std::time::Duration;

use kakaopay::{
    Amounts, Approval, ApproveRequest, CallError, CancelAmounts, CancelRequest, Cancellation, Cid,
    Client, ClientConfig, ErrorCode, Item, Merchant, Order, OrderRequest, PartnerIds, PgToken,
    Ready, ReadyRequest, ReturnUrls, SecretKey, Sid, SidRequest, SubscriptionRequest, Tid,
};
use kakaopay_sim::{
    ClockChange, Fault, FaultScript, Operation, PayAction, SimConfig, SimHandle, Simulator, When,
};
use url::Url;

/// What everything costs here, in won.
pub(crate) const PRICE: i64 = 19_900;
pub(crate) const ONE_TIME: &str = "TC0ONETIME";
pub(crate) const RECURRING: &str = "TCSUBSCRIP";

pub(crate) struct Shop {
    pub(crate) sim: SimHandle,
    pub(crate) client: Client,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::with(SimConfig::default()).await
    }

    pub(crate) async fn with(config: SimConfig) -> Self {
        let sim = Simulator::start(config).await.expect("a simulator");
        let client = client(&config_for(sim.base_url()));
        Self { sim, client }
    }

    /// The same simulator through a client that soon loses patience.
    pub(crate) fn impatient(&self) -> Client {
        let mut config = config_for(self.sim.base_url());
        config.connect_timeout = Duration::from_millis(900);
        config.call_timeout = Duration::from_secs(1);
        client(&config)
    }

    pub(crate) async fn ready(&self, cid: &str) -> Ready {
        self.client.ready(&ready_request(cid, amounts()), None).await.expect("ready")
    }

    /// Opens a payment and has the shopper authenticate it.
    pub(crate) async fn authenticated(&self, cid: &str) -> ApproveRequest {
        let ready = self.ready(cid).await;
        let token = self.authenticate(&ready.tid);
        approve_request(cid, &ready.tid, token)
    }

    pub(crate) fn authenticate(&self, tid: &Tid) -> PgToken {
        let url = self.sim.press(tid.as_str(), PayAction::Approve).expect("a pay page");
        let token = url.query_pairs().find(|(name, _)| name == "pg_token").expect("a token").1;
        PgToken::new(token).expect("a token")
    }

    pub(crate) async fn paid(&self, cid: &str) -> Approval {
        let request = self.authenticated(cid).await;
        self.client.approve(&request, None).await.expect("approved")
    }

    /// A recurring key whose first payment went through.
    pub(crate) async fn subscribed(&self) -> Sid {
        self.paid(RECURRING).await.sid.expect("a recurring key")
    }

    pub(crate) async fn charge(&self, sid: &Sid) -> Result<Approval, CallError> {
        self.client.subscription(&charge_request(sid), None).await
    }

    pub(crate) async fn cancel(
        &self,
        tid: &Tid,
        amount: i64,
        available: i64,
    ) -> Result<Cancellation, CallError> {
        self.client.cancel(&cancel_request(tid, amount, available), None).await
    }

    pub(crate) async fn order(&self, cid: &str, tid: &Tid) -> Order {
        let request = OrderRequest::new(merchant(cid), tid.clone());
        self.client.order(&request, None).await.expect("an order")
    }

    pub(crate) fn at(&self, instant: &str) {
        self.sim.clock().change(ClockChange::Now(instant.parse().expect("an instant")));
    }

    pub(crate) fn pass_minutes(&self, minutes: i64) {
        self.sim.clock().change(ClockChange::AdvanceSeconds(minutes * 60));
    }

    /// The next call of this operation goes wrong like this, and no later one.
    pub(crate) fn break_next(&self, operation: Operation, fault: Fault) {
        self.sim.set_faults(FaultScript::of(operation, When::Call(1), fault));
    }

    pub(crate) fn decline_next(&self, operation: Operation, code: i64, method: Option<&str>) {
        self.break_next(
            operation,
            Fault::Decline {
                code,
                message: None,
                method_result_code: method.map(str::to_owned),
                method_result_message: None,
                status: 400,
            },
        );
    }
}

pub(crate) fn config_for(base_url: &str) -> ClientConfig {
    ClientConfig::new(Url::parse(base_url).expect("an address"), SecretKey::new("DEV0123456789"))
}

pub(crate) fn client(config: &ClientConfig) -> Client {
    Client::new(config).expect("a client")
}

pub(crate) fn merchant(cid: &str) -> Merchant {
    Merchant::new(Cid::new(cid).expect("a cid"))
}

pub(crate) fn partner() -> PartnerIds {
    PartnerIds::new("order-1", "user-1").expect("ids")
}

pub(crate) fn item() -> Item {
    Item::new("홍삼 스틱 30포", 1).expect("an item")
}

pub(crate) fn amounts() -> Amounts {
    Amounts::new(PRICE, 0).expect("amounts")
}

pub(crate) fn return_urls() -> ReturnUrls {
    let url = |path| Url::parse(&format!("https://shop.example/{path}")).expect("a url");
    ReturnUrls::new(url("return?order=1"), url("cancel"), url("fail")).expect("urls")
}

pub(crate) fn ready_request(cid: &str, amounts: Amounts) -> ReadyRequest {
    ReadyRequest::new(merchant(cid), partner(), item(), amounts, return_urls())
}

pub(crate) fn approve_request(cid: &str, tid: &Tid, token: PgToken) -> ApproveRequest {
    ApproveRequest::new(merchant(cid), tid.clone(), partner(), token).expecting_total(PRICE)
}

pub(crate) fn charge_request(sid: &Sid) -> SubscriptionRequest {
    SubscriptionRequest::new(merchant(RECURRING), sid.clone(), partner(), item(), amounts())
        .expect("a charge")
}

pub(crate) fn cancel_request(tid: &Tid, amount: i64, available: i64) -> CancelRequest {
    let amounts = CancelAmounts::new(amount, 0).expect("amounts");
    CancelRequest::new(merchant(ONE_TIME), tid.clone(), amounts, available).expect("a request")
}

pub(crate) fn sid_request(sid: &Sid) -> SidRequest {
    SidRequest::new(merchant(RECURRING), sid.clone())
}

/// The code of a refusal; anything else fails the test.
pub(crate) fn declined<T: std::fmt::Debug>(answer: Result<T, CallError>) -> i64 {
    match answer {
        Err(CallError::Declined(error)) => {
            let ErrorCode(code) = error.code;
            code
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}
