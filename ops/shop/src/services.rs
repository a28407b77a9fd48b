//! The services the shop stands on: its own private ones, or those that the environment names.

use std::path::Path;

use kakaopay_sim::{SimConfig, SimHandle, Simulator};
use service_kit::config::Secret;
use testkit::{Durability, Login, Logins, PrivatePostgres, PrivateRedis};

use crate::ShopError;
use crate::ports::{Ports, loopback};

/// The database the embedded shop makes in its own PostgreSQL.
const DATABASE: &str = "pillivery";

/// Running services; private ones end with this value.
pub(crate) struct Services {
    postgres: Option<PrivatePostgres>,
    redis: Option<PrivateRedis>,
    kakaopay: Option<SimHandle>,
    /// Where the one database is, as its superuser when it is ours.
    pub(crate) database_url: Secret,
    /// How each part logs in to our own PostgreSQL; another one is used as `DATABASE_URL` says.
    logins: Option<Logins>,
    /// Where the one Redis is.
    pub(crate) redis_url: Secret,
    /// Where KakaoPay is, real or simulated.
    pub(crate) kakaopay_url: String,
}

/// Services that the environment names, in place of private ones.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    /// The URL of a PostgreSQL.
    pub(crate) database: Option<Secret>,
    /// The URL of a Redis.
    pub(crate) redis: Option<Secret>,
    /// The address of KakaoPay.
    pub(crate) kakaopay: Option<String>,
}

impl Services {
    /// Starts what is not outside.
    pub(crate) async fn start(
        outside: Outside,
        ports: &Ports,
        state: &Path,
        kakaopay_key: &str,
    ) -> Result<Self, ShopError> {
        let (postgres, logins, database_url) = if let Some(url) = outside.database {
            (None, None, url)
        } else {
            let server = PrivatePostgres::start(state, ports.postgres, Durability::Durable).await?;
            let logins = server.logins().await?;
            let url = Secret::new(server.database(DATABASE).await?);
            (Some(server), Some(logins), url)
        };
        let (redis, redis_url) = if let Some(url) = outside.redis {
            (None, url)
        } else {
            let server = PrivateRedis::start(state, ports.redis).await?;
            let url = Secret::new(server.url());
            (Some(server), url)
        };
        let (kakaopay, kakaopay_url) = if let Some(url) = outside.kakaopay {
            (None, url)
        } else {
            let config = SimConfig {
                listen: loopback(ports.kakaopay_sim),
                secret_key: Some(Secret::new(kakaopay_key)),
                state_file: Some(state.join("kakaopay-sim.json")),
                ..SimConfig::default()
            };
            let simulator = Simulator::start(config).await?;
            let url = simulator.base_url().to_owned();
            (Some(simulator), url)
        };
        Ok(Self { postgres, redis, kakaopay, database_url, logins, redis_url, kakaopay_url })
    }

    /// The database, as the process with this login uses it.
    pub(crate) fn database_url_as(&self, login: Login) -> Secret {
        match &self.logins {
            Some(logins) => Secret::new(logins.url(login, self.database_url.expose())),
            None => self.database_url.clone(),
        }
    }

    /// Whether each part logs in with a role of its own.
    pub(crate) const fn has_logins(&self) -> bool {
        self.logins.is_some()
    }

    /// The simulated KakaoPay's address, when it is ours.
    pub(crate) fn simulator_url(&self) -> Option<String> {
        self.kakaopay.as_ref().map(|simulator| simulator.base_url().to_owned())
    }

    /// Stops what was started here, the database last.
    pub(crate) async fn stop(self) {
        if let Some(simulator) = self.kakaopay
            && let Err(error) = simulator.shutdown().await
        {
            tracing::warn!(%error, "the simulated KakaoPay did not end cleanly");
        }
        if let Some(redis) = self.redis {
            redis.stop().await;
        }
        if let Some(postgres) = self.postgres {
            postgres.stop().await;
        }
    }
}
