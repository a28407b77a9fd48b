//! Keys that a process under test accepts; made up, and used nowhere else.

/// 32 bytes in base64.
pub const MASTER_KEY: &str = "Q0hBT1MtbWFzdGVyLWtleS0zMi1ieXRlcy1sb25nISE=";
/// At least 32 bytes.
pub const DIGEST_PEPPER: &str = "pepper of the tests, 32 bytes or more";
/// At least 32 bytes.
pub const RETURN_URL_KEY: &str = "return key of the tests, 32 bytes or more";
/// An Ed25519 key in base64.
pub const ACCESS_TOKEN_SIGNING_KEY: &str = "dG9rZW4tdG9rZW4tdG9rZW4tdG9rZW4tdG9rZW4tISE=";

/// The public key of [`ACCESS_TOKEN_SIGNING_KEY`].
pub fn access_token_verifying_keys() -> String {
    let signing_key = service_kit::config::Secret::from(ACCESS_TOKEN_SIGNING_KEY);
    service_kit::tokens::public_key_of(&signing_key)
        .unwrap_or_else(|error| panic!("the signing key of the tests: {error}"))
}
