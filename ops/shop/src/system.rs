//! Puts the parts together: services, migrations, catalogue, worker, projector and both APIs.
//!
//! Started in the order in which they need each other, stopped in the reverse one. A part that
//! ends by itself ends the whole: half a shop helps nobody.

mod catalogue;
mod settings;

use std::path::Path;
use std::time::Duration;

use service_kit::shutdown::{self, Shutdown, ShutdownTrigger};
use testkit::Login;
use tokio::task::JoinSet;

use crate::cli::Cli;
use crate::ports::{Ports, loopback};
use crate::ready::{Addresses, AdminLogin};
use crate::services::{Outside, Services};
use crate::state::{SECRETS_FILE, StateDir, write_private};
use crate::{Environment, ShopError, config_error, demo};

pub(crate) use self::settings::Settings;

/// The administrator of an embedded shop.
const ADMIN_EMAIL: &str = "admin@example.com";
/// Longest the parts may take to answer after they were started.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);
/// Pause between two looks at their health.
const ANSWER_LOOK_PAUSE: Duration = Duration::from_millis(20);

/// A running shop.
pub(crate) struct System {
    services: Services,
    parts: tokio::sync::Mutex<JoinSet<Result<(), ShopError>>>,
    trigger: ShutdownTrigger,
    at: Addresses,
    settings: Settings,
    state: std::path::PathBuf,
    /// Items that the catalogue of this start brought or confirmed.
    items: u64,
}

impl System {
    /// Starts everything; when this returns, everything answers.
    pub(crate) async fn start(
        cli: &Cli,
        environment: &Environment,
        outside: Outside,
        state: &StateDir,
        ports: Ports,
    ) -> Result<Self, ShopError> {
        let secrets = state.secrets()?;
        let services =
            Services::start(outside, &ports, state.path(), &secrets.kakaopay_secret_key).await?;
        migrator::up(services.database_url.expose())
            .await
            .map_err(|error| ShopError::part("migrations", &error))?;
        let settings = Settings::of(environment, &ports, &services, &secrets)
            .map_err(config_error("settings"))?;
        settings.prepare(ADMIN_EMAIL, &secrets.admin_password).await?;
        let opened = catalogue::open_with(
            &services.database_url_as(Login::Writer),
            cli.catalogue.as_deref(),
            state.path(),
        )
        .await?;
        let items = opened.as_ref().map_or(0, |rows| rows.accepted + rows.unchanged + rows.changed);
        if let Some(report) = opened {
            demo::say(&catalogue::told(&report));
        }

        let (trigger, shutdown) = shutdown::pair();
        let parts = settings.start_parts(&ports, &shutdown)?;
        let at = addresses(&ports, &services, &secrets.admin_password);
        let system = Self {
            services,
            parts: tokio::sync::Mutex::new(parts),
            trigger,
            at,
            settings,
            state: state.path().to_owned(),
            items,
        };
        system.until_it_answers(&ports).await?;
        if let Some(path) = &cli.ready_file {
            write_private(path, &system.at)?;
        }
        Ok(system)
    }

    /// Waits until both APIs say they are ready, or a part ends.
    async fn until_it_answers(&self, ports: &Ports) -> Result<(), ShopError> {
        let mut parts = self.parts.lock().await;
        let ops = [ports.checkout_ops, ports.storefront_ops, ports.worker_ops, ports.projector_ops];
        tokio::select! {
            ended = parts.join_next() => Err(ended_early(ended)),
            answered = answering(&ops) => answered,
        }
    }

    /// Runs until asked to stop or until a part ends.
    pub(crate) async fn wait(&self, asked_to_stop: &Shutdown) -> Result<(), ShopError> {
        let mut parts = self.parts.lock().await;
        tokio::select! {
            () = asked_to_stop.requested() => Ok(()),
            ended = parts.join_next() => Err(ended_early(ended)),
        }
    }

    /// Drives the demo.
    pub(crate) async fn demo(&self, asked_to_stop: &Shutdown) -> Result<(), ShopError> {
        let projector = self.settings.projector()?;
        tokio::select! {
            driven = demo::run(&self.at, &self.services.database_url, &projector, self.items) => Ok(driven?),
            ended = self.wait(asked_to_stop) => ended.and(Err(ShopError::Part {
                part: "demo",
                told: "interrupted".to_owned(),
            })),
        }
    }

    /// Tells a person where everything is.
    pub(crate) fn greet(&self) {
        demo::say(&greeting(&self.at, &self.state));
    }

    /// Ends the parts, waits for them, then ends the services.
    pub(crate) async fn stop(self) {
        self.trigger.trigger();
        let mut parts = self.parts.into_inner();
        while let Some(ended) = parts.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "a part did not end cleanly"),
                Err(error) => tracing::error!(%error, "a part broke off"),
            }
        }
        self.services.stop().await;
    }
}

fn ended_early(ended: Option<Result<Result<(), ShopError>, tokio::task::JoinError>>) -> ShopError {
    match ended {
        Some(Ok(Err(error))) => error,
        Some(Err(error)) => ShopError::part("a part broke off", &error),
        Some(Ok(Ok(()))) | None => {
            ShopError::Part { part: "a part", told: "ended without being asked".to_owned() }
        }
    }
}

/// Waits until each of the ops ports says ready.
async fn answering(ports: &[u16]) -> Result<(), ShopError> {
    let client = reqwest::Client::new();
    let clock = service_kit::clock::SystemClock::shared();
    let all = async {
        for port in ports {
            let url = format!("http://{}/health/ready", loopback(*port));
            while !is_ready(&client, &url).await {
                clock.sleep(ANSWER_LOOK_PAUSE).await;
            }
        }
    };
    tokio::time::timeout(ANSWER_WAIT_MAX, all).await.map_err(|_elapsed| ShopError::Part {
        part: "start",
        told: format!("not ready within {} s", ANSWER_WAIT_MAX.as_secs()),
    })
}

async fn is_ready(client: &reqwest::Client, url: &str) -> bool {
    client.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
}

fn addresses(ports: &Ports, services: &Services, admin_password: &str) -> Addresses {
    let http = |port| format!("http://{}", loopback(port));
    Addresses {
        shop: http(ports.shop),
        checkout_api: http(ports.checkout),
        storefront_api: http(ports.storefront),
        admin_api: http(ports.admin),
        ops: [
            ("checkout-api", ports.checkout_ops),
            ("storefront-api", ports.storefront_ops),
            ("worker", ports.worker_ops),
            ("projector", ports.projector_ops),
        ]
        .into_iter()
        .map(|(process, port)| (process.to_owned(), http(port)))
        .collect(),
        kakaopay_sim: services.simulator_url(),
        database_url: services.database_url.expose().to_owned(),
        redis_url: services.redis_url.expose().to_owned(),
        admin: AdminLogin { email: ADMIN_EMAIL.to_owned(), password: admin_password.to_owned() },
    }
}

fn greeting(at: &Addresses, state: &Path) -> String {
    let operators: Vec<String> =
        at.ops.iter().map(|(process, url)| format!("{process} {url}")).collect();
    let operators = operators.join(", ");
    let simulator = at.kakaopay_sim.as_deref().unwrap_or("configured by KAKAOPAY_BASE_URL");
    format!(
        "The shop is open. Data and secrets: {state}\n\
         \n  shop            {shop}   (both APIs under one address)\
         \n  command API     {checkout}   (docs: {checkout}/docs)\
         \n  query API       {storefront}   (docs: {storefront}/docs)\
         \n  admin API       {admin}\
         \n  KakaoPay        {simulator}\
         \n  operators       {ops}   (/health/ready, /metrics, /version)\n\
         \nPlace an order (needs curl and jq):\n\
         {curl}\n\
         \nThe administrator is {email}; the password is admin_password in {secrets}.\n\
         Call the admin API (the token works for 30 minutes; its docs: {admin}/docs):\n\
         {admin_curl}\n\
         \nCtrl-C stops everything.",
        state = state.display(),
        shop = at.shop,
        ops = operators,
        checkout = at.checkout_api,
        storefront = at.storefront_api,
        admin = at.admin_api,
        curl = settings::order_line(&at.shop),
        email = at.admin.email,
        secrets = state.join(SECRETS_FILE).display(),
        admin_curl = settings::admin_line(at, &state.join(SECRETS_FILE)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A newcomer had no way to a token for the admin API.
    #[test]
    fn the_greeting_says_how_an_administrator_gets_a_token_and_shows_no_password() {
        let at = Addresses {
            shop: "http://shop".to_owned(),
            checkout_api: "http://checkout".to_owned(),
            storefront_api: "http://storefront".to_owned(),
            admin_api: "http://admin".to_owned(),
            ops: std::collections::BTreeMap::new(),
            kakaopay_sim: None,
            database_url: String::new(),
            redis_url: String::new(),
            admin: AdminLogin { email: ADMIN_EMAIL.to_owned(), password: "hunter2".to_owned() },
        };
        let greeting = greeting(&at, Path::new("/state"));
        for part in [
            "admin@example.com",
            "admin_password in /state/secrets.json",
            "'/state/secrets.json' | curl",
            "http://shop/api/auth/login",
            "http://admin/admin/outbox",
        ] {
            assert!(greeting.contains(part), "{part} in {greeting}");
        }
        assert!(!greeting.contains("hunter2"));
    }
}
