//! Starting and stopping a simulator: inside a test, inside the shop, or as a process.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use poem::Server;
use service_kit::shutdown::{self, Shutdown, ShutdownTrigger};
use tokio::task::JoinHandle;
use url::Url;

use crate::clock::SimClock;
use crate::config::{SimConfig, SimError};
use crate::faults::{FaultScript, Operation};
use crate::hold::{Hold, HoldPoint};
use crate::journal::Journal;
use crate::ledger::{CallCounts, Ledger};
use crate::pay_page::PayAction;
use crate::plan::Faults;
use crate::routes::routes;
use crate::settings::SimSettings;
use crate::sim::Sim;
use crate::wire::CuttableAcceptor;
use crate::world::World;

/// How long open connections may take to finish at the end.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// Starts simulators.
#[derive(Debug, Clone, Copy)]
pub struct Simulator;

impl Simulator {
    /// Starts one where the settings say. It runs until its handle is dropped or shut down.
    pub async fn start(config: SimConfig) -> Result<SimHandle, SimError> {
        let address = config.listen;
        let listener =
            TcpListener::bind(address).map_err(|source| SimError::Listen { address, source })?;
        Self::start_on(listener, config).await
    }

    /// Starts one on a listener somebody else has bound; `listen` of the settings is ignored.
    #[expect(clippy::unused_async, reason = "must run inside a runtime, and may await later")]
    pub async fn start_on(listener: TcpListener, config: SimConfig) -> Result<SimHandle, SimError> {
        let fallback = config.listen;
        let listen = |source| SimError::Listen { address: fallback, source };
        let address = listener.local_addr().map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(listen)?;

        let base_url = base_url(&config, address);
        let sim = Arc::new(build(config, &base_url)?);
        let acceptor =
            CuttableAcceptor::new(listener, sim.connections.clone()).map_err(SimError::Serve)?;
        let (trigger, stop) = shutdown::pair();
        let app = routes(&sim);
        let serving = tokio::spawn(async move {
            Server::new_with_acceptor(acceptor)
                .name("kakaopay-sim")
                .run_with_graceful_shutdown(
                    app,
                    async move { stop.requested().await },
                    Some(DRAIN_MAX),
                )
                .await
        });
        Ok(SimHandle { sim, address, base_url, trigger, serving: Some(serving) })
    }
}

fn base_url(config: &SimConfig, address: SocketAddr) -> String {
    let url = config.public_url.as_ref().map(Url::to_string);
    url.map_or_else(|| format!("http://{address}"), |url| url.trim_end_matches('/').to_owned())
}

fn build(config: SimConfig, base_url: &str) -> Result<Sim, SimError> {
    let seed = config.seed.unwrap_or_else(rand::random);
    let journal = match &config.state_file {
        Some(path) => Some(
            Journal::open(path)
                .map_err(|source| SimError::StateFile { path: path.clone(), source })?,
        ),
        None => None,
    };
    let config = Arc::new(config);
    let faults = Faults::new(config.latency, seed);
    let world = World::new(Arc::clone(&config), base_url.to_owned(), seed, journal);
    Ok(Sim::new(config, world, faults))
}

/// Runs a simulator until it is told to stop.
pub async fn run(config: SimConfig, shutdown: Shutdown) -> Result<(), SimError> {
    let mut handle = Simulator::start(config).await?;
    tracing::info!(url = handle.base_url(), "simulating KakaoPay");
    tokio::select! {
        () = shutdown.requested() => handle.shutdown().await,
        ended = handle.ended() => ended,
    }
}

/// A running simulator. Dropping it stops it.
#[derive(Debug)]
pub struct SimHandle {
    sim: Arc<Sim>,
    address: SocketAddr,
    base_url: String,
    trigger: ShutdownTrigger,
    serving: Option<JoinHandle<std::io::Result<()>>>,
}

impl SimHandle {
    /// Where callers and shoppers reach it, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything it believes was charged and given back.
    pub fn ledger(&self) -> Ledger {
        self.sim.ledger()
    }

    /// Replaces the fault script and lets go of every call on hold.
    pub fn set_faults(&self, script: FaultScript) {
        let now = self.sim.clock.now();
        self.sim.faults().set(script, now);
    }

    /// Ends all disturbances and lets go of every call on hold.
    pub fn clear_faults(&self) {
        self.set_faults(FaultScript::default());
    }

    /// Releases the calls that a rule of the script holds, by its place from 0; the script stays.
    /// False when there is no such rule.
    pub fn release(&self, rule: usize) -> bool {
        self.sim.faults().release(rule)
    }

    /// Holds the `n`-th call of an operation that comes from now on, 1 being the next. Independent
    /// of the fault script, which may disturb the call as well.
    pub fn hold_next(&self, operation: Operation, n: u64, at: HoldPoint) -> Hold {
        let hold = Hold::new(operation, at);
        self.sim.faults().hold(n, Arc::clone(&hold.0));
        hold
    }

    /// What is assumed of KakaoPay at present.
    pub fn settings(&self) -> SimSettings {
        self.sim.world().settings().clone()
    }

    /// Changes what is assumed of KakaoPay.
    pub fn set_settings(&self, settings: SimSettings) {
        self.sim.world().set_settings(settings);
    }

    /// Its clock.
    pub fn clock(&self) -> &SimClock {
        &self.sim.clock
    }

    /// The shopper ends a recurring key; false when there is no such key.
    pub fn cut_sid(&self, sid: &str) -> bool {
        let now = self.sim.clock.now();
        self.sim.world().cut_sid(now, sid)
    }

    /// The shopper presses a button of a payment's page. Returns where the browser goes, with the
    /// `pg_token` after an approval; `None` when there is nothing (left) to press.
    pub fn press(&self, tid: &str, action: PayAction) -> Option<Url> {
        let mut world = self.sim.world();
        let hash = world.page_of(tid)?;
        world.press(&hash, action, None)
    }

    /// What became of the calls of an operation since the start; cheaper than the whole ledger.
    pub fn calls(&self, operation: Operation) -> CallCounts {
        self.sim.counts().borrow().get(&operation).copied().unwrap_or_default()
    }

    /// Waits until an operation has been called so often since the start.
    pub async fn calls_reach(&self, operation: Operation, arrived: u64) {
        let mut counts = self.sim.counts();
        // The sender lives as long as this handle, so the wait cannot fail.
        drop(
            counts
                .wait_for(|counts| {
                    counts.get(&operation).is_some_and(|counts| arrived <= counts.arrived)
                })
                .await,
        );
    }

    /// Stops accepting, lets open calls finish for a moment, and ends.
    pub async fn shutdown(mut self) -> Result<(), SimError> {
        self.trigger.trigger();
        self.ended().await
    }

    async fn ended(&mut self) -> Result<(), SimError> {
        let Some(serving) = self.serving.as_mut() else {
            return Ok(());
        };
        let ended = serving.await;
        self.serving = None;
        ended.map_err(SimError::Died)?.map_err(SimError::Serve)
    }
}

impl Drop for SimHandle {
    fn drop(&mut self) {
        self.trigger.trigger();
    }
}
