//! Which address each part listens on.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// One port a part, in the order of `--port-base`: the first is `base`, the next `base + 1`, ….
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    /// Command API.
    pub(crate) checkout: u16,
    /// Query API.
    pub(crate) storefront: u16,
    /// Administrators' API.
    pub(crate) admin: u16,
    /// Simulated KakaoPay.
    pub(crate) kakaopay_sim: u16,
    /// Health and metrics of the command API.
    pub(crate) checkout_ops: u16,
    /// Health and metrics of the query API.
    pub(crate) storefront_ops: u16,
    /// Private PostgreSQL.
    pub(crate) postgres: u16,
    /// Private Redis.
    pub(crate) redis: u16,
    /// Health and metrics of the worker.
    pub(crate) worker_ops: u16,
    /// Both APIs under one address.
    pub(crate) shop: u16,
    /// Health and metrics of the projector.
    pub(crate) projector_ops: u16,
}

/// Parts that listen.
const PARTS: usize = 11;

impl Ports {
    /// Before any is chosen.
    pub(crate) const UNPLANNED: Self = Self {
        checkout: 0,
        storefront: 0,
        admin: 0,
        kakaopay_sim: 0,
        checkout_ops: 0,
        storefront_ops: 0,
        postgres: 0,
        redis: 0,
        worker_ops: 0,
        shop: 0,
        projector_ops: 0,
    };

    /// Consecutive ports from `base` on, or free ones.
    ///
    /// # Errors
    /// When the system has no free port to give.
    pub(crate) fn plan(base: Option<u16>) -> io::Result<Self> {
        let numbers = match base {
            Some(base) => std::array::from_fn(|offset| {
                base.saturating_add(u16::try_from(offset).unwrap_or(u16::MAX))
            }),
            None => free_ports()?,
        };
        let [
            checkout,
            storefront,
            admin,
            kakaopay_sim,
            checkout_ops,
            storefront_ops,
            postgres,
            redis,
            worker_ops,
            shop,
            projector_ops,
        ] = numbers;
        Ok(Self {
            checkout,
            storefront,
            admin,
            kakaopay_sim,
            checkout_ops,
            storefront_ops,
            postgres,
            redis,
            worker_ops,
            shop,
            projector_ops,
        })
    }
}

/// This port on the loopback address, where everything of the embedded shop listens.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Different free ports: all are held at once before any is let go.
fn free_ports() -> io::Result<[u16; PARTS]> {
    let mut numbers = [0_u16; PARTS];
    let mut held = Vec::with_capacity(numbers.len());
    for number in &mut numbers {
        let listener = TcpListener::bind(loopback(0))?;
        *number = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(numbers)
}
