//! TLS as JavaScript gives it: what files hold, and rules.

use napi::Result;
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use netcd_front::tls;

use crate::check::{reason, tls_version};

/// `TlsOptions`.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct TlsOptions {
    /// What is shown.
    pub certificate: Uint8Array,
    /// Its key.
    pub key: Uint8Array,
    /// What is shown when this member dials; null = the same.
    pub client_certificate: Option<Uint8Array>,
    /// Its key.
    pub client_key: Option<Uint8Array>,
    /// Whose signatures are believed; null = those that the system believes.
    pub trusted_ca: Option<Uint8Array>,
    /// Callers must show a good certificate.
    pub requires_client_certificate: bool,
    /// Revocation lists; null = none.
    pub crl: Option<Uint8Array>,
    /// Why there is none although one is to be kept.
    pub crl_problem: Option<String>,
    /// One of them is a certificate's common name; empty = any is good.
    pub allowed_common_names: Vec<String>,
    /// For one of them a certificate is; empty = any is good.
    pub allowed_hostnames: Vec<String>,
    /// A caller's certificate may be for any address.
    pub skips_san_verification: bool,
    /// A common name is a user.
    pub common_name_is_user: bool,
    /// Go's names; empty = the default.
    pub cipher_suites: Vec<String>,
    /// "TLS1.2" or "TLS1.3".
    pub min_version: String,
    /// The same.
    pub max_version: String,
    /// Whoever answers is believed.
    pub skips_server_verification: bool,
    /// The name that a server's certificate must have; null = that of its URL.
    pub server_name: Option<String>,
}

impl TlsOptions {
    /// For the transport.
    pub fn read(self) -> Result<tls::TlsOptions> {
        let bytes = |bytes: Uint8Array| bytes.to_vec();
        Ok(tls::TlsOptions {
            certificate: bytes(self.certificate),
            key: bytes(self.key),
            client_certificate: self.client_certificate.map(bytes),
            client_key: self.client_key.map(bytes),
            trusted_ca: self.trusted_ca.map(bytes),
            requires_client_certificate: self.requires_client_certificate,
            crl: self.crl.map(bytes),
            crl_problem: self.crl_problem,
            allowed_common_names: self.allowed_common_names,
            allowed_hostnames: self.allowed_hostnames,
            skips_san_verification: self.skips_san_verification,
            common_name_is_user: self.common_name_is_user,
            cipher_suites: self.cipher_suites,
            min_version: tls_version(&self.min_version)?,
            max_version: tls_version(&self.max_version)?,
            skips_server_verification: self.skips_server_verification,
            server_name: self.server_name,
        })
    }
}

/// `TlsFound`. Times are milliseconds since 1970.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct TlsFound {
    /// When the certificate ends.
    pub certificate_end_ms: f64,
    /// When the one for dialling does.
    pub client_certificate_end_ms: Option<f64>,
    /// When the first of the CA's does.
    pub trusted_ca_end_ms: Option<f64>,
    /// Suites that are not here.
    pub ignored_cipher_suites: Vec<String>,
}

/// Whether these could be used.
#[napi]
pub fn check_tls(options: TlsOptions) -> Result<TlsFound> {
    let found = tls::Tls::compile(&options.read()?, None)
        .map_err(reason)?
        .found;
    Ok(TlsFound {
        certificate_end_ms: found.certificate_end_ms as f64,
        client_certificate_end_ms: found.client_certificate_end_ms.map(|ms| ms as f64),
        trusted_ca_end_ms: found.trusted_ca_end_ms.map(|ms| ms as f64),
        ignored_cipher_suites: found.ignored_cipher_suites,
    })
}
