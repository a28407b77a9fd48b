//! Which of the complete versions is served, by an operator's word.

use service_kit::clock::{SharedClock, SystemClock};

use crate::config::ProjectorConfig;
use crate::error::ProjectionError;
use crate::versions::{self, Claim, State, Version};

/// What a switch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switched {
    /// This version is served now.
    Now(i32),
    /// This version was served already.
    Already(i32),
}

/// Serves the newest complete version of `name`, or the one given. Going back to an older one without
/// naming it is [`rollback`]'s.
///
/// # Errors
/// There is no such version, or it is behind and does not catch up.
pub async fn switch(
    config: &ProjectorConfig,
    name: &str,
    version: Option<i32>,
) -> Result<Switched, ProjectionError> {
    let (model, pool) = (crate::find(name)?, config.patient_pool()?);
    let _claim = Claim::take(&pool, name).await?;
    let newest = versions::of(&pool, model)
        .await?
        .into_iter()
        .filter(|it| matches!(it.state, State::Ready | State::Live))
        .filter(|it| version.is_none_or(|version| version == it.version))
        .max_by_key(|it| it.version);
    let Some(Version { version, state, .. }) = newest else {
        return Err(ProjectionError::NoVersion { name: name.to_owned(), needed: "such complete" });
    };
    if state == State::Live {
        return Ok(Switched::Already(version));
    }
    let clock: SharedClock = SystemClock::shared();
    versions::serve(&pool, model, version, &clock).await?;
    Ok(Switched::Now(version))
}

/// Serves the version again that was served before: of the complete ones that are not served now, the
/// one that was served last, whether it is older or newer.
///
/// # Errors
/// There is none, or it is behind and does not catch up.
pub async fn rollback(config: &ProjectorConfig, name: &str) -> Result<i32, ProjectionError> {
    let (model, pool) = (crate::find(name)?, config.patient_pool()?);
    let before = versions::of(&pool, model)
        .await?
        .into_iter()
        .filter(|it| it.state == State::Ready)
        .filter_map(|it| Some((it.served_at?, it.version)))
        .max();
    match before {
        Some((_, version)) => switch(config, name, Some(version)).await.map(|_| version),
        None => Err(ProjectionError::NoneServedBefore { name: name.to_owned() }),
    }
}

/// Drops the tables of every version of `name` that is not served, and returns which those were. A
/// complete one that is newer than the served one is dropped only if `force`: it is the result of a
/// rebuild that waits for its switch, or was left by a rollback. What an unfinished rebuild left can't
/// be served, and needs no `force`.
///
/// # Errors
/// [`ProjectionError::Newer`], and nothing is dropped; another error: what was dropped before stays
/// dropped.
pub async fn retire(
    config: &ProjectorConfig,
    name: &str,
    force: bool,
) -> Result<Vec<i32>, ProjectionError> {
    let (model, pool) = (crate::find(name)?, config.patient_pool()?);
    let _claim = Claim::take(&pool, name).await?;
    let known = versions::of(&pool, model).await?;
    let served = known.iter().find(|it| it.state == State::Live).map_or(0, |it| it.version);
    let newer = known.iter().find(|it| it.state == State::Ready && served < it.version);
    if let (Some(Version { version, .. }), false) = (newer, force) {
        return Err(ProjectionError::Newer { name: name.to_owned(), version: *version });
    }
    let mut dropped = Vec::new();
    for version in known {
        if version.state == State::Ready || version.state.is_unfinished() {
            versions::drop_version(&pool, model, version.version).await?;
            dropped.push(version.version);
        }
    }
    Ok(dropped)
}
