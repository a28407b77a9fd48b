//! The security log: who tried what, with what outcome.
//!
//! Lines of target [`TARGET`] beside the others, so that they can be shipped and kept by themselves.
//! They name a person by user id or by the digest of an e-mail address, never by the address itself,
//! and carry the request id with the other fields of their span.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use contracts::ids::UserId;

use crate::http::access;

/// The target of every line of this log.
pub const TARGET: &str = "security";
/// Characters of a digest that are logged: enough to see that two tries were for one account.
const DIGEST_CHARS: usize = 16;

/// Who is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who<'a> {
    /// Not known.
    Unknown,
    /// An account.
    User(UserId),
    /// An e-mail address that may have no account, by its keyed digest.
    Digest(&'a str),
}

/// Logs that `event` happened with `outcome`. The client's address is the one that the current
/// request was found to come from, if there is one.
pub fn log(event: &'static str, outcome: &'static str, who: Who<'_>) {
    log_operation(event, outcome, who, None);
}

/// As [`log`], for an event that is the call of an operation of an API.
pub(crate) fn log_operation(
    event: &'static str,
    outcome: &'static str,
    who: Who<'_>,
    operation: Option<&str>,
) {
    let (user, digest) = match who {
        Who::Unknown => (None, None),
        Who::User(id) => (Some(id), None),
        Who::Digest(digest) => (None, Some(digest.get(..DIGEST_CHARS).unwrap_or(digest))),
    };
    let address = access::address().map(Block);
    tracing::info!(
        target: TARGET,
        {
            event,
            outcome,
            user.id = user.map(tracing::field::display),
            account.digest = digest,
            client.block = address.map(tracing::field::display),
            http.operation = operation,
        },
        "{event}: {outcome}"
    );
}

/// An IPv4 address, or the /64 of an IPv6 address: one subscriber has all addresses of a /64.
struct Block(IpAddr);

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.to_canonical() {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(address) => {
                write!(f, "{}/64", Ipv6Addr::from(u128::from(address) >> 64 << 64))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_subscriber_are_one_block() {
        let shown = |text: &str| Block(text.parse().unwrap()).to_string();
        assert_eq!(shown("203.0.113.7"), "203.0.113.7");
        assert_eq!(shown("::ffff:203.0.113.7"), "203.0.113.7");
        assert_eq!(shown("2001:db8::1"), "2001:db8::/64");
    }
}
