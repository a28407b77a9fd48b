//! Recurring keys: what lies sealed beside the log is the key that the gateway issued.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use contracts::personal::Sealed;
use contracts::{BillingKeyId, OrderId, UserId, seals};
use kakaopay_sim::Ledger;
use service_kit::vault::Vault;
use tokio_postgres::Client;
use uuid::Uuid;

use super::money::by_order;
use super::opening::patiently_opened;
use crate::Failure;
use crate::books::Books;
use crate::verdict::Verdict;
use crate::wiretap::Delivered;
use crate::world::{Interruption, World};

/// How long after an answer a worker has stored its key, unless the database is unavailable.
const STORED_WITHIN: Duration = Duration::from_secs(3);

/// A row of `billing_keys`.
struct KeyRow {
    user: UserId,
    sealed: Option<Sealed<String>>,
    state: String,
}

/// Compares every key.
pub(super) async fn check(
    world: &World,
    client: &Client,
    books: &Books,
    ledger: &Ledger,
    verdict: &mut Verdict,
) -> Result<(), Failure> {
    let rows = read(client).await?;
    let vault = world.vault()?;
    let delivered = world.wiretap.delivered();
    for (order, charges) in by_order(ledger) {
        let issued: BTreeSet<&str> =
            charges.iter().filter_map(|charge| charge.sid.as_deref()).collect();
        let Some(book) = books.orders.get(&order).filter(|_| !issued.is_empty()) else {
            continue;
        };
        verdict.keys += 1;
        let named = book.approved.iter().find_map(|approval| approval.billing_key);
        let id = named.map_or_else(|| BillingKeyId::of(OrderId::new(order)), BillingKeyId::new);
        let found = match rows.get(&id.uuid()) {
            None => Err("has no row".to_owned()),
            Some(row) if row.state == "missing" => {
                verdict.keys_missing += 1;
                is_excusable(world, &issued, &delivered)
            }
            Some(row) => is_issued(&vault, id, row, &issued).await,
        };
        if let Err(what) = found {
            verdict.differences += 1;
            verdict.tell(format!("different: the recurring key of {order} {what}"));
        }
    }
    Ok(())
}

async fn read(client: &Client) -> Result<BTreeMap<Uuid, KeyRow>, Failure> {
    let rows = client.query(include_str!("../sql/billing_keys.sql"), &[]).await?;
    rows.iter()
        .map(|row| {
            let sealed: Option<serde_json::Value> = row.try_get("sealed_sid")?;
            let key = KeyRow {
                user: UserId::new(row.try_get("user_id")?),
                sealed: sealed.map(serde_json::from_value).transpose()?,
                state: row.try_get("state")?,
            };
            Ok((row.try_get("billing_key_id")?, key))
        })
        .collect()
}

async fn is_issued(
    vault: &Vault,
    id: BillingKeyId,
    row: &KeyRow,
    issued: &BTreeSet<&str>,
) -> Result<(), String> {
    let Some(sealed) = &row.sealed else {
        return Err(format!("is {} without a sealed value", row.state));
    };
    let stream = seals::billing_key_stream(id);
    match patiently_opened(vault, row.user, &stream, seals::SID, sealed).await {
        Ok(Some(sid)) if issued.contains(sid.as_str()) => Ok(()),
        Ok(Some(_other)) => Err("is not the one that was issued".to_owned()),
        Ok(None) => Err("belongs to a user without a key".to_owned()),
        Err(error) => Err(format!("does not open: {error}")),
    }
}

/// A missing key is a finding where its answer reached a worker that was not killed before it could
/// store it.
fn is_excusable(
    world: &World,
    issued: &BTreeSet<&str>,
    delivered: &Delivered,
) -> Result<(), String> {
    let interruptions = world.interruptions.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for sid in issued {
        let Some(at) = delivered.get(*sid) else {
            continue;
        };
        if !was_killed_holding(*at, &interruptions) {
            let later = killed_after(*at, &interruptions);
            return Err(format!("is missing although its answer reached a living worker, {later}"));
        }
    }
    Ok(())
}

/// Whether a worker was killed between the answer and the moment at which the key was certainly
/// stored.
fn was_killed_holding(at: Instant, interruptions: &[Interruption]) -> bool {
    let mut stored = at + STORED_WITHIN;
    // In the order of their ends, so that what one of them puts off the next one may.
    for (from, to, longer) in delays(interruptions) {
        if from <= stored && at <= to {
            stored = stored.max(to + longer);
        }
    }
    kills(interruptions).any(|killed| at <= killed && killed <= stored)
}

/// From when to when nothing could be stored, and how long after that it certainly was.
fn delays(interruptions: &[Interruption]) -> Vec<(Instant, Instant, Duration)> {
    let mut delays: Vec<_> = interruptions
        .iter()
        .filter_map(|interruption| match interruption {
            Interruption::WorkerKilled(_) => None,
            Interruption::WorkerFrozen(from, to) => Some((*from, *to, STORED_WITHIN)),
            // A worker tries again for some seconds after the database came back.
            Interruption::DatabaseAway(from, to) => Some((*from, *to, STORED_WITHIN * 5)),
        })
        .collect();
    delays.sort_by_key(|(_, to, _)| *to);
    delays
}

fn kills(interruptions: &[Interruption]) -> impl Iterator<Item = Instant> {
    interruptions.iter().filter_map(|interruption| match interruption {
        Interruption::WorkerKilled(killed) => Some(*killed),
        Interruption::WorkerFrozen(..) | Interruption::DatabaseAway(..) => None,
    })
}

/// The part of a finding that names the next kill of a worker after `at`, in seconds.
fn killed_after(at: Instant, interruptions: &[Interruption]) -> String {
    match kills(interruptions).filter(|killed| at <= *killed).min() {
        None => "and no worker was killed afterwards".to_owned(),
        Some(killed) => {
            format!("and the next one was killed {:.1} s later", (killed - at).as_secs_f64())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        static ZERO: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *ZERO.get_or_init(Instant::now) + Duration::from_secs(seconds)
    }

    #[test]
    fn a_kill_excuses_a_lost_key_only_while_it_could_not_be_stored() {
        let (killed, frozen, away) =
            (Interruption::WorkerKilled, Interruption::WorkerFrozen, Interruption::DatabaseAway);
        let excused = |interruptions: &[Interruption]| was_killed_holding(at(100), interruptions);
        assert!(excused(&[killed(at(101))]));
        assert!(!excused(&[killed(at(99)), killed(at(104))]));
        // Killed as soon as it went on: it never had the time.
        assert!(excused(&[killed(at(112)), frozen(at(97), at(112))]));
        assert!(!excused(&[killed(at(116)), frozen(at(97), at(112))]));
        assert!(!excused(&[killed(at(112)), frozen(at(104), at(112))]));
        assert!(!excused(&[frozen(at(97), at(112))]));
        assert!(excused(&[killed(at(140)), away(at(101), at(131))]));
        assert!(!excused(&[killed(at(147)), away(at(101), at(131))]));
        // One after the other.
        assert!(excused(&[killed(at(133)), away(at(113), at(131)), frozen(at(97), at(112))]));
    }
}
