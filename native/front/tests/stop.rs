//! The end in two steps: clients first, while other members' connections live on, then those.

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use common::{
    Answer, Client, PUT, RANGE, Server, frame, get, http2_frame, listener, put, request, soon,
    until,
};
use netcd_front::FrontEvent;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const LONG: Duration = Duration::from_secs(60);
/// Any path of a peer listener that the control plane answers.
const PEER_PATH: &str = "/members";

/// Drains in the background, as it blocks.
fn drain(server: &Server) -> JoinHandle<()> {
    let front = server.front.clone();
    tokio::task::spawn_blocking(move || front.drain_clients(LONG))
}

/// A request of another member, which is answered.
async fn asked(server: &Server, member: &Client) -> Answer {
    let member = member.clone();
    let asking = tokio::spawn(async move {
        member
            .exchange(request(PEER_PATH, &[]), vec![Bytes::new()])
            .await
    });
    let FrontEvent::Http { request: id, .. } = server.events.next().await else {
        panic!("a request was expected");
    };
    server
        .front
        .http_respond(id, 200, Vec::new(), Bytes::from_static(b"here"));
    asking.await.unwrap().unwrap()
}

#[tokio::test]
async fn clients_end_while_members_talk_on() {
    let server = Server::start();
    let peers = server
        .front
        .listen(&[listener("peer", false, true)])
        .unwrap()
        .remove(0);
    let member = Client::connect(&peers).await;
    assert_eq!(asked(&server, &member).await.http_status, 200);
    server.fake.hold.store(true, Ordering::SeqCst);
    let client = server.client().await;
    let waiting = client.clone();
    let call = tokio::spawn(async move { waiting.call(PUT, &put("k", b"")).await });
    until("the write waits", || server.front.counts().waiting == 1).await;
    let drained = drain(&server);
    until("it accepts no client", || {
        std::net::TcpStream::connect(&server.address).is_err()
    })
    .await;
    // The write may need this member's vote, or an answer of the others.
    assert_eq!(asked(&server, &member).await.http_status, 200);
    let late = Client::connect(&peers).await;
    assert_eq!(asked(&server, &late).await.http_status, 200);
    assert!(!drained.is_finished() && !call.is_finished());
    server.fake.release();
    assert_eq!(call.await.unwrap().code, 0);
    soon("drained", drained).await.unwrap();
    let refused = client.exchange(request(RANGE, &[]), vec![frame(&get("k"))]);
    assert!(refused.await.is_err());
    assert_eq!(asked(&server, &member).await.http_status, 200);
    let front = server.front.clone();
    let shutdown = tokio::task::spawn_blocking(move || front.shutdown(LONG));
    soon("shutdown", shutdown).await.unwrap();
    server.nothing_left().await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_is_told_the_last_stream_and_not_waited_for() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    let server = Server::start();
    let mut silent = TcpStream::connect(&server.address).await.unwrap();
    let greeting = [PREFACE, &http2_frame(SETTINGS, 0, 0, &[])].concat();
    silent.write_all(&greeting).await.unwrap();
    // Who has not been heard yet is let go without a word.
    let mut bytes = Vec::new();
    soon("its settings", silent.read_buf(&mut bytes))
        .await
        .unwrap();
    soon("drained", drain(&server)).await.unwrap();
    soon("the end", silent.read_to_end(&mut bytes))
        .await
        .unwrap();
    let mut told = Vec::new();
    while !bytes.is_empty() {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        let frame: Vec<_> = bytes.drain(..9 + length).collect();
        match frame[3] {
            GOAWAY => told.push(u32::from_be_bytes(frame[9..13].try_into().unwrap())),
            PING => told.push(1),
            _ => {}
        }
    }
    assert_eq!(told, [u32::MAX >> 1, 1, 0]);
    server.nothing_left().await;
}
