//! Taking in the bodies of requests, within bounds of size, time and memory.

use std::sync::Arc;
use std::time::Duration;

use poem::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use poem::http::{HeaderValue, StatusCode, Version};
use poem::{Body, Request};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::client_address::ClientAddress;
use super::edge::{AddressPlace, Addresses};
use super::errors::problem_from;
use crate::problem::Problem;

/// Longest request body, in bytes. Our largest is a cart of a hundred lines, under 32 KiB.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// Longest wait for a request's body, so that a slow sender holds no handler.
pub const BODY_WAIT_MAX: Duration = Duration::from_secs(10);
/// Bodies of one address in memory at once. A browser sends one or two.
const BODIES_PER_ADDRESS: usize = 16;
/// Bodies in memory at once: 64 MiB of the longest.
const BODIES_MAX: usize = 256;

/// The bodies that an app holds in memory.
#[derive(Debug, Clone)]
pub(super) struct Bodies {
    addresses: Addresses,
    places: Arc<Semaphore>,
}

/// The place of a body, until it is dropped.
#[derive(Debug)]
pub(super) struct BodyPlace {
    _address: Option<AddressPlace>,
    _place: OwnedSemaphorePermit,
}

impl Default for Bodies {
    fn default() -> Self {
        Self { addresses: Addresses::default(), places: Arc::new(Semaphore::new(BODIES_MAX)) }
    }
}

impl Bodies {
    /// Reads the body within its bounds before the handler runs, so that a handler never waits for a
    /// client and a body without `Content-Length` has the same limit as one with it. `None` for a
    /// request without a body.
    ///
    /// # Errors
    /// 429 when the address sends too many at once, 503 when all addresses together do, 413 and 408
    /// when this one is too long or takes too long.
    pub(super) async fn take_in(
        &self,
        request: &mut Request,
        client: ClientAddress,
    ) -> Result<Option<BodyPlace>, Problem> {
        if is_empty_by_head(request) {
            return Ok(None);
        }
        let address = match client.0 {
            None => None,
            Some(address) => {
                Some(self.addresses.enter(address, BODIES_PER_ADDRESS).ok_or_else(too_many)?)
            }
        };
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_full_or_closed| {
            Problem::unavailable("request.bodies", "too many request bodies at once")
        })?;
        let reading = request.take_body().into_bytes_limit(BODY_BYTES_MAX);
        let bytes = match timeout(BODY_WAIT_MAX, reading).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return Err(problem_from(&error.into())),
            Err(_elapsed) => return Err(problem_from(&StatusCode::REQUEST_TIMEOUT.into())),
        };
        let is_there = !bytes.is_empty();
        request.set_body(Body::from_bytes(bytes));
        Ok(is_there.then_some(BodyPlace { _address: address, _place: place }))
    }
}

fn too_many() -> Problem {
    let pause = Duration::from_secs(1);
    Problem::too_many("request.bodies", "too many request bodies from one address at once", pause)
}

fn is_empty_by_head(request: &Request) -> bool {
    let headers = request.headers();
    match headers.get(CONTENT_LENGTH).map(HeaderValue::as_bytes) {
        Some(length) => length == b"0",
        // HTTP/2 bodies may have neither header, so only an explicit zero is believed there.
        None => {
            !headers.contains_key(TRANSFER_ENCODING)
                && request.version() < Version::HTTP_2
                && request.method().is_safe()
        }
    }
}
