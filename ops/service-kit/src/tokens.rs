//! Access tokens: who is asking, proven by a signature and nothing else.
//!
//! `EdDSA` (Ed25519), thirty minutes, for a named audience, with the header type of RFC 9068 so that no
//! other token of ours can pass as one. [`TokenSigner`] has the private key; [`TokenVerifier`] has
//! public keys alone, so that a process that only answers questions can admit no caller by itself. Time is
//! an argument. [`AuthenticatedCaller`] takes the token from a request: subject and role come from
//! there only, never from a path, a query or a body. Refresh tokens and revocation live elsewhere.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::ids::UserId;
use jsonwebtoken::{Algorithm, Header, Validation};
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
use crate::security::{self, Who};

mod keys;

use self::keys::{SigningKey, VerifyingKey};
pub use self::keys::{VERIFYING_KEYS_MAX, public_key_of};

/// How long an access token is good for: it is verified without a look-up, so this is also how long
/// a stolen one works when Redis is away.
pub const ACCESS_LIFETIME: Duration = Duration::from_mins(30);
/// Longest token that is parsed, in bytes; ours have about 400.
const TOKEN_BYTES_MAX: usize = 2048;
/// The `typ` header of an access token (RFC 9068, 2.1).
const TYPE: &str = "at+jwt";
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

/// A listener that accepts access tokens, as the `aud` claim names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// Where shoppers are answered.
    Shop,
    /// Where administrators are answered.
    Admin,
}

impl Audience {
    /// Where a caller with this role is admitted. Administrators act on orders through the
    /// shoppers' listener too.
    const fn of(role: Role) -> &'static [Self] {
        match role {
            Role::User => &[Self::Shop],
            Role::Admin => &[Self::Shop, Self::Admin],
        }
    }
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

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: Uuid,
    role: Role,
    aud: Vec<Audience>,
    jti: Uuid,
    iat: i64,
    exp: i64,
}

/// Signs access tokens.
pub struct TokenSigner {
    key: SigningKey,
}

impl TokenSigner {
    /// A signer with `signing_key` (`ACCESS_TOKEN_SIGNING_KEY`), whose public key is among
    /// `verifying_keys` (`ACCESS_TOKEN_VERIFYING_KEYS`).
    ///
    /// # Errors
    /// A key cannot be used, or the two do not belong together.
    pub fn new(signing_key: &Secret, verifying_keys: &str) -> Result<Self, ConfigError> {
        let key = SigningKey::from_base64(signing_key)?;
        keys::check_pair(&key, verifying_keys)?;
        Ok(Self { key })
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
            aud: Audience::of(role).to_vec(),
            jti: token_id,
            iat: issued,
            exp: end,
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(self.key.id.clone());
        let token =
            jsonwebtoken::encode(&header, &claims, &self.key.encoding).map_err(SigningError)?;
        let expires_at = DateTime::from_timestamp(end, 0).unwrap_or(now);
        Ok(IssuedToken { token: Secret::new(token), token_id, expires_at })
    }
}

impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSigner(***)")
    }
}

/// Verifies the access tokens of one audience, with public keys alone.
#[derive(Clone)]
pub struct TokenVerifier {
    keys: Vec<VerifyingKey>,
    audience: Audience,
    validation: Validation,
}

impl TokenVerifier {
    /// A verifier with `keys` (`ACCESS_TOKEN_VERIFYING_KEYS`), for tokens that name `audience`.
    ///
    /// # Errors
    /// The text is not one or two public keys.
    pub fn new(keys: &str, audience: Audience) -> Result<Self, ConfigError> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        // The library reads the machine's clock; here time is an argument, compared in `verify`. So
        // is the audience, because a token for another one is a matter for the security log.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["aud"]);
        Ok(Self { keys: keys::verifying_keys(keys)?, audience, validation })
    }

    /// Who the token speaks for, if it is an access token of ours for this audience and not over
    /// at `now`.
    ///
    /// # Errors
    /// Expired, or not valid for any other reason.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Caller, TokenRefusal> {
        let claims = self.claims_of(token).ok_or(TokenRefusal::Invalid)?;
        if !claims.aud.contains(&self.audience) {
            security::log("token", "wrong_audience", Who::User(UserId::new(claims.sub)));
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

    /// The claims, once header and signature are right.
    fn claims_of(&self, token: &str) -> Option<Claims> {
        if TOKEN_BYTES_MAX < token.len() {
            return None;
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.typ.as_deref() != Some(TYPE) {
            return None;
        }
        let kid = header.kid?;
        let key = self.keys.iter().find(|key| key.id == kid)?;
        let decoded = jsonwebtoken::decode::<Claims>(token, &key.decoding, &self.validation);
        Some(decoded.ok()?.claims)
    }
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

/// A token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("sign an access token")]
pub struct SigningError(#[source] jsonwebtoken::errors::Error);

/// The caller of an operation, taken from `Authorization: Bearer …`; without a good token the
/// operation answers 401 and does not run.
///
/// Finds `Arc<TokenVerifier>` and [`SharedClock`] in the app's `Data` (`app.data(…)`).
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
        let Some(tokens) = request.data::<Arc<TokenVerifier>>() else {
            tracing::error!("the app has no TokenVerifier in its data");
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
