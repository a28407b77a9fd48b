//! Which of the complete versions is served, by an operator's word.

use service_kit::clock::{SharedClock, SystemClock};

use crate::config::ProjectorConfig;
use crate::error::ProjectionError;
use crate::versions::{self, Claim, State};

/// Serves the newest complete version of `name`, or the one given.
///
/// # Errors
/// There is none besides the one that is served, or it is behind and does not catch up.
pub async fn switch(
    config: &ProjectorConfig,
    name: &str,
    version: Option<i32>,
) -> Result<i32, ProjectionError> {
    let (model, pool) = (crate::find(name)?, config.patient_pool()?);
    let _claim = Claim::take(&pool, name).await?;
    let ready = versions::of(&pool, model).await?.into_iter().filter(|it| it.state == State::Ready);
    let found = ready.map(|it| it.version).filter(|it| version.is_none_or(|v| v == *it)).max();
    let Some(version) = found else {
        return Err(ProjectionError::NoVersion { name: name.to_owned(), needed: "ready" });
    };
    let clock: SharedClock = SystemClock::shared();
    versions::serve(&pool, model, version, &clock).await?;
    Ok(version)
}

/// Serves the version again that was served before: the newest complete one older than the served.
///
/// # Errors
/// There is none, or it is behind and does not catch up.
pub async fn rollback(config: &ProjectorConfig, name: &str) -> Result<i32, ProjectionError> {
    let (model, pool) = (crate::find(name)?, config.patient_pool()?);
    let live = versions::live(&pool, model).await?.version;
    let older = versions::of(&pool, model)
        .await?
        .into_iter()
        .filter(|it| it.state == State::Ready && it.version < live)
        .map(|it| it.version)
        .max();
    match older {
        Some(version) => switch(config, name, Some(version)).await,
        None => Err(ProjectionError::NoVersion { name: name.to_owned(), needed: "older complete" }),
    }
}

/// Drops the tables of every version of `name` that is not served, and says which those were.
///
/// # Errors
/// [`ProjectionError`]; what was dropped before stays dropped.
pub async fn retire(config: &ProjectorConfig, name: &str) -> Result<Vec<i32>, ProjectionError> {
    let (model, pool) = (crate::find(name)?, config.patient_pool()?);
    let _claim = Claim::take(&pool, name).await?;
    let mut dropped = Vec::new();
    for version in versions::of(&pool, model).await? {
        if matches!(version.state, State::Ready | State::Building) {
            versions::drop_version(&pool, model, version.version).await?;
            dropped.push(version.version);
        }
    }
    Ok(dropped)
}
