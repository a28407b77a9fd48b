//! Access tokens: who is asking, proven by a signature and nothing else.
//!
//! HS256, thirty minutes, with a `typ` claim so that no other token of ours can pass as one. Time is
//! an argument. [`AuthenticatedCaller`] takes the token from a request: subject and role come from
//! there only, never from a path, a query or a body. Refresh tokens and revocation live elsewhere.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::ids::UserId;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use poem::http::HeaderValue;
use poem::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::{Clock, SharedClock, SystemClock};
use crate::config::{ConfigError, Secret};
use crate::http::access;
use crate::problem::Problem;

/// How long an access token is good for: it is verified without a look-up, so this is also how long
/// a stolen one works when Redis is away.
pub const ACCESS_LIFETIME: Duration = Duration::from_mins(30);
/// Shortest signing key accepted, in bytes: the digest's own length (RFC 7518, 3.2).
pub const KEY_BYTES_MIN: usize = 32;
/// Longest token looked at, in bytes; ours have about 300.
const TOKEN_BYTES_MAX: usize = 2048;
/// The `typ` claim of an access token.
const TYPE: &str = "access";
/// The scheme's name in the OpenAPI document.
const SCHEME: &str = "AccessToken";

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Role {
    /// A shopper, with rights over what is their own.
    User,
    /// An administrator, who may also do all that a user may.
    Admin,
}

/// Who is asking, as the token says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The subject.
    pub user_id: UserId,
    /// What the subject may do.
    pub role: Role,
    /// `jti`, by which one token can be revoked.
    pub token_id: Uuid,
    /// From this instant on the token is refused.
    pub expires_at: DateTime<Utc>,
}

impl Caller {
    /// Refuses everybody but an administrator with 403.
    ///
    /// # Errors
    /// The caller is no administrator.
    pub fn require_admin(&self) -> Result<(), Problem> {
        match self.role {
            Role::Admin => Ok(()),
            Role::User => Err(Problem::forbidden("auth.role", "this needs an administrator")),
        }
    }
}

/// A fresh token and its end.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    /// What the client sends as `Authorization: Bearer …`.
    pub token: Secret,
    /// `jti`, by which the token can be revoked.
    pub token_id: Uuid,
    /// From this instant on it is refused.
    pub expires_at: DateTime<Utc>,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// It was good once; the client should refresh.
    #[error("the access token has expired")]
    Expired,
    /// It is not ours, not an access token, or was tampered with.
    #[error("the access token is not valid")]
    Invalid,
}

impl TokenRefusal {
    /// Stable name for clients.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Expired => "auth.token_expired",
            Self::Invalid => "auth.token_invalid",
        }
    }
}

impl From<TokenRefusal> for Problem {
    fn from(refusal: TokenRefusal) -> Self {
        let challenge = HeaderValue::from_static(match refusal {
            TokenRefusal::Expired => {
                r#"Bearer realm="pillivery", error="invalid_token", error_description="expired""#
            }
            TokenRefusal::Invalid => {
                r#"Bearer realm="pillivery", error="invalid_token", error_description="invalid""#
            }
        });
        Problem::unauthenticated(refusal.code(), refusal.to_string())
            .with_header(WWW_AUTHENTICATE, challenge)
    }
}

/// Signs and verifies access tokens.
#[derive(Clone)]
pub struct AccessTokens {
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: Uuid,
    role: Role,
    jti: Uuid,
    iat: i64,
    exp: i64,
    typ: String,
}

impl AccessTokens {
    /// Tokens under a key of at least [`KEY_BYTES_MIN`] bytes.
    ///
    /// # Errors
    /// The key is too short.
    pub fn new(key: &Secret) -> Result<Self, ConfigError> {
        let key = key.expose().as_bytes();
        if key.len() < KEY_BYTES_MIN {
            let expected = format!("expected at least {KEY_BYTES_MIN} bytes");
            return Err(ConfigError::invalid("ACCESS_TOKEN_KEY", expected));
        }
        let mut validation = Validation::new(Algorithm::HS256);
        // The library asks the machine for the time; we are told it, and compare below.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        Ok(Self {
            signing: EncodingKey::from_secret(key),
            verifying: DecodingKey::from_secret(key),
            validation,
        })
    }

    /// A token for `user_id` that ends [`ACCESS_LIFETIME`] after `now`.
    ///
    /// # Errors
    /// The library cannot sign, which no input brings about.
    pub fn issue(
        &self,
        user_id: UserId,
        role: Role,
        now: DateTime<Utc>,
    ) -> Result<IssuedToken, SigningError> {
        let issued = now.timestamp();
        let lifetime = TimeDelta::from_std(ACCESS_LIFETIME).unwrap_or(TimeDelta::zero());
        let end = issued.saturating_add(lifetime.num_seconds());
        let token_id = Uuid::now_v7();
        let claims = Claims {
            sub: user_id.uuid(),
            role,
            jti: token_id,
            iat: issued,
            exp: end,
            typ: TYPE.to_owned(),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
            .map_err(SigningError)?;
        let expires_at = DateTime::from_timestamp(end, 0).unwrap_or(now);
        Ok(IssuedToken { token: Secret::new(token), token_id, expires_at })
    }

    /// Who the token speaks for, if it is ours, an access token and not over at `now`.
    ///
    /// # Errors
    /// Expired, or not valid for any other reason.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Caller, TokenRefusal> {
        if TOKEN_BYTES_MAX < token.len() {
            return Err(TokenRefusal::Invalid);
        }
        let claims =
            jsonwebtoken::decode::<Claims>(token.as_bytes(), &self.verifying, &self.validation)
                .map_err(|_whatever_is_wrong| TokenRefusal::Invalid)?
                .claims;
        if claims.typ != TYPE {
            return Err(TokenRefusal::Invalid);
        }
        let expires_at = DateTime::from_timestamp(claims.exp, 0).ok_or(TokenRefusal::Invalid)?;
        if expires_at <= now {
            return Err(TokenRefusal::Expired);
        }
        Ok(Caller {
            user_id: UserId::new(claims.sub),
            role: claims.role,
            token_id: claims.jti,
            expires_at,
        })
    }
}

impl fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessTokens(***)")
    }
}

/// A token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("sign an access token")]
pub struct SigningError(#[source] jsonwebtoken::errors::Error);

/// The caller of an operation, taken from `Authorization: Bearer …`; without a good token the
/// operation answers 401 and does not run.
///
/// Finds `Arc<AccessTokens>` and [`SharedClock`] in the app's `Data` (`app.data(…)`).
#[derive(Debug, Clone)]
pub struct AuthenticatedCaller(pub Caller);

impl AuthenticatedCaller {
    /// The caller of `request`, by its `Authorization` header alone.
    ///
    /// # Errors
    /// 401 when there is no good token; 500 when the app was put together without keys.
    pub fn of(request: &Request) -> Result<Self, Problem> {
        let Some(token) = bearer(request) else {
            return Err(Problem::unauthenticated(
                "auth.token_missing",
                "an access token is needed",
            ));
        };
        let Some(tokens) = request.data::<Arc<AccessTokens>>() else {
            tracing::error!("the app has no AccessTokens in its data");
            return Err(Problem::internal_unexplained());
        };
        let now = request.data::<SharedClock>().map_or_else(|| SystemClock.now(), |it| it.now());
        let caller = tokens.verify(token, now)?;
        access::note_caller(&caller);
        Ok(Self(caller))
    }
}

/// The bearer token of a request; the scheme's name is not case-sensitive (RFC 9110, 11.1).
fn bearer(request: &Request) -> Option<&str> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl<'a> ApiExtractor<'a> for AuthenticatedCaller {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(
            SCHEME,
            MetaSecurityScheme {
                ty: "http",
                description: Some("Access token from login, good for 30 minutes"),
                name: None,
                key_in: None,
                scheme: Some("bearer"),
                bearer_format: Some("JWT"),
                flows: None,
                openid_connect_url: None,
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> poem::Result<Self> {
        Ok(Self::of(request)?)
    }
}

#[cfg(test)]
mod tests;
