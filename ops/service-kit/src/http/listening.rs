//! Logs where a listener listens: with port 0 nothing else tells.

use super::Listener;

/// One line for the listener called `name`.
pub(super) fn log(name: &'static str, listener: &Listener) {
    let address = match listener {
        Listener::Std(listener) => listener.local_addr(),
        Listener::Tokio(listener) => listener.local_addr(),
    };
    match address {
        Ok(address) => tracing::info!(listener = name, %address, "listening"),
        Err(error) => tracing::warn!(listener = name, %error, "listening on an unknown address"),
    }
}
