//! One shopper after another order: everything over HTTP, everything that moves money under a key.
//!
//! A shopper never gives a request up because a process was killed under it; it sends the same one
//! again. What it was told is noted, so that the audit can ask whether the shop kept its word.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use url::Url;
use uuid::Uuid;

use crate::Failure;
use crate::client::{Answer, Asked, Browser, REFUSED_FOR_GOOD};
use crate::leaks::Planted;
use crate::schedule::{Aftermath, Course, PlannedOrder};
use crate::world::World;

/// Payment attempts before an order is left unpaid.
const ATTEMPTS_MAX: u32 = 3;
/// Longest wait for an order to become what it will be.
const OUTCOME_WAIT_MAX: Duration = Duration::from_secs(75);
/// Longest wait for a payment page.
const PAGE_WAIT_MAX: Duration = Duration::from_mins(1);
/// Pause between two looks at an order.
const LOOK_PAUSE: Duration = Duration::from_millis(150);
/// Codes that say that an attempt has ended without a page.
const ENDED: [&str; 3] = ["payment.declined", "payment.abandoned", REFUSED_FOR_GOOD];
/// Statuses in which the gateway still has the word.
const OPEN: [&str; 3] = ["PLACED", "AWAITING_PAYMENT", "UNRESOLVED"];

/// What all shoppers share.
pub(crate) struct Street {
    /// The shop and its surroundings.
    pub(crate) world: Arc<World>,
    /// Their browser.
    pub(crate) browser: Browser,
    /// Steps taken by all of them.
    pub(crate) steps: watch::Sender<u64>,
    /// What may not be found in a log.
    pub(crate) planted: Planted,
    /// What they were told.
    pub(crate) told: Mutex<Told>,
    /// Names accounts and keys.
    pub(crate) seed: u64,
}

/// What shoppers were told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The order that each planned order became.
    pub(crate) placed: BTreeMap<u32, Uuid>,
    /// Answers that no shopper expects.
    pub(crate) troubles: Vec<String>,
}

/// Somebody with an account.
#[derive(Clone)]
pub(crate) struct Account {
    email: String,
    password: String,
    token: String,
}

/// An order on its way.
struct Placed<'p> {
    plan: &'p PlannedOrder,
    id: Uuid,
    total: i64,
}

/// What asking for a payment page came to.
enum Page {
    /// Its address.
    Open(String),
    /// The attempt was declined or abandoned.
    Ended,
    /// An earlier payment has not ended yet, or has paid the order.
    UnderWay,
}

impl Street {
    /// Notes something that no shopper expects.
    pub(crate) fn trouble(&self, what: String) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).troubles.push(what);
    }

    /// Signs up and logs in. `name` is a few letters and digits, each used once.
    pub(crate) async fn join(&self, name: &str) -> Result<Account, Failure> {
        let email = format!("chaos-{}-{name}@example.com", self.seed);
        let password = format!("Chaos-{}-{name}-secret1!", self.seed);
        let digits = Uuid::new_v5(&Uuid::NAMESPACE_OID, email.as_bytes()).as_u128() % 100_000_000;
        let phone = format!("010{digits:08}");
        for value in [&email, &password, &phone] {
            self.planted.plant(value);
        }
        let body = json!({
            "email": email, "password": password, "displayName": format!("s{name}"), "phone": phone,
        });
        let url = format!("{}/api/users", self.world.checkout);
        let answer = self.browser.send(&post(&url, None, None, &body)).await?;
        // Signing up has no key: taken by a request of ours whose answer was lost is as good.
        let is_made = answer.status == StatusCode::CREATED || answer.code() == "user.email_taken";
        if !is_made {
            return Err(format!("signing up: {} {}", answer.status, answer.body).into());
        }
        let token = self.log_in(&email, &password).await?;
        Ok(Account { email, password, token })
    }

    async fn log_in(&self, email: &str, password: &str) -> Result<String, Failure> {
        let url = format!("{}/api/auth/login", self.world.checkout);
        let body = json!({ "email": email, "password": password });
        let answer = self.browser.send(&post(&url, None, None, &body)).await?;
        if answer.status != StatusCode::OK {
            return Err(format!("logging in: {} {}", answer.status, answer.body).into());
        }
        let token = answer.needs("/accessToken")?;
        // The signature is what makes it a token; header and claims may resemble others.
        self.planted.plant(token.rsplit('.').next().unwrap_or_default());
        Ok(token)
    }

    /// Shops one planned order from its first line to its aftermath.
    pub(crate) async fn shop(
        &self,
        account: &mut Account,
        plan: &PlannedOrder,
    ) -> Result<(), Failure> {
        // A cart of one's own, so that what leaves it can be told order by order.
        let mut fresh;
        let account = if plan.is_from_cart() {
            fresh = self.join(&format!("c{}", plan.number)).await?;
            self.fill_cart(&mut fresh, plan).await?;
            &mut fresh
        } else {
            account
        };
        let order = self.place(account, plan).await?;
        if plan.course == Course::CallsOffUnpaid {
            return self.call_off(account, &order, "unpaid").await.map(drop);
        }
        let status = self.pay(account, &order).await?;
        if status == "PAID" {
            self.aftermath(account, &order).await?;
        }
        Ok(())
    }

    async fn fill_cart(&self, account: &mut Account, plan: &PlannedOrder) -> Result<(), Failure> {
        let url = format!("{}/api/carts/{}/items", self.world.checkout, kind(plan));
        for line in lines(plan, &self.world) {
            let key = self.key(plan, &format!("add/{}", line["itemId"]));
            let answer = self.ask(account, &post(&url, None, Some(&key), &line)).await?;
            self.step();
            if answer.status != StatusCode::OK {
                return Err(format!("filling a cart: {} {}", answer.status, answer.body).into());
            }
        }
        Ok(())
    }

    async fn place<'p>(
        &self,
        account: &mut Account,
        plan: &'p PlannedOrder,
    ) -> Result<Placed<'p>, Failure> {
        let (name, phone) = (
            format!("수취인 {}-{}", self.seed, plan.number),
            format!("010-{:04}-{:04}", 7000 + plan.number / 10_000, plan.number % 10_000),
        );
        let detail = format!("비밀상자 {}-{}호", self.seed, plan.number);
        for value in [&name, &phone, &phone.replace('-', ""), &detail] {
            self.planted.plant(value);
        }
        let address = json!({ "zip": "04524", "city": "서울 중구", "detail": detail });
        let receiver = json!({ "name": name, "phone": phone, "address": address });
        let body = if plan.is_from_cart() {
            json!({ "fromCart": kind(plan), "receiver": receiver })
        } else {
            json!({ "lines": lines(plan, &self.world), "receiver": receiver })
        };
        let url = format!("{}/api/orders", self.world.checkout);
        let key = self.key(plan, "place");
        let answer = self.ask(account, &post(&url, None, Some(&key), &body)).await?;
        self.step();
        if answer.status != StatusCode::CREATED {
            return Err(format!("placing an order: {} {}", answer.status, answer.body).into());
        }
        let id: Uuid = answer.needs("/orderId")?.parse()?;
        let total = answer.body["total"].as_i64().ok_or("an order without a total")?;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.placed.insert(plan.number, id);
        drop(told);
        Ok(Placed { plan, id, total })
    }

    /// Tries to pay; answers the order's status after it.
    async fn pay(&self, account: &mut Account, order: &Placed<'_>) -> Result<String, Failure> {
        let mut leaves = order.plan.course == Course::LeavesAndPays;
        for attempt in 1..=ATTEMPTS_MAX {
            let page = match self.open_page(account, order, attempt).await? {
                Page::Open(page) => page,
                Page::Ended => continue,
                Page::UnderWay => {
                    self.browser.pause(LOOK_PAUSE * 4).await;
                    let status =
                        self.outcome(account, order, |status| !OPEN.contains(&status)).await?;
                    if status != "DECLINED" {
                        return Ok(status);
                    }
                    continue;
                }
            };
            if order.plan.course == Course::WalksAway {
                return Ok("AWAITING_PAYMENT".to_owned());
            }
            if leaves {
                leaves = false;
                self.come_back(&self.press(&page, "cancel").await?).await?;
                continue;
            }
            let way_back = self.press(&page, "approve").await?;
            if order.plan.course == Course::CallsOffBeforeReturning {
                self.call_off(account, order, "before").await?;
            }
            let returned = self.come_back(&way_back).await?;
            if order.plan.returns_twice {
                self.come_back(&way_back).await?;
            }
            if !returned {
                return Ok("CANCELLED".to_owned());
            }
            let is_called_off = order.plan.course == Course::CallsOffWhilePaying
                && self.call_off(account, order, "while").await?;
            if is_called_off {
                // Paid already: all of it is on its way back, and nothing is left to ask for.
                return Ok("CANCELLED".to_owned());
            }
            let status = self.outcome(account, order, |status| !OPEN.contains(&status)).await?;
            if status != "DECLINED" {
                return Ok(status);
            }
        }
        Ok("DECLINED".to_owned())
    }

    /// Asks for a payment page until there is an answer.
    async fn open_page(
        &self,
        account: &mut Account,
        order: &Placed<'_>,
        attempt: u32,
    ) -> Result<Page, Failure> {
        let url = format!("{}/api/orders/{}/payment", self.world.checkout, order.id);
        let key = self.key(order.plan, &format!("pay/{attempt}"));
        let begun = Instant::now();
        loop {
            let answer = self.ask(account, &post(&url, None, Some(&key), &json!({}))).await?;
            match answer.status {
                StatusCode::OK => {
                    self.step();
                    return answer.needs("/nextRedirectPcUrl").map(Page::Open);
                }
                StatusCode::ACCEPTED if begun.elapsed() < PAGE_WAIT_MAX => {
                    self.browser.pause(LOOK_PAUSE).await;
                }
                _ if ENDED.contains(&answer.code()) => {
                    self.step();
                    return Ok(Page::Ended);
                }
                // The history that the shopper looked at was a moment old.
                StatusCode::CONFLICT => return Ok(Page::UnderWay),
                status => return Err(format!("asking to pay: {status} {}", answer.body).into()),
            }
        }
    }

    /// Presses a button of the payment page; answers where the browser is sent.
    async fn press(&self, page: &str, button: &str) -> Result<String, Failure> {
        let url = format!("{page}?auto={button}");
        let answer = self.browser.send(&get(&url, None)).await?;
        self.step();
        let way_back = answer
            .location
            .ok_or_else(|| format!("pressing {button}: {} without a way back", answer.status))?;
        let url = Url::parse(&way_back)?;
        let token = url.query_pairs().find(|(name, _)| name == "pg_token");
        if let Some((_, token)) = token {
            self.planted.plant(&token);
        }
        // The way back ends in the attempt's number, a hyphen and the nonce, but for `/cancel`.
        let nonces = url.path_segments().into_iter().flatten();
        for nonce in nonces.filter_map(|part| part.split_once('-')).filter(|(it, _)| it.len() == 1)
        {
            self.planted.plant(nonce.1);
        }
        Ok(way_back)
    }

    /// Follows the way back to the shop; whether the shop took it.
    async fn come_back(&self, way_back: &str) -> Result<bool, Failure> {
        let answer = self.browser.send(&get(way_back, None)).await?;
        self.step();
        match answer.status {
            StatusCode::OK | StatusCode::SEE_OTHER => Ok(true),
            // Too late for an order that was called off.
            StatusCode::CONFLICT => Ok(false),
            status => Err(format!("coming back: {status} {}", answer.body).into()),
        }
    }

    /// Calls the order off; a refusal because money is being moved is an answer like any other.
    async fn call_off(
        &self,
        account: &mut Account,
        order: &Placed<'_>,
        when: &str,
    ) -> Result<bool, Failure> {
        let url = format!("{}/api/orders/{}/cancel", self.world.checkout, order.id);
        let key = self.key(order.plan, &format!("call-off/{when}"));
        let body = json!({ "reason": "changed my mind" });
        let answer = self.ask(account, &post(&url, None, Some(&key), &body)).await?;
        self.step();
        match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::CONFLICT => Ok(false),
            status => Err(format!("calling off ({when}): {status} {}", answer.body).into()),
        }
    }

    async fn aftermath(&self, account: &mut Account, order: &Placed<'_>) -> Result<(), Failure> {
        let part =
            |percent: u32| (order.total * i64::from(percent) / 100).clamp(1, order.total - 1);
        match order.plan.aftermath {
            Aftermath::Keeps => Ok(()),
            Aftermath::GivesBackPart(percent) => {
                self.give_back(account, order, 1, part(percent)).await
            }
            Aftermath::GivesBackInTwo(percent) => {
                self.give_back(account, order, 1, part(percent)).await?;
                self.give_back(account, order, 2, order.total - part(percent)).await
            }
            Aftermath::GivesBackSlowly(percent) => {
                self.give_back(account, order, 1, part(percent)).await?;
                let is_back = |status: &str| status != "PAID";
                self.outcome(account, order, is_back).await?;
                self.give_back(account, order, 2, order.total - part(percent)).await
            }
            Aftermath::CallsOff => self.call_off(account, order, "paid").await.map(drop),
        }
    }

    async fn give_back(
        &self,
        account: &mut Account,
        order: &Placed<'_>,
        number: u32,
        amount: i64,
    ) -> Result<(), Failure> {
        let url = format!("{}/api/orders/{}/refunds", self.world.checkout, order.id);
        let key = self.key(order.plan, &format!("refund/{number}"));
        let body = json!({ "amount": amount, "reason": "changed my mind" });
        let answer = self.ask(account, &post(&url, None, Some(&key), &body)).await?;
        self.step();
        match answer.status {
            StatusCode::ACCEPTED => Ok(()),
            status => Err(format!("giving back: {status} {}", answer.body).into()),
        }
    }

    /// The order's status once `is_final` says so, or whatever it is when patience ends.
    async fn outcome(
        &self,
        account: &mut Account,
        order: &Placed<'_>,
        is_final: impl Fn(&str) -> bool,
    ) -> Result<String, Failure> {
        let url = format!("{}/api/orders/{}", self.world.storefront, order.id);
        let begun = Instant::now();
        loop {
            let answer = self.ask(account, &get(&url, None)).await?;
            let status = answer.text("/status").unwrap_or("PLACED").to_owned();
            let is_over = OUTCOME_WAIT_MAX < begun.elapsed();
            if is_final(&status) || is_over {
                return Ok(status);
            }
            self.browser.pause(LOOK_PAUSE).await;
        }
    }

    /// Asks as the account; a token that ran out is renewed once.
    async fn ask(&self, account: &mut Account, asked: &Asked<'_>) -> Result<Answer, Failure> {
        let token = account.token.clone();
        let answer = self.browser.send(&Asked { token: Some(&token), ..asked.clone() }).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        account.token = self.log_in(&account.email, &account.password).await?;
        let token = account.token.clone();
        self.browser.send(&Asked { token: Some(&token), ..asked.clone() }).await
    }

    /// The key of one request of one planned order: the same in every run of the seed.
    fn key(&self, plan: &PlannedOrder, step: &str) -> String {
        let name = format!("{}/{}/{step}", self.seed, plan.number);
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
    }

    fn step(&self) {
        self.steps.send_modify(|steps| *steps += 1);
    }
}

fn kind(plan: &PlannedOrder) -> &'static str {
    if plan.is_subscription() { "subscription" } else { "one-off" }
}

fn lines(plan: &PlannedOrder, world: &World) -> Vec<Value> {
    let line = |(item, quantity): &(usize, u32)| {
        let id = world.items.get(*item).map(ToString::to_string);
        if plan.is_subscription() {
            json!({ "itemId": id, "quantity": quantity, "periodDays": 30 })
        } else {
            json!({ "itemId": id, "quantity": quantity })
        }
    };
    plan.lines.iter().map(line).collect()
}

fn get<'a>(url: &'a str, token: Option<&'a str>) -> Asked<'a> {
    Asked { method: Method::GET, url, token, key: None, body: None }
}

fn post<'a>(
    url: &'a str,
    token: Option<&'a str>,
    key: Option<&'a str>,
    body: &'a Value,
) -> Asked<'a> {
    Asked { method: Method::POST, url, token, key, body: Some(body) }
}
