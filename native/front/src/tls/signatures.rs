//! Whether the other side of a handshake has the key of its certificate.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use rustls::{CertificateError, DigitallySignedStruct, PeerMisbehaved, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// Schemes that sign handshakes of TLS 1.2 only.
const OLD_SCHEMES: [SignatureScheme; 3] = [
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

/// The signature of a handshake of TLS 1.2 by the owner of a certificate.
pub(crate) fn verify_12(
    algorithms: &WebPkiSupportedAlgorithms,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    match webpki::EndEntityCert::try_from(certificate) {
        Ok(_) => verify_tls12_signature(message, certificate, signed, algorithms),
        Err(_) => verify_by_key(algorithms, message, certificate, signed),
    }
}

/// The same in TLS 1.3.
pub(crate) fn verify_13(
    algorithms: &WebPkiSupportedAlgorithms,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    match webpki::EndEntityCert::try_from(certificate) {
        Ok(_) => verify_tls13_signature(message, certificate, signed, algorithms),
        Err(_) if OLD_SCHEMES.contains(&signed.scheme) => {
            Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
        }
        Err(_) => verify_by_key(algorithms, message, certificate, signed),
    }
}

/// The signature of a handshake by a key whose certificate the library does not read.
fn verify_by_key(
    algorithms: &WebPkiSupportedAlgorithms,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let unreadable = || rustls::Error::from(CertificateError::BadEncoding);
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| unreadable())?;
    let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
    let key = webpki::RawPublicKeyEntity::try_from(&key).map_err(|_| unreadable())?;
    let mut known = algorithms.mapping.iter();
    let algorithms = known.find(|(scheme, _)| *scheme == signed.scheme);
    let Some((_, algorithms)) = algorithms else {
        return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    };
    let is_good = |algorithm: &&dyn SignatureVerificationAlgorithm| {
        let verified = key.verify_signature(*algorithm, message, signed.signature());
        verified.is_ok()
    };
    if algorithms.iter().any(is_good) {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(CertificateError::BadSignature.into())
    }
}
