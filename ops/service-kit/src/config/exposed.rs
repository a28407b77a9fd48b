//! Refuses to send secrets to another machine in plain text, unless that was asked for by name.

use std::collections::HashMap;

use super::{ConfigError, Secret, Shape, Table, Variable, shared};
use crate::pools;

/// Whether the switch is set to `1`.
pub(super) fn allows(values: &HashMap<&'static str, Secret>, switch: &Variable) -> bool {
    values.get(switch.name).is_some_and(|value| value.expose().trim() == "1")
}

/// The databases and Redis of `table` that are on another machine and not encrypted.
pub(super) fn faults(table: Table, values: &HashMap<&'static str, Secret>) -> Vec<ConfigError> {
    let mut faults = Vec::new();
    for variable in table {
        let Some(url) = values.get(variable.name) else { continue };
        let (is_exposed, switch, wanted) = if matches!(variable.shape, Shape::Postgres) {
            let is_exposed = pools::database_target(url).is_ok_and(|target| target.is_exposed());
            (is_exposed, &shared::DATABASE_PLAINTEXT, "sslmode=verify-full")
        } else if matches!(variable.shape, Shape::Redis) {
            let is_exposed = pools::redis(url).is_ok_and(|handle| handle.is_exposed());
            (is_exposed, &shared::REDIS_PLAINTEXT, "rediss://")
        } else {
            continue;
        };
        if is_exposed && !allows(values, switch) {
            let expected = format!("expected {wanted}, or {}=1 beside it", switch.name);
            faults.push(ConfigError::invalid(variable.name, expected));
        }
    }
    faults
}
