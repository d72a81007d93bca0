//! A server that shows a certificate, and clients of it.

use std::sync::Arc;

use netcd_front::tls::{Tls, TlsOptions, TlsSide, TlsVersion};
use netcd_front::{FrontConfig, FrontEvent, ListenerConfig};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certs::Cert;
use super::{Client, RANGE, Server, get, listener, soon};

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

/// A call over TLS; None: there was no way to make it.
pub async fn call(server: &Server, config: ClientConfig) -> Option<u8> {
    let stream = dial(&server.address, config).await.ok()?;
    let (requests, connection) = h2::client::handshake(stream).await.ok()?;
    tokio::spawn(async move {
        // How it ends is seen by the call.
        let _ended = connection.await;
    });
    let client = Client { requests };
    let answer = client.exchange(super::request(RANGE, &[]), vec![super::frame(&get("k"))]);
    answer.await.ok().map(|answer| answer.code)
}

/// Who is refused, with what.
pub async fn refused(options: &TlsOptions, config: ClientConfig) -> String {
    let server = serve(options);
    assert_eq!(call(&server, config).await, None);
    let text = refused_for(&server).await;
    server.nothing_left().await;
    text
}

/// A client of these versions alone.
pub fn only(
    config: ClientConfig,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let mut of = ClientConfig::builder_with_provider(config.crypto_provider().clone())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    of.client_auth_cert_resolver = config.client_auth_cert_resolver.clone();
    of.dangerous().set_certificate_verifier(anybody());
    of.alpn_protocols = config.alpn_protocols;
    of
}
