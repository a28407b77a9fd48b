//! One shopper after another order: everything over HTTP, everything that moves money under a key.
//!
//! A shopper never gives a request up because a process was killed under it; it sends the same one
//! again. What it was told is noted, so that the audit can ask whether the shop kept its word.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use crate::Failure;
use crate::client::{Answer, Asked, Browser};
use crate::intents::{Intents, Wanted, WantedLine, Wish};
use crate::leaks::Planted;
use crate::schedule::{Course, PlannedOrder};
use crate::world::World;

/// How often the lines of a subscription come.
const PERIOD_DAYS: i64 = 30;

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
    /// What they asked for and what they were answered.
    pub(crate) intents: Intents,
    /// Orders that had no outcome when a shopper's patience ended.
    pub(crate) stuck: Vec<String>,
    /// Answers that no shopper expects.
    pub(crate) troubles: Vec<String>,
}

/// Somebody with an account.
#[derive(Clone)]
pub(crate) struct Account {
    email: String,
    password: String,
    token: String,
    id: Uuid,
}

/// An order on its way.
pub(crate) struct Placed<'p> {
    pub(crate) plan: &'p PlannedOrder,
    pub(crate) id: Uuid,
    pub(crate) total: i64,
}

impl Street {
    /// Notes something that no shopper expects.
    pub(crate) fn trouble(&self, what: String) {
        self.told().troubles.push(what);
    }

    /// What shoppers were told, for a moment.
    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
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
        let asked = Asked { from: Some(address_of(&email)), ..Asked::post(&url, &body) };
        let answer = self.browser.send(&asked).await?;
        // Signing up has no key: taken by a request of ours whose answer was lost is as good.
        let is_made = answer.status == StatusCode::CREATED || answer.code() == "user.email_taken";
        if !is_made {
            return Err(format!("signing up: {} {}", answer.status, answer.body).into());
        }
        let (token, id) = self.log_in(&email, &password).await?;
        Ok(Account { email, password, token, id })
    }

    async fn log_in(&self, email: &str, password: &str) -> Result<(String, Uuid), Failure> {
        let url = format!("{}/api/auth/login", self.world.checkout);
        let body = json!({ "email": email, "password": password });
        let asked = Asked { from: Some(address_of(email)), ..Asked::post(&url, &body) };
        let answer = self.browser.send(&asked).await?;
        if answer.status != StatusCode::OK {
            return Err(format!("logging in: {} {}", answer.status, answer.body).into());
        }
        let token = answer.needs("/accessToken")?;
        // The signature is what makes it a token; header and claims may resemble others.
        self.planted.plant(token.rsplit('.').next().unwrap_or_default());
        Ok((token, answer.needs("/userId")?.parse()?))
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
            let answer =
                self.ask(account, &Asked { key: Some(&key), ..Asked::post(&url, &line) }).await?;
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
        let receiver = self.receiver(plan);
        let wanted = Wanted {
            user: account.id,
            total: self.world.total_of(&plan.lines),
            lines: wanted_lines(plan, &self.world),
            receiver: serde_json::from_value(receiver.clone())?,
        };
        let body = if plan.is_from_cart() {
            json!({ "fromCart": kind(plan), "receiver": receiver })
        } else {
            json!({ "lines": lines(plan, &self.world), "receiver": receiver })
        };
        let url = format!("{}/api/orders", self.world.checkout);
        let key = self.key(plan, "place");
        let asked = Asked { key: Some(&key), ..Asked::post(&url, &body) };
        let wish = Wish::Place(Box::new(wanted));
        let answer = self.intend(account, None, wish, &asked).await?;
        self.step();
        if answer.status != StatusCode::CREATED {
            return Err(format!("placing an order: {} {}", answer.status, answer.body).into());
        }
        let id: Uuid = answer.needs("/orderId")?.parse()?;
        let total = answer.body["total"].as_i64().ok_or("an order without a total")?;
        self.told().placed.insert(plan.number, id);
        Ok(Placed { plan, id, total })
    }

    /// The receiver of a planned order, no other's and planted.
    fn receiver(&self, plan: &PlannedOrder) -> Value {
        let (name, phone) = (
            format!("수취인 {}-{}", self.seed, plan.number),
            format!("010-{:04}-{:04}", 7000 + plan.number / 10_000, plan.number % 10_000),
        );
        let detail = format!("비밀상자 {}-{}호", self.seed, plan.number);
        for value in [&name, &phone, &phone.replace('-', ""), &detail] {
            self.planted.plant(value);
        }
        let address = json!({ "zip": "04524", "city": "서울 중구", "detail": detail });
        json!({ "name": name, "phone": phone, "address": address })
    }

    /// Asks for something that the intent ledger keeps, under the key of the request.
    pub(crate) async fn intend(
        &self,
        account: &mut Account,
        order: Option<Uuid>,
        wish: Wish,
        asked: &Asked<'_>,
    ) -> Result<Answer, Failure> {
        let key = asked.key.unwrap_or_default();
        self.told().intents.ask(key, order, wish);
        let answer = self.ask(account, asked).await?;
        let order = answer.text("/orderId").and_then(|id| id.parse().ok());
        self.told().intents.note(key, order, &answer);
        Ok(answer)
    }

    /// Asks as the account; a token that ran out is renewed once.
    pub(crate) async fn ask(
        &self,
        account: &mut Account,
        asked: &Asked<'_>,
    ) -> Result<Answer, Failure> {
        let from = Some(address_of(&account.email));
        let token = account.token.clone();
        let answer =
            self.browser.send(&Asked { token: Some(&token), from, ..asked.clone() }).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        (account.token, _) = self.log_in(&account.email, &account.password).await?;
        let token = account.token.clone();
        self.browser.send(&Asked { token: Some(&token), from, ..asked.clone() }).await
    }

    /// The key of one request of one planned order: the same in every run of the seed.
    pub(crate) fn key(&self, plan: &PlannedOrder, step: &str) -> String {
        let name = format!("{}/{}/{step}", self.seed, plan.number);
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
    }

    pub(crate) fn step(&self) {
        self.steps.send_modify(|steps| *steps += 1);
    }
}

/// The address of the shopper with this e-mail address, from a private network.
fn address_of(email: &str) -> Ipv4Addr {
    let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, email.as_bytes());
    let [first, second, third, ..] = *digest.as_bytes();
    Ipv4Addr::new(10, first, second, third)
}

fn kind(plan: &PlannedOrder) -> &'static str {
    if plan.is_subscription() { "subscription" } else { "one-off" }
}

fn lines(plan: &PlannedOrder, world: &World) -> Vec<Value> {
    let line = |(item, quantity): &(usize, u32)| {
        let id = world.items.get(*item).map(|item| item.id.to_string());
        if plan.is_subscription() {
            json!({ "itemId": id, "quantity": quantity, "periodDays": PERIOD_DAYS })
        } else {
            json!({ "itemId": id, "quantity": quantity })
        }
    };
    plan.lines.iter().map(line).collect()
}

fn wanted_lines(plan: &PlannedOrder, world: &World) -> Vec<WantedLine> {
    let line = |(item, quantity): &(usize, u32)| WantedLine {
        item: world.items.get(*item).map(|item| item.id.uuid()).unwrap_or_default(),
        quantity: i64::from(*quantity),
        period: plan.is_subscription().then_some(PERIOD_DAYS),
    };
    plan.lines.iter().map(line).collect()
}

/// A GET.
pub(crate) fn get<'a>(url: &'a str, token: Option<&'a str>) -> Asked<'a> {
    Asked { method: Method::GET, url, token, from: None, key: None, body: None }
}
