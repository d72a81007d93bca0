//! KV calls over a real socket: framing, and refusals with etcd's and gRPC's texts.

mod common;

use std::sync::atomic::Ordering;

use bytes::Bytes;
use common::{PUT, RANGE, Server, frame, frame_with, get, put, read_answer, request, soon};
use netcd_engine::error;
use netcd_engine::proto::etcdserverpb::{
    PutResponse, RangeRequest, RequestOp, TxnRequest, request_op,
};
use netcd_front::ServingState;
use prost::Message;

#[tokio::test]
async fn serves_reads_and_writes() {
    let server = Server::start();
    let client = server.client().await;
    let read = client.call(RANGE, &get("foo")).await;
    assert_eq!((read.http_status, read.code), (200, 0));
    assert_eq!(read.headers["content-type"], "application/grpc");
    assert_eq!(read.key(), "foo");
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
    assert_eq!(refused.status(), (2, "etcdserver: too many requests"));
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
    assert_eq!(none.status(), (2, "EOF"));
    let cut = client
        .exchange(request(RANGE, &[]), vec![frame(b"abc").slice(..6)])
        .await
        .unwrap();
    assert_eq!(cut.status(), (2, "unexpected EOF"));
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
        assert_eq!(answer.key(), "pieces");
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
    assert_eq!(answer.key(), "packed");
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
    let (response, mut send) = client.open(RANGE, &[]).await;
    send.send_data(whole, false).unwrap();
    assert_eq!(soon("answer", read_answer(response)).await.unwrap().code, 0);
    drop((client, send));
    server.nothing_left().await;
}

#[tokio::test]
async fn interceptors_refuse_in_etcds_order() {
    let server = Server::start();
    let client = server.client().await;
    let state = |is_learner, has_leader| ServingState {
        has_leader,
        is_learner,
    };
    let leader = [("hasleader", "true"), ("client-api-version", "3.7")];
    server.front.set_serving(state(true, false));
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
    server.front.set_serving(state(false, false));
    let refused = client.call_with(RANGE, &leader, &get("k")).await;
    assert_eq!(refused.status(), (14, "etcdserver: no leader"));
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
        refused.status(),
        (3, "etcdserver: invalid client api version")
    );
    let metrics = server.front.metrics();
    assert!(metrics.contains(
        "etcd_server_client_requests_total{client_api_version=\"3.7\",type=\"unary\"} 1\n"
    ));
    assert!(metrics.contains("grpc_server_handled_total{grpc_code=\"Unavailable\",grpc_method=\"Range\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 1\n"));
}
