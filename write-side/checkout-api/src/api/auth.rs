//! Logging in.

use std::sync::Arc;

use chrono::{DateTime, FixedOffset};
use contracts::calendar::kst;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use service_kit::config::Secret;
use service_kit::http::ClientAddress;
use service_kit::problem::Problem;
use uuid::Uuid;

use super::Tag;
use crate::shop::Shop;

/// Proving who one is.
pub(crate) struct AuthApi(pub(crate) Arc<Shop>);

/// Somebody with an account.
#[derive(Object)]
#[oai(rename_all = "camelCase", deny_unknown_fields, example)]
struct LogInRequest {
    /// The address of the account.
    email: String,
    /// Its password.
    password: String,
}

impl Example for LogInRequest {
    fn example() -> Self {
        Self { email: "kim@example.com".to_owned(), password: "correct-horse-1!".to_owned() }
    }
}

/// What to send as `Authorization: Bearer …` from here on.
#[derive(Object)]
#[oai(rename_all = "camelCase")]
struct LoggedInBody {
    /// The token.
    access_token: String,
    /// Always `Bearer`.
    token_type: String,
    /// From then on the token is refused.
    expires_at: DateTime<FixedOffset>,
    /// Whose token it is.
    user_id: Uuid,
}

#[OpenApi(tag = "Tag::Accounts")]
impl AuthApi {
    /// Log in.
    ///
    /// A wrong password and an unknown address are both 401 with the code
    /// `auth.wrong_credentials`. Too many tries for one account or from one address are 429.
    #[oai(path = "/api/auth/login", method = "post", operation_id = "logIn")]
    async fn log_in(
        &self,
        address: ClientAddress,
        body: Json<LogInRequest>,
    ) -> Result<Json<LoggedInBody>, Problem> {
        let LogInRequest { email, password } = body.0;
        let entry = self.0.accounts.log_in(&email, Secret::from(password), address.0).await?;
        Ok(Json(LoggedInBody {
            access_token: entry.access_token.expose().to_owned(),
            token_type: "Bearer".to_owned(),
            expires_at: entry.expires_at.with_timezone(&kst()),
            user_id: entry.user_id.uuid(),
        }))
    }
}
