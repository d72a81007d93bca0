//! Clients that do nothing when it is their turn: after the limit for it they are gone, and nothing of them is left.
//! Every test shortens one limit and leaves the others at minutes, so that it is this one that ends the client.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Client, RANGE, Server, frame, get, request, soon};
use netcd_front::{FrontConfig, ListenerConfig, Patience};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

const SHORT: Duration = Duration::from_millis(100);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// More than the sockets of both sides buffer.
const LARGE_ANSWER_CHUNKS: usize = 256;

fn server(patience: Patience) -> Server {
    Server::with(FrontConfig {
        patience,
        ..FrontConfig::default()
    })
}

fn large_range() -> Bytes {
    frame(&get(&format!("chunked:{LARGE_ANSWER_CHUNKS}")))
}

/// What the server says until it hangs up.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end too.
    let _reset = soon("end", stream.read_to_end(&mut said)).await;
    said
}

#[tokio::test]
async fn a_connection_without_a_word() {
    let server = server(Patience {
        read_header: SHORT,
        ..Patience::default()
    });
    for begun in [&b""[..], b"PRI", b"GET /health HTTP/1.1\r\nHost:"] {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        stream.write_all(begun).await.unwrap();
        let said = rest(&mut stream).await;
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408"));
    }
    server.nothing_left().await;
}

#[tokio::test]
async fn a_handshake_that_stops() {
    let server = server(Patience {
        handshake: SHORT,
        ..Patience::default()
    });
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    // The rest of the SETTINGS frame never comes.
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&[0, 0, 6, 4]).await.unwrap();
    rest(&mut stream).await;
    server.nothing_left().await;
}

/// Asks for a large answer with windows for all of it, and reads nothing of it from the socket.
async fn never_reads<S>(stream: S) -> S
where
    S: AsyncReadExt + AsyncWriteExt + Unpin + Send + 'static,
{
    let (mut near, far) = tokio::io::duplex(64 << 10);
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1 << 30);
    builder.initial_connection_window_size(1 << 30);
    let asking = tokio::spawn(async move {
        let (mut requests, connection) = builder.handshake::<_, Bytes>(far).await.unwrap();
        let (_response, mut send) = requests.send_request(request(RANGE, &[]), false).unwrap();
        send.send_data(large_range(), true).unwrap();
        // It ends with the pipe: nobody reads what it says but this test, and nobody answers it.
        let _ended = connection.await;
    });
    let mut stream = stream;
    let mut said = [0; 4096];
    // The request is small: preface, settings, window, headers and data are all said at once.
    loop {
        let read = tokio::time::timeout(SHORT, near.read(&mut said)).await;
        let Ok(bytes) = read else { break };
        stream.write_all(&said[..bytes.unwrap()]).await.unwrap();
    }
    drop(near);
    asking.await.unwrap();
    stream
}

#[tokio::test]
async fn a_connection_that_takes_nothing() {
    let server = server(Patience {
        write_stall: SHORT,
        ..Patience::default()
    });
    let over_tcp = never_reads(TcpStream::connect(&server.address).await.unwrap()).await;
    server.nothing_left().await;
    drop(over_tcp);

    let ca = common::certs::Ca::new("ca");
    common::tls::set(&server, &common::tls::open(&ca.server()));
    let encrypted = common::tls::encrypted("client");
    let address = server.front.listen(&[encrypted]).unwrap().remove(0);
    let stream = common::tls::dial(&address, common::tls::dialling(&ca.der, &[])).await;
    let over_tls = never_reads(stream.unwrap()).await;
    server.nothing_left().await;
    drop(over_tls);

    // The kernel ends stalled connections of TCP, too; unix sockets have only the transport's own limit.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("client.sock").display().to_string();
    let listener = ListenerConfig {
        address: path.clone(),
        unix: true,
        ..common::listener("client", true, true)
    };
    server.front.listen(&[listener]).unwrap();
    let over_unix = never_reads(UnixStream::connect(&path).await.unwrap()).await;
    server.nothing_left().await;
    drop(over_unix);
}

#[tokio::test]
async fn a_streamed_answer_without_a_window() {
    let server = server(Patience {
        stream_stall: SHORT,
        ..Patience::default()
    });
    let client: Client = server.client().await;
    let (response, mut send) = client.open(RANGE, &[]).await;
    send.send_data(large_range(), true).unwrap();
    let mut body = soon("headers", response).await.unwrap().into_body();
    // What fits into the first window comes, then the reset; the window is never opened again.
    let reason = loop {
        match soon("data", body.data()).await.expect("no end") {
            Ok(_unreleased) => {}
            Err(problem) => break problem.reason(),
        }
    };
    assert_eq!(reason, Some(h2::Reason::CANCEL));
    // The connection goes on.
    drop((body, send));
    assert_eq!(client.call(RANGE, &get("k")).await.code, 0);
    drop(client);
    server.nothing_left().await;
}
