//! A certificate that is signed by its own key, as etcd makes it for `--auto-tls`.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
use aws_lc_rs::signature::{ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P521_SHA512, SanType,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::TlsError;

const SERIAL_BYTES: usize = 16;
const PEM_LINE_BYTES: usize = 64;
const DAY_SECONDS: u64 = 24 * 60 * 60;
/// The last second that a certificate can name: the end of the year 9999.
const END_SECONDS_MAX: u64 = 253_402_300_799;

/// A certificate and its key, both PEM.
#[derive(Clone, Debug)]
pub struct SelfSigned {
    /// The certificate.
    pub certificate: String,
    /// The key, in the form of SEC 1.
    pub key: String,
}

/// Makes one for these host names and addresses, from now on for so many days.
///
/// # Errors
/// A host is no name, or the time is too long.
pub fn self_signed(hosts: &[String], days: u32) -> Result<SelfSigned, TlsError> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    let organization = (DnType::OrganizationName, "etcd");
    parameters
        .distinguished_name
        .push(organization.0, organization.1);
    let names: Result<_, TlsError> = hosts.iter().map(|host| alternative_name(host)).collect();
    parameters.subject_alt_names = names?;
    (parameters.not_before, parameters.not_after) = {
        let (begin, end) = times(days)?;
        (begin.into(), end.into())
    };
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::CrlSign,
    ];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut serial = [0; SERIAL_BYTES];
    aws_lc_rs::rand::fill(&mut serial).map_err(failed)?;
    parameters.serial_number = Some(serial.to_vec().into());
    let key = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_ASN1_SIGNING).map_err(failed)?;
    let certificate = parameters.self_signed(&signer(&key)?).map_err(failed)?;
    let der: EcPrivateKeyRfc5915Der<'_> = key.private_key().as_der().map_err(failed)?;
    Ok(SelfSigned {
        certificate: pem("CERTIFICATE", certificate.der()),
        key: pem("EC PRIVATE KEY", der.as_ref()),
    })
}

/// From when to when.
fn times(days: u32) -> Result<(SystemTime, SystemTime), TlsError> {
    let now = SystemTime::now();
    let since_1970 = now.duration_since(UNIX_EPOCH).map_err(failed)?;
    let lasts = u64::from(days) * DAY_SECONDS;
    if since_1970.as_secs() + lasts > END_SECONDS_MAX {
        return Err(TlsError(format!(
            "a certificate cannot be valid for {days} days"
        )));
    }
    Ok((now, now + Duration::from_secs(lasts)))
}

fn alternative_name(host: &str) -> Result<SanType, TlsError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let name = host.try_into().map_err(failed)?;
    Ok(SanType::DnsName(name))
}

/// The key in the hands of the library that writes certificates.
fn signer(key: &EcdsaKeyPair) -> Result<KeyPair, TlsError> {
    let pkcs8 = key.to_pkcs8v1().map_err(failed)?;
    let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pkcs8.as_ref()));
    KeyPair::from_der_and_sign_algo(&der, &PKCS_ECDSA_P521_SHA512).map_err(failed)
}

fn failed(problem: impl std::fmt::Display) -> TlsError {
    TlsError(format!("cannot make a certificate: {problem}"))
}

fn pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, others) = rest.split_at(rest.len().min(PEM_LINE_BYTES));
        text.push_str(line);
        text.push('\n');
        rest = others;
    }
    text + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::super::certificate::Certificate;
    use super::super::pair::Pair;
    use super::*;

    #[test]
    fn it_is_what_etcd_makes() {
        let hosts = ["localhost".to_owned(), "127.0.0.1".into(), "::1".into()];
        let made = self_signed(&hosts, 365).expect("made");
        assert!(made.key.starts_with("-----BEGIN EC PRIVATE KEY-----\n"));
        let pair = Pair::read(made.certificate.as_bytes(), made.key.as_bytes()).expect("a pair");
        let leaf: &Certificate = &pair.leaf;
        assert_eq!(
            (leaf.subject.as_str(), leaf.issuer.as_str()),
            ("O=etcd", "O=etcd")
        );
        assert_eq!(leaf.dns_names, ["localhost"]);
        let addresses: Vec<IpAddr> = ["127.0.0.1", "::1"]
            .map(|text| text.parse().expect("one"))
            .into();
        assert_eq!(leaf.ip_addresses, addresses);
        assert!(leaf.is_for_servers() && !leaf.is_for_clients());
        assert_eq!(leaf.end_ms - leaf.begin_ms, 365 * 24 * 60 * 60 * 1000);
        let (_, parsed) = X509Certificate::from_der(&leaf.der).expect("parsed");
        assert!(parsed.is_ca());
        let usage = parsed.key_usage().expect("once").expect("there").value;
        assert!(usage.digital_signature() && usage.key_encipherment() && usage.crl_sign());
        assert!(!usage.key_cert_sign());
        // ecdsa-with-SHA512, and a key on P-521.
        let algorithm = parsed.signature_algorithm.algorithm.to_id_string();
        assert_eq!(algorithm, "1.2.840.10045.4.3.4");
        assert_eq!(leaf.public_key.len(), 1 + 2 * 66);
    }

    #[test]
    fn no_two_are_the_same() {
        let one = || self_signed(&["a".into()], 1).expect("made");
        let (first, second) = (one(), one());
        assert_ne!(first.key, second.key);
        assert_ne!(first.certificate, second.certificate);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(self_signed(&["häuser".into()], 1).is_err());
        let refused = self_signed(&[], u32::MAX).expect_err("refused");
        assert_eq!(
            refused.0,
            "a certificate cannot be valid for 4294967295 days"
        );
    }
}
