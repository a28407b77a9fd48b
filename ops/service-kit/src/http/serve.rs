//! Running an app on a listener until told to stop, and letting what is under way finish.

use std::io;
use std::time::Duration;

use poem::listener::TcpAcceptor;
use poem::{EndpointExt, IntoEndpoint, Server};

use super::listening;
use crate::shutdown::Shutdown;

/// Longest wait for requests under way after the end was asked for. Longer than any deadline of a
/// request; after it connections are cut.
pub const DRAIN_WAIT_MAX: Duration = Duration::from_secs(20);

/// A bound TCP socket, from the standard library or from tokio.
#[derive(Debug)]
pub enum Listener {
    /// Bound before the runtime was there.
    Std(std::net::TcpListener),
    /// Bound within the runtime.
    Tokio(tokio::net::TcpListener),
}

impl From<std::net::TcpListener> for Listener {
    fn from(listener: std::net::TcpListener) -> Self {
        Self::Std(listener)
    }
}

impl From<tokio::net::TcpListener> for Listener {
    fn from(listener: tokio::net::TcpListener) -> Self {
        Self::Tokio(listener)
    }
}

/// A server could not run.
#[derive(Debug, thiserror::Error)]
#[error("serve {name}")]
pub struct ServeError {
    name: &'static str,
    #[source]
    source: io::Error,
}

/// Answers requests on `listener` until `shutdown`, then stops accepting, lets requests under way
/// finish for at most [`DRAIN_WAIT_MAX`], and returns.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve<A>(
    name: &'static str,
    listener: impl Into<Listener>,
    app: A,
    shutdown: Shutdown,
) -> Result<(), ServeError>
where
    A: IntoEndpoint,
    A::Endpoint: 'static,
{
    let failed = |source| ServeError { name, source };
    let listener: Listener = listener.into();
    listening::log(name, &listener);
    let acceptor = match listener {
        Listener::Tokio(listener) => TcpAcceptor::from_tokio(listener),
        Listener::Std(listener) => {
            listener.set_nonblocking(true).map_err(failed)?;
            TcpAcceptor::from_std(listener)
        }
    }
    .map_err(failed)?;
    let end = async move { shutdown.requested().await };
    Server::new_with_acceptor(acceptor)
        .name(name)
        .run_with_graceful_shutdown(app.into_endpoint().boxed(), end, Some(DRAIN_WAIT_MAX))
        .await
        .map_err(failed)
}
