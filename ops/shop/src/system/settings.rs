//! The settings of every part, as its own binary would read them from the environment, and the
//! parts started with them.

use std::collections::HashMap;

use checkout_api::{CheckoutConfig, NewAdmin};
use processes::WorkerConfig;
use projections::ProjectorConfig;
use service_kit::config::Secret;
use service_kit::shutdown::Shutdown;
use storefront_api::StorefrontConfig;
use tokio::task::JoinSet;

use crate::ports::{Ports, loopback};
use crate::services::Services;
use crate::state::Secrets;
use crate::{Environment, ShopError, config_error};

/// KakaoPay's published test codes; used unless the environment names others.
const CID_ONE_TIME_TEST: &str = "TC0ONETIME";
/// The same for recurring payments.
const CID_RECURRING_TEST: &str = "TCSUBSCRIP";

/// What the administrator of an embedded shop is called.
const ADMIN_NAME: &str = "shopkeeper";

/// One table of settings for all parts.
#[derive(Clone)]
pub(crate) struct Settings(HashMap<String, String>);

impl Settings {
    /// What the environment says, completed by what this shop generated and started itself.
    pub(crate) fn of(
        environment: &Environment,
        ports: &Ports,
        services: &Services,
        secrets: &Secrets,
    ) -> Self {
        let listen = |port: u16| loopback(port).to_string();
        let public = format!("http://{}", listen(ports.checkout));
        let own = [
            ("ACCESS_TOKEN_KEY", secrets.access_token_key.clone()),
            ("MASTER_KEY", secrets.master_key.clone()),
            ("DIGEST_PEPPER", secrets.pepper.clone()),
            ("RETURN_URL_KEY", secrets.return_url_key.clone()),
            ("PUBLIC_BASE_URL", public),
            ("CHECKOUT_LISTEN", listen(ports.checkout)),
            ("CHECKOUT_ADMIN_LISTEN", listen(ports.admin)),
            ("CHECKOUT_OPS_LISTEN", listen(ports.checkout_ops)),
            ("STOREFRONT_LISTEN", listen(ports.storefront)),
            ("STOREFRONT_OPS_LISTEN", listen(ports.storefront_ops)),
            ("WORKER_OPS_LISTEN", listen(ports.worker_ops)),
            ("PROJECTOR_OPS_LISTEN", listen(0)),
            // One watcher a process is enough, and the command API is the one that waits for it.
            ("FEED_WATCHER", "own".to_owned()),
            ("KAKAOPAY_SECRET_KEY", secrets.kakaopay_secret_key.clone()),
            ("KAKAOPAY_CID_ONE_TIME", CID_ONE_TIME_TEST.to_owned()),
            ("KAKAOPAY_CID_RECURRING", CID_RECURRING_TEST.to_owned()),
        ];
        let mut table: HashMap<String, String> =
            own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        table.extend(environment.all());
        // Where the services are is known better here than in the environment.
        table.insert("DATABASE_URL".to_owned(), services.database_url.expose().to_owned());
        table.insert("REDIS_URL".to_owned(), services.redis_url.expose().to_owned());
        table.insert("KAKAOPAY_BASE_URL".to_owned(), services.kakaopay_url.clone());
        Self(table)
    }

    fn lookup(&self) -> impl Fn(&str) -> Option<String> {
        |name| self.0.get(name).cloned()
    }

    /// Settings of the command API.
    pub(crate) fn checkout(&self) -> Result<CheckoutConfig, ShopError> {
        CheckoutConfig::load(self.lookup()).map_err(config_error("checkout-api"))
    }

    /// Settings of the projector and of its commands.
    pub(crate) fn projector(&self) -> Result<ProjectorConfig, ShopError> {
        ProjectorConfig::load(self.lookup()).map_err(config_error("projector"))
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
        shutdown: &Shutdown,
    ) -> Result<JoinSet<Result<(), ShopError>>, ShopError> {
        let checkout = self.checkout()?;
        let projector = self.projector()?;
        let storefront =
            StorefrontConfig::load(self.lookup()).map_err(config_error("storefront-api"))?;
        let worker = WorkerConfig::load(self.lookup()).map_err(config_error("worker"))?;

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
pub(crate) fn order_line(checkout: &str, storefront: &str) -> String {
    format!(
        "  C={checkout} S={storefront} E=me$RANDOM@example.com; J='Content-Type: application/json'; \
         curl -sH \"$J\" $C/api/users -d '{{\"email\":\"'$E'\",\"password\":\"secret-1!\",\"displayName\":\"me'$RANDOM'\"}}' >/dev/null; \
         T=$(curl -sH \"$J\" $C/api/auth/login -d '{{\"email\":\"'$E'\",\"password\":\"secret-1!\"}}' | jq -r .accessToken); \
         I=$(curl -s \"$S/api/items?sort=PRICE_LOW&size=1\" | jq -r .items[0].itemId); \
         curl -sH \"$J\" -H \"Authorization: Bearer $T\" -H \"Idempotency-Key: first-$RANDOM\" $C/api/orders -d \
         '{{\"lines\":[{{\"itemId\":\"'$I'\",\"quantity\":1}}],\"receiver\":{{\"name\":\"홍길동\",\"phone\":\"010-1234-5678\",\"address\":{{\"zip\":\"04524\",\"city\":\"서울 중구\",\"detail\":\"3층\"}}}}}}' | jq"
    )
}
