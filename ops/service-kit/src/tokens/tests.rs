//! What a token must and must not get past.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

fn noon() -> DateTime<Utc> {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn tokens(fill: char) -> AccessTokens {
    AccessTokens::new(&Secret::new(fill.to_string().repeat(32))).unwrap()
}

fn user() -> UserId {
    UserId::new(Uuid::from_u128(7))
}

fn claims() -> Value {
    json!({
        "sub": Uuid::from_u128(7),
        "role": "USER",
        "jti": Uuid::from_u128(8),
        "iat": noon().timestamp(),
        "exp": noon().timestamp() + 60,
        "typ": "access",
    })
}

fn signed(fill: char, algorithm: Algorithm, claims: &Value) -> String {
    let key = EncodingKey::from_secret(fill.to_string().repeat(32).as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}

#[test]
fn what_was_issued_is_verified() {
    let issued = tokens('k').issue(user(), Role::Admin, noon()).unwrap();
    let caller = tokens('k').verify(issued.token.expose(), noon()).unwrap();
    assert_eq!(caller.user_id, user());
    assert_eq!(caller.role, Role::Admin);
    assert_eq!(caller.token_id, issued.token_id);
    assert_eq!(caller.expires_at, noon() + TimeDelta::minutes(30));
}

#[test]
fn a_token_ends_after_thirty_minutes_to_the_second() {
    let token = tokens('k').issue(user(), Role::User, noon()).unwrap().token;
    let last = noon() + TimeDelta::minutes(30) - TimeDelta::milliseconds(1);
    assert!(tokens('k').verify(token.expose(), last).is_ok());
    let end = noon() + TimeDelta::minutes(30);
    assert_eq!(tokens('k').verify(token.expose(), end), Err(TokenRefusal::Expired));
}

#[test]
fn another_key_does_not_verify() {
    let token = tokens('a').issue(user(), Role::User, noon()).unwrap().token;
    assert_eq!(tokens('b').verify(token.expose(), noon()), Err(TokenRefusal::Invalid));
}

#[test]
fn a_well_signed_token_of_another_type_is_refused() {
    let good = signed('k', Algorithm::HS256, &claims());
    assert!(tokens('k').verify(&good, noon()).is_ok());

    for wrong in [json!("refresh"), json!("ACCESS"), json!(null)] {
        let mut claims = claims();
        claims["typ"] = wrong;
        let token = signed('k', Algorithm::HS256, &claims);
        assert_eq!(tokens('k').verify(&token, noon()), Err(TokenRefusal::Invalid), "{claims}");
    }
    let mut untyped = claims();
    untyped.as_object_mut().unwrap().remove("typ");
    let token = signed('k', Algorithm::HS256, &untyped);
    assert_eq!(tokens('k').verify(&token, noon()), Err(TokenRefusal::Invalid));
}

#[test]
fn an_unsigned_token_is_refused() {
    let body = URL_SAFE_NO_PAD.encode(claims().to_string());
    for header in [r#"{"alg":"none","typ":"JWT"}"#, r#"{"alg":"None"}"#, r#"{"typ":"JWT"}"#] {
        let header = URL_SAFE_NO_PAD.encode(header);
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{body}.{signature}");
            assert_eq!(tokens('k').verify(&token, noon()), Err(TokenRefusal::Invalid));
        }
    }
}

#[test]
fn another_algorithm_of_the_same_family_is_refused() {
    let token = signed('k', Algorithm::HS512, &claims());
    assert_eq!(tokens('k').verify(&token, noon()), Err(TokenRefusal::Invalid));
}

#[test]
fn a_changed_claim_breaks_the_signature() {
    let token = tokens('k').issue(user(), Role::User, noon()).unwrap().token;
    let parts: Vec<&str> = token.expose().split('.').collect();
    let body = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    let promoted = URL_SAFE_NO_PAD.encode(body.replace("USER", "ADMIN"));
    let forged = [parts[0], &promoted, parts[2]].join(".");
    assert_eq!(tokens('k').verify(&forged, noon()), Err(TokenRefusal::Invalid));
}

#[test]
fn a_forged_token_that_is_over_is_invalid_and_not_expired() {
    let mut over = claims();
    over["exp"] = json!(noon().timestamp() - 1);
    let token = signed('x', Algorithm::HS256, &over);
    assert_eq!(tokens('k').verify(&token, noon()), Err(TokenRefusal::Invalid));
}

#[test]
fn rubbish_is_invalid() {
    let long = "a".repeat(TOKEN_BYTES_MAX + 1);
    for rubbish in ["", ".", "..", "a.b.c", "토큰.토큰.토큰", &long] {
        assert_eq!(tokens('k').verify(rubbish, noon()), Err(TokenRefusal::Invalid), "{rubbish}");
    }
}

#[test]
fn a_short_key_is_refused() {
    let error = AccessTokens::new(&Secret::from("short")).unwrap_err();
    assert_eq!(error.to_string(), "ACCESS_TOKEN_KEY: expected at least 32 bytes");
}

#[test]
fn neither_key_nor_token_is_shown() {
    let issued = tokens('k').issue(user(), Role::User, noon()).unwrap();
    let shown = format!("{:?} {issued:?}", tokens('k'));
    assert!(!shown.contains("kkk") && !shown.contains(issued.token.expose()), "{shown}");
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
        request.set_data(Arc::new(tokens('k')));
        request.set_data(ManualClock::at(noon()).shared());
        request
    }

    fn refused(authorization: Option<&str>) -> &'static str {
        AuthenticatedCaller::of(&request(authorization)).unwrap_err().code()
    }

    #[test]
    fn the_caller_is_who_the_token_says() {
        let token = tokens('k').issue(user(), Role::User, noon()).unwrap().token;
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
        let over = tokens('k').issue(user(), Role::User, yesterday).unwrap().token;
        assert_eq!(refused(Some(&format!("Bearer {}", over.expose()))), "auth.token_expired");
    }
}
