//! Where a request comes from, for counting searches. Never an identity.

use std::net::{IpAddr, SocketAddr};

use poem::Request;

/// The peer of the connection; unknown when the request came through none.
pub(crate) fn client_address(request: &Request) -> Option<IpAddr> {
    request.remote_addr().as_socket_addr().map(SocketAddr::ip)
}
