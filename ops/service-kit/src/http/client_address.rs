//! Where a request comes from, for counting. Never an identity.
//!
//! `X-Forwarded-For` is believed only from the proxies that are named as trusted, and only as far as
//! they wrote it themselves: it is read from the right past trusted proxies, because each of them
//! appends its own peer, and what stands before that may have been made up by the client.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ipnet::IpNet;
use metrics::counter;
use poem::http::HeaderMap;
use poem::{FromRequest, Request, RequestBody};

/// Requests with `X-Forwarded-For` from a peer that is no trusted proxy. Alert: a proxy in front of
/// this process is missing from `TRUSTED_PROXIES`, or a client makes addresses up.
pub(super) const UNTRUSTED_FORWARDS_TOTAL: &str = "http_untrusted_forwards_total";

/// Bits before the IPv4 address in a mapped one.
const MAPPED_PREFIX_BITS: u8 = 96;
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The networks of the proxies in front of this process.
#[derive(Clone, Default)]
pub struct TrustedProxies(Arc<Networks>);

#[derive(Default)]
struct Networks {
    networks: Vec<IpNet>,
    has_warned: AtomicBool,
}

impl TrustedProxies {
    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.networks.iter().any(|network| network.contains(&address))
    }

    /// The client behind `peer`, from what trusted proxies wrote into `headers`.
    pub fn client_of(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.contains(peer) {
            if headers.contains_key(FORWARDED_FOR) {
                self.report_untrusted(peer);
            }
            return peer;
        }
        let mut client = peer;
        let values = headers.get_all(FORWARDED_FOR).iter();
        for hop in values.rev().flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b',')) {
            let Some(address) = hop_address(hop) else {
                break;
            };
            client = address;
            if !self.contains(client) {
                break;
            }
        }
        client
    }

    fn report_untrusted(&self, peer: IpAddr) {
        counter!(UNTRUSTED_FORWARDS_TOTAL).increment(1);
        if !self.0.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %peer,
                "X-Forwarded-For arrives from a peer that is not in TRUSTED_PROXIES and is not believed"
            );
        }
    }
}

/// An entry of the header: an address, with or without a port.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let address = text.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

impl FromStr for TrustedProxies {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let networks = entries
            .map(|entry| entry.parse().or_else(|_| entry.parse().map(|it: IpAddr| it.into())))
            .map(|network| network.map(canonical))
            .collect::<Result<_, _>>()
            .map_err(|_no_network| "expected networks such as 10.0.0.0/8, separated by commas")?;
        Ok(Self(Arc::new(Networks { networks, has_warned: AtomicBool::new(false) })))
    }
}

/// A network of mapped addresses (`::ffff:10.0.0.0/104`) as the IPv4 network that it means: peers are
/// compared in that form.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let address = mapped.addr().to_ipv4_mapped();
    let prefix = mapped.prefix_len().checked_sub(MAPPED_PREFIX_BITS);
    let network =
        address.zip(prefix).and_then(|(address, prefix)| ipnet::Ipv4Net::new(address, prefix).ok());
    network.map_or(IpNet::V6(mapped), IpNet::V4)
}

impl fmt::Display for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks: Vec<String> = self.0.networks.iter().map(ToString::to_string).collect();
        f.write_str(&networks.join(","))
    }
}

impl fmt::Debug for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0.networks).finish()
    }
}

impl PartialEq for TrustedProxies {
    fn eq(&self, other: &Self) -> bool {
        self.0.networks == other.0.networks
    }
}

impl Eq for TrustedProxies {}

/// The client's address; unknown when the request came over no socket, as in a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub Option<IpAddr>);

impl ClientAddress {
    /// The address of the client that sent `request`, as [`standard`](super::standard) found it; the
    /// peer of the connection where that is not around the app.
    pub fn of(request: &Request) -> Self {
        let found = request.data::<Self>().copied();
        found.unwrap_or_else(|| Self::behind(&TrustedProxies::default(), request))
    }

    /// The address of the client behind the proxies that are `trusted`.
    pub(super) fn behind(trusted: &TrustedProxies, request: &Request) -> Self {
        let peer = request.remote_addr().as_socket_addr().map(|peer| peer.ip().to_canonical());
        Self(peer.map(|peer| trusted.client_of(peer, request.headers())))
    }
}

impl<'a> FromRequest<'a> for ClientAddress {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self::of(request))
    }
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    fn client(trusted: &str, peer: &str, headers: &[&str]) -> String {
        let trusted: TrustedProxies = trusted.parse().unwrap();
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
        }
        trusted.client_of(peer.parse().unwrap(), &map).to_string()
    }

    #[test]
    fn a_trusted_proxy_names_the_client() {
        assert_eq!(client("127.0.0.0/8", "127.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("127.0.0.1", "127.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("127.0.0.1", "::ffff:127.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("::ffff:127.0.0.1", "127.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("::ffff:10.0.0.0/104", "10.9.9.9", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn what_a_client_wrote_itself_is_not_believed() {
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["6.6.6.6, 203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["6.6.6.6", "203.0.113.7"]), "203.0.113.7");
        assert_eq!(client("10.0.0.0/8", "203.0.113.7", &["6.6.6.6"]), "203.0.113.7");
        assert_eq!(client("", "127.0.0.1", &["6.6.6.6"]), "127.0.0.1");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["203.0.113.7, nonsense"]), "10.0.0.1");
    }

    /// TLS is terminated before the balancer: the last entry alone would be the inner proxy.
    #[test]
    fn two_proxies_in_a_row_still_name_the_client() {
        let seen = client("10.0.0.0/8", "10.0.0.2", &["6.6.6.6, 203.0.113.7, 10.0.0.1"]);
        assert_eq!(seen, "203.0.113.7");
        assert_eq!(client("10.0.0.0/8", "10.0.0.2", &["10.0.0.9, 10.0.0.1"]), "10.0.0.9");
    }

    #[test]
    fn a_list_that_names_no_network_is_refused() {
        for text in ["true", "10.0.0.0/33", "10.0.0.0/8;127.0.0.1", "proxy.example"] {
            assert!(text.parse::<TrustedProxies>().is_err(), "{text}");
        }
        let read: TrustedProxies = " 10.0.0.0/8 , ::1,".parse().unwrap();
        assert_eq!(read.to_string(), "10.0.0.0/8,::1/128");
    }
}
