//! Two listeners of a process cannot have one address.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::{ConfigError, Secret, Shape, Table, Variable};

/// Listeners of `table` that would meet on one address, set or by default. Port 0 is any free one.
pub(super) fn equal(table: Table, values: &HashMap<&'static str, Secret>) -> Vec<ConfigError> {
    let mut seen: Vec<(&str, SocketAddr)> = Vec::new();
    let mut faults = Vec::new();
    for variable in table.iter().filter(|variable| matches!(variable.shape, Shape::Address)) {
        let Some(address) = address_of(variable, values) else { continue };
        match seen.iter().find(|(_, other)| is_one(*other, address)) {
            Some((first, _)) => {
                let expected = format!("expected another address than {first}'s");
                faults.push(ConfigError::invalid(variable.name, expected));
            }
            None => seen.push((variable.name, address)),
        }
    }
    faults
}

fn address_of(variable: &Variable, values: &HashMap<&'static str, Secret>) -> Option<SocketAddr> {
    let set = values.get(variable.name).map(|value| value.expose().to_owned());
    set.or_else(|| variable.default_text())?.trim().parse().ok()
}

/// Whether a process cannot listen on both: `0.0.0.0` is every address of the machine, and so is `::`,
/// which takes IPv4 as well.
fn is_one(one: SocketAddr, other: SocketAddr) -> bool {
    let is_every = |address: SocketAddr| address.ip().is_unspecified();
    one.port() == other.port()
        && one.port() != 0
        && (one.ip() == other.ip() || is_every(one) || is_every(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_covers_another_is_the_same() {
        let is_one = |one: &str, other: &str| is_one(one.parse().unwrap(), other.parse().unwrap());
        assert!(is_one("127.0.0.1:80", "127.0.0.1:80"));
        assert!(is_one("0.0.0.0:80", "127.0.0.1:80"));
        assert!(is_one("[::]:80", "10.0.0.7:80"));
        assert!(!is_one("127.0.0.1:80", "127.0.0.1:81"));
        assert!(!is_one("127.0.0.1:80", "10.0.0.7:80"));
        assert!(!is_one("127.0.0.1:0", "127.0.0.1:0"));
    }
}
