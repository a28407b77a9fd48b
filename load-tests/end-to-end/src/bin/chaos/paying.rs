//! Paying, and what follows: the pay page, the way back, calling off, refunds.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::json;
use url::Url;

use crate::Failure;
use crate::client::{Asked, REFUSED_FOR_GOOD};
use crate::intents::Wish;
use crate::schedule::{Aftermath, Course};
use crate::shopper::{Account, Placed, Street, get};

/// Payment attempts before an order is left unpaid.
const ATTEMPTS_MAX: u32 = 3;
/// Longest wait for an order to become what it will be; longer than the longest outage of a run.
const OUTCOME_WAIT_MAX: Duration = Duration::from_mins(5);
/// Longest wait for a first refund, which the gateway may refuse, before the second is asked for.
const REFUND_WAIT_MAX: Duration = Duration::from_mins(1);
/// Longest wait for a payment page.
const PAGE_WAIT_MAX: Duration = Duration::from_mins(5);
/// Pause between two polls of an order.
const LOOK_PAUSE: Duration = Duration::from_millis(150);
/// Codes that say that an attempt has ended without a page.
const ENDED: [&str; 3] = ["payment.declined", "payment.abandoned", REFUSED_FOR_GOOD];
/// Codes of an order that was expired or called off meanwhile.
const OVER: [&str; 2] = ["order.expired", "order.cancelled"];
/// Statuses in which the gateway still has the word.
const OPEN: [&str; 3] = ["PLACED", "AWAITING_PAYMENT", "UNRESOLVED"];

/// What asking for a payment page came to.
enum Page {
    /// Its address.
    Open(String),
    /// The attempt was declined or abandoned.
    Ended,
    /// An earlier payment has not ended yet, or has paid the order.
    UnderWay,
    /// The order can no longer be paid.
    Over,
}

impl Street {
    /// Tries to pay; answers the order's status after it.
    pub(crate) async fn pay(
        &self,
        account: &mut Account,
        order: &Placed<'_>,
    ) -> Result<String, Failure> {
        let mut leaves = order.plan.course == Course::LeavesAndPays;
        for attempt in 1..=ATTEMPTS_MAX {
            let page = match self.open_page(account, order, attempt).await? {
                Page::Open(page) => page,
                Page::Ended => continue,
                Page::Over => return Ok("EXPIRED".to_owned()),
                Page::UnderWay => {
                    self.browser.pause(LOOK_PAUSE * 4).await;
                    let status = self.paid_or_not(account, order).await?;
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
                let way_back = self.press(&page, "cancel").await?;
                self.come_back(order, attempt, &way_back).await?;
                continue;
            }
            let way_back = self.press(&page, "approve").await?;
            if order.plan.course == Course::CallsOffBeforeReturning {
                self.call_off(account, order, "before").await?;
            }
            let returned = self.come_back(order, attempt, &way_back).await?;
            if order.plan.returns_twice {
                self.come_back(order, attempt, &way_back).await?;
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
            let status = self.paid_or_not(account, order).await?;
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
        let body = json!({});
        let asked = Asked { key: Some(&key), ..Asked::post(&url, &body) };
        let begun = Instant::now();
        loop {
            let answer = self.intend(account, Some(order.id), Wish::Pay, &asked).await?;
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
                _ if OVER.contains(&answer.code()) => {
                    self.step();
                    return Ok(Page::Over);
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
    async fn come_back(
        &self,
        order: &Placed<'_>,
        attempt: u32,
        way_back: &str,
    ) -> Result<bool, Failure> {
        let key = self.key(order.plan, &format!("return/{attempt}"));
        self.told().intents.ask(&key, Some(order.id), Wish::Return { attempt });
        let answer = self.browser.send(&get(way_back, None)).await?;
        self.told().intents.note(&key, None, &answer);
        self.step();
        match answer.status {
            StatusCode::OK | StatusCode::SEE_OTHER => Ok(true),
            // Too late for an order that was called off.
            StatusCode::CONFLICT => Ok(false),
            status => Err(format!("coming back: {status} {}", answer.body).into()),
        }
    }

    /// Calls the order off; a refusal because money is being moved is an answer like any other.
    pub(crate) async fn call_off(
        &self,
        account: &mut Account,
        order: &Placed<'_>,
        when: &str,
    ) -> Result<bool, Failure> {
        let url = format!("{}/api/orders/{}/cancel", self.world.checkout, order.id);
        let key = self.key(order.plan, &format!("call-off/{when}"));
        let body = json!({ "reason": "changed my mind" });
        let asked = Asked { key: Some(&key), ..Asked::post(&url, &body) };
        let answer = self.intend(account, Some(order.id), Wish::CallOff, &asked).await?;
        self.step();
        match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::CONFLICT => Ok(false),
            status => Err(format!("calling off ({when}): {status} {}", answer.body).into()),
        }
    }

    pub(crate) async fn aftermath(
        &self,
        account: &mut Account,
        order: &Placed<'_>,
    ) -> Result<(), Failure> {
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
                self.outcome(account, order, REFUND_WAIT_MAX, is_back).await?;
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
        let asked = Asked { key: Some(&key), ..Asked::post(&url, &body) };
        let wish = Wish::Refund { amount };
        let answer = self.intend(account, Some(order.id), wish, &asked).await?;
        self.step();
        match answer.status {
            StatusCode::ACCEPTED => Ok(()),
            status => Err(format!("giving back: {status} {}", answer.body).into()),
        }
    }

    async fn paid_or_not(
        &self,
        account: &mut Account,
        order: &Placed<'_>,
    ) -> Result<String, Failure> {
        self.outcome(account, order, OUTCOME_WAIT_MAX, |status| !OPEN.contains(&status)).await
    }

    /// The order's status once `is_final` says so, or whatever it is when patience ends.
    async fn outcome(
        &self,
        account: &mut Account,
        order: &Placed<'_>,
        wait_max: Duration,
        is_final: impl Fn(&str) -> bool,
    ) -> Result<String, Failure> {
        let url = format!("{}/api/orders/{}", self.world.storefront, order.id);
        let begun = Instant::now();
        loop {
            let answer = self.ask(account, &get(&url, None)).await?;
            let status = answer.text("/status").unwrap_or("PLACED").to_owned();
            let is_over = wait_max < begun.elapsed();
            if is_final(&status) {
                return Ok(status);
            }
            if is_over {
                if OPEN.contains(&status.as_str()) {
                    self.told().stuck.push(format!("order {} is still {status}", order.id));
                }
                return Ok(status);
            }
            self.browser.pause(LOOK_PAUSE).await;
        }
    }
}
