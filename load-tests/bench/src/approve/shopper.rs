//! A shopper up to the payment page's button, over HTTP: order, page, button, and the way back.

use std::sync::Arc;

use reqwest::{StatusCode, redirect};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::world::BoxError;

use super::stage::Stage;

/// Shoppers prepared at once.
const PREPARED_AT_ONCE: usize = 24;

/// Somebody who has pressed the button and has not come back yet.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    /// The order.
    pub(crate) order: Uuid,
    /// Where the browser is sent.
    pub(crate) way_back: String,
}

/// An answer of the command API.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Seconds after which the request may be repeated, if it says so.
    pub(crate) retry_after: Option<u64>,
    /// Its body.
    pub(crate) body: Value,
}

/// A browser that follows no redirect by itself.
///
/// # Errors
/// The HTTP client cannot be made.
pub(crate) fn browser() -> Result<reqwest::Client, BoxError> {
    Ok(reqwest::Client::builder().redirect(redirect::Policy::none()).no_proxy().build()?)
}

/// Brings `count` shoppers to the point where only coming back is left, a few at a time.
///
/// # Errors
/// A step was refused.
pub(crate) async fn prepare(stage: &Arc<Stage>, count: usize) -> Result<Vec<Waiting>, BoxError> {
    let places = Arc::new(Semaphore::new(PREPARED_AT_ONCE));
    let browser = browser()?;
    let mut preparing = JoinSet::new();
    for _ in 0..count {
        let place = Arc::clone(&places).acquire_owned().await?;
        let (stage, browser) = (Arc::clone(stage), browser.clone());
        preparing.spawn(async move {
            let token = stage.admit().await?;
            let order = place_order(&stage, &browser, &token).await?;
            let answer = ask_to_pay(&stage, &browser, &token, order, &key()).await?;
            if answer.status != StatusCode::OK {
                return Err(format!("open a page: {} {}", answer.status, answer.body).into());
            }
            let way_back = press(&browser, &answer.body).await?;
            drop(place);
            Ok::<_, BoxError>(Waiting { order, way_back })
        });
    }
    preparing.join_all().await.into_iter().collect()
}

/// Places an order for one piece; its id.
///
/// # Errors
/// It was refused.
pub(crate) async fn place_order(
    stage: &Stage,
    browser: &reqwest::Client,
    token: &str,
) -> Result<Uuid, BoxError> {
    let body = json!({
        "lines": [{ "itemId": stage.item.to_string(), "quantity": 1 }],
        "receiver": {
            "name": "홍길동",
            "phone": "010-1234-5678",
            "address": { "zip": "04524", "city": "서울 중구", "detail": "3층" },
        },
    });
    let url = format!("{}/api/orders", stage.checkout);
    let answer = post(browser, &url, token, &key(), &body).await?;
    if answer.status != StatusCode::CREATED {
        return Err(format!("place an order: {} {}", answer.status, answer.body).into());
    }
    Ok(text(&answer.body, "orderId")?.parse()?)
}

/// Asks for a payment page once.
///
/// # Errors
/// There was no answer.
pub(crate) async fn ask_to_pay(
    stage: &Stage,
    browser: &reqwest::Client,
    token: &str,
    order: Uuid,
    key: &str,
) -> Result<Answer, BoxError> {
    let url = format!("{}/api/orders/{order}/payment", stage.checkout);
    post(browser, &url, token, key, &json!({})).await
}

/// Presses the button of the page in `answer`; where the browser is sent.
///
/// # Errors
/// The page sends it nowhere.
pub(crate) async fn press(browser: &reqwest::Client, answer: &Value) -> Result<String, BoxError> {
    let page = text(answer, "nextRedirectPcUrl")?;
    let pressed = browser.get(format!("{page}?auto=approve")).send().await?;
    let location = pressed.headers().get("location").and_then(|value| value.to_str().ok());
    Ok(location.ok_or("find the way back from the payment page")?.to_owned())
}

/// An idempotency key that nobody has used.
pub(crate) fn key() -> String {
    Uuid::now_v7().to_string()
}

async fn post(
    browser: &reqwest::Client,
    url: &str,
    token: &str,
    key: &str,
    body: &Value,
) -> Result<Answer, BoxError> {
    let request = browser.post(url).bearer_auth(token).header("Idempotency-Key", key).json(body);
    let response = request.send().await?;
    let status = response.status();
    let retry_after = response.headers().get("retry-after");
    let retry_after =
        retry_after.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let body = response.json().await.unwrap_or_default();
    Ok(Answer { status, retry_after, body })
}

fn text<'v>(body: &'v Value, field: &str) -> Result<&'v str, BoxError> {
    body[field].as_str().ok_or_else(|| format!("find {field} in {body}").into())
}
