//! What the embedded shop tells the world once everything answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Every address of a running shop, as `--ready-file` writes them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Addresses {
    /// Both APIs under one address, without a trailing slash.
    pub shop: String,
    /// Command API.
    pub checkout_api: String,
    /// Query API.
    pub storefront_api: String,
    /// Administrators' API.
    pub admin_api: String,
    /// Health and metrics, by process.
    pub ops: BTreeMap<String, String>,
    /// Simulated KakaoPay; absent when a real one is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kakaopay_sim: Option<String>,
    /// The one database.
    pub database_url: String,
    /// The one Redis.
    pub redis_url: String,
    /// Who may use the administrators' API.
    pub admin: AdminLogin,
}

/// The administrator that the first start created.
#[derive(Clone, Serialize, Deserialize)]
pub struct AdminLogin {
    /// To log in with.
    pub email: String,
    /// To log in with.
    pub password: String,
}

impl std::fmt::Debug for AdminLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminLogin").field("email", &self.email).finish_non_exhaustive()
    }
}
