//! Clients that stall in a handshake, break its records, or never read: the others are served, and nothing is left of it.

mod common;

use std::time::Duration;

use common::certs::Ca;
use common::tls::{dial, dialling, encrypted, open, refused_for, serve, serve_with};
use common::{Client, RANGE, Server, get, soon, until};
use netcd_front::{FrontConfig, ListenerConfig, Patience};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SHORT: Duration = Duration::from_millis(200);

fn impatient() -> FrontConfig {
    FrontConfig {
        patience: Patience {
            tls_handshake: SHORT,
            ..Patience::default()
        },
        ..FrontConfig::default()
    }
}

/// What a client says first.
fn hello(ca: &Ca) -> Vec<u8> {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut client = ClientConnection::new(dialling(&ca.der, &[]).into(), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

async fn said(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

async fn is_served(server: &Server, ca: &Ca) {
    let stream = dial(&server.address, dialling(&ca.der, &[])).await.unwrap();
    assert_eq!(
        Client::over(stream).await.call(RANGE, &get("k")).await.code,
        0
    );
}

#[tokio::test]
async fn who_stalls_is_sent_away() {
    let ca = Ca::new("ca");
    let both = ListenerConfig {
        plain: true,
        ..encrypted("client")
    };
    for (on, silent) in [(encrypted("client"), true), (both, false)] {
        let server = serve_with(impatient(), &open(&ca.server()), &on);
        let hello = hello(&ca);
        let mut stalled = vec![
            said(&server, &hello[..1]).await,
            said(&server, &hello).await,
        ];
        if silent {
            // Where there is TLS alone, this is one who shakes hands.
            stalled.push(said(&server, b"").await);
        }
        is_served(&server, &ca).await;
        for stream in &mut stalled {
            let from = stream.local_addr().unwrap();
            let mut rest = Vec::new();
            let _reset = soon("the end", stream.read_to_end(&mut rest)).await;
            let text = refused_for(&server).await;
            assert!(
                text.starts_with(&format!("read tcp {}->", server.address)),
                "{text} {from}"
            );
            assert!(text.ends_with(": i/o timeout"), "{text}");
        }
        server.nothing_left().await;
    }
}

#[tokio::test]
async fn half_open_handshakes_are_in_nobodys_way() {
    const MANY: usize = 300;
    let ca = Ca::new("ca");
    let server = serve(&open(&ca.server()));
    let hello = hello(&ca);
    let mut half = Vec::new();
    for at in 0..MANY {
        half.push(said(&server, &hello[..hello.len() * (at % 4) / 3]).await);
    }
    until("all are there", || {
        server.front.counts().connections == MANY
    })
    .await;
    is_served(&server, &ca).await;
    drop(half);
    server.nothing_left().await;
}

#[tokio::test]
async fn a_member_that_ends_waits_for_no_handshake() {
    let ca = Ca::new("ca");
    let server = serve(&open(&ca.server()));
    let _silent = said(&server, b"").await;
    let _half = said(&server, &hello(&ca)).await;
    until("both are there", || server.front.counts().connections == 2).await;
    let front = server.front.clone();
    let ended = tokio::task::spawn_blocking(move || front.shutdown(Duration::from_secs(60)));
    soon("the end", ended).await.unwrap();
}

/// A connection whose handshake is done, and the bytes below its TLS.
async fn shaken(server: &Server, ca: &Ca) -> TcpStream {
    let stream = dial(&server.address, dialling(&ca.der, &[])).await.unwrap();
    stream.into_inner().0
}

#[tokio::test]
async fn broken_records_end_their_connection_alone() {
    let ca = Ca::new("ca");
    let server = serve(&open(&ca.server()));
    let hello = hello(&ca);
    let oversized = [&[0x17, 3, 3, 0xff, 0xff][..], &[0; 70_000]].concat();
    let begins_oversized = [&[0x16, 3, 1, 0xff, 0xff][..], &[1; 70_000]].concat();
    let empty = [0x16, 3, 1, 0, 0].repeat(2000);
    let of_one_byte: Vec<u8> = hello[5..]
        .iter()
        .flat_map(|byte| [0x16, 3, 1, 0, 1, *byte])
        .collect();
    for bytes in [
        &begins_oversized,
        &empty,
        &hello[..hello.len() - 1].to_vec(),
        &of_one_byte,
    ] {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        // It may be closed in the middle of it.
        let _closed = stream.write_all(bytes).await;
        let _closed = stream.shutdown().await;
        let mut rest = Vec::new();
        let _reset = soon("the end", stream.read_to_end(&mut rest)).await;
        is_served(&server, &ca).await;
    }
    // After a handshake: too long, no record at all, one that nobody has encrypted, the beginning of another handshake.
    for bytes in [
        &oversized[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x17, 3, 3, 0, 32, 1],
        &hello,
    ] {
        let mut stream = shaken(&server, &ca).await;
        let _closed = stream.write_all(bytes).await;
        let _closed = stream.shutdown().await;
        let mut rest = Vec::new();
        let _reset = soon("the end", stream.read_to_end(&mut rest)).await;
        is_served(&server, &ca).await;
    }
    server.nothing_left().await;
}

#[tokio::test]
async fn a_client_that_reads_byte_by_byte_keeps_nobody_waiting() {
    let ca = Ca::new("ca");
    let server = serve(&open(&ca.server()));
    let stream = dial(&server.address, dialling(&ca.der, &[])).await.unwrap();
    let slow = Client::over(Slow(stream)).await;
    let asking = tokio::spawn(async move { slow.call(RANGE, &get("large:3000000")).await });
    for _ in 0..20 {
        is_served(&server, &ca).await;
    }
    asking.abort();
    // Its connection goes with the task that drives it, which ends with its last handle.
    let _aborted = asking.await;
    server.nothing_left().await;
}

/// Reads a byte at a time.
struct Slow<S>(S);

impl<S: tokio::io::AsyncRead + Unpin> tokio::io::AsyncRead for Slow<S> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let mut byte = [0];
        let mut one = tokio::io::ReadBuf::new(&mut byte);
        std::task::ready!(std::pin::Pin::new(&mut self.0).poll_read(cx, &mut one))?;
        buf.put_slice(one.filled());
        std::task::Poll::Ready(Ok(()))
    }
}

impl<S: tokio::io::AsyncWrite + Unpin> tokio::io::AsyncWrite for Slow<S> {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
