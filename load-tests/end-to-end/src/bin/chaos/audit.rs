//! Holds our ledger against the gateway's, what shoppers were promised against both, and every
//! table against the run's own fold of the log.

mod charged;
mod consequences;
mod delivery;
#[cfg(test)]
mod fixtures;
mod keys;
mod money;
mod opening;
mod owed;
mod promises;
mod refused;
mod tables;

use tokio_postgres::Client;

use crate::Failure;
use crate::books::Books;
use crate::schedule::PlannedOrder;
use crate::shopper::Told;
use crate::verdict::Verdict;
use crate::world::World;

/// The gateway's charges, by order.
pub(crate) use self::money::by_order as charges;

/// Everything that can be asked once nothing moves any more.
pub(crate) async fn audit(
    world: &World,
    told: &Told,
    planned: &[PlannedOrder],
    verdict: &mut Verdict,
) -> Result<(), Failure> {
    let client = world.connect().await?;
    let books = Books::read(&client).await?;
    let ledger = world.kakaopay.ledger();
    money::sum_up(&books, &ledger, verdict);
    money::compare(&books, &ledger, verdict);
    refused::failed_only_if_refused(&books, &ledger, verdict);
    promises::keep_word(&books, &ledger, told, verdict);
    delivery::compare(&world.vault()?, &books, told, verdict).await?;
    promises::paid_share(&books, told, planned, verdict);
    consequences::follow_up(&books, verdict);
    keys::check(world, &client, &books, &ledger, verdict).await?;
    tables::compare(&client, &books, verdict).await?;
    look_for_stuck(&client, verdict).await?;
    verify_read_models(world, verdict).await
}

async fn look_for_stuck(client: &Client, verdict: &mut Verdict) -> Result<(), Failure> {
    for row in client.query(include_str!("sql/stuck.sql"), &[]).await? {
        let (id, kind): (&str, &str) = (row.try_get("aggregate_id")?, row.try_get("kind")?);
        let (state, error): (&str, &str) = (row.try_get("state")?, row.try_get("last_error")?);
        let attempt: i32 = row.try_get("attempt")?;
        verdict.unresolved += 1;
        verdict
            .tell(format!("unresolved: {kind} of {id} is {state} after {attempt} tries: {error}"));
    }
    for row in client.query(include_str!("sql/parked.sql"), &[]).await? {
        let (reader, id): (&str, &str) = (row.try_get("reader")?, row.try_get("aggregate_id")?);
        let (kind, error): (&str, &str) = (row.try_get("event_type")?, row.try_get("error")?);
        verdict.differences += 1;
        verdict.tell(format!("different: {reader} parked {kind} of {id}: {error}"));
    }
    let row = client.query_one(include_str!("sql/settled_late.sql"), &[]).await?;
    let late: i64 = row.try_get("settled_late")?;
    verdict.settled_by_lookup = u64::try_from(late).unwrap_or_default();
    Ok(())
}

/// The projections' own replay, beside the run's fold: it also covers what no order is about.
async fn verify_read_models(world: &World, verdict: &mut Verdict) -> Result<(), Failure> {
    let config = world.projector()?;
    for name in projections::names() {
        let report = projections::verify(&config, name).await?;
        verdict.rows_verified += report.rows;
        if !report.is_equal() {
            verdict.differences += report.differing;
            verdict.tell(format!("different: {name}: {report}"));
        }
    }
    Ok(())
}
