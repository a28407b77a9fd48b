//! A shopper: everything goes through the public APIs, as a browser would.
//!
//! The demo drives one, and so do the end-to-end tests, which kill the shop under their hands.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{Answer, Client, list, number, text};
use super::{Failure, settled, settled_within};
use crate::ready::Addresses;

/// Longest the window may take to show a whole catalogue that was just imported.
const WINDOW_WAIT_MAX: Duration = Duration::from_mins(5);
/// Lines the demo puts into each cart.
const LINES: usize = 2;

/// Somebody who looks at the window and has no account yet.
pub struct Visitor {
    at: Addresses,
    client: Client,
    items: Vec<Value>,
}

/// Somebody with an account.
pub struct Shopper {
    at: Addresses,
    client: Client,
    items: Vec<Value>,
}

/// An order the shopper placed.
#[derive(Debug, Clone)]
pub struct Order {
    /// The order's id.
    pub id: String,
    /// The number for people.
    pub number: String,
    /// What it costs, in won.
    pub total: i64,
    /// How many lines it has.
    pub lines: usize,
    key: String,
    request: Value,
}

/// Something to ask of the shop without insisting on a good answer.
#[derive(Debug, Clone, Copy)]
pub enum Ask<'o> {
    /// What is in the cart for one delivery.
    Cart,
    /// The orders so far.
    History,
    /// One more item in that cart.
    OneMore,
    /// An order for what is in that cart.
    PlaceOrder,
    /// The pay page of an order.
    PayPage(&'o Order),
}

/// What the shop said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The stable code of a problem.
    pub code: Option<String>,
    /// How long the shop took.
    pub took: Duration,
}

/// Looks at the window until it shows at least `items_min` items: categories, totals, first page.
///
/// # Errors
/// The window does not fill within [`WINDOW_WAIT_MAX`], or an answer is not as promised.
pub async fn look_around(at: &Addresses, items_min: u64) -> Result<(String, Visitor), Failure> {
    let client = Client::new()?;
    let categories = client.get(&format!("{}/api/categories", at.storefront_api)).await?;
    let url = format!("{}/api/items?sort=PRICE_LOW&page=1&size=20", at.storefront_api);
    let what = format!("a window with {items_min} items");
    let (total, page) = settled_within(WINDOW_WAIT_MAX, &what, || async {
        let page = client.get(&url).await?;
        let total = number(&page, "/pageInfo/totalElements")?;
        let is_full = items_min <= total.unsigned_abs() && LINES <= list(&page, "/items")?.len();
        Ok(is_full.then_some((total, page)))
    })
    .await?;
    let named = list(&categories, "/categories")?.len();
    let items = list(&page, "/items")?.to_vec();
    Ok((format!("{total} items in {named} categories"), Visitor { at: at.clone(), client, items }))
}

impl Visitor {
    /// Signs up under a random name and logs in.
    ///
    /// # Errors
    /// Either was refused.
    pub async fn sign_up(self) -> Result<(String, Shopper), Failure> {
        let mark = Uuid::now_v7().simple().to_string();
        let name = mark.get(20..).unwrap_or("demo");
        let email = format!("{name}@example.com");
        let password = "correct-horse-1!";
        let users = format!("{}/api/users", self.at.checkout_api);
        let account = json!({ "email": email, "password": password, "displayName": name });
        self.client.post(&users, &account, None, StatusCode::CREATED).await?;
        let login = format!("{}/api/auth/login", self.at.checkout_api);
        let credentials = json!({ "email": email, "password": password });
        let answer = self.client.post(&login, &credentials, None, StatusCode::OK).await?;
        let token = text(&answer.body, "/accessToken")?.to_owned();
        let client = self.client.signed_in(token);
        Ok((
            "account made, signed in".to_owned(),
            Shopper { at: self.at, client, items: self.items },
        ))
    }
}

impl Shopper {
    /// The same shopper after the shop moved to other addresses.
    #[must_use]
    pub fn moved_to(mut self, at: &Addresses) -> Self {
        self.at = at.clone();
        self
    }

    /// Asks for something and tells what the shop said to it, good or bad.
    ///
    /// # Errors
    /// There was no answer, or none in time.
    pub async fn reply_to(&self, ask: Ask<'_>) -> Result<Reply, Failure> {
        let (checkout, storefront) = (&self.at.checkout_api, &self.at.storefront_api);
        let (method, url, body) = match ask {
            Ask::Cart => (Method::GET, format!("{storefront}/api/carts/one-off"), None),
            Ask::History => (Method::GET, format!("{storefront}/api/orders?page=1&size=20"), None),
            Ask::OneMore => {
                let item = self.items.first().ok_or_else(|| Failure::new("an empty window"))?;
                let line = json!({ "itemId": text(item, "/itemId")?, "quantity": 1 });
                (Method::POST, format!("{checkout}/api/carts/one-off/items"), Some(line))
            }
            Ask::PlaceOrder => {
                (Method::POST, format!("{checkout}/api/orders"), Some(order_request("one-off")))
            }
            Ask::PayPage(order) => {
                let url = format!("{checkout}/api/orders/{}/payment", order.id);
                (Method::POST, url, Some(json!({})))
            }
        };
        let (key, begun) = (Uuid::now_v7().to_string(), Instant::now());
        let headers = [("Idempotency-Key", key.as_str())];
        let answer = self.client.send(method, &url, body.as_ref(), &headers).await?;
        let code = answer.body.pointer("/code").and_then(Value::as_str).map(str::to_owned);
        Ok(Reply { status: answer.status.as_u16(), code, took: begun.elapsed() })
    }

    /// Puts two items into the cart and reads it back; answers the cart as the storefront shows it.
    ///
    /// # Errors
    /// An answer was not as promised, or did not come within the demo's patience.
    pub async fn fill_cart(
        &self,
        kind: &str,
        period_days: Option<u16>,
    ) -> Result<(String, Value), Failure> {
        let url = format!("{}/api/carts/{kind}/items", self.at.checkout_api);
        let mut position = None;
        for item in self.items.iter().take(LINES) {
            let mut line = json!({ "itemId": text(item, "/itemId")?, "quantity": 2 });
            if let (Some(days), Some(fields)) = (period_days, line.as_object_mut()) {
                fields.insert("periodDays".to_owned(), json!(days));
            }
            let answer = self.client.send(Method::POST, &url, Some(&line), &[]).await?;
            position.clone_from(&answer.position);
            answer.expect(StatusCode::OK, &url)?;
        }
        let cart = self.cart(kind, position.as_deref()).await?;
        let lines = list(&cart, "/lines")?.len();
        if lines != LINES {
            return Err(Failure::new(format!("{lines} lines in the cart instead of {LINES}")));
        }
        Ok((format!("{lines} lines, {} won", number(&cart, "/totals/payableTotal")?), cart))
    }

    async fn cart(&self, kind: &str, position: Option<&str>) -> Result<Value, Failure> {
        let url = format!("{}/api/carts/{kind}", self.at.storefront_api);
        self.client.get_after(&url, position).await
    }

    /// Places an order for the whole cart; the total must be the cart's.
    ///
    /// # Errors
    /// An answer was not as promised, or did not come within the demo's patience.
    pub async fn place_order(&self, kind: &str, cart: &Value) -> Result<(String, Order), Failure> {
        let request = order_request(kind);
        let key = Uuid::now_v7().to_string();
        let answer = self.place(&request, &key).await?;
        let order = order_of(&answer, key, request)?;
        let expected = number(cart, "/totals/payableTotal")?;
        if order.total != expected {
            return Err(Failure::new(format!("total {}, the cart said {expected}", order.total)));
        }
        Ok((format!("{} over {} won", order.number, order.total), order))
    }

    /// Sends the same request with the same key: the same order must come back, not a second one.
    ///
    /// # Errors
    /// An answer was not as promised, or did not come within the demo's patience.
    pub async fn place_again(&self, kind: &str, order: &Order) -> Result<(String, Order), Failure> {
        let answer = self.place(&order.request, &order.key).await?;
        let again = order_of(&answer, order.key.clone(), order.request.clone())?;
        if again.id != order.id || !answer.replayed {
            return Err(Failure::new(format!("the repeated {kind} order is a second one")));
        }
        Ok(("a repeated request is the same order".to_owned(), again))
    }

    async fn place(&self, request: &Value, key: &str) -> Result<Answer, Failure> {
        let url = format!("{}/api/orders", self.at.checkout_api);
        self.client.post(&url, request, Some(key), StatusCode::CREATED).await
    }

    /// Asks for the pay page, lets the simulated shopper approve, and follows the way back.
    ///
    /// # Errors
    /// An answer was not as promised, or did not come within the demo's patience.
    pub async fn pay(&self, order: Order) -> Result<(String, Order), Failure> {
        let page = self.open_pay_page(&order).await?;
        self.approve_on(&page).await?;
        self.wait_for_status(&order, "PAID").await?;
        Ok((format!("{} is PAID", order.number), order))
    }

    /// Asks for the gateway's pay page; answers its address.
    ///
    /// # Errors
    /// No page was opened.
    pub async fn open_pay_page(&self, order: &Order) -> Result<String, Failure> {
        let url = format!("{}/api/orders/{}/payment", self.at.checkout_api, order.id);
        let key = Uuid::now_v7().to_string();
        let answer = self.client.post(&url, &json!({}), Some(&key), StatusCode::OK).await?;
        Ok(text(&answer.body, "/nextRedirectPcUrl")?.to_owned())
    }

    /// Presses the approve button of a pay page and follows the way back to the shop.
    ///
    /// # Errors
    /// The way back does not answer 200.
    pub async fn approve_on(&self, page: &str) -> Result<(), Failure> {
        let approved = format!("{page}?auto=approve");
        // The browser that comes back need not be signed in.
        let back = Client::new()?.send(Method::GET, &approved, None, &[]).await?;
        back.expect(StatusCode::OK, "the way back from the pay page").map(drop)
    }

    /// Waits until the order history shows `order` in `status`; answers its details.
    ///
    /// # Errors
    /// It did not within the demo's patience.
    pub async fn wait_for_status(&self, order: &Order, status: &str) -> Result<Value, Failure> {
        let url = format!("{}/api/orders/{}", self.at.storefront_api, order.id);
        settled(&format!("order {} becoming {status}", order.number), || async {
            let answer = self.client.send(Method::GET, &url, None, &[]).await?;
            if answer.status == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            let detail = answer.expect(StatusCode::OK, &url)?;
            Ok((text(&detail, "/status")? == status).then_some(detail))
        })
        .await
    }

    /// The order stands in the history, paid, with its total and its lines.
    ///
    /// # Errors
    /// An answer was not as promised, or did not come within the demo's patience.
    pub async fn sees_paid(&self, order: &Order) -> Result<(String, ()), Failure> {
        let detail = self.wait_for_status(order, "PAID").await?;
        self.in_history(order, "PAID").await?;
        let (total, lines) = (number(&detail, "/total")?, list(&detail, "/lines")?.len());
        if total != order.total || lines != order.lines {
            return Err(Failure::new(format!("the history shows {total} won in {lines} lines")));
        }
        if text(&detail, "/receiver/name")? != "홍길동" {
            return Err(Failure::new("the receiver is not readable to its owner"));
        }
        Ok((format!("{} shown with {lines} lines, {total} won", order.number), ()))
    }

    async fn in_history(&self, order: &Order, status: &str) -> Result<(), Failure> {
        let url = format!("{}/api/orders?status={status}&page=1&size=20", self.at.storefront_api);
        let history = self.client.get(&url).await?;
        let found = list(&history, "/orders")?
            .iter()
            .any(|row| row.pointer("/id").and_then(Value::as_str) == Some(order.id.as_str()));
        if !found {
            return Err(Failure::new(format!("{} is not listed as {status}", order.number)));
        }
        Ok(())
    }

    /// What was bought has left the cart.
    ///
    /// # Errors
    /// An answer was not as promised, or did not come within the demo's patience.
    pub async fn sees_empty_cart(&self, kind: &str) -> Result<(String, ()), Failure> {
        settled("the bought lines leaving the cart", || async {
            let cart = self.cart(kind, None).await?;
            Ok(list(&cart, "/lines")?.is_empty().then_some(()))
        })
        .await?;
        Ok(("the bought lines have left it".to_owned(), ()))
    }

    /// Gives back part of the order, then the rest.
    ///
    /// # Errors
    /// An answer was not as promised, or did not come within the demo's patience.
    pub async fn refund(&self, order: &Order) -> Result<(String, ()), Failure> {
        let part = (order.total / 3).max(1);
        for (amount, status) in [(part, "PARTLY_REFUNDED"), (order.total - part, "REFUNDED")] {
            let url = format!("{}/api/orders/{}/refunds", self.at.checkout_api, order.id);
            let request = json!({ "amount": amount, "reason": "changed my mind" });
            let key = Uuid::now_v7().to_string();
            self.client.post(&url, &request, Some(&key), StatusCode::ACCEPTED).await?;
            self.wait_for_status(order, status).await?;
        }
        Ok((format!("{part} won, then the rest of {}", order.number), ()))
    }

    /// The rebuilt history still shows the refunded order.
    ///
    /// # Errors
    /// An answer was not as promised, or did not come within the demo's patience.
    pub async fn sees_refunded(&self, order: &Order) -> Result<(String, ()), Failure> {
        self.in_history(order, "REFUNDED").await?;
        Ok((format!("{} is still there, REFUNDED", order.number), ()))
    }
}

fn order_request(kind: &str) -> Value {
    json!({
        "fromCart": kind,
        "receiver": {
            "name": "홍길동",
            "phone": "010-1234-5678",
            "address": { "zip": "04524", "city": "서울 중구 세종대로 110", "detail": "3층" },
        },
    })
}

fn order_of(answer: &Answer, key: String, request: Value) -> Result<Order, Failure> {
    let body = &answer.body;
    Ok(Order {
        id: text(body, "/orderId")?.to_owned(),
        number: text(body, "/number")?.to_owned(),
        total: number(body, "/total")?,
        lines: LINES,
        key,
        request,
    })
}
