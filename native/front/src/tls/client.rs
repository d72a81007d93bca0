//! What this member dials with: whom it believes, and what it shows.

use std::io;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WantsClientCert};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::TlsError;
use super::certificate::Certificate;
use super::names::{Allowed, verify_hostname};
use super::options::TlsOptions;
use super::provider::{self, Spoken};
use super::signatures;
use super::texts::{Told, of_io};
use super::trust::{self, Problem, Purpose, Trust, not_verified};

/// A connection that this member has dialled.
pub(crate) type Dialled<S> = Told<TlsStream<S>>;

/// The dialling side.
pub(crate) struct ClientTls {
    config: ClientConfig,
    rules: Arc<Rules>,
    /// In place of the host that is dialled.
    server_name: Option<String>,
}

/// What is asked of a server's certificate.
struct Rules {
    /// None: everyone is believed.
    trust: Option<Trust>,
    allowed: Allowed,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Rules {
    /// The host's name is looked at before the path, as in Go: who dials a wrong address is told so.
    fn verify(
        &self,
        leaf: &Certificate,
        others: &[CertificateDer<'_>],
        host: &str,
        now: UnixTime,
    ) -> Result<(), Problem> {
        if let Some(trust) = &self.trust {
            verify_hostname(leaf, host)
                .map_err(|TlsError(text)| not_verified(CertificateError::NotValidForName, &text))?;
            trust.verify(leaf, others, now, Purpose::Server)?;
        }
        let allowed = self.allowed.check(leaf);
        allowed.map_err(|text| Problem(CertificateError::NotValidForName, text))
    }
}

impl ClientTls {
    /// `pool`: whose signatures are believed; None: those that the system believes. `shown`: this member's certificate.
    ///
    /// # Errors
    /// The versions and suites do not go together.
    pub(crate) fn compile(
        options: &TlsOptions,
        spoken: &Spoken,
        pool: Option<Vec<Certificate>>,
        shown: Arc<CertifiedKey>,
    ) -> Result<Self, TlsError> {
        let algorithms = spoken.provider.signature_verification_algorithms;
        let trust = || Trust::new(pool.unwrap_or_else(trust::system), algorithms);
        let rules = Rules {
            trust: (!options.skips_server_verification).then(trust),
            allowed: Allowed::of(options),
            algorithms,
        };
        let (builder, rules) = begin(spoken, rules)?;
        let shown = Arc::new(SingleCertAndKey::from(shown));
        let config = builder.with_client_cert_resolver(shown);
        let server_name = options.server_name.clone();
        Ok(Self::new(config, rules, server_name))
    }

    /// For a member that was told nothing of TLS: it believes whom the system believes, and shows nothing.
    pub(crate) fn without_files() -> Result<Arc<Self>, TlsError> {
        static CLIENT: OnceLock<Result<Arc<ClientTls>, TlsError>> = OnceLock::new();
        let made = CLIENT.get_or_init(|| {
            let spoken = provider::all()?;
            let algorithms = spoken.provider.signature_verification_algorithms;
            let rules = Rules {
                trust: Some(Trust::new(trust::system(), algorithms)),
                allowed: Allowed::default(),
                algorithms,
            };
            let (builder, rules) = begin(&spoken, rules)?;
            Ok(Arc::new(Self::new(
                builder.with_no_client_auth(),
                rules,
                None,
            )))
        });
        made.clone()
    }

    fn new(mut config: ClientConfig, rules: Arc<Rules>, server_name: Option<String>) -> Self {
        // Links live long, and each new one is verified by what holds then.
        config.resumption = Resumption::disabled();
        Self {
            config,
            rules,
            server_name,
        }
    }

    /// Shakes hands with the server of this host. The error is Go's text.
    ///
    /// # Errors
    /// It is not the one that is wanted, or does not want this member.
    pub(crate) async fn connect<S>(&self, host: &str, io: S) -> Result<Dialled<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let host = self.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| TlsError(format!("tls: {host:?} is no name of a host")))?;
        let verifier = Arc::new(Verifier {
            rules: Arc::clone(&self.rules),
            host: host.to_owned(),
            problem: Mutex::default(),
        });
        let mut config = self.config.clone();
        config
            .dangerous()
            .set_certificate_verifier(verifier.clone());
        let connected = TlsConnector::from(Arc::new(config)).connect(name, io).await;
        connected.map(Told::new).map_err(|error: io::Error| {
            let problem = verifier.problem.lock().take();
            problem.unwrap_or_else(|| TlsError(of_io(&error)))
        })
    }
}

/// The part of a configuration that does not depend on what is shown. Its verifier is replaced at each dial.
fn begin(
    spoken: &Spoken,
    rules: Rules,
) -> Result<(ConfigBuilder<ClientConfig, WantsClientCert>, Arc<Rules>), TlsError> {
    let rules = Arc::new(rules);
    let verifier = Verifier {
        rules: Arc::clone(&rules),
        host: String::new(),
        problem: Mutex::default(),
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&spoken.provider))
        .with_protocol_versions(&spoken.versions)
        .map_err(|error| TlsError(format!("tls: {error}")))?;
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    Ok((builder, rules))
}

/// Looks at the certificate of one connection's server.
struct Verifier {
    rules: Arc<Rules>,
    /// For which the certificate must be.
    host: String,
    /// Why it was refused: the library's error has no room for the words.
    problem: Mutex<Option<TlsError>>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = match Certificate::parse(end_entity.to_vec()) {
            Ok(leaf) => self.rules.verify(&leaf, intermediates, &self.host, now),
            Err(TlsError(text)) => {
                let text = format!("tls: failed to parse certificate from server: {text}");
                Err(Problem(CertificateError::BadEncoding, TlsError(text)))
            }
        };
        verified.map_err(|Problem(error, text)| {
            *self.problem.lock() = Some(text);
            error
        })?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signatures::verify_12(&self.rules.algorithms, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signatures::verify_13(&self.rules.algorithms, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.rules.algorithms.supported_schemes()
    }
}
