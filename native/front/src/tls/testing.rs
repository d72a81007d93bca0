//! Certificates for tests, made when they run.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::options::{TlsOptions, TlsVersion};
use super::pair::Pair;

/// Who signs.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, both PEM.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

fn named(parameters: &mut CertificateParams, common_name: &str) {
    parameters.distinguished_name = DistinguishedName::new();
    parameters
        .distinguished_name
        .push(DnType::CommonName, common_name);
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        named(&mut parameters, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(parameters, key).expect("signed"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these hosts, changed before it is signed.
    pub(crate) fn leaf(
        &self,
        common_name: &str,
        hosts: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Made {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.into()).collect();
        let mut parameters = CertificateParams::new(hosts).expect("names");
        named(&mut parameters, common_name);
        change(&mut parameters);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.0).expect("signed");
        Made {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A server of another kind than netcd's that shows `shown` and asks for a certificate of this authority.
    pub(crate) fn server(&self, shown: &Made) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from(self.0.der().to_vec()))
            .expect("an anchor");
        let callers =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let pair = Pair::read(shown.certificate.as_bytes(), shown.key.as_bytes()).expect("a pair");
        let shown = rustls::sign::SingleCertAndKey::from(pair.certified);
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(callers.build().expect("a verifier"))
            .with_cert_resolver(Arc::new(shown));
        Arc::new(config)
    }

    /// TLS of a member that believes this authority and shows `shown`.
    pub(crate) fn options(&self, shown: &Made) -> TlsOptions {
        TlsOptions {
            certificate: shown.certificate.clone().into(),
            key: shown.key.clone().into(),
            client_certificate: None,
            client_key: None,
            trusted_ca: Some(self.pem().into()),
            requires_client_certificate: true,
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
}
