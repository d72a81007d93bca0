//! TLS as clients meet it: what is served over it, and who is let in.

mod common;

use common::tls::{
    Ca, Cert, alone, dial, dialling, encrypted, mutual, open, refusal, refused_for, serve,
    serve_with, set, signs_all,
};
use common::{Client, PUT, RANGE, Server, get, put, soon};
use netcd_front::tls::{TlsOptions, TlsVersion};
use netcd_front::{FrontConfig, FrontEvent, ListenerConfig};
use rcgen::{ExtendedKeyUsagePurpose, IsCa, SerialNumber, date_time_ymd};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A call over TLS; None: there was no way to make it.
async fn call(server: &Server, config: ClientConfig) -> Option<u8> {
    let stream = dial(&server.address, config).await.ok()?;
    let (requests, connection) = h2::client::handshake(stream).await.ok()?;
    tokio::spawn(async move {
        // How it ends is seen by the call.
        let _ended = connection.await;
    });
    let client = Client { requests };
    let answer = client.exchange(common::request(RANGE, &[]), vec![common::frame(&get("k"))]);
    answer.await.ok().map(|answer| answer.code)
}

async fn over_tls(server: &Server, config: ClientConfig) -> Client {
    Client::over(dial(&server.address, config).await.unwrap()).await
}

#[tokio::test]
async fn calls_and_requests_come_over_tls() {
    let ca = Ca::new("ca");
    let server = serve(&open(&ca.server()));
    let client = over_tls(&server, dialling(&ca.der, &[])).await;
    assert_eq!(client.call(PUT, &put("k", b"v")).await.code, 0);
    assert_eq!(client.call(RANGE, &get("k")).await.key(), "k");
    for protocols in [&[][..], &[b"http/1.1".to_vec()]] {
        let mut config = dialling(&ca.der, &[]);
        config.alpn_protocols = protocols.to_vec();
        let mut stream = dial(&server.address, config).await.unwrap();
        let request = b"GET /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        match server.events.next().await {
            FrontEvent::Http { request, url, .. } => {
                assert_eq!(url, "/version");
                server
                    .front
                    .http_respond(request, 200, Vec::new(), "fine".into());
            }
            other => panic!("a request expected, not {other:?}"),
        }
        let mut answer = String::new();
        soon("an answer", stream.read_to_string(&mut answer))
            .await
            .unwrap();
        assert!(answer.ends_with("fine"), "{answer}");
    }
    drop(client);
    server.nothing_left().await;
}

#[tokio::test]
async fn large_answers_come_whole() {
    let ca = Ca::new("ca");
    let server = serve(&open(&ca.server()));
    let client = over_tls(&server, dialling(&ca.der, &[])).await;
    assert_eq!(client.call(PUT, &put("k", &[7; 1_000_000])).await.code, 0);
    let answer = client.call(RANGE, &get("large:3000000")).await;
    assert!(answer.messages[0].len() > 3_000_000);
}

#[tokio::test]
async fn the_first_byte_decides_where_both_are_served() {
    let ca = Ca::new("ca");
    let both = ListenerConfig {
        plain: true,
        ..encrypted("client")
    };
    let server = serve_with(FrontConfig::default(), &open(&ca.server()), &both);
    assert_eq!(server.client().await.call(RANGE, &get("k")).await.code, 0);
    assert_eq!(call(&server, dialling(&ca.der, &[])).await, Some(0));
    server.nothing_left().await;
}

#[tokio::test]
async fn what_is_not_tls_gets_no_answer() {
    let ca = Ca::new("ca");
    let server = serve(&open(&ca.server()));
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A reset takes what was said with it.
    let _reset = soon("the end", stream.read_to_end(&mut answer)).await;
    assert_eq!(answer, b"");
    let error = refused_for(&server).await;
    assert_eq!(
        error,
        "tls: first record does not look like a TLS handshake"
    );
    server.nothing_left().await;
}

#[tokio::test]
async fn keys_of_every_kind_are_shown_and_taken() {
    let ca = Ca::new("ca");
    for kind in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ] {
        let shown = ca.sign_with(kind, "server", |parameters| {
            let address = "127.0.0.1".parse().unwrap();
            parameters.subject_alt_names = vec![rcgen::SanType::IpAddress(address)];
        });
        let client = ca.sign_with(kind, "client", |_| {});
        let server = serve(&mutual(&shown, &ca.pem));
        let answer = call(&server, dialling(&ca.der, &[&client])).await;
        assert_eq!(answer, Some(0), "{kind:?}");
    }
}

/// Who is refused, with what.
async fn refused(options: &TlsOptions, config: ClientConfig) -> String {
    let server = serve(options);
    assert_eq!(call(&server, config).await, None);
    let text = refused_for(&server).await;
    server.nothing_left().await;
    text
}

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
        let text = format!("transport: certificate serial {serial:x} revoked");
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
async fn a_resumed_session_is_looked_at_again() {
    let ca = Ca::with("ca", signs_all);
    let shown = ca.server();
    let options = mutual(&shown, &ca.pem);
    let server = serve(&options);
    let client = ca.sign("x", |it| {
        it.serial_number = Some(SerialNumber::from(0xabcu64))
    });
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
        set(&server, &options);
        let config = std::sync::Arc::new(only(dialling(&ca.der, &[&client]), versions));
        let resumed = "netcd_tls_handshakes_total{resumed=\"true\",side=\"client\"} ";
        let count = |server: &Server| {
            let metrics = server.front.metrics();
            let at = metrics.find(resumed).unwrap() + resumed.len();
            let line = metrics[at..].lines().next().unwrap();
            line.parse::<u64>().unwrap()
        };
        let before = count(&server);
        for _ in 0..2 {
            let stream = dial(&server.address, config.clone()).await.unwrap();
            let client = Client::over(stream).await;
            assert_eq!(client.call(RANGE, &get("k")).await.code, 0);
        }
        assert_eq!(count(&server), before + 1);
        // The certificate of the server is renewed: sessions go on.
        set(&server, &mutual(&ca.server(), &ca.pem));
        let stream = dial(&server.address, config.clone()).await.unwrap();
        assert_eq!(
            Client::over(stream).await.call(RANGE, &get("k")).await.code,
            0
        );
        assert_eq!(count(&server), before + 2);
        let revoking = TlsOptions {
            crl: Some(ca.revoke(&[0xabc])),
            ..options.clone()
        };
        set(&server, &revoking);
        if let Ok(mut stream) = dial(&server.address, config.clone()).await {
            let read = soon("the end", stream.read(&mut [0; 64])).await;
            assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
        }
        let text = "transport: certificate serial abc revoked";
        assert_eq!(refused_for(&server).await, text);
    }
}

/// A client of these versions alone.
fn only(
    config: ClientConfig,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let mut of = ClientConfig::builder_with_provider(config.crypto_provider().clone())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    of.client_auth_cert_resolver = config.client_auth_cert_resolver.clone();
    of.dangerous()
        .set_certificate_verifier(common::tls::anybody());
    of.alpn_protocols = config.alpn_protocols;
    of
}

#[tokio::test]
async fn versions_and_suites_are_those_that_are_asked_for() {
    let ca = Ca::new("ca");
    let shown = ca.server();
    let new = TlsOptions {
        min_version: TlsVersion::V1_3,
        ..open(&shown)
    };
    let old = only(dialling(&ca.der, &[]), &[&rustls::version::TLS12]);
    let text = refused(&new, old.clone()).await;
    assert_eq!(text, "tls: client offered only unsupported versions: [303]");
    let suites = TlsOptions {
        cipher_suites: vec!["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned()],
        ..open(&shown)
    };
    // A key of another kind than the suite's.
    let text = refused(&suites, old.clone()).await;
    let offered = "tls: no cipher suite supported by both client and server; client offered: [";
    assert!(text.starts_with(offered), "{text}");
    let mut odd = dialling(&ca.der, &[]);
    odd.alpn_protocols = vec![b"foo".to_vec()];
    let text = refused(&open(&shown), odd).await;
    let unsupported = "tls: client requested unsupported application protocols ([\"foo\"])";
    assert_eq!(text, unsupported);
}

#[tokio::test]
async fn a_client_that_does_not_believe_the_server_says_so() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let text = refused(&open(&ca.server()), dialling(&other.der, &[])).await;
    assert_eq!(text, "remote error: tls: unknown certificate authority");
}

#[tokio::test]
async fn new_certificates_take_the_place_of_old_ones_and_connections_go_on() {
    let (first, second) = (Ca::new("first"), Ca::new("second"));
    let server = serve(&mutual(&first.server(), &first.pem));
    let (of_first, of_second) = (first.sign("x", |_| {}), second.sign("x", |_| {}));
    let there = over_tls(&server, dialling(&first.der, &[&of_first])).await;
    assert_eq!(
        call(&server, dialling(&first.der, &[&of_second])).await,
        None
    );
    set(&server, &mutual(&second.server(), &second.pem));
    assert_eq!(there.call(RANGE, &get("k")).await.code, 0);
    assert_eq!(
        call(&server, dialling(&second.der, &[&of_second])).await,
        Some(0)
    );
    assert_eq!(
        call(&server, dialling(&second.der, &[&of_first])).await,
        None
    );
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
