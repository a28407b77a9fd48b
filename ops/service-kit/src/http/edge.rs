//! How many connections a listener holds, and how long each may wait.
//!
//! Every connection costs a descriptor and a task, and a client may open as many as it likes and
//! then stay silent. So each listener has a number of places of its own, and together they leave
//! the process the descriptors it needs for its pools, its log and its other listeners.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::client_address::TrustedProxies;
use crate::config::{ConfigError, Settings};

/// Longest wait for a request's head: for the first one from the moment a connection is accepted,
/// for later ones from their first byte.
pub const HEAD_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest time between two requests of a connection, and longest time for taking an answer.
pub const IDLE_WAIT_MAX: Duration = Duration::from_mins(1);
/// Most connections of one address (IPv6: of one /64) that is no trusted proxy. A browser opens six.
pub const CONNECTIONS_PER_ADDRESS: usize = 64;

/// Places of each listener that only operators and administrators reach: a reserve, so that health
/// checks are answered while shoppers fill the public listener.
pub const RESERVED_PLACES: usize = 64;
/// Most places of a public listener; one process is not meant to hold more.
const PLACES_MAX: usize = 4_000;
/// Fewest places, however low the descriptor limit is: below it no request would be answered.
const PLACES_MIN: usize = 16;
/// Descriptors left for standard streams, files, the runtime and what is opened for a moment.
const DESCRIPTORS_KEPT: usize = 64;

/// What a process with a public listener reads about its edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeConfig {
    /// `TRUSTED_PROXIES`: peers whose `X-Forwarded-For` is believed, as networks separated by commas;
    /// none when unset.
    pub trusted_proxies: TrustedProxies,
    /// `…_CONNECTIONS_MAX`: places of the public listener; computed from the descriptor limit when
    /// unset or 0.
    pub connections_max: usize,
    /// `DRAIN_DELAY_SECONDS`: how long listeners go on accepting after the process reported itself
    /// unready, so that a balancer turns away first; 0 to 60, 0 when unset.
    pub drain_delay: Duration,
}

impl EdgeConfig {
    /// Reads the three; `connections_name` is the variable of the process' own places.
    ///
    /// # Errors
    /// Names the variable that cannot be used.
    pub fn load(settings: &Settings<'_>, connections_name: &str) -> Result<Self, ConfigError> {
        Ok(Self {
            trusted_proxies: settings.optional_value("TRUSTED_PROXIES")?.unwrap_or_default(),
            connections_max: settings.value(connections_name)?,
            drain_delay: Duration::from_secs(settings.value("DRAIN_DELAY_SECONDS")?),
        })
    }

    /// The limits of the public listener of a process with so many connections to its services and
    /// so many listeners beside it.
    pub fn public_limits(&self, pool_connections: usize, other_listeners: usize) -> Limits {
        let places = match self.connections_max {
            0 => public_places(descriptors_max(), pool_connections, other_listeners),
            asked => asked,
        };
        Limits {
            places,
            per_address: Some(CONNECTIONS_PER_ADDRESS),
            trusted_proxies: self.trusted_proxies.clone(),
            ..Limits::reserved()
        }
    }
}

/// What one listener allows.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; others wait unaccepted.
    pub places: usize,
    /// Connections at once of one address, unless it is a trusted proxy; unlimited when `None`.
    pub per_address: Option<usize>,
    /// Peers that `per_address` does not count.
    pub trusted_proxies: TrustedProxies,
    /// Longest wait for a request's head.
    pub head_wait: Duration,
    /// Longest time between two requests.
    pub idle_wait: Duration,
}

impl Limits {
    /// The limits of a listener for operators or administrators.
    pub fn reserved() -> Self {
        Self {
            places: RESERVED_PLACES,
            per_address: None,
            trusted_proxies: TrustedProxies::default(),
            head_wait: HEAD_WAIT_MAX,
            idle_wait: IDLE_WAIT_MAX,
        }
    }
}

/// The descriptors this process may hold open; `usize::MAX` where there is no limit.
pub fn descriptors_max() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

fn public_places(descriptors: usize, pool_connections: usize, other_listeners: usize) -> usize {
    let taken = DESCRIPTORS_KEPT + pool_connections + other_listeners * RESERVED_PLACES;
    descriptors.saturating_sub(taken).clamp(PLACES_MIN, PLACES_MAX)
}

/// The places each address holds now: connections, bodies, turns. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One place of an address, counted until it is dropped.
#[derive(Debug)]
pub struct AddressPlace {
    addresses: Addresses,
    block: IpAddr,
}

impl Addresses {
    /// Counts one more place of `address` (IPv6: of its /64), unless it holds `most` already.
    pub fn enter(&self, address: IpAddr, most: usize) -> Option<AddressPlace> {
        self.enter_block(address_block(address), most)
    }

    /// Counts one more place of the network of `address` (IPv6: its /48), unless it holds `most`
    /// already.
    pub fn enter_network(&self, address: IpAddr, most: usize) -> Option<AddressPlace> {
        self.enter_block(network_block(address), most)
    }

    fn enter_block(&self, block: IpAddr, most: usize) -> Option<AddressPlace> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(block).or_insert(0);
        if most <= *count {
            return None;
        }
        *count += 1;
        Some(AddressPlace { addresses: self.clone(), block })
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut held = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.block) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.block);
            }
        }
    }
}

/// The address, or for IPv6 its /64: one subscriber has as many addresses there as they like.
pub fn address_block(address: IpAddr) -> IpAddr {
    block_of(address, 64)
}

/// The address, or for IPv6 its /48: the largest network that one site is given, with 65,536 of the
/// blocks of [`address_block`].
pub fn network_block(address: IpAddr) -> IpAddr {
    block_of(address, 80)
}

/// The address, or for IPv6 its network without so many bits of the host.
fn block_of(address: IpAddr, host_bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from(u128::from(address) >> host_bits << host_bits))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_leave_room_for_pools_and_the_other_listeners() {
        // 24 connections to the database, an admin and an ops listener.
        assert_eq!(public_places(512, 24, 2), 296);
        assert_eq!(public_places(1_024, 24, 2), 808);
        assert_eq!(public_places(20_000, 24, 2), 4_000);
        assert_eq!(public_places(usize::MAX, 24, 2), 4_000);
        assert_eq!(public_places(64, 24, 2), 16);
    }

    #[test]
    fn an_address_holds_so_many_connections_and_no_more() {
        let addresses = Addresses::default();
        let [mine, other] = ["127.0.0.2", "127.0.0.1"].map(|text| text.parse().unwrap());
        let held: Vec<_> = (0..2).map(|_| addresses.enter(mine, 2).unwrap()).collect();
        assert!(addresses.enter(mine, 2).is_none());
        assert!(addresses.enter(other, 2).is_some());
        drop(held);
        assert!(addresses.enter(mine, 2).is_some());
        assert!(addresses.0.lock().unwrap().is_empty());
    }

    #[test]
    fn addresses_of_one_subscriber_count_together() {
        let addresses = Addresses::default();
        let [first, neighbour, other] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        let _held = addresses.enter(first, 1).unwrap();
        assert!(addresses.enter(neighbour, 1).is_none());
        assert!(addresses.enter(other, 1).is_some());
    }

    #[test]
    fn a_site_with_many_networks_is_one_network() {
        let addresses = Addresses::default();
        let [first, neighbour, other] =
            ["2001:db8::1", "2001:db8:0:1::1", "2001:db8:1::1"].map(|text| text.parse().unwrap());
        let _held = addresses.enter_network(first, 1).unwrap();
        assert!(addresses.enter_network(neighbour, 1).is_none());
        assert!(addresses.enter_network(other, 1).is_some());
    }
}
