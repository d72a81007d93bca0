//! Watch over real sockets: many watchers on a stream, many streams on a connection, slow clients, and every end.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::watching::{Stream, watch};
use common::{Client, RANGE, Server, frame, leading, soon, until};
use netcd_engine::proto::etcdserverpb::watch_request::RequestUnion;
use netcd_engine::proto::etcdserverpb::{
    CompactionRequest, PutRequest, RangeRequest, WatchCancelRequest, WatchCreateRequest,
    WatchProgressRequest,
};
use netcd_engine::types::OpKind;
use netcd_front::{FrontConfig, ServingState};
use prost::Message;
use tokio::net::TcpStream;

/// A client whose connection, unlike its streams, always has room.
async fn wide_client(server: &Server) -> Client {
    let stream = TcpStream::connect(&server.address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(1 << 30);
    let (requests, connection) = soon("handshake", builder.handshake(stream)).await.unwrap();
    tokio::spawn(async move {
        // How the connection ends is for other tests.
        let _ended = connection.await;
    });
    Client {
        requests: requests.ready().await.unwrap(),
    }
}

fn put(server: &Server, key: &str, value: impl Into<Bytes>) {
    let request = PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: value.into(),
        ..PutRequest::default()
    };
    server.fake.apply(OpKind::Put, &request);
}

#[tokio::test]
async fn events_come_as_they_happen_and_half_close_ends_nothing() {
    let server = Server::start();
    let client = server.client().await;
    let mut stream = Stream::open(&client, &[]).await;
    let created = stream.create(watch("a", "c")).await;
    let header = created.header.unwrap();
    assert_eq!((header.cluster_id, header.member_id), (11, 12));
    assert_eq!((header.revision, header.raft_term), (1, 5));
    put(&server, "a", "1");
    assert_eq!(stream.values(0, 1).await, ["1"]);
    stream.send.send_data(Bytes::new(), true).unwrap();
    put(&server, "b", "2");
    put(&server, "c", "not watched");
    put(&server, "b", "3");
    assert_eq!(stream.values(0, 2).await, ["2", "3"]);
    drop((stream, client));
    server.nothing_left().await;
    assert_eq!(server.fake.store().watch_hub().stats().watchers, 0);
}

#[tokio::test]
async fn many_watchers_share_frames_and_streams_share_a_connection() {
    const WATCHERS: usize = 300;
    let server = Server::start();
    let client = server.client().await;
    let mut streams = [
        Stream::open(&client, &[]).await,
        Stream::open(&client, &[]).await,
    ];
    for stream in &mut streams {
        for _ in 0..WATCHERS {
            stream.create(watch("k", "")).await;
        }
        stream.frames = 0;
    }
    put(&server, "k", "v");
    for stream in &mut streams {
        let mut seen = [false; WATCHERS];
        for _ in 0..WATCHERS {
            let response = stream.next().await.unwrap();
            assert_eq!(response.events.len(), 1);
            assert!(!std::mem::replace(
                &mut seen[response.watch_id as usize],
                true
            ));
        }
        assert!(stream.frames <= 4, "{} frames", stream.frames);
    }
    let [mut one, two] = streams;
    drop(two);
    until("the other's end", || {
        server.fake.store().watch_hub().stats().watchers == WATCHERS
    })
    .await;
    one.send(RequestUnion::CancelRequest(WatchCancelRequest {
        watch_id: 7,
    }));
    let canceled = one.next().await.unwrap();
    assert!(canceled.canceled && canceled.watch_id == 7);
    one.send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    let progress = one.next().await.unwrap();
    assert_eq!(
        (progress.watch_id, progress.header.unwrap().revision),
        (-1, 2)
    );
    let metrics = server.front.metrics();
    let labels =
        "grpc_method=\"Watch\",grpc_service=\"etcdserverpb.Watch\",grpc_type=\"bidi_stream\"";
    let sent = WATCHERS * 4 + 2;
    assert!(metrics.contains(&format!("grpc_server_msg_sent_total{{{labels}}} {sent}\n")));
    assert!(metrics.contains(&format!(
        "grpc_server_handled_total{{grpc_code=\"Canceled\",{labels}}} 1\n"
    )));
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_little_and_delays_nobody() {
    const VALUE_BYTES: usize = 100 << 10;
    const PUTS: usize = 100;
    let server = Server::start();
    let client = wide_client(&server).await;
    let mut slow = Stream::open(&client, &[]).await;
    let mut quick = Stream::open(&client, &[]).await;
    slow.create(watch("a", "z")).await;
    quick.create(watch("small", "")).await;
    let stats = || server.fake.store().watch_hub().stats();
    for i in 0..PUTS {
        put(&server, "large", vec![i as u8; VALUE_BYTES]);
        put(&server, "small", i.to_string());
        assert_eq!(quick.values(0, 1).await, [i.to_string()]);
        assert!(stats().retained_bytes < 2 << 20, "{:?}", stats());
    }
    until("the slow one lags", || stats().lagging == 1).await;
    // It reads on, and nothing is missing.
    let pairs = (0..PUTS).flat_map(|i| [vec![i as u8; VALUE_BYTES], i.to_string().into()]);
    assert!(pairs.eq(slow.values(0, 2 * PUTS).await));
    until("it is synced again", || stats().lagging == 0).await;
}

#[tokio::test]
async fn the_past_is_read_and_a_compacted_start_is_told() {
    let server = Server::start();
    let client = server.client().await;
    for i in 0..5000 {
        put(&server, "k", i.to_string());
    }
    let mut stream = Stream::open(&client, &[]).await;
    let from = |start_revision| WatchCreateRequest {
        start_revision,
        ..watch("k", "")
    };
    stream.create(from(2)).await;
    let values = stream.values(0, 5000).await;
    assert!((0..5000).map(|i| Bytes::from(i.to_string())).eq(values));
    let compaction = CompactionRequest {
        revision: 100,
        physical: false,
    };
    server.fake.apply(OpKind::Compact, &compaction);
    assert!(!stream.create(from(99)).await.canceled);
    let canceled = stream.next().await.unwrap();
    assert!(canceled.canceled);
    assert_eq!((canceled.watch_id, canceled.compact_revision), (1, 100));
}

#[tokio::test]
async fn progress_is_told_in_the_interval() {
    let config = FrontConfig {
        watch_progress_interval: Duration::from_millis(20),
        ..FrontConfig::default()
    };
    let server = Server::with(config);
    let client = server.client().await;
    let mut stream = Stream::open(&client, &[]).await;
    stream.create(watch("a", "")).await;
    stream
        .create(WatchCreateRequest {
            progress_notify: true,
            ..watch("b", "")
        })
        .await;
    for _ in 0..3 {
        let progress = stream.next().await.unwrap();
        assert_eq!(
            (progress.watch_id, progress.header.unwrap().revision),
            (1, 1)
        );
        assert!(progress.events.is_empty() && !progress.created && !progress.canceled);
    }
}

#[tokio::test]
async fn streams_that_want_a_leader_end_without_one() {
    let config = FrontConfig {
        leader_loss_timeout: Duration::from_millis(1),
        ..FrontConfig::default()
    };
    let server = Server::with(config);
    let client = server.client().await;
    let mut wants = Stream::open(&client, &[("hasleader", "true")]).await;
    let mut indifferent = Stream::open(&client, &[]).await;
    wants.create(watch("a", "")).await;
    indifferent.create(watch("a", "")).await;
    server.front.set_serving(ServingState {
        has_leader: false,
        ..leading()
    });
    let no_leader = Err((14, "etcdserver: no leader".to_owned()));
    assert_eq!(wants.next().await, no_leader);
    let mut refused = Stream::open(&client, &[("hasleader", "true")]).await;
    assert_eq!(refused.next().await, no_leader);
    put(&server, "a", "1");
    assert_eq!(indifferent.values(0, 1).await, ["1"]);
}

#[tokio::test]
async fn shutdown_ends_streams_so_that_clients_go_elsewhere() {
    let server = Server::start();
    let client = server.client().await;
    let mut stream = Stream::open(&client, &[]).await;
    stream.create(watch("a", "")).await;
    let front = server.front.clone();
    let shutdown = tokio::task::spawn_blocking(move || front.shutdown(Duration::from_secs(20)));
    let stopped = Err((14, "etcdserver: server stopped".to_owned()));
    assert_eq!(stream.next().await, stopped);
    drop((stream, client));
    soon("shutdown", shutdown).await.unwrap();
    assert_eq!(server.fake.store().watch_hub().stats().streams, 0);
}

#[tokio::test]
async fn an_end_inside_a_message_follows_the_whole_of_it() {
    let server = Server::start();
    let client = server.client().await;
    let mut stopped = Stream::open(&client, &[]).await;
    stopped.create(watch("a", "")).await;
    let mut late = Stream::open(&client, &[("grpc-timeout", "300m")]).await;
    late.create(watch("a", "")).await;
    // The key and its large value are pieces of their own, of which the windows of 64 KiB let only some through.
    let value = "v".repeat(200 << 10);
    put(&server, "a", value.clone());
    tokio::time::sleep(Duration::from_millis(600)).await;
    let front = server.front.clone();
    let shutdown = tokio::task::spawn_blocking(move || front.shutdown(Duration::from_secs(20)));
    tokio::time::sleep(Duration::from_millis(50)).await;
    for (stream, code) in [(&mut stopped, 14), (&mut late, 4)] {
        assert_eq!(stream.values(0, 1).await, [value.as_bytes()]);
        let (ended, message) = stream.next().await.unwrap_err();
        assert_eq!((ended, stream.data.len()), (code, 0), "{message}");
    }
    drop((stopped, late, client));
    soon("shutdown", shutdown).await.unwrap();
}

#[tokio::test]
async fn malformed_requests_and_deadlines_end_the_stream() {
    let server = Server::start();
    let client = server.client().await;
    let mut stream = Stream::open(&client, &[]).await;
    stream.send.send_data(frame(b"\xff\xff"), false).unwrap();
    let (code, _) = stream.next().await.unwrap_err();
    assert_eq!(code, 13);
    drop(stream);
    let mut stream = Stream::open(&client, &[("grpc-timeout", "1m")]).await;
    let (code, message) = stream.next().await.unwrap_err();
    assert_eq!((code, message.as_str()), (4, "context deadline exceeded"));
    let range = RangeRequest {
        key: "k".into(),
        ..RangeRequest::default()
    };
    assert_eq!(client.call(RANGE, &range.encode_to_vec()).await.code, 0);
    drop((stream, client));
    server.nothing_left().await;
}
