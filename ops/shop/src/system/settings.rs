//! The settings of every part, as its own binary would read them from the environment, and the
//! parts started with them.

use std::collections::HashMap;
use std::path::Path;

use checkout_api::{CheckoutConfig, NewAdmin};
use processes::WorkerConfig;
use projections::ProjectorConfig;
use service_kit::config::{ConfigError, Secret};
use service_kit::http::descriptors_max;
use service_kit::shutdown::Shutdown;
use service_kit::tokens::public_key_of;
use storefront_api::StorefrontConfig;
use testkit::Login;
use tokio::task::JoinSet;

use crate::front::{self, Behind};
use crate::ports::{Ports, loopback};
use crate::ready::Addresses;
use crate::services::{Outside, Services};
use crate::state::Secrets;
use crate::{Environment, ShopError, config_error};

/// Descriptors left to everything but the two public listeners: pools, the other listeners with their
/// reserves, the simulated KakaoPay, files.
const DESCRIPTORS_KEPT: usize = 512;
/// Most and fewest places of each public listener.
const PLACES_MAX: usize = 4_000;
const PLACES_MIN: usize = 16;

/// What the administrator of an embedded shop is called.
const ADMIN_NAME: &str = "shopkeeper";

/// One table of settings for all parts.
#[derive(Clone)]
pub(crate) struct Settings {
    table: HashMap<String, String>,
    /// `DATABASE_URL` of each part.
    databases: HashMap<Login, Secret>,
    /// One login for all parts migrates too, so that it owns what they use.
    may_own_database: bool,
}

/// Where the services are.
struct Places<'a> {
    redis: &'a str,
    kakaopay: &'a str,
    databases: HashMap<Login, Secret>,
    may_own_database: bool,
}

impl Settings {
    /// What the environment says, completed by what this shop generated and started itself.
    pub(crate) fn of(
        environment: &Environment,
        ports: &Ports,
        services: &Services,
        secrets: &Secrets,
    ) -> Result<Self, ConfigError> {
        let databases = Login::ALL.map(|login| (login, services.database_url_as(login)));
        Self::completed(
            environment,
            ports,
            secrets,
            Places {
                redis: services.redis_url.expose(),
                kakaopay: &services.kakaopay_url,
                databases: databases.into_iter().collect(),
                may_own_database: !services.has_logins(),
            },
        )
    }

    /// Loads the settings of every part as the start does, with stand-ins for what is generated or
    /// started only then.
    ///
    /// # Errors
    /// Names every variable that a part cannot use.
    pub(crate) fn check(environment: &Environment, outside: &Outside) -> Result<(), ConfigError> {
        let database = outside.database.clone();
        let database = database.unwrap_or_else(|| Secret::from("postgres://shop@127.0.0.1:1/shop"));
        let redis = outside.redis.as_ref().map_or("redis://127.0.0.1:1", Secret::expose);
        let places = Places {
            redis,
            kakaopay: outside.kakaopay.as_deref().unwrap_or("http://127.0.0.1:1"),
            databases: Login::ALL.map(|login| (login, database.clone())).into_iter().collect(),
            may_own_database: true,
        };
        let settings =
            Self::completed(environment, &Ports::UNPLANNED, &Secrets::generate(), places)?;
        ConfigError::of_all([
            CheckoutConfig::load(settings.lookup(Login::Writer)).map(drop),
            StorefrontConfig::load(settings.lookup(Login::Reader)).map(drop),
            WorkerConfig::load(settings.lookup(Login::Worker)).map(drop),
            ProjectorConfig::load(settings.lookup(Login::Projector)).map(drop),
        ])
    }

    fn completed(
        environment: &Environment,
        ports: &Ports,
        secrets: &Secrets,
        places: Places<'_>,
    ) -> Result<Self, ConfigError> {
        let signing_key = environment.secret("ACCESS_TOKEN_SIGNING_KEY");
        let signing_key = signing_key.unwrap_or_else(|| secrets.access_token_key.clone());
        let verifying_key = public_key_of(&Secret::new(signing_key))?;
        let listen = |port: u16| loopback(port).to_string();
        let public = format!("http://{}", listen(ports.shop));
        // Each part alone would count all descriptors of the process as its own.
        let connections = descriptors_max().saturating_sub(DESCRIPTORS_KEPT) / 2;
        let connections = connections.clamp(PLACES_MIN, PLACES_MAX).to_string();
        let own = [
            ("ACCESS_TOKEN_SIGNING_KEY", secrets.access_token_key.clone()),
            ("ACCESS_TOKEN_VERIFYING_KEYS", verifying_key),
            ("MASTER_KEY", secrets.master_key.clone()),
            ("DIGEST_PEPPER", secrets.pepper.clone()),
            ("RETURN_URL_KEY", secrets.return_url_key.clone()),
            ("PUBLIC_BASE_URL", public),
            ("CHECKOUT_LISTEN", listen(ports.checkout)),
            ("CHECKOUT_ADMIN_LISTEN", listen(ports.admin)),
            ("CHECKOUT_OPS_LISTEN", listen(ports.checkout_ops)),
            // The front passes the shoppers' addresses on.
            ("TRUSTED_PROXIES", loopback(ports.shop).ip().to_string()),
            ("CHECKOUT_CONNECTIONS_MAX", connections.clone()),
            ("STOREFRONT_CONNECTIONS_MAX", connections),
            ("STOREFRONT_LISTEN", listen(ports.storefront)),
            ("STOREFRONT_OPS_LISTEN", listen(ports.storefront_ops)),
            ("WORKER_OPS_LISTEN", listen(ports.worker_ops)),
            ("PROJECTOR_OPS_LISTEN", listen(ports.projector_ops)),
            // One watcher a process is enough, and the command API is the one that waits for it.
            ("FEED_WATCHER", "own".to_owned()),
            ("KAKAOPAY_SECRET_KEY", secrets.kakaopay_secret_key.clone()),
        ];
        let mut table: HashMap<String, String> = environment.all().collect();
        for (name, value) in own {
            // A secret may also be set as a file.
            if !table.contains_key(&format!("{name}_FILE")) {
                table.entry(name.to_owned()).or_insert(value);
            }
        }
        // Where the services are is known better here than in the environment.
        for (name, value) in [("REDIS_URL", places.redis), ("KAKAOPAY_BASE_URL", places.kakaopay)] {
            table.remove(&format!("{name}_FILE"));
            table.insert(name.to_owned(), value.to_owned());
        }
        table.remove("DATABASE_URL_FILE");
        let Places { databases, may_own_database, .. } = places;
        Ok(Self { table, databases, may_own_database })
    }

    fn lookup(&self, login: Login) -> impl Fn(&str) -> Option<String> {
        move |name| match name {
            "DATABASE_URL" => self.databases.get(&login).map(|url| url.expose().to_owned()),
            name => self.table.get(name).cloned(),
        }
    }

    /// Settings of the command API.
    pub(crate) fn checkout(&self) -> Result<CheckoutConfig, ShopError> {
        let mut config = CheckoutConfig::load(self.lookup(Login::Writer))
            .map_err(config_error("checkout-api"))?;
        config.may_own_database = self.may_own_database;
        Ok(config)
    }

    /// Settings of the projector and of its commands.
    pub(crate) fn projector(&self) -> Result<ProjectorConfig, ShopError> {
        let mut config = ProjectorConfig::load(self.lookup(Login::Projector))
            .map_err(config_error("projector"))?;
        config.may_own_database = self.may_own_database;
        Ok(config)
    }

    /// Makes the administrator, unless there is one.
    pub(crate) async fn prepare(&self, email: &str, password: &str) -> Result<(), ShopError> {
        let admin = NewAdmin {
            email: email.to_owned(),
            password: Secret::new(password),
            display_name: ADMIN_NAME.to_owned(),
        };
        checkout_api::create_admin(&self.checkout()?, admin)
            .await
            .map(drop)
            .map_err(|error| ShopError::part("administrator", &error))
    }

    /// Starts every part; each ends at `shutdown`.
    pub(crate) fn start_parts(
        &self,
        ports: &Ports,
        shutdown: &Shutdown,
    ) -> Result<JoinSet<Result<(), ShopError>>, ShopError> {
        let checkout = self.checkout()?;
        let projector = self.projector()?;
        let mut storefront = StorefrontConfig::load(self.lookup(Login::Reader))
            .map_err(config_error("storefront-api"))?;
        storefront.may_own_database = self.may_own_database;
        let mut worker =
            WorkerConfig::load(self.lookup(Login::Worker)).map_err(config_error("worker"))?;
        worker.may_own_database = self.may_own_database;

        let mut parts = JoinSet::new();
        let stop = || shutdown.clone();
        let until = stop();
        parts.spawn(async move { named("worker", processes::run(worker, until).await) });
        let until = stop();
        parts.spawn(async move { named("projector", projections::run(projector, until).await) });
        let until = stop();
        parts.spawn(async move { named("checkout-api", checkout_api::run(checkout, until).await) });
        let until = stop();
        parts.spawn(async move {
            named("storefront-api", storefront_api::run(storefront, until).await)
        });
        let until = stop();
        let (at, behind) = (loopback(ports.shop), Behind::of(ports));
        parts.spawn(async move { named("front", front::serve(at, behind, until).await) });
        Ok(parts)
    }
}

/// Puts the part's name to what it says.
fn named<E: std::error::Error>(
    part: &'static str,
    outcome: Result<(), E>,
) -> Result<(), ShopError> {
    outcome.map_err(|error| ShopError::part(part, &error))
}

/// A line for a terminal that signs up, logs in and places an order for the cheapest item.
pub(crate) fn order_line(shop: &str) -> String {
    format!(
        "  S={shop} E=me$RANDOM@example.com; J='Content-Type: application/json'; \
         curl -sH \"$J\" $S/api/users -d '{{\"email\":\"'$E'\",\"password\":\"secret-1!\",\"displayName\":\"me'$RANDOM'\"}}' >/dev/null; \
         T=$(curl -sH \"$J\" $S/api/auth/login -d '{{\"email\":\"'$E'\",\"password\":\"secret-1!\"}}' | jq -r .accessToken); \
         I=$(curl -s \"$S/api/items?sort=PRICE_LOW&size=1\" | jq -r .items[0].itemId); \
         curl -sH \"$J\" -H \"Authorization: Bearer $T\" -H \"Idempotency-Key: first-$RANDOM\" $S/api/orders -d \
         '{{\"lines\":[{{\"itemId\":\"'$I'\",\"quantity\":1}}],\"receiver\":{{\"name\":\"홍길동\",\"phone\":\"010-1234-5678\",\"address\":{{\"zip\":\"04524\",\"city\":\"서울 중구\",\"detail\":\"3층\"}}}}}}' | jq"
    )
}

/// A line for a terminal that logs the administrator in and lists the outbox. The password is read from
/// the file of secrets, so that it stands on no screen.
pub(crate) fn admin_line(at: &Addresses, secrets: &Path) -> String {
    let (shop, admin, email) = (&at.shop, &at.admin_api, &at.admin.email);
    let secrets = secrets.display();
    format!(
        "  T=$(jq '{{email: \"{email}\", password: .admin_password}}' '{secrets}' | \
         curl -sH 'Content-Type: application/json' {shop}/api/auth/login -d @- | jq -r .accessToken); \
         curl -sH \"Authorization: Bearer $T\" {admin}/admin/outbox | jq"
    )
}
