//! More connections than there are places: who has none waits, unrefused, while members and probes are served, and who
//! leaves makes room.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{RANGE, Server, get, listener, soon};
use netcd_front::{FieldValue, FrontConfig, FrontEvent, LogLevel, Patience};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Asks for a path of its own, which the control plane then has.
async fn ask(address: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// A line of the log: its message and fields.
type Line = (String, Vec<(String, FieldValue)>);

/// The path of the next request, which is answered, and the log lines before it.
async fn next_path(server: &Server) -> (String, Vec<Line>) {
    let mut lines = Vec::new();
    loop {
        match server.events.next().await {
            FrontEvent::Http { request, url, .. } => {
                // Who has half-closed its connection is not gone before it has its answer.
                server
                    .front
                    .http_respond(request, 200, Vec::new(), Bytes::new());
                return (url, lines);
            }
            FrontEvent::Log {
                level: LogLevel::Warn,
                message,
                fields,
            } => lines.push((message, fields)),
            other => panic!("a request expected, not {other:?}"),
        }
    }
}

#[tokio::test]
async fn clients_wait_for_each_other_and_not_members_or_probes_for_them() {
    let server = Server::with(FrontConfig {
        connections_max: 2,
        ..FrontConfig::default()
    });
    let others = [
        listener("peer", false, true),
        listener("metrics", false, true),
    ];
    let [peer, metrics] = server.front.listen(&others).unwrap().try_into().unwrap();
    let first = TcpStream::connect(&server.address).await.unwrap();
    let client = server.client().await;
    assert_eq!(
        client.call(RANGE, &get("k")).await.code,
        0,
        "both are served"
    );
    // It connects: the kernel has it until there is a place.
    let mut third = ask(&server.address, "/third").await;
    let mut held = Vec::new();
    for number in 0..3 {
        for (role, address) in [("peer", &peer), ("metrics", &metrics)] {
            let path = format!("/{role}/{number}");
            held.push(ask(address, &path).await);
            let (served, lines) = next_path(&server).await;
            assert_eq!(served, path);
            for (message, fields) in lines {
                let text =
                    "all connections that there are descriptors for are taken; new ones wait";
                assert_eq!(message, text);
                assert_eq!(fields[0], ("listener".into(), "client".to_owned().into()));
            }
        }
    }
    drop(first);
    assert_eq!(next_path(&server).await.0, "/third");
    // Nobody was refused, and who leaves leaves nothing behind.
    third.shutdown().await.unwrap();
    drop((third, held, client));
    server.nothing_left().await;
}

#[tokio::test]
async fn who_says_nothing_to_a_peer_listener_does_not_keep_a_place_there() {
    let server = Server::with(FrontConfig {
        patience: Patience {
            peer_first_bytes: Duration::from_millis(100),
            ..Patience::default()
        },
        ..FrontConfig::default()
    });
    let peer = server.front.listen(&[listener("peer", false, true)]);
    let client = TcpStream::connect(&server.address).await.unwrap();
    let mut silent = TcpStream::connect(&peer.unwrap()[0]).await.unwrap();
    let mut said = Vec::new();
    soon("end", silent.read_to_end(&mut said)).await.unwrap();
    assert!(said.is_empty());
    common::until("only the client's is left", || {
        server.front.counts().connections == 1
    })
    .await;
    drop(client);
    server.nothing_left().await;
}
