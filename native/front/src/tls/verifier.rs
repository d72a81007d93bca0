//! Whether a caller's certificate is good, as Go decides it.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, PeerMisbehaved, SignatureScheme,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::TlsError;
use super::certificate::Certificate;
use super::names::Allowed;
use super::path;
use super::refusal::{self, Refused};

/// One that is trusted to sign others.
struct Anchor {
    /// Where in the pool it is.
    at: usize,
    anchor: TrustAnchor<'static>,
}

/// Asks every caller for a certificate that one of the pool has signed.
pub(crate) struct CallerVerifier {
    pool: Vec<Certificate>,
    anchors: Vec<Anchor>,
    /// Whose certificates are asked for.
    hints: Vec<DistinguishedName>,
    allowed: Allowed,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Why a certificate is not good: what its owner is told, and what the log says.
struct Problem(CertificateError, TlsError);

fn not_verified(error: CertificateError, text: &str) -> Problem {
    let text = format!("tls: failed to verify certificate: {text}");
    Problem(error, TlsError(text))
}

const UNKNOWN_AUTHORITY: &str = "x509: certificate signed by unknown authority";
const WRONG_USAGE: &str = "x509: certificate specifies an incompatible key usage";

/// Schemes that sign handshakes of TLS 1.2 only.
const OLD_SCHEMES: [SignatureScheme; 3] = [
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

impl CallerVerifier {
    /// With `names_signers` callers are told whose certificates are asked for.
    pub(crate) fn new(
        pool: Vec<Certificate>,
        names_signers: bool,
        allowed: Allowed,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let anchor = |(at, certificate): (usize, &Certificate)| {
            let der = CertificateDer::from(certificate.der.as_slice());
            // A certificate of which the library can make no anchor may still be a caller's own.
            let anchor = webpki::anchor_from_trusted_cert(&der).ok()?.to_owned();
            Some(Anchor { at, anchor })
        };
        let signers = pool.iter().enumerate().filter(|(_, it)| it.is_signer);
        let anchors = signers.filter_map(anchor).collect();
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
            anchors,
            hints,
            pool,
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
        let now_ms = i64::try_from(now.as_secs()).unwrap_or(i64::MAX / 1000) * 1000;
        leaf.check_dates(now_ms)
            .map_err(|TlsError(text)| not_verified(CertificateError::Expired, &text))?;
        if self.pool.iter().any(|one| one.der == leaf.der) {
            if leaf.has_unknown_critical {
                let error = CertificateError::UnhandledCriticalExtension;
                return Err(not_verified(error, "x509: unhandled critical extension"));
            }
        } else {
            self.verify_path(leaf, others, now, now_ms)?;
        }
        if !leaf.is_for_clients() {
            return Err(not_verified(CertificateError::InvalidPurpose, WRONG_USAGE));
        }
        let allowed = self.allowed.check(leaf);
        allowed.map_err(|text| Problem(CertificateError::NotValidForName, text))
    }

    /// Whether the leaf leads to one of the pool that is good itself at this time.
    fn verify_path(
        &self,
        leaf: &Certificate,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        now_ms: i64,
    ) -> Result<(), Problem> {
        let good = |it: &&Anchor| {
            let certificate = &self.pool[it.at];
            certificate.is_for_clients() && certificate.check_dates(now_ms).is_ok()
        };
        let good: Vec<_> = self.anchors.iter().filter(good).collect();
        let anchors: Vec<_> = good.iter().map(|it| it.anchor.clone()).collect();
        let der = CertificateDer::from(leaf.der.as_slice());
        let problem = match webpki::EndEntityCert::try_from(&der) {
            Err(problem) => problem,
            Ok(certificate) => {
                let verified = certificate.verify_for_usage(
                    self.algorithms.all,
                    &anchors,
                    others,
                    now,
                    webpki::KeyUsage::client_auth(),
                    None,
                    None,
                );
                match verified {
                    Ok(_) => return Ok(()),
                    Err(problem) => problem,
                }
            }
        };
        match problem {
            webpki::Error::CaUsedAsEndEntity | webpki::Error::UnsupportedCertVersion => {
                let signers: Vec<_> = good.iter().map(|it| &self.pool[it.at]).collect();
                let parsed = others.iter().map(|it| Certificate::parse(it.to_vec()).ok());
                let good = |it: &Certificate| it.is_for_clients() && it.check_dates(now_ms).is_ok();
                let others: Vec<_> = parsed.flatten().filter(good).collect();
                if !leaf.has_unknown_critical
                    && path::leads_to(leaf, &signers, &others, &self.algorithms)
                {
                    return Ok(());
                }
                Err(not_verified(
                    CertificateError::UnknownIssuer,
                    UNKNOWN_AUTHORITY,
                ))
            }
            webpki::Error::RequiredEkuNotFoundContext(_) => {
                Err(not_verified(CertificateError::InvalidPurpose, WRONG_USAGE))
            }
            webpki::Error::UnknownIssuer => Err(not_verified(
                CertificateError::UnknownIssuer,
                UNKNOWN_AUTHORITY,
            )),
            other => {
                let text = format!("{UNKNOWN_AUTHORITY} (possibly because of {other:?})");
                Err(not_verified(CertificateError::UnknownIssuer, &text))
            }
        }
    }

    /// The signature of a handshake by a key whose certificate the library does not read.
    fn verify_by_key(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let unreadable = || rustls::Error::from(CertificateError::BadEncoding);
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| unreadable())?;
        let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
        let key = webpki::RawPublicKeyEntity::try_from(&key).map_err(|_| unreadable())?;
        let mut known = self.algorithms.mapping.iter();
        let algorithms = known.find(|(scheme, _)| *scheme == signed.scheme);
        let Some((_, algorithms)) = algorithms else {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        };
        let signature = signed.signature();
        let is_good = |algorithm: &&dyn rustls::pki_types::SignatureVerificationAlgorithm| {
            key.verify_signature(*algorithm, message, signature).is_ok()
        };
        if algorithms.iter().any(is_good) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
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
        match webpki::EndEntityCert::try_from(cert) {
            Ok(_) => verify_tls12_signature(message, cert, dss, &self.algorithms),
            Err(_) => self.verify_by_key(message, cert, dss),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match webpki::EndEntityCert::try_from(cert) {
            Ok(_) => verify_tls13_signature(message, cert, dss, &self.algorithms),
            Err(_) if OLD_SCHEMES.contains(&dss.scheme) => {
                Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
            }
            Err(_) => self.verify_by_key(message, cert, dss),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
