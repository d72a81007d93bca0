//! Bytes of clients that may know no TLS, and records of a handshake that nobody made: each connection ends, none of a
//! transport's threads does, and nothing is left.

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::certs::Ca;
use common::tls::{dialling, encrypted, mutual, serve_with};
use common::{Server, soon};
use netcd_front::{FrontConfig, FrontEvent};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Panics of any thread: one on a transport thread ends a connection and nothing else.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Sends an input as all that a client says; what came back, and what the log says.
async fn connection(server: &Server, input: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut stream = TcpStream::connect(&server.address).await.expect("connect");
    // The server may have refused what came first, and may be gone.
    let _refused = stream.write_all(input).await;
    let _refused = stream.shutdown().await;
    let mut out = Vec::new();
    let _reset = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut out)).await;
    // An alert, or what a server says in a handshake.
    match out[..] {
        [] => {}
        [0x15 | 0x16, 3, ..] => {
            found.insert(format!("{:?}", &out[..1]));
        }
        _ => panic!("{out:?}"),
    }
    while server.events.waiting() > 0 {
        if let FrontEvent::Log { fields, .. } = server.events.next().await {
            let error = fields.into_iter().find(|(name, _)| name == "error");
            let text = format!("{:?}", error.expect("a reason"));
            found.insert(
                text.chars()
                    .filter(|it| it.is_alphabetic())
                    .take(60)
                    .collect(),
            );
        }
    }
    let panics = PANICS.load(Ordering::SeqCst);
    assert_eq!(panics, 0, "a transport thread panicked");
    found
}

fn hello(ca: &Ca, versions: &[&'static rustls::SupportedProtocolVersion]) -> Vec<u8> {
    let config = dialling(&ca.der, &[]);
    let mut of = rustls::ClientConfig::builder_with_provider(config.crypto_provider().clone())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    of.alpn_protocols = config.alpn_protocols;
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(of.into(), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn no_bytes_break_a_handshake_and_nothing_is_left_of_them() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        report(panic);
    }));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    let ca = Ca::new("ca");
    let options = mutual(&ca.server(), &ca.pem);
    let server = serve_with(FrontConfig::default(), &options, &encrypted("client"));
    let (new, old) = (
        hello(&ca, &[&rustls::version::TLS13]),
        hello(&ca, &[&rustls::version::TLS12]),
    );
    let twice = [&old[..], &old[..]].concat();
    let alert = [&new[..], &[0x15, 3, 3, 0, 2, 2, 42]].concat();
    let seeds = [new, old, twice, alert, b"GET / HTTP/1.1\r\n\r\n".to_vec()];
    let outcome = netcd_fuzz::fuzz(env!("CARGO_MANIFEST_DIR"), "tls", &seeds, |input| {
        runtime.block_on(soon("a connection", connection(&server, input)))
    });
    assert!(outcome.found > seeds.len(), "{outcome:?}");
    runtime.block_on(server.nothing_left());
}
