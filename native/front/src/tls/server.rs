//! What those who call are shown, and what is asked of them.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::SingleCertAndKey;

use super::TlsError;
use super::certificate::Certificate;
use super::names::Allowed;
use super::options::{TlsOptions, TlsSide};
use super::pair::Pair;
use super::provider::Spoken;
use super::rules::Rules;
use super::trust;
use super::verifier::CallerVerifier;

/// Tickets, and what their holders were checked by: with other rules they begin anew.
struct Sessions {
    ticketer: Arc<dyn ProducesTickets>,
    trusted_ca: Option<Vec<u8>>,
    crl: Option<Vec<u8>>,
    requires_client_certificate: bool,
    allowed: Allowed,
}

impl Sessions {
    fn new(options: &TlsOptions, before: Option<&Self>) -> Result<Self, TlsError> {
        let same = |before: &&Self| {
            before.trusted_ca == options.trusted_ca
                && before.crl == options.crl
                && before.requires_client_certificate == options.requires_client_certificate
                && before.allowed == Allowed::of(options)
        };
        let ticketer = match before.filter(same) {
            Some(before) => before.ticketer.clone(),
            None => Ticketer::new().map_err(|problem| TlsError(format!("tls: {problem}")))?,
        };
        Ok(Self {
            ticketer,
            trusted_ca: options.trusted_ca.clone(),
            crl: options.crl.clone(),
            requires_client_certificate: options.requires_client_certificate,
            allowed: Allowed::of(options),
        })
    }
}

/// The accepting side.
pub(crate) struct ServerTls {
    /// For listeners of clients and of metrics.
    clients: Arc<ServerConfig>,
    /// For those of members, who find out about HTTP/2 by its first bytes.
    members: Arc<ServerConfig>,
    pub(crate) rules: Rules,
    sessions: Sessions,
}

impl ServerTls {
    pub(crate) fn compile(
        options: &TlsOptions,
        spoken: &Spoken,
        pair: &Pair,
        pool: Option<&[Certificate]>,
        before: Option<&Self>,
    ) -> Result<Self, TlsError> {
        let unusable = |problem: rustls::Error| TlsError(format!("tls: {problem}"));
        let sessions = Sessions::new(options, before.map(|before| &before.sessions))?;
        let builder = ServerConfig::builder_with_provider(spoken.provider.clone())
            .with_protocol_versions(&spoken.versions)
            .map_err(unusable)?;
        let builder = if options.requires_client_certificate {
            let system = pool.is_none().then(trust::system);
            let pool = pool.map(<[_]>::to_vec).or(system).unwrap_or_default();
            builder.with_client_cert_verifier(Arc::new(CallerVerifier::new(
                pool,
                options.trusted_ca.is_some(),
                Allowed::of(options),
                spoken.provider.signature_verification_algorithms,
            )))
        } else {
            builder.with_no_client_auth()
        };
        let shown: Arc<dyn ResolvesServerCert> =
            Arc::new(SingleCertAndKey::from((*pair.certified).clone()));
        let mut config = builder.with_cert_resolver(shown);
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = sessions.ticketer.clone();
        // As etcd, whose clients use one again and again.
        config.send_tls13_tickets = 1;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let members = Arc::new(config.clone());
        config.alpn_protocols.insert(0, b"h2".to_vec());
        Ok(Self {
            clients: Arc::new(config),
            members,
            rules: Rules::compile(options)?,
            sessions,
        })
    }

    /// For handshakes that begin now.
    pub(crate) fn config(&self, side: TlsSide) -> &Arc<ServerConfig> {
        match side {
            TlsSide::Client => &self.clients,
            TlsSide::Peer => &self.members,
        }
    }
}
