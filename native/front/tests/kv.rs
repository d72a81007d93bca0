//! KV calls over a real socket: framing, refusals with etcd's and gRPC's texts, waiting, deadlines and large answers.

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use common::fake::CHUNK_BYTES;
use common::{COMPACT, PUT, RANGE, Server, frame, frame_with, read_answer, request, soon, until};
use netcd_engine::error;
use netcd_engine::proto::etcdserverpb::{
    CompactionRequest, PutRequest, PutResponse, RangeRequest, RangeResponse, RangeStreamResponse,
    RequestOp, TxnRequest, request_op,
};
use netcd_engine::types::Completions;
use netcd_front::{FrontConfig, ServingState};
use prost::Message;

fn get(key: &str) -> Vec<u8> {
    RangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..Default::default()
    }
    .encode_to_vec()
}

fn put(key: &str, value: &[u8]) -> Vec<u8> {
    let (key, value) = (
        Bytes::copy_from_slice(key.as_bytes()),
        Bytes::copy_from_slice(value),
    );
    PutRequest {
        key,
        value,
        ..Default::default()
    }
    .encode_to_vec()
}

#[tokio::test]
async fn serves_reads_and_writes() {
    let server = Server::start();
    let client = server.client().await;
    let read = client.call(RANGE, &get("foo")).await;
    assert_eq!((read.http_status, read.code), (200, 0));
    assert_eq!(read.headers["content-type"], "application/grpc");
    let response = RangeResponse::decode(read.messages[0].clone()).unwrap();
    assert_eq!(response.kvs[0].key, "foo");
    let written = client
        .call_with(
            PUT,
            &[("content-type", "application/grpc+proto")],
            &put("a", b"b"),
        )
        .await;
    assert_eq!(written.headers["content-type"], "application/grpc+proto");
    let response = PutResponse::decode(written.messages[0].clone()).unwrap();
    assert_eq!(response.header.unwrap().revision, 2);
    let range = RequestOp {
        request: Some(request_op::Request::RequestRange(RangeRequest {
            key: "k".into(),
            ..Default::default()
        })),
    };
    let txn = TxnRequest {
        success: vec![range],
        ..Default::default()
    };
    assert_eq!(
        client
            .call("/etcdserverpb.KV/Txn", &txn.encode_to_vec())
            .await
            .code,
        0
    );
    assert_eq!(
        server.fake.applied.load(Ordering::SeqCst),
        1,
        "a txn of ranges is no write"
    );
    drop(client);
    server.nothing_left().await;
}

#[tokio::test]
async fn refuses_with_the_texts_clients_match_on() {
    let server = Server::start();
    let client = server.client().await;
    let large = vec![0; 2_097_153];
    let over_proposal = put("k", &vec![0; 1_572_864]);
    let cases: Vec<(&str, Vec<u8>, u8, &str)> = vec![
        (RANGE, get(""), 3, "etcdserver: key is not provided"),
        (PUT, put("", b"v"), 3, "etcdserver: key is not provided"),
        (
            RANGE,
            get("fail"),
            11,
            "etcdserver: mvcc: required revision is a future revision",
        ),
        (
            RANGE,
            vec![0xff],
            13,
            "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data",
        ),
        (
            PUT,
            large,
            8,
            "grpc: received message larger than max (2097153 vs. 2097152)",
        ),
        (PUT, over_proposal, 3, "etcdserver: request is too large"),
        ("/foo.Bar/Baz", vec![], 12, "unknown service foo.Bar"),
        (
            "/etcdserverpb.KV/Baz",
            vec![],
            12,
            "unknown method Baz for service etcdserverpb.KV",
        ),
    ];
    for (path, message, code, text) in cases {
        let answer = client.call(path, &message).await;
        assert_eq!(
            (answer.http_status, answer.code, answer.message.as_str()),
            (200, code, text),
            "{path}"
        );
        assert!(answer.trailers.is_empty(), "an error is trailers-only");
    }
    *server.fake.refuse.lock().unwrap() = Some(error::TOO_MANY_REQUESTS);
    let refused = client.call(PUT, &put("k", b"v")).await;
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (2, "etcdserver: too many requests")
    );
    drop(client);
    server.nothing_left().await;
}

#[tokio::test]
async fn requests_that_are_no_grpc() {
    let server = Server::start();
    let client = server.client().await;
    let json = client
        .exchange(
            request(RANGE, &[("content-type", "application/json")]),
            vec![],
        )
        .await
        .unwrap();
    assert_eq!((json.http_status, json.code), (415, 3));
    assert_eq!(
        json.message,
        "invalid gRPC request content-type \"application/json\""
    );
    let mut get = request(RANGE, &[]);
    *get.method_mut() = http::Method::GET;
    assert_eq!(client.exchange(get, vec![]).await.unwrap().http_status, 405);
    let timeout = client
        .exchange(request(RANGE, &[("grpc-timeout", "12x")]), vec![])
        .await
        .unwrap();
    assert_eq!((timeout.http_status, timeout.code), (400, 13));
    let none = client.exchange(request(RANGE, &[]), vec![]).await.unwrap();
    assert_eq!((none.code, none.message.as_str()), (2, "EOF"));
    let cut = client
        .exchange(request(RANGE, &[]), vec![frame(b"abc").slice(..6)])
        .await
        .unwrap();
    assert_eq!((cut.code, cut.message.as_str()), (2, "unexpected EOF"));
    drop(client);
    server.nothing_left().await;
}

#[tokio::test]
async fn messages_come_in_pieces_and_compressed() {
    let server = Server::start();
    let client = server.client().await;
    let whole = frame(&get("pieces"));
    for size in 1..whole.len() {
        let pieces = whole.chunks(size).map(Bytes::copy_from_slice).collect();
        let answer = client.exchange(request(RANGE, &[]), pieces).await.unwrap();
        assert_eq!(answer.code, 0, "pieces of {size}");
        assert_eq!(
            RangeResponse::decode(answer.messages[0].clone())
                .unwrap()
                .kvs[0]
                .key,
            "pieces"
        );
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &get("packed")).unwrap();
    let packed = frame_with(1, &gzip.finish().unwrap());
    let answer = client
        .exchange(
            request(RANGE, &[("grpc-encoding", "gzip")]),
            vec![packed.clone()],
        )
        .await
        .unwrap();
    assert_eq!(
        RangeResponse::decode(answer.messages[0].clone())
            .unwrap()
            .kvs[0]
            .key,
        "packed"
    );
    let answer = client
        .exchange(
            request(RANGE, &[("grpc-encoding", "br")]),
            vec![packed.clone()],
        )
        .await
        .unwrap();
    assert_eq!(answer.code, 12);
    let answer = client
        .exchange(request(RANGE, &[]), vec![packed])
        .await
        .unwrap();
    assert_eq!(
        answer.message,
        "grpc: compressed flag set with identity or empty encoding"
    );
    // A message is served as soon as it is whole, whether or not the client has closed its side.
    let (response, mut send) = client
        .requests
        .clone()
        .send_request(request(RANGE, &[]), false)
        .unwrap();
    send.send_data(whole, false).unwrap();
    assert_eq!(soon("answer", read_answer(response)).await.unwrap().code, 0);
    drop((client, send));
    server.nothing_left().await;
}

#[tokio::test]
async fn interceptors_refuse_in_etcds_order() {
    let server = Server::start();
    let client = server.client().await;
    let state = |capable, is_learner, has_leader| ServingState {
        has_leader,
        is_learner,
        capable,
    };
    let leader = [("hasleader", "true"), ("client-api-version", "3.7")];
    server.front.set_serving(state(false, true, false));
    assert_eq!(
        client.call_with(RANGE, &leader, &get("k")).await.message,
        "etcdserver: not capable"
    );
    server.front.set_serving(state(true, true, false));
    assert_eq!(
        client.call_with(PUT, &leader, &put("k", b"")).await.message,
        "etcdserver: rpc not supported for learner"
    );
    assert_eq!(
        client.call(RANGE, &get("k")).await.message,
        "etcdserver: rpc not supported for learner"
    );
    let serializable = RangeRequest {
        key: "k".into(),
        serializable: true,
        ..Default::default()
    };
    assert_eq!(
        client.call(RANGE, &serializable.encode_to_vec()).await.code,
        0
    );
    server.front.set_serving(state(true, false, false));
    let refused = client.call_with(RANGE, &leader, &get("k")).await;
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (14, "etcdserver: no leader")
    );
    assert_eq!(
        client
            .call_with(RANGE, &[("hasleader", "false")], &get("k"))
            .await
            .code,
        0
    );
    let mut bad = request(RANGE, &[]);
    bad.headers_mut().insert(
        "client-api-version",
        http::HeaderValue::from_bytes(b"\xff\xfe").unwrap(),
    );
    let refused = client.exchange(bad, vec![frame(&get("k"))]).await.unwrap();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (3, "etcdserver: invalid client api version")
    );
    let metrics = server.front.metrics();
    assert!(metrics.contains(
        "etcd_server_client_requests_total{client_api_version=\"3.7\",type=\"unary\"} 1\n"
    ));
    assert!(metrics.contains("grpc_server_handled_total{grpc_code=\"Unavailable\",grpc_method=\"Range\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 1\n"));
}

#[tokio::test]
async fn linearizable_reads_wait_for_their_barrier() {
    let server = Server::start();
    server.fake.reads_wait.store(true, Ordering::SeqCst);
    let client = server.client().await;
    let calls: Vec<_> = (0..10)
        .map(|i| {
            let client = client.clone();
            tokio::spawn(async move { client.call(RANGE, &get(&format!("k{i}"))).await })
        })
        .collect();
    until("all wait", || {
        server.fake.waiting_reads.lock().unwrap().len() == 10
    })
    .await;
    until("all are counted", || server.front.counts().waiting == 10).await;
    let mut tokens = std::mem::take(&mut *server.fake.waiting_reads.lock().unwrap());
    let failed = tokens.split_off(4);
    server.fake.completions().reads_ready(tokens, Ok(()));
    server
        .fake
        .completions()
        .reads_ready(failed, Err(error::LEADER_CHANGED));
    let mut codes = Vec::new();
    for call in calls {
        codes.push(call.await.unwrap().code);
    }
    codes.sort_unstable();
    assert_eq!(codes, [0, 0, 0, 0, 14, 14, 14, 14, 14, 14]);
    drop(client);
    server.nothing_left().await;
}

#[tokio::test]
async fn deadlines_end_the_wait_and_late_answers_are_dropped() {
    let config = FrontConfig {
        request_timeout: Duration::from_millis(300),
        ..Default::default()
    };
    let server = Server::with(config);
    server.fake.hold.store(true, Ordering::SeqCst);
    let client = server.client().await;
    let late = client
        .call_with(PUT, &[("grpc-timeout", "60m")], &put("k", b"v"))
        .await;
    assert_eq!(
        (late.code, late.message.as_str()),
        (4, "context deadline exceeded")
    );
    let late = client.call(PUT, &put("k", b"v")).await;
    assert_eq!(
        (late.code, late.message.as_str()),
        (14, "etcdserver: request timed out")
    );
    server.front.set_serving(ServingState {
        has_leader: false,
        ..common::capable()
    });
    assert_eq!(client.call(PUT, &put("k", b"v")).await.code, 4);
    server.front.set_serving(common::capable());
    // New calls take the slots of the old ones; the late answers must not reach them.
    let waiting = client.clone();
    let call = tokio::spawn(async move { waiting.call_with(RANGE, &[], &get("mine")).await });
    assert_eq!(server.fake.held(), 3);
    server.fake.release();
    let answer = call.await.unwrap();
    assert_eq!(
        RangeResponse::decode(answer.messages[0].clone())
            .unwrap()
            .kvs[0]
            .key,
        "mine"
    );
    assert_eq!(client.call(PUT, &put("k", b"v")).await.code, 0);
    assert_eq!(
        server.fake.applied.load(Ordering::SeqCst),
        4,
        "what timed out is applied all the same"
    );
    drop(client);
    server.nothing_left().await;
}

#[tokio::test]
async fn a_physical_compaction_that_is_decided_has_no_deadline_but_the_clients() {
    let config = FrontConfig {
        request_timeout: Duration::from_millis(200),
        ..Default::default()
    };
    let server = Server::with(config);
    server.fake.hold.store(true, Ordering::SeqCst);
    server.fake.compacted.store(5, Ordering::SeqCst);
    let client = server.client().await;
    let compact = |revision, physical| CompactionRequest { revision, physical }.encode_to_vec();
    let waiting = client.clone();
    let decided = compact(5, true);
    let decided = tokio::spawn(async move { waiting.call(COMPACT, &decided).await });
    until("it waits", || server.fake.held() == 1).await;
    // The server's deadline ends what came later, so the decided one is past it too.
    for undecided in [compact(6, true), compact(5, false)] {
        let answer = client.call(COMPACT, &undecided).await;
        assert_eq!(
            (answer.code, answer.message.as_str()),
            (14, "etcdserver: request timed out")
        );
    }
    let late = client
        .call_with(COMPACT, &[("grpc-timeout", "50m")], &compact(5, true))
        .await;
    assert_eq!(late.code, 4);
    assert!(!decided.is_finished());
    server.fake.release();
    assert_eq!(decided.await.unwrap().code, 0);
    drop(client);
    server.nothing_left().await;
}

#[tokio::test]
async fn a_cancelled_write_is_applied_and_leaves_nothing() {
    let server = Server::start();
    server.fake.hold.store(true, Ordering::SeqCst);
    let client = server.client().await;
    for i in 0..50 {
        let (response, mut send) = client
            .requests
            .clone()
            .ready()
            .await
            .unwrap()
            .send_request(request(PUT, &[]), false)
            .unwrap();
        send.send_data(frame(&put("k", b"v")), true).unwrap();
        until("it waits", || server.front.counts().waiting > i).await;
        drop((response, send));
    }
    until("all wait", || server.fake.held() == 50).await;
    drop(client);
    until("the connection is gone", || {
        server.front.counts().connections == 0
    })
    .await;
    server.fake.release();
    server.nothing_left().await;
    assert_eq!(server.fake.applied.load(Ordering::SeqCst), 50);
}

#[tokio::test]
async fn a_slow_client_of_a_large_answer_costs_two_chunks() {
    let server = Server::start();
    let client = server.client().await;
    let chunks = 64;
    let (response, mut send) = client
        .requests
        .clone()
        .send_request(request(RANGE, &[]), false)
        .unwrap();
    send.send_data(frame(&get(&format!("chunked:{chunks}"))), true)
        .unwrap();
    let mut body = soon("headers", response).await.unwrap().into_body();
    // h2's client opens windows of 64 KiB: nothing more moves while it does not read.
    until("the first chunks are read", || {
        server.fake.chunks_read.load(Ordering::SeqCst) >= 2
    })
    .await;
    let mut bytes = 0;
    while let Some(data) = soon("data", body.data()).await {
        let data = data.unwrap();
        bytes += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
        let sent_at_most = bytes + (64 << 10);
        let read = server.fake.chunks_read.load(Ordering::SeqCst) as usize;
        assert!(
            read <= sent_at_most / CHUNK_BYTES + 2,
            "{read} chunks are read when {bytes} bytes are sent"
        );
    }
    assert!(bytes > chunks * CHUNK_BYTES);
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    drop((client, send, body));
    server.nothing_left().await;
}

#[tokio::test]
async fn streamed_answers() {
    let server = Server::start();
    let client = server.client().await;
    let broken = client
        .exchange(request(RANGE, &[]), vec![frame(&get("large:3000000"))])
        .await
        .unwrap();
    assert_eq!(
        (broken.code, broken.messages[0].len() > 3_000_000),
        (0, true)
    );
    let stream = RangeRequest {
        key: "k".into(),
        range_end: "l".into(),
        limit: 100,
        ..Default::default()
    };
    let answer = client
        .call("/etcdserverpb.KV/RangeStream", &stream.encode_to_vec())
        .await;
    assert_eq!((answer.code, answer.messages.len()), (0, 100));
    for (i, message) in answer.messages.into_iter().enumerate() {
        let part = RangeStreamResponse::decode(message)
            .unwrap()
            .range_response
            .unwrap();
        assert_eq!(part.count, i as i64);
    }
    // An answer that breaks in the middle ends with the error in its trailers.
    let (response, mut send) = client
        .requests
        .clone()
        .send_request(request(RANGE, &[]), false)
        .unwrap();
    send.send_data(frame(&get("broken:4")), true).unwrap();
    let mut body = soon("headers", response).await.unwrap().into_body();
    while let Some(data) = soon("data", body.data()).await {
        body.flow_control()
            .release_capacity(data.unwrap().len())
            .unwrap();
    }
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "11");
    drop((client, send, body));
    server.nothing_left().await;
}

#[tokio::test]
async fn a_client_that_drops_a_large_answer_leaves_nothing() {
    let server = Server::start();
    let client = server.client().await;
    for key in ["chunked:40", "large:2000000"] {
        let (response, mut send) = client
            .requests
            .clone()
            .ready()
            .await
            .unwrap()
            .send_request(request(RANGE, &[]), false)
            .unwrap();
        send.send_data(frame(&get(key)), true).unwrap();
        let body = soon("headers", response).await.unwrap().into_body();
        drop((send, body));
        until("the call is gone", || server.front.counts().calls == 0).await;
    }
    drop(client);
    server.nothing_left().await;
}
