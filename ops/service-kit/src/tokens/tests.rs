//! What a token must and must not get past.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use jsonwebtoken::EncodingKey;

use super::*;

fn noon() -> DateTime<Utc> {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

/// The signing key of 32 equal bytes.
fn signing_key(fill: u8) -> Secret {
    Secret::new(STANDARD.encode([fill; 32]))
}

fn public_key(fill: u8) -> String {
    public_key_of(&signing_key(fill)).unwrap()
}

fn signer(fill: u8) -> TokenSigner {
    TokenSigner::new(&signing_key(fill), &public_key(fill)).unwrap()
}

fn verifier(fill: u8) -> TokenVerifier {
    TokenVerifier::new(&public_key(fill), Audience::Shop).unwrap()
}

fn user() -> UserId {
    UserId::new(Uuid::from_u128(7))
}

fn claims() -> Value {
    json!({
        "sub": Uuid::from_u128(7),
        "role": "USER",
        "aud": ["shop"],
        "jti": Uuid::from_u128(8),
        "iat": noon().timestamp(),
        "exp": noon().timestamp() + 60,
    })
}

/// The header that a signer writes.
fn header(fill: u8) -> Header {
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some(TYPE.to_owned());
    header.kid = Some(signer(fill).key.id);
    header
}

fn signed(fill: u8, header: &Header, claims: &Value) -> String {
    jsonwebtoken::encode(header, claims, &signer(fill).key.encoding).unwrap()
}

#[track_caller]
fn refused(token: &str) {
    assert_eq!(verifier(1).verify(token, noon()), Err(TokenRefusal::Invalid), "{token}");
}

#[test]
fn what_was_issued_is_verified() {
    let issued = signer(1).issue(user(), Role::Admin, noon()).unwrap();
    let caller = verifier(1).verify(issued.token.expose(), noon()).unwrap();
    assert_eq!(caller.user_id, user());
    assert_eq!(caller.role, Role::Admin);
    assert_eq!(caller.token_id, issued.token_id);
    assert_eq!(caller.expires_at, noon() + TimeDelta::minutes(30));
}

#[test]
fn a_token_ends_after_thirty_minutes_to_the_second() {
    let token = signer(1).issue(user(), Role::User, noon()).unwrap().token;
    let last = noon() + TimeDelta::minutes(30) - TimeDelta::milliseconds(1);
    assert!(verifier(1).verify(token.expose(), last).is_ok());
    let end = noon() + TimeDelta::minutes(30);
    assert_eq!(verifier(1).verify(token.expose(), end), Err(TokenRefusal::Expired));
}

#[test]
fn another_key_does_not_verify() {
    let token = signer(2).issue(user(), Role::User, noon()).unwrap().token;
    refused(token.expose());
    // Nor under the name of a key that does.
    refused(&signed(2, &header(1), &claims()));
}

#[test]
fn what_a_verifying_process_holds_signs_nothing() {
    let keys = public_key(1);
    let bytes = STANDARD.decode(&keys).unwrap();
    // Taken for a private key, the public one makes another pair.
    let error = TokenSigner::new(&Secret::new(&keys), &keys).unwrap_err().to_string();
    assert!(error.starts_with("ACCESS_TOKEN_VERIFYING_KEYS"), "{error}");
    let own = public_key_of(&Secret::new(&keys)).unwrap();
    let forger = TokenSigner::new(&Secret::new(&keys), &own).unwrap();
    refused(forger.issue(user(), Role::Admin, noon()).unwrap().token.expose());

    // As the secret of a symmetric signature it is no better, in any of its forms.
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let mut header = header(1);
        header.alg = algorithm;
        for secret in [bytes.as_slice(), keys.as_bytes()] {
            let key = EncodingKey::from_secret(secret);
            refused(&jsonwebtoken::encode(&header, &claims(), &key).unwrap());
        }
    }
}

#[test]
fn an_old_key_is_accepted_until_it_is_removed() {
    let old = signer(2).issue(user(), Role::User, noon()).unwrap().token;
    let new = signer(1).issue(user(), Role::User, noon()).unwrap().token;
    let both = format!("{}, {}", public_key(1), public_key(2));
    let both = TokenVerifier::new(&both, Audience::Shop).unwrap();
    assert!(both.verify(old.expose(), noon()).is_ok());
    assert!(both.verify(new.expose(), noon()).is_ok());
    assert!(verifier(1).verify(new.expose(), noon()).is_ok());
    refused(old.expose());
}

#[test]
fn a_token_is_good_for_its_audience_alone() {
    let admin = TokenVerifier::new(&public_key(1), Audience::Admin).unwrap();
    let of = |role| signer(1).issue(user(), role, noon()).unwrap().token;
    assert!(verifier(1).verify(of(Role::User).expose(), noon()).is_ok());
    assert_eq!(admin.verify(of(Role::User).expose(), noon()), Err(TokenRefusal::Invalid));
    assert!(admin.verify(of(Role::Admin).expose(), noon()).is_ok());
    assert!(verifier(1).verify(of(Role::Admin).expose(), noon()).is_ok());

    assert!(verifier(1).verify(&signed(1, &header(1), &claims()), noon()).is_ok());
    for wrong in [json!(["admin"]), json!([]), json!("elsewhere"), json!(null)] {
        let mut claims = claims();
        claims["aud"] = wrong;
        refused(&signed(1, &header(1), &claims));
    }
    let mut without = claims();
    without.as_object_mut().unwrap().remove("aud");
    refused(&signed(1, &header(1), &without));
}

#[test]
fn a_well_signed_token_of_another_type_is_refused() {
    for wrong in [None, Some("JWT"), Some("rt+jwt"), Some("AT+JWT")] {
        let mut header = header(1);
        header.typ = wrong.map(str::to_owned);
        refused(&signed(1, &header, &claims()));
    }
    let mut nameless = header(1);
    nameless.kid = None;
    refused(&signed(1, &nameless, &claims()));
}

#[test]
fn an_unsigned_token_is_refused() {
    let body = URL_SAFE_NO_PAD.encode(claims().to_string());
    let kid = signer(1).key.id;
    for algorithm in [r#""alg":"none","#, r#""alg":"None","#, ""] {
        let header = format!(r#"{{{algorithm}"typ":"at+jwt","kid":"{kid}"}}"#);
        let header = URL_SAFE_NO_PAD.encode(header);
        for signature in ["", "AAAA"] {
            refused(&format!("{header}.{body}.{signature}"));
        }
    }
}

#[test]
fn a_changed_claim_breaks_the_signature() {
    let token = signer(1).issue(user(), Role::User, noon()).unwrap().token;
    let parts: Vec<&str> = token.expose().split('.').collect();
    let body = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    let promoted = URL_SAFE_NO_PAD.encode(body.replace("USER", "ADMIN"));
    refused(&[parts[0], &promoted, parts[2]].join("."));
}

#[test]
fn a_forged_token_that_is_over_is_invalid_and_not_expired() {
    let mut over = claims();
    over["exp"] = json!(noon().timestamp() - 1);
    refused(&signed(2, &header(1), &over));
}

#[test]
fn rubbish_is_invalid() {
    let long = "a".repeat(TOKEN_BYTES_MAX + 1);
    for rubbish in ["", ".", "..", "a.b.c", "토큰.토큰.토큰", &long] {
        refused(rubbish);
    }
}

#[test]
fn neither_key_nor_token_is_shown() {
    let issued = signer(1).issue(user(), Role::User, noon()).unwrap();
    let shown = format!("{:?} {:?} {issued:?}", signer(1), verifier(1));
    assert!(!shown.contains(signing_key(1).expose()), "{shown}");
    assert!(!shown.contains(issued.token.expose()), "{shown}");
}

mod of_a_request {
    //! The same through the `Authorization` header, as an operation sees it.

    use super::*;
    use crate::clock::ManualClock;

    fn request(authorization: Option<&str>) -> Request {
        let mut builder = Request::builder();
        if let Some(value) = authorization {
            builder = builder.header(AUTHORIZATION, value);
        }
        let mut request = builder.finish();
        request.set_data(Arc::new(verifier(1)));
        request.set_data(ManualClock::at(noon()).shared());
        request
    }

    fn refused(authorization: Option<&str>) -> &'static str {
        AuthenticatedCaller::of(&request(authorization)).unwrap_err().code()
    }

    #[test]
    fn the_caller_is_who_the_token_says() {
        let token = signer(1).issue(user(), Role::User, noon()).unwrap().token;
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let header = format!("{scheme} {}", token.expose());
            let caller = AuthenticatedCaller::of(&request(Some(&header))).unwrap().0;
            assert_eq!(caller.user_id, user());
            assert_eq!(caller.require_admin().unwrap_err().code(), "auth.role");
        }
    }

    #[test]
    fn the_code_says_missing_expired_or_invalid() {
        assert_eq!(refused(None), "auth.token_missing");
        assert_eq!(refused(Some("Basic a2ltOnB3")), "auth.token_missing");
        assert_eq!(refused(Some("Bearer rubbish")), "auth.token_invalid");

        let yesterday = noon() - TimeDelta::days(1);
        let over = signer(1).issue(user(), Role::User, yesterday).unwrap().token;
        assert_eq!(refused(Some(&format!("Bearer {}", over.expose()))), "auth.token_expired");
    }
}
