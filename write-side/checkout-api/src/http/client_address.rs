//! Where a request comes from, for counting tries. Never an identity.

use std::net::IpAddr;

use poem::{FromRequest, Request, RequestBody};
use service_kit::http::access;

/// Whose word about the client's address is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForwardedBy {
    /// Nobody's: the peer of the connection is the client.
    Nobody,
    /// The proxy in front of us, which appends its own peer to `X-Forwarded-For`.
    Proxy,
}

/// The client's address; unknown when the connection has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) Option<IpAddr>);

impl<'a> FromRequest<'a> for ClientAddress {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let peer = || request.remote_addr().as_socket_addr().map(std::net::SocketAddr::ip);
        let address = match request.data::<ForwardedBy>() {
            Some(ForwardedBy::Proxy) => forwarded(request).or_else(peer),
            Some(ForwardedBy::Nobody) | None => peer(),
        };
        if let Some(address) = address {
            access::note_client_address(address);
        }
        Ok(Self(address))
    }
}

/// The last entry: the only one that the proxy wrote itself. What stands before it, the client may
/// have made up.
fn forwarded(request: &Request) -> Option<IpAddr> {
    let last = request.headers().get_all("x-forwarded-for").iter().next_back()?;
    last.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use poem::EndpointExt;
    use poem::test::TestClient;

    use super::*;

    #[poem::handler]
    fn told(ClientAddress(address): ClientAddress) -> String {
        format!("{address:?}")
    }

    async fn seen(trust: ForwardedBy, header: &str) -> String {
        let app = TestClient::new(told.data(trust));
        let answer = app.get("/").header("x-forwarded-for", header).send().await;
        answer.0.into_body().into_string().await.unwrap()
    }

    #[tokio::test]
    async fn only_what_our_own_proxy_wrote_is_believed() {
        assert_eq!(seen(ForwardedBy::Proxy, "6.6.6.6, 10.0.0.7").await, "Some(10.0.0.7)");
        assert_eq!(seen(ForwardedBy::Nobody, "6.6.6.6").await, "None");
        assert_eq!(seen(ForwardedBy::Proxy, "nonsense").await, "None");
    }
}
