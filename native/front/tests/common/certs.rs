//! Certificates that are made when a test runs.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, SignatureAlgorithm,
    SigningKey, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, Class, FromDer};

/// A certificate with its key.
pub struct Cert {
    pub der: CertificateDer<'static>,
    pub pem: String,
    pub key: KeyPair,
}

impl Cert {
    pub fn key_pem(&self) -> Vec<u8> {
        self.key.serialize_pem().into_bytes()
    }
}

/// One that signs others.
pub struct Ca {
    pub issuer: Issuer<'static, KeyPair>,
    pub der: CertificateDer<'static>,
    pub pem: String,
}

fn named(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

/// Signed by its own key.
pub fn alone(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Cert {
    let mut parameters = named(name);
    change(&mut parameters);
    let key = KeyPair::generate().unwrap();
    let signed = parameters.self_signed(&key).unwrap();
    Cert {
        der: signed.der().clone(),
        pem: signed.pem(),
        key,
    }
}

impl Ca {
    pub fn new(name: &str) -> Self {
        Self::with(name, |_| {})
    }

    pub fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut parameters = named(name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let signed = parameters.self_signed(&key).unwrap();
        let (der, pem) = (signed.der().clone(), signed.pem());
        Self {
            issuer: Issuer::new(parameters, key),
            der,
            pem,
        }
    }

    pub fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Cert {
        self.sign_with(&rcgen::PKCS_ECDSA_P256_SHA256, name, change)
    }

    pub fn sign_with(
        &self,
        kind: &'static SignatureAlgorithm,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Cert {
        let mut parameters = named(name);
        change(&mut parameters);
        let key = KeyPair::generate_for(kind).unwrap();
        let signed = parameters.signed_by(&key, &self.issuer).unwrap();
        Cert {
            der: signed.der().clone(),
            pem: signed.pem(),
            key,
        }
    }

    /// A certificate of X.509's first version, which has no extensions: what others have before those, signed anew.
    pub fn sign_first_version(&self, name: &str) -> Cert {
        let cert = self.sign(name, |_| {});
        let (_, outer) = Any::from_der(&cert.der).unwrap();
        let (rest, signed) = Any::from_der(outer.data).unwrap();
        let (_, algorithm) = Any::from_der(rest).unwrap();
        let mut parts = Vec::new();
        let mut rest = signed.data;
        while !rest.is_empty() {
            let (after, part) = Any::from_der(rest).unwrap();
            // The version and the extensions are marked by their own numbers.
            if part.class() == Class::Universal {
                parts.extend(&rest[..rest.len() - after.len()]);
            }
            rest = after;
        }
        let signed = sequence(&parts);
        let signature = [&[0][..], &self.issuer.key().sign(&signed).unwrap()].concat();
        let signature = element(0x03, &signature);
        let whole = sequence(&[signed, sequence(algorithm.data), signature].concat());
        Cert {
            der: whole.into(),
            ..cert
        }
    }

    /// One for this machine.
    pub fn server(&self) -> Cert {
        self.sign("server", |parameters| {
            let name = "localhost".try_into().unwrap();
            let address = "127.0.0.1".parse().unwrap();
            parameters.subject_alt_names = vec![
                rcgen::SanType::DnsName(name),
                rcgen::SanType::IpAddress(address),
            ];
        })
    }

    /// A list, in PEM, that revokes these serial numbers.
    pub fn revoke(&self, serials: &[u64]) -> Vec<u8> {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let parameters = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2024, 2, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = parameters.signed_by(&self.issuer).unwrap();
        list.pem().unwrap().into_bytes()
    }
}

/// An element of DER.
fn element(tag: u8, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16).to_be_bytes();
    let head = match data.len() {
        short @ 0..=0x7f => vec![tag, short as u8],
        0x80..=0xff => vec![tag, 0x81, length[1]],
        _ => vec![tag, 0x82, length[0], length[1]],
    };
    [head, data.to_vec()].concat()
}

fn sequence(data: &[u8]) -> Vec<u8> {
    element(0x30, data)
}

/// What may sign certificates and lists.
pub fn signs_all(parameters: &mut CertificateParams) {
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
}
