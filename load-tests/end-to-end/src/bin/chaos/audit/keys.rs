//! Recurring keys: what lies sealed beside the log is the key that the gateway issued.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use contracts::personal::Sealed;
use contracts::{BillingKeyId, OrderId, UserId, seals};
use kakaopay_sim::Ledger;
use service_kit::clock::{Clock as _, SystemClock};
use service_kit::vault::{Vault, VaultError};
use tokio_postgres::Client;
use uuid::Uuid;

use super::money::by_order;
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

/// Longest wait for a user's key, and the pause between two tries.
const OPEN_WAIT_MAX: Duration = Duration::from_secs(30);
const OPEN_PAUSE: Duration = Duration::from_millis(200);

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
    let begun = Instant::now();
    let opened = loop {
        match vault.open(row.user, &stream, seals::SID, sealed).await {
            // The audit's own connections may be slow on a busy machine: no finding about the shop.
            Err(VaultError::Keys(_)) if begun.elapsed() < OPEN_WAIT_MAX => {
                SystemClock.sleep(OPEN_PAUSE).await;
            }
            opened => break opened,
        }
    };
    match opened {
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
            return Err("is missing although its answer reached a living worker".to_owned());
        }
    }
    Ok(())
}

/// Whether a worker was killed between the answer and the moment at which the key was certainly
/// stored.
fn was_killed_holding(at: Instant, interruptions: &[Interruption]) -> bool {
    let mut stored = at + STORED_WITHIN;
    for interruption in interruptions {
        if let Interruption::DatabaseAway(from, to) = interruption
            && *from <= stored
            && at <= *to
        {
            // A worker tries again for some seconds after the database came back.
            stored = stored.max(*to + STORED_WITHIN * 5);
        }
    }
    interruptions.iter().any(|interruption| match interruption {
        Interruption::WorkerKilled(killed) => at <= *killed && *killed <= stored,
        Interruption::DatabaseAway(..) => false,
    })
}
