//! The seven calls over HTTP. What became of each is decided in `outcome`.
//!
//! Nothing here repeats a call: no retry, no redirect, no proxy that might. (One repetition is
//! below us: the HTTP library takes another connection when a pooled one had closed before any
//! byte of the request was written to it.)

use std::fmt;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{redirect, retry};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;
use zeroize::Zeroizing;

use crate::answers::{Approval, Cancellation, Order, Ready, SidInactivated, SidStatus};
use crate::config::{ClientConfig, ConfigError};
use crate::error::{CallError, NotSent};
use crate::outcome;
use crate::requests::{
    ApproveRequest, CancelRequest, OrderRequest, ReadyRequest, SidRequest, SubscriptionRequest,
};

/// The character set is named because KakaoPay has refused Korean item names without it.
const JSON_UTF8: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const REQUEST_ID: &str = "x-request-id";

/// One of the seven calls, as a name for metrics and as a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Opens a payment.
    Ready,
    /// Approves it: money moves.
    Approve,
    /// Looks it up.
    Order,
    /// Gives money back.
    Cancel,
    /// Charges a recurring key: money moves.
    Subscription,
    /// Ends a recurring key.
    Inactive,
    /// Asks how a recurring key stands.
    Status,
}

impl Operation {
    /// All seven.
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::Approve,
        Self::Order,
        Self::Cancel,
        Self::Subscription,
        Self::Inactive,
        Self::Status,
    ];

    /// A word for logs and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Approve => "approve",
            Self::Order => "order",
            Self::Cancel => "cancel",
            Self::Subscription => "subscription",
            Self::Inactive => "inactive",
            Self::Status => "status",
        }
    }

    /// Where KakaoPay takes it.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Ready => "/online/v1/payment/ready",
            Self::Approve => "/online/v1/payment/approve",
            Self::Order => "/online/v1/payment/order",
            Self::Cancel => "/online/v1/payment/cancel",
            Self::Subscription => "/online/v1/payment/subscription",
            Self::Inactive => "/online/v1/payment/manage/subscription/inactive",
            Self::Status => "/online/v1/payment/manage/subscription/status",
        }
    }
}

/// A connection pool to KakaoPay. Clones share the pool; separate clients share nothing.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: Url,
    call_timeout: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base_url", &self.base_url.as_str())
            .field("call_timeout", &self.call_timeout)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Opens no connection yet.
    pub fn new(config: &ClientConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let http = reqwest::Client::builder()
            .default_headers(headers(config)?)
            .connect_timeout(config.connect_timeout)
            .pool_max_idle_per_host(config.pool_idle_connections_max)
            .pool_idle_timeout(config.pool_idle_timeout)
            // A redirected POST may be carried out twice, and a repeated one certainly.
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            // A proxy's refusal would be indistinguishable from KakaoPay's.
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .build()
            .map_err(ConfigError::Http)?;
        Ok(Self { http, base_url: config.base_url.clone(), call_timeout: config.call_timeout })
    }

    /// Opens a payment. No money moves; after a lost answer simply open another.
    pub async fn ready(
        &self,
        request: &ReadyRequest,
        request_id: Option<&str>,
    ) -> Result<Ready, CallError> {
        self.call(Operation::Ready, request, request_id).await
    }

    /// Approves a payment. After a lost answer look it up by its tid.
    pub async fn approve(
        &self,
        request: &ApproveRequest,
        request_id: Option<&str>,
    ) -> Result<Approval, CallError> {
        self.call(Operation::Approve, request, request_id).await
    }

    /// Looks a payment up.
    pub async fn order(
        &self,
        request: &OrderRequest,
        request_id: Option<&str>,
    ) -> Result<Order, CallError> {
        self.call(Operation::Order, request, request_id).await
    }

    /// Gives money back. After a lost answer look the payment up and compare the running total.
    pub async fn cancel(
        &self,
        request: &CancelRequest,
        request_id: Option<&str>,
    ) -> Result<Cancellation, CallError> {
        self.call(Operation::Cancel, request, request_id).await
    }

    /// Charges a recurring key. After a lost answer ask for the key's status, and wait before
    /// asking again: there is no tid to look up, and nothing at KakaoPay stops a second charge.
    pub async fn subscription(
        &self,
        request: &SubscriptionRequest,
        request_id: Option<&str>,
    ) -> Result<Approval, CallError> {
        self.call(Operation::Subscription, request, request_id).await
    }

    /// Ends a recurring key. Ending it twice is harmless.
    pub async fn inactive(
        &self,
        request: &SidRequest,
        request_id: Option<&str>,
    ) -> Result<SidInactivated, CallError> {
        self.call(Operation::Inactive, request, request_id).await
    }

    /// Asks how a recurring key stands.
    pub async fn status(
        &self,
        request: &SidRequest,
        request_id: Option<&str>,
    ) -> Result<SidStatus, CallError> {
        self.call(Operation::Status, request, request_id).await
    }

    async fn call<Answer: DeserializeOwned>(
        &self,
        operation: Operation,
        request: &(impl Serialize + Sync),
        request_id: Option<&str>,
    ) -> Result<Answer, CallError> {
        let body = serde_json::to_vec(request)
            .map_err(|error| CallError::NotSent(NotSent::Request(error.to_string())))?;
        let mut call =
            self.http.post(self.url(operation)).header(CONTENT_TYPE, JSON_UTF8).body(body);
        // The id only helps to find the call in logs; one that no header can carry is left out.
        if let Some(id) = request_id.and_then(|id| HeaderValue::from_str(id).ok()) {
            call = call.header(REQUEST_ID, id);
        }
        outcome::of(call, self.call_timeout).await
    }

    fn url(&self, operation: Operation) -> String {
        format!("{}{}", self.base_url.as_str().trim_end_matches('/'), operation.path())
    }
}

pub(crate) fn headers(config: &ClientConfig) -> Result<HeaderMap, ConfigError> {
    let key = config.secret_key.expose();
    if key.trim().is_empty() {
        return Err(ConfigError::SecretKey);
    }
    let text = Zeroizing::new(format!("SECRET_KEY {key}"));
    let Ok(mut authorization) = HeaderValue::from_str(&text) else {
        return Err(ConfigError::SecretKey);
    };
    authorization.set_sensitive(true);
    Ok(HeaderMap::from_iter([(AUTHORIZATION, authorization)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_path_and_a_name_of_its_own() {
        let mut names: Vec<_> = Operation::ALL.iter().map(|operation| operation.name()).collect();
        let mut paths: Vec<_> = Operation::ALL.iter().map(|operation| operation.path()).collect();
        names.sort_unstable();
        names.dedup();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!((names.len(), paths.len()), (7, 7));
    }
}
