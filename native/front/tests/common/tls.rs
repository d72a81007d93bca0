//! Certificates that are made when a test runs, a server that shows one, and clients of it.

use std::sync::Arc;

use netcd_front::tls::{Tls, TlsOptions, TlsSide, TlsVersion};
use netcd_front::{FrontConfig, FrontEvent, ListenerConfig};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, SignatureAlgorithm,
    SigningKey, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::asn1_rs::{Any, Class, FromDer};

use super::{Server, listener, soon};

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

/// Shows this certificate and asks for none.
pub fn open(shown: &Cert) -> TlsOptions {
    TlsOptions {
        certificate: shown.pem.clone().into_bytes(),
        key: shown.key_pem(),
        client_certificate: None,
        client_key: None,
        trusted_ca: None,
        requires_client_certificate: false,
        crl: None,
        crl_problem: None,
        allowed_common_names: Vec::new(),
        allowed_hostnames: Vec::new(),
        skips_san_verification: false,
        common_name_is_user: false,
        cipher_suites: Vec::new(),
        min_version: TlsVersion::V1_2,
        max_version: TlsVersion::V1_3,
        skips_server_verification: false,
        server_name: None,
    }
}

/// Asks for one that this CA file vouches for.
pub fn mutual(shown: &Cert, trusted: &str) -> TlsOptions {
    TlsOptions {
        trusted_ca: Some(trusted.as_bytes().to_vec()),
        requires_client_certificate: true,
        ..open(shown)
    }
}

pub fn encrypted(role: &str) -> ListenerConfig {
    ListenerConfig {
        plain: false,
        tls: true,
        ..listener(role, role == "client", true)
    }
}

/// A server with TLS on its clients' port.
pub fn serve(options: &TlsOptions) -> Server {
    serve_with(FrontConfig::default(), options, &encrypted("client"))
}

pub fn serve_with(config: FrontConfig, options: &TlsOptions, on: &ListenerConfig) -> Server {
    let mut server = Server::unbound(config);
    set(&server, options);
    server.listen(on);
    server
}

/// Gives both sides these options.
pub fn set(server: &Server, options: &TlsOptions) {
    for side in [TlsSide::Client, TlsSide::Peer] {
        let before = server.front.tls(side);
        let tls = Tls::compile(options, before.as_deref()).unwrap();
        server.front.set_tls(side, Arc::new(tls));
    }
}

/// A client that believes this CA and shows this chain.
pub fn dialling(trusted: &CertificateDer<'static>, shown: &[&Cert]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shown {
        [] => config.with_no_client_auth(),
        [leaf, ..] => {
            let chain = shown.iter().map(|one| one.der.clone()).collect();
            let key = PrivatePkcs8KeyDer::from(leaf.key.serialize_der());
            // A chain that the library itself would not show is shown all the same.
            let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key.into()).unwrap();
            let certified = rustls::sign::CertifiedKey::new(chain, key);
            let shown = rustls::sign::SingleCertAndKey::from(certified);
            config.with_client_cert_resolver(Arc::new(shown))
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

pub async fn dial(
    address: &str,
    config: impl Into<Arc<ClientConfig>>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connected = TlsConnector::from(config.into()).connect(name, stream);
    soon("a handshake", connected).await
}

/// The fields of the next line of the log about a connection that was not taken, by their names.
pub async fn refusal(server: &Server) -> (String, Vec<(String, String)>) {
    loop {
        if let FrontEvent::Log {
            message, fields, ..
        } = server.events.next().await
        {
            let fields = fields.into_iter();
            let text = |value| match value {
                netcd_front::FieldValue::Text(text) => text,
                netcd_front::FieldValue::List(list) => format!("{list:?}"),
            };
            let fields = fields.map(|(name, value)| (name, text(value)));
            return (message, fields.collect());
        }
    }
}

/// Only what the line says is wrong.
pub async fn refused_for(server: &Server) -> String {
    let (message, fields) = refusal(server).await;
    assert!(message.starts_with("rejected connection on "), "{message}");
    let mut fields = fields.into_iter();
    fields.find(|(name, _)| name == "error").unwrap().1
}

/// Believes whoever answers.
#[derive(Debug)]
struct Anybody;

pub fn anybody() -> Arc<dyn rustls::client::danger::ServerCertVerifier> {
    Arc::new(Anybody)
}

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
