//! TLS: what the control plane's files make of it, for those who call this member and for what it dials.

mod accept;
mod certificate;
mod client;
mod error;
#[cfg(test)]
mod fuzz_test;
mod handshakes;
mod hello;
mod hosts;
mod names;
mod options;
mod pair;
mod path;
mod pem;
mod provider;
mod refusal;
mod resolver;
mod rules;
mod selfsigned;
mod server;
mod signatures;
mod slots;
#[cfg(test)]
pub(crate) mod testing;
mod texts;
mod trust;
mod verifier;

pub(crate) use accept::{Encrypted, handshake, is_resumed, is_tls};
pub(crate) use client::{ClientTls, Dialled};
pub use error::TlsError;
pub(crate) use handshakes::{Handshake, Handshakes};
pub use hosts::Resolver;
pub(crate) use hosts::check as check_host;
pub use options::{TlsFound, TlsOptions, TlsSide, TlsVersion};
pub(crate) use refusal::{Failure, Reason, RefusalLog};
pub use resolver::SystemResolver;
pub use selfsigned::{SelfSigned, self_signed};
pub(crate) use slots::TlsSlots;
pub(crate) use texts::NOT_TLS;

use std::sync::Arc;

use error::quoted;
use pair::Pair;
use server::ServerTls;

/// TLS of one side, ready for handshakes.
pub struct Tls {
    pub(crate) server: ServerTls,
    pub(crate) client: Arc<ClientTls>,
    /// What was found in the files.
    pub found: TlsFound,
}

impl Tls {
    /// Makes it of the files' contents; what goes on from `before` (sessions that can be resumed) is taken over.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn compile(options: &TlsOptions, before: Option<&Self>) -> Result<Self, TlsError> {
        let spoken = provider::spoken(options)?;
        if !options.allowed_common_names.is_empty() && !options.allowed_hostnames.is_empty() {
            return Err(TlsError(format!(
                "AllowedCNs and AllowedHostnames are mutually exclusive (cns={}, hostnames={})",
                quoted(&options.allowed_common_names),
                quoted(&options.allowed_hostnames)
            )));
        }
        let pair = Pair::read(&options.certificate, &options.key)?;
        let client_pair = match (&options.client_certificate, &options.client_key) {
            (Some(certificate), Some(key)) => Some(Pair::read(certificate, key)?),
            _ => None,
        };
        let pool = options.trusted_ca.as_deref().map(trust::pool).transpose()?;
        let ends = pool.iter().flatten().map(|certificate| certificate.end_ms);
        let found = TlsFound {
            certificate_end_ms: pair.leaf.end_ms,
            client_certificate_end_ms: client_pair.as_ref().map(|pair| pair.leaf.end_ms),
            trusted_ca_end_ms: ends.min(),
            ignored_cipher_suites: spoken.ignored.clone(),
        };
        let shown = client_pair.as_ref().unwrap_or(&pair).certified.clone();
        let server = ServerTls::compile(
            options,
            &spoken,
            &pair,
            pool.as_deref(),
            before.map(|before| &before.server),
        )?;
        Ok(Self {
            server,
            client: Arc::new(ClientTls::compile(options, &spoken, pool, shown)?),
            found,
        })
    }
}
