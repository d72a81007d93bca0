//! Whether a caller's certificate is good, as Go decides it.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::TlsError;
use super::certificate::Certificate;
use super::names::Allowed;
use super::refusal::{self, Refused};
use super::signatures;
use super::trust::{Problem, Purpose, Trust};

/// Asks every caller for a certificate that one of the pool has signed.
pub(crate) struct CallerVerifier {
    trust: Trust,
    /// Whose certificates are asked for.
    hints: Vec<DistinguishedName>,
    allowed: Allowed,
    algorithms: WebPkiSupportedAlgorithms,
}

impl CallerVerifier {
    /// With `names_signers` callers are told whose certificates are asked for.
    pub(crate) fn new(
        pool: Vec<Certificate>,
        names_signers: bool,
        allowed: Allowed,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let name = |it: &Certificate| {
            let (_, parsed) = X509Certificate::from_der(&it.der).ok()?;
            Some(DistinguishedName::from(parsed.subject().as_raw().to_vec()))
        };
        let hints = if names_signers {
            pool.iter().filter_map(name).collect()
        } else {
            Vec::new()
        };
        Self {
            trust: Trust::new(pool, algorithms),
            hints,
            allowed,
            algorithms,
        }
    }

    fn verify(
        &self,
        leaf: &Certificate,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Problem> {
        self.trust.verify(leaf, others, now, Purpose::Client)?;
        let allowed = self.allowed.check(leaf);
        allowed.map_err(|text| Problem(CertificateError::NotValidForName, text))
    }
}

impl std::fmt::Debug for CallerVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallerVerifier").finish_non_exhaustive()
    }
}

impl ClientCertVerifier for CallerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let leaf = match Certificate::parse(end_entity.to_vec()) {
            Ok(leaf) => leaf,
            Err(TlsError(text)) => {
                let text = format!("tls: failed to parse client certificate: {text}");
                refusal::note(Refused::unread(TlsError(text)));
                return Err(CertificateError::BadEncoding.into());
            }
        };
        match self.verify(&leaf, intermediates, now) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(Problem(error, text)) => {
                refusal::note(Refused::read(text, leaf));
                Err(error.into())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signatures::verify_12(&self.algorithms, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signatures::verify_13(&self.algorithms, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
