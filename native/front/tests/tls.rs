//! What is served over TLS, and how: protocols, versions, keys, sessions, and new material.

mod common;

use common::certs::{Ca, signs_all};
use common::tls::{
    call, dial, dialling, encrypted, mutual, only, open, refused, refused_for, serve, serve_with,
    set,
};
use common::{Client, PUT, RANGE, Server, get, put, soon};
use netcd_front::tls::{TlsOptions, TlsVersion};
use netcd_front::{FrontConfig, FrontEvent, ListenerConfig};
use rcgen::SerialNumber;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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
        let text = "transport: certificate serial 0abc revoked";
        assert_eq!(refused_for(&server).await, text);
    }
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
