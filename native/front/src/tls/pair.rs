//! A certificate with its key: what a member shows.

use std::sync::Arc;

use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::TlsError;
use super::certificate::Certificate;
use super::pem;

/// A chain and the key of its leaf.
pub(crate) struct Pair {
    pub(crate) leaf: Certificate,
    pub(crate) certified: Arc<CertifiedKey>,
}

impl Pair {
    /// Reads both from PEM.
    ///
    /// # Errors
    /// One of them is not there or broken, or they do not belong together.
    pub(crate) fn read(certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = pem::chain(certificate)?;
        let key = pem::key(key)?;
        let Some(first) = chain.first() else {
            return Err(TlsError::new("x509: malformed certificate"));
        };
        let leaf = Certificate::parse(first.clone())?;
        let key = signing_key(&key)?;
        // A kind of key that does not say what its public half is would be found out by the first handshake.
        if let Some(public) = key.public_key()
            && let Ok((_, public)) = SubjectPublicKeyInfo::from_der(&public)
            && *public.subject_public_key.data != *leaf.public_key
        {
            let (_, own) = X509Certificate::from_der(first)
                .map_err(|_| TlsError::new("x509: malformed certificate"))?;
            let kind = &own.tbs_certificate.subject_pki.algorithm.algorithm;
            return Err(TlsError::new(if *kind == public.algorithm.algorithm {
                "tls: private key does not match public key"
            } else {
                "tls: private key type does not match public key type"
            }));
        }
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        Ok(Self {
            leaf,
            certified: Arc::new(CertifiedKey::new(chain, key)),
        })
    }
}

/// A key in any of the forms that there are; the label of its block says nothing.
fn signing_key(der: &[u8]) -> Result<Arc<dyn SigningKey>, TlsError> {
    let forms = [
        PrivateKeyDer::from(PrivatePkcs8KeyDer::from(der)),
        PrivateKeyDer::from(PrivatePkcs1KeyDer::from(der)),
        PrivateKeyDer::from(PrivateSec1KeyDer::from(der)),
    ];
    forms
        .iter()
        .find_map(|form| rustls::crypto::aws_lc_rs::sign::any_supported_type(form).ok())
        .ok_or_else(|| TlsError::new("tls: failed to parse private key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn self_signed(key: &rcgen::KeyPair) -> String {
        let parameters = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        parameters.self_signed(key).unwrap().pem()
    }

    #[test]
    fn keys_of_every_kind_are_read() {
        for kind in [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ECDSA_P521_SHA512,
            &rcgen::PKCS_ED25519,
            &rcgen::PKCS_RSA_SHA256,
        ] {
            let key = rcgen::KeyPair::generate_for(kind).unwrap();
            let pair = Pair::read(self_signed(&key).as_bytes(), key.serialize_pem().as_bytes())
                .unwrap_or_else(|problem| panic!("{kind:?}: {problem}"));
            assert_eq!(pair.leaf.dns_names, ["a.test"]);
        }
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let of = |kind| rcgen::KeyPair::generate_for(kind).unwrap();
        let (one, same, other) = (
            of(&rcgen::PKCS_ECDSA_P256_SHA256),
            of(&rcgen::PKCS_ECDSA_P256_SHA256),
            of(&rcgen::PKCS_ED25519),
        );
        let certificate = self_signed(&one);
        for (key, text) in [
            (same, "tls: private key does not match public key"),
            (
                other,
                "tls: private key type does not match public key type",
            ),
        ] {
            let refused = Pair::read(certificate.as_bytes(), key.serialize_pem().as_bytes());
            assert_eq!(refused.err(), Some(TlsError::new(text)));
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = self_signed(&key);
        let text = "tls: failed to parse private key";
        for label in ["ENCRYPTED PRIVATE KEY", "PRIVATE KEY", "DSA PRIVATE KEY"] {
            let block = format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
            let refused = Pair::read(certificate.as_bytes(), block.as_bytes());
            assert_eq!(refused.err(), Some(TlsError::new(text)), "{label}");
        }
    }
}
