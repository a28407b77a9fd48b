//! Where a database is, and whether the way there is encrypted.
//!
//! A host that is neither loopback nor a socket is reached over TLS, and its certificate must be
//! valid for its name, unless the URL says `sslmode=disable`; [`crate::config`] lets that pass only
//! with `DATABASE_PLAINTEXT=1`. The words `require` and `verify-ca` verify the name as well, because
//! encryption to an unknown machine protects from nobody who can change packets. The certificate is
//! compared with `sslrootcert=FILE`, or with the public authorities where no file is named; the file
//! of this machine's own authorities can be named too.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::form_urlencoded;

use crate::config::Secret;

/// A database and the way to it.
pub struct DatabaseTarget {
    /// For tokio-postgres.
    pub config: tokio_postgres::Config,
    /// Encrypts the connection where `config` asks for it.
    pub tls: MakeRustlsConnect,
    /// The URL with `sslmode` spelled out, for a library that reads it by itself.
    pub url: Secret,
    is_local: bool,
}

/// Why a database URL cannot be used; the URL is not repeated.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseUrlError {
    /// It is no URL of a PostgreSQL.
    #[error("expected postgres://USER:PASSWORD@HOST/DATABASE")]
    Scheme,
    /// A part of it cannot be read.
    #[error("expected a PostgreSQL URL")]
    Parse(#[source] tokio_postgres::Error),
    /// An unknown `sslmode`.
    #[error("expected sslmode to be disable, allow, prefer, require, verify-ca or verify-full")]
    SslMode,
    /// The file named by `sslrootcert`.
    #[error("expected sslrootcert to name a file of certificates")]
    RootCertificate(#[source] rustls::pki_types::pem::Error),
    /// A certificate in it.
    #[error("expected sslrootcert to name a file of usable certificates")]
    Tls(#[source] rustls::Error),
}

/// Reads a database URL.
///
/// # Errors
/// The URL cannot be used.
pub fn database_target(url: &Secret) -> Result<DatabaseTarget, DatabaseUrlError> {
    let text = url.expose().trim();
    if !["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
        return Err(DatabaseUrlError::Scheme);
    }
    let (place, query) = text.split_once('?').unwrap_or((text, ""));
    let mut others = form_urlencoded::Serializer::new(String::new());
    let (mut word, mut roots) = (None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "sslmode" => word = Some(value.into_owned()),
            "sslrootcert" => roots = Some(value.into_owned()),
            _ => drop(others.append_pair(&name, &value)),
        }
    }
    // `+` means a blank only in forms.
    let others = others.finish().replace('+', "%20");
    let plain = if others.is_empty() { place.to_owned() } else { format!("{place}?{others}") };
    let mut config: tokio_postgres::Config = plain.parse().map_err(DatabaseUrlError::Parse)?;
    let is_local = is_local(&config);
    let is_encrypted = match word.as_deref() {
        Some("disable") => false,
        None | Some("allow" | "prefer") => !is_local,
        Some("require" | "verify-ca" | "verify-full") => true,
        Some(_) => return Err(DatabaseUrlError::SslMode),
    };
    config.ssl_mode(if is_encrypted { SslMode::Require } else { SslMode::Disable });
    let mut query = form_urlencoded::Serializer::new(others);
    query.append_pair("sslmode", if is_encrypted { "verify-full" } else { "disable" });
    if let Some(file) = roots.as_deref().filter(|_| is_encrypted) {
        query.append_pair("sslrootcert", file);
    }
    let url = Secret::new(format!("{place}?{}", query.finish()));
    let tls = MakeRustlsConnect::new(client_config(roots.as_deref().filter(|_| is_encrypted))?);
    Ok(DatabaseTarget { config, tls, url, is_local })
}

impl DatabaseTarget {
    /// Whether what is sent can be read and changed between two machines.
    pub(crate) fn is_exposed(&self) -> bool {
        !self.is_local && self.config.get_ssl_mode() == SslMode::Disable
    }
}

impl std::fmt::Debug for DatabaseTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseTarget").field("is_local", &self.is_local).finish_non_exhaustive()
    }
}

/// The URL without encryption, unless its `sslmode` asks for some.
pub(crate) fn in_plain_text(url: &Secret) -> Secret {
    let text = url.expose();
    if text.contains("sslmode=") {
        return url.clone();
    }
    let separator = if text.contains('?') { '&' } else { '?' };
    Secret::new(format!("{text}{separator}sslmode=disable"))
}

/// Whether a host's name or address is this machine's own.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_local(config: &tokio_postgres::Config) -> bool {
    let hosts = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => is_loopback(name),
        Host::Unix(_) => true,
    });
    hosts && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

fn client_config(roots_file: Option<&str>) -> Result<ClientConfig, DatabaseUrlError> {
    let mut roots = RootCertStore::empty();
    match roots_file {
        Some(file) => {
            let found = CertificateDer::pem_file_iter(file);
            for certificate in found.map_err(DatabaseUrlError::RootCertificate)? {
                let certificate = certificate.map_err(DatabaseUrlError::RootCertificate)?;
                roots.add(certificate).map_err(DatabaseUrlError::Tls)?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(DatabaseUrlError::Tls)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> DatabaseTarget {
        database_target(&Secret::from(url)).unwrap()
    }

    fn is_encrypted(url: &str) -> bool {
        target(url).config.get_ssl_mode() == SslMode::Require
    }

    #[test]
    fn another_machine_is_reached_over_tls_unless_that_is_switched_off() {
        assert!(is_encrypted("postgres://shop:hunter2@db.example/shop"));
        assert!(is_encrypted("postgres://shop@10.0.0.7/shop?sslmode=prefer"));
        assert!(is_encrypted("postgres://shop@127.0.0.1,10.0.0.7/shop"));
        for local in ["127.0.0.1", "localhost", "[::1]", "%2Fvar%2Frun%2Fpostgresql"] {
            let url = format!("postgres://shop@{local}/shop");
            assert!(!is_encrypted(&url) && !target(&url).is_exposed(), "{local}");
        }
        let switched_off = target("postgres://shop@db.example/shop?sslmode=disable");
        assert!(switched_off.is_exposed());
    }

    #[test]
    fn every_word_that_asks_for_encryption_verifies_the_name() {
        for word in ["require", "verify-ca", "verify-full"] {
            let url =
                format!("postgres://shop@localhost/shop?sslmode={word}&options=-c%20jit%3Doff");
            let target = target(&url);
            assert_eq!(target.config.get_ssl_mode(), SslMode::Require);
            assert_eq!(target.config.get_options(), Some("-c jit=off"));
            assert!(
                target.url.expose().ends_with("&sslmode=verify-full"),
                "{}",
                target.url.expose()
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_and_not_repeated() {
        for (url, expected) in [
            ("hunter2", "expected postgres://"),
            ("postgres://u:hunter2@h/d?sslmode=on", "expected sslmode"),
            ("postgres://u:hunter2@h:port/d", "expected a PostgreSQL URL"),
            ("postgres://u:hunter2@h/d?sslrootcert=/nowhere", "expected sslrootcert"),
        ] {
            let error = database_target(&Secret::from(url)).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
