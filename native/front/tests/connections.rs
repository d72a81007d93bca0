//! Connections that go wrong or to their end: garbage, resets, pings, stalls, shutdown. Whatever a client does, nothing of
//! it is left afterwards.

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use common::{
    Client, HEALTH_WATCH, MEMBERS, PUT, RANGE, Server, frame, get, http2_frame, put, request, soon,
    until,
};
use netcd_front::{FrontConfig, FrontEvent, ListenerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const SETTINGS: u8 = 4;

/// The next frame, None at the end of the connection.
async fn read_frame(stream: &mut TcpStream) -> Option<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    soon("frame", stream.read_exact(&mut head)).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let mut payload = vec![0; length];
    soon("payload", stream.read_exact(&mut payload))
        .await
        .ok()?;
    Some((head[3], head[4], payload))
}

async fn raw(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    stream
        .write_all(&http2_frame(SETTINGS, 0, 0, &[]))
        .await
        .unwrap();
    stream
}

#[tokio::test]
async fn garbage_and_sudden_ends_leave_nothing() {
    let server = Server::start();
    let mut broken: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"PRI * HT".to_vec(),
        b"\0\0\0\0\0\0".to_vec(),
        vec![0xff; 10_000],
        b"GET / HTTP/1.1\r\nbroken".to_vec(),
        b"POST /v3/kv/put HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf".to_vec(),
        [PREFACE, &[0xff; 1000]].concat(),
        [PREFACE, &http2_frame(SETTINGS, 0, 0, &[1, 2, 3])].concat(),
    ];
    // HEADERS that are no HPACK, DATA on an idle stream, a frame that is too large, CONTINUATION out of place.
    let settings = http2_frame(SETTINGS, 0, 0, &[]);
    for frame in [
        http2_frame(1, 4, 1, &[0xff; 30]),
        http2_frame(0, 1, 1, b"data"),
        http2_frame(0, 0, 1, &vec![0; 1 << 20]),
        http2_frame(9, 4, 1, b"x"),
        http2_frame(8, 0, 0, &[0; 4]),
    ] {
        broken.push([PREFACE, &settings, &frame].concat());
    }
    for bytes in broken {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        // The server may have hung up in the middle of it.
        let _hung_up = stream.write_all(&bytes).await;
        let _hung_up = stream.shutdown().await;
        let mut rest = Vec::new();
        let _reset = soon("end", stream.read_to_end(&mut rest)).await;
    }
    server.nothing_left().await;
    assert_eq!(
        server.client().await.call(RANGE, &get("k")).await.code,
        0,
        "it still serves"
    );
}

#[tokio::test]
async fn streams_reset_in_every_state_leave_nothing() {
    let server = Server::start();
    server.fake.hold.store(true, Ordering::SeqCst);
    server.fake.reads_wait.store(true, Ordering::SeqCst);
    let client = server.client().await;
    let start = async |path: &str, body: Option<(Bytes, bool)>| {
        let (response, mut send) = client.open(path, &[]).await;
        if let Some((body, end)) = body {
            send.send_data(body, end).unwrap();
        }
        (response, send)
    };
    for path in [RANGE, PUT, MEMBERS, HEALTH_WATCH, "/no.Service/M"] {
        let message = if path == PUT {
            frame(&put("k", b""))
        } else {
            frame(&get("k"))
        };
        for body in [
            None,
            Some((message.slice(..3), false)),
            Some((message.clone(), false)),
            Some((message, true)),
        ] {
            let (response, mut send) = start(path, body.clone()).await;
            send.send_reset(h2::Reason::CANCEL);
            drop(response);
            // And once more after the server has seen it.
            let (response, mut send) = start(path, body).await;
            let ping = client.call("/no.Service/M", b"").await;
            assert_eq!(ping.code, 12);
            send.send_reset(h2::Reason::CANCEL);
            drop(response);
        }
    }
    drop(client);
    until("connections are gone", || {
        server.front.counts().connections == 0
    })
    .await;
    server.fake.release();
    let reads = std::mem::take(&mut *server.fake.waiting_reads.lock().unwrap());
    netcd_engine::types::Completions::reads_ready(&**server.fake.completions(), reads, Ok(()));
    server.nothing_left().await;
    let mut open = std::collections::HashSet::new();
    while server.events.waiting() > 0 {
        match server.events.next().await {
            FrontEvent::Call { call, .. } => assert!(open.insert(call)),
            FrontEvent::CallCancelled { call, code: 1 } => assert!(open.remove(&call)),
            FrontEvent::CallMessage { call, .. } | FrontEvent::CallHalfClose { call } => {
                assert!(open.contains(&call))
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(open.is_empty(), "every call was cancelled once");
}

#[tokio::test]
async fn too_many_pings_end_the_connection() {
    let server = Server::start();
    let mut stream = raw(&server).await;
    for _ in 0..4 {
        stream
            .write_all(&http2_frame(PING, 0, 0, &[0; 8]))
            .await
            .unwrap();
    }
    let mut goaway = None;
    while let Some((kind, _, payload)) = read_frame(&mut stream).await {
        if kind == GOAWAY {
            goaway = Some(payload);
        }
    }
    let goaway = goaway.expect("a GOAWAY before the end");
    assert_eq!(goaway[4..8], 11u32.to_be_bytes(), "ENHANCE_YOUR_CALM");
    assert_eq!(&goaway[8..], b"too_many_pings");
    server.nothing_left().await;
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_dropped() {
    let config = FrontConfig {
        keepalive_interval: Duration::from_millis(20),
        keepalive_timeout: Duration::from_millis(20),
        ..Default::default()
    };
    let server = Server::with(config);
    let mut silent = raw(&server).await;
    let mut pings = 0;
    while let Some((kind, flags, _)) = read_frame(&mut silent).await {
        pings += u32::from(kind == PING && flags == 0);
    }
    assert_eq!(pings, 1);
    // A client that answers stays.
    let client = server.client().await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(server.front.counts().connections, 1);
    }
    assert_eq!(client.call(RANGE, &get("k")).await.code, 0);
    drop(client);
    server.nothing_left().await;
}

#[tokio::test]
async fn concurrent_streams_are_limited() {
    let config = FrontConfig {
        max_concurrent_streams: 3,
        ..Default::default()
    };
    let server = Server::with(config);
    let mut stream = raw(&server).await;
    let mut limit = None;
    while limit.is_none() {
        let (kind, _, payload) = read_frame(&mut stream).await.expect("settings");
        if kind == SETTINGS {
            limit = payload
                .chunks(6)
                .find(|setting| setting[1] == 3)
                .map(|setting| setting[5]);
        }
    }
    assert_eq!(limit, Some(3));
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let server = Server::start();
    let mut stream = raw(&server).await;
    // The same headers again and again: literals without indexing of :method, :scheme, :path.
    let block: &[u8] = &[0x83, 0x86, 0x84];
    let mut attack = Vec::new();
    for i in 0..20_000u32 {
        attack.extend(http2_frame(1, 4, 2 * i + 1, block));
        attack.extend(http2_frame(3, 0, 2 * i + 1, &8u32.to_be_bytes()));
    }
    let (mut read, mut write) = stream.split();
    let write = async {
        // It fails when the server hangs up, which is the point.
        let _hung_up = write.write_all(&attack).await;
    };
    let mut said = Vec::new();
    let read = async {
        let _reset = soon("end", read.read_to_end(&mut said)).await;
    };
    tokio::join!(write, read);
    drop(stream);
    server.nothing_left().await;
    assert_eq!(
        server.client().await.call(RANGE, &get("k")).await.code,
        0,
        "it still serves"
    );
}

#[tokio::test]
async fn shutdown_lets_calls_finish_and_refuses_new_ones() {
    let server = Server::start();
    server.fake.hold.store(true, Ordering::SeqCst);
    let client = server.client().await;
    let waiting = client.clone();
    let call = tokio::spawn(async move { waiting.call(PUT, &put("k", b"")).await });
    until("the write waits", || server.front.counts().waiting == 1).await;
    // A connection that has not said a word is not waited for.
    let _silent = TcpStream::connect(&server.address).await.unwrap();
    let front = server.front.clone();
    let shutdown = tokio::task::spawn_blocking(move || front.shutdown(Duration::from_secs(60)));
    until("it accepts no more", || {
        std::net::TcpStream::connect(&server.address).is_err()
    })
    .await;
    server.fake.release();
    assert_eq!(call.await.unwrap().code, 0);
    soon("shutdown", shutdown).await.unwrap();
    assert!(
        client
            .exchange(request(RANGE, &[]), vec![frame(&get("k"))])
            .await
            .is_err()
    );
    server.nothing_left().await;
}

#[tokio::test]
async fn shutdown_without_grace_ends_everything() {
    let server = Server::start();
    server.fake.hold.store(true, Ordering::SeqCst);
    let client = server.client().await;
    let waiting = client.clone();
    let call = tokio::spawn(async move {
        waiting
            .exchange(request(PUT, &[]), vec![frame(&put("k", b""))])
            .await
    });
    let (_response, _send) = client.open(HEALTH_WATCH, &[]).await;
    until("both wait", || server.front.counts().calls == 2).await;
    let front = server.front.clone();
    soon(
        "shutdown",
        tokio::task::spawn_blocking(move || front.shutdown(Duration::ZERO)),
    )
    .await
    .unwrap();
    assert!(call.await.unwrap().is_err());
    server.events.call().await;
    assert!(matches!(
        server.events.next().await,
        FrontEvent::CallCancelled { .. }
    ));
    server.nothing_left().await;
}

#[tokio::test]
async fn unix_sockets_serve_the_same() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("client.sock").display().to_string();
    let config = ListenerConfig {
        address: path.clone(),
        unix: true,
        ..common::listener("client", true, true)
    };
    // A socket file of an earlier run is in the way.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert_eq!(server.front.listen(&[config]).unwrap()[0], path);
    let client = Client::over(UnixStream::connect(&path).await.unwrap()).await;
    assert_eq!(client.call(RANGE, &get("k")).await.code, 0);
    drop(client);
    server.nothing_left().await;
}

#[tokio::test]
async fn a_socket_file_goes_with_the_server_whether_it_was_served_or_held() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let on = |name: &str, held: bool| ListenerConfig {
        address: dir.path().join(name).display().to_string(),
        unix: true,
        held,
        ..common::listener("client", true, true)
    };
    let files = || std::fs::read_dir(dir.path()).unwrap().count();
    let listeners = [on("served", false), on("held", true)];
    server.front.listen(&listeners).unwrap();
    assert_eq!(files(), 2);
    server.front.shutdown(Duration::from_secs(5));
    assert_eq!(files(), 0);
}

#[tokio::test]
async fn a_taken_address_is_an_error_that_names_it() {
    let server = Server::start();
    let config = ListenerConfig {
        address: server.address.clone(),
        ..common::listener("client", true, true)
    };
    let error = server.front.listen(&[config]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("listen tcp {}: bind: ", server.address)),
        "{error}"
    );
    assert_eq!(server.client().await.call(RANGE, &get("k")).await.code, 0);
}

#[tokio::test]
async fn who_connects_to_a_held_listener_waits_and_is_served_once_it_is_released() {
    let server = Server::start();
    let held = ListenerConfig {
        held: true,
        ..common::listener("client", true, true)
    };
    let address = server.front.listen(&[held]).unwrap().remove(0);
    let mut waiting = TcpStream::connect(&address).await.unwrap();
    waiting
        .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    // Another listener, of the same thread, is served meanwhile; of this one nothing is accepted.
    assert_eq!(server.client().await.call(RANGE, &get("k")).await.code, 0);
    assert_eq!(server.events.waiting(), 0);
    server.front.release();
    let event = soon("the request", server.events.next()).await;
    assert!(matches!(event, FrontEvent::Http { .. }), "{event:?}");
}
