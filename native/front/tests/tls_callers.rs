//! Who is let in over TLS, and what is said of who is not.

mod common;

use common::certs::{Ca, Cert, alone, signs_all};
use common::tls::{
    call, dial, dialling, encrypted, mutual, only, refusal, refused, serve, serve_with, set,
};
use netcd_front::tls::TlsOptions;
use netcd_front::{FrontConfig, FrontEvent};
use rcgen::{ExtendedKeyUsagePurpose, IsCa, SerialNumber, date_time_ymd};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn a_certificate_is_asked_for_and_looked_at() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let shown = ca.server();
    let options = mutual(&shown, &ca.pem);
    let good = ca.sign("good", |_| {});
    assert_eq!(
        call(&serve(&options), dialling(&ca.der, &[&good])).await,
        Some(0)
    );
    let with = |cert: &Cert| dialling(&ca.der, &[cert]);
    let texts = [
        (
            dialling(&ca.der, &[]),
            "tls: client didn't provide a certificate",
        ),
        (
            with(&other.sign("x", |_| {})),
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        ),
        (
            with(&ca.sign("x", |it| {
                it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            })),
            "tls: failed to verify certificate: x509: certificate specifies an incompatible key usage",
        ),
        (
            with(&ca.sign("x", |it| it.not_after = date_time_ymd(2020, 1, 1))),
            "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time ",
        ),
        (
            with(&ca.sign("x", |it| it.not_before = date_time_ymd(2100, 1, 1))),
            "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time ",
        ),
    ];
    for (config, text) in texts {
        let refused = refused(&options, config).await;
        assert!(refused.starts_with(text), "{refused}");
    }
}

#[tokio::test]
async fn a_file_without_certificates_lets_nobody_in() {
    let ca = Ca::new("ca");
    let options = mutual(&ca.server(), "no certificate\n");
    let client = ca.sign("x", |_| {});
    let text = refused(&options, dialling(&ca.der, &[&client])).await;
    let unknown =
        "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    assert_eq!(text, unknown);
}

#[tokio::test]
async fn signers_are_asked_for_their_dates_and_uses() {
    let shown_by = Ca::new("shown");
    let shown = shown_by.server();
    let old = Ca::with("old", |it| it.not_after = date_time_ymd(2020, 1, 1));
    let of_servers = Ca::with("servers", |it| {
        it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let no_signer = Ca::with("leaf", |it| it.is_ca = IsCa::ExplicitNoCa);
    for ca in [old, of_servers, no_signer] {
        let client = ca.sign("x", |_| {});
        let text = refused(
            &mutual(&shown, &ca.pem),
            dialling(&shown_by.der, &[&client]),
        )
        .await;
        let unknown =
            "tls: failed to verify certificate: x509: certificate signed by unknown authority";
        assert_eq!(text, unknown);
    }
}

#[tokio::test]
async fn leaves_that_the_library_refuses_are_taken_as_etcd_takes_them() {
    let ca = Ca::with("ca", signs_all);
    let middle_key = rcgen::KeyPair::generate().unwrap();
    let mut middle = rcgen::CertificateParams::default();
    middle
        .distinguished_name
        .push(rcgen::DnType::CommonName, "middle");
    middle.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let middle_cert = middle.signed_by(&middle_key, &ca.issuer).unwrap();
    let middle = Ca {
        der: middle_cert.der().clone(),
        pem: middle_cert.pem(),
        issuer: rcgen::Issuer::new(middle, middle_key),
    };
    let shown = ca.server();
    let is_ca = |it: &mut rcgen::CertificateParams| {
        it.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    };
    // In the CA file itself, whether it could sign or not.
    for itself in [alone("x", |_| {}), alone("x", is_ca)] {
        let server = serve(&mutual(&shown, &(ca.pem.clone() + &itself.pem)));
        let answer = call(&server, dialling(&ca.der, &[&itself])).await;
        assert_eq!(answer, Some(0));
    }
    // A leaf that could sign, by the CA and by one between.
    let server = serve(&mutual(&shown, &ca.pem));
    let leaf = ca.sign("x", is_ca);
    assert_eq!(call(&server, dialling(&ca.der, &[&leaf])).await, Some(0));
    let leaf = middle.sign("x", is_ca);
    let between = Cert {
        der: middle.der.clone(),
        pem: middle.pem.clone(),
        key: rcgen::KeyPair::generate().unwrap(),
    };
    let config = dialling(&ca.der, &[&leaf, &between]);
    assert_eq!(call(&server, config).await, Some(0));
    assert_eq!(call(&server, dialling(&ca.der, &[&leaf])).await, None);
    let stranger = Ca::new("ca").sign("x", is_ca);
    assert_eq!(call(&server, dialling(&ca.der, &[&stranger])).await, None);
}

#[tokio::test]
async fn certificates_of_the_first_version_are_taken() {
    let (ca, other) = (Ca::with("ca", signs_all), Ca::with("ca", signs_all));
    let server = serve(&mutual(&ca.server(), &ca.pem));
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let with = |cert: &Cert| only(dialling(&ca.der, &[cert]), &[version]);
        let good = ca.sign_first_version("x");
        assert_eq!(call(&server, with(&good)).await, Some(0), "{version:?}");
        assert_eq!(
            call(&server, with(&other.sign_first_version("x"))).await,
            None
        );
        // Another key than the certificate's signs the handshake.
        let stolen = Cert {
            key: rcgen::KeyPair::generate().unwrap(),
            ..good
        };
        assert_eq!(call(&server, with(&stolen)).await, None, "{version:?}");
    }
}

#[tokio::test]
async fn only_names_that_are_allowed_are_let_in() {
    let ca = Ca::new("ca");
    let shown = ca.server();
    let named = ca.sign("alice", |it| {
        it.subject_alt_names = vec![rcgen::SanType::DnsName("*.a.test".try_into().unwrap())];
    });
    let with = |common_names: &[&str], hostnames: &[&str]| TlsOptions {
        allowed_common_names: common_names.iter().map(|it| (*it).to_owned()).collect(),
        allowed_hostnames: hostnames.iter().map(|it| (*it).to_owned()).collect(),
        ..mutual(&shown, &ca.pem)
    };
    for options in [
        with(&["bob", "alice"], &[]),
        with(&[], &["b.test", "x.a.test"]),
    ] {
        let answer = call(&serve(&options), dialling(&ca.der, &[&named])).await;
        assert_eq!(answer, Some(0));
    }
    for options in [with(&["bob"], &[]), with(&[], &["alice"])] {
        let text = refused(&options, dialling(&ca.der, &[&named])).await;
        assert_eq!(text, "client certificate authentication failed");
    }
}

#[tokio::test]
async fn revoked_certificates_are_refused_whoever_revokes_them() {
    let (ca, other) = (Ca::with("ca", signs_all), Ca::with("other", signs_all));
    let shown = ca.server();
    let numbered = |serial: u64| {
        ca.sign("x", |it| {
            it.serial_number = Some(SerialNumber::from(serial));
            it.subject_alt_names = vec![rcgen::SanType::DnsName("a.test".try_into().unwrap())];
        })
    };
    let with = |crl: Vec<u8>| TlsOptions {
        crl: Some(crl),
        ..mutual(&shown, &ca.pem)
    };
    // Two lists in one file, one of a stranger.
    let lists = with([ca.revoke(&[0xabc]), other.revoke(&[0xdef])].concat());
    let good = call(&serve(&lists), dialling(&ca.der, &[&numbered(1)])).await;
    assert_eq!(good, Some(0));
    for serial in [0xabc, 0xdef] {
        let server = serve(&lists);
        let revoked = numbered(serial);
        assert_eq!(call(&server, dialling(&ca.der, &[&revoked])).await, None);
        let (message, fields) = refusal(&server).await;
        assert_eq!(message, "rejected connection on client endpoint");
        let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "remote-addr",
                "server-name",
                "ip-addresses",
                "dns-names",
                "error",
                "serial",
                "subject",
                "issuer",
            ]
        );
        let text = format!("transport: certificate serial {serial:04x} revoked");
        assert_eq!(fields[4].1, text);
        assert_eq!(fields[3].1, "[\"a.test\"]");
        assert_eq!((&*fields[6].1, &*fields[7].1), ("CN=x", "CN=ca"));
    }
    let unknown = TlsOptions {
        crl_problem: Some("open F: no such file or directory".to_owned()),
        ..mutual(&shown, &ca.pem)
    };
    let text = refused(&unknown, dialling(&ca.der, &[&numbered(1)])).await;
    assert_eq!(text, "open F: no such file or directory");
}

#[tokio::test]
async fn members_and_probes_call_from_where_their_certificate_is_for() {
    let ca = Ca::new("ca");
    let shown = ca.server();
    let from = |address: &str| {
        let address = address.parse().unwrap();
        ca.sign("x", |it| {
            it.subject_alt_names = vec![rcgen::SanType::IpAddress(address)];
        })
    };
    for role in ["peer", "metrics", "client"] {
        let options = mutual(&shown, &ca.pem);
        let config = |cert: &Cert| {
            let mut config = dialling(&ca.der, &[cert]);
            config.alpn_protocols = Vec::new();
            config
        };
        let server = serve_with(FrontConfig::default(), &options, &encrypted(role));
        let is_let_in = async |cert: &Cert| {
            let Ok(mut stream) = dial(&server.address, config(cert)).await else {
                return false;
            };
            let request = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n";
            if stream.write_all(request).await.is_err() {
                return false;
            }
            loop {
                match server.events.next().await {
                    FrontEvent::Http { .. } => return true,
                    FrontEvent::Log { fields, .. } => {
                        let error = fields.into_iter().find(|(name, _)| name == "error");
                        let text = "x509: certificate is valid for 10.1.2.3, not 127.0.0.1";
                        assert_eq!(error.unwrap().1, text.to_owned().into());
                        return false;
                    }
                    _ => {}
                }
            }
        };
        assert!(is_let_in(&from("127.0.0.1")).await, "{role}");
        assert_eq!(
            is_let_in(&from("10.1.2.3")).await,
            role == "client",
            "{role}"
        );
        let lax = TlsOptions {
            skips_san_verification: true,
            ..options.clone()
        };
        set(&server, &lax);
        assert!(is_let_in(&from("10.1.2.3")).await, "{role}");
    }
}
