//! Calls that the control plane serves: events in order, answers, limits both ways, cancellation and deadlines.

mod common;

use bytes::Bytes;
use common::{HEALTH_WATCH, MEMBERS, Server, deframe, frame, read_answer, request, soon, until};
use netcd_front::limits::{CALL_MESSAGES_UNDRAINED_MAX, CALL_SEND_BYTES_HIGH};
use netcd_front::{FrontEvent, MetadataValue};

#[tokio::test]
async fn a_unary_call_goes_out_and_comes_back() {
    let server = Server::start();
    let client = server.client().await;
    let headers = [("token", "abc"), ("x-bin", "aGk"), ("grpc-timeout", "30S")];
    let call = client.clone();
    let answer = tokio::spawn(async move {
        // What Go skips, a known field of another wire type here, does not go out.
        call.call_with(MEMBERS, &headers, b"\x08\x01\x0a\x01x")
            .await
    });
    let FrontEvent::Call {
        call,
        path,
        metadata,
        peer,
        deadline_ms,
        listener,
        common_name,
    } = server.events.next().await
    else {
        panic!("a call expected");
    };
    assert_eq!(common_name, None, "there was no certificate");
    assert_eq!(
        (path.as_str(), listener.as_str(), deadline_ms),
        (MEMBERS, "client", Some(30_000))
    );
    assert!(peer.starts_with("127.0.0.1:"));
    assert!(metadata.contains(&("token".to_owned(), MetadataValue::Text("abc".to_owned()))));
    assert!(metadata.contains(&(
        "x-bin".to_owned(),
        MetadataValue::Binary(Bytes::from_static(b"hi"))
    )));
    assert!(
        matches!(server.events.next().await, FrontEvent::CallMessage { data, .. } if data[..] == *b"\x08\x01")
    );
    assert!(
        matches!(server.events.next().await, FrontEvent::CallHalfClose { call: of } if of == call)
    );
    assert!(server.front.call_send(call, Bytes::from_static(b"answer")));
    let trailers = vec![
        ("x-text".to_owned(), MetadataValue::Text("t".to_owned())),
        (
            "y-bin".to_owned(),
            MetadataValue::Binary(Bytes::from_static(b"hi")),
        ),
    ];
    server.front.call_end(call, 0, String::new(), trailers);
    let answer = answer.await.unwrap();
    assert_eq!(
        (answer.code, &answer.messages[..]),
        (0, &[Bytes::from_static(b"answer")][..])
    );
    assert_eq!(
        (&answer.trailers["x-text"], &answer.trailers["y-bin"]),
        (&"t".parse().unwrap(), &"aGk".parse().unwrap())
    );
    assert!(
        server.front.call_send(call, Bytes::new()),
        "what comes after the end is dropped"
    );
    drop(client);
    server.nothing_left().await;
    assert_eq!(
        server.events.waiting(),
        0,
        "a call that ended is not cancelled"
    );
}

#[tokio::test]
async fn an_error_is_trailers_only() {
    let server = Server::start();
    let client = server.client().await;
    let answer = tokio::spawn(async move { client.call(MEMBERS, b"").await });
    let call = server.events.call().await;
    server.front.call_end(
        call,
        7,
        "etcdserver: permission denied 100%".to_owned(),
        Vec::new(),
    );
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), (7, "etcdserver: permission denied 100%25"));
    assert!(answer.trailers.is_empty());
    server.nothing_left().await;
}

#[tokio::test]
async fn messages_stream_both_ways() {
    let server = Server::start();
    let client = server.client().await;
    let (response, mut send) = client.open(HEALTH_WATCH, &[]).await;
    send.send_data(frame(b"\x0a\x03one"), false).unwrap();
    let call = server.events.call().await;
    assert!(
        matches!(server.events.next().await, FrontEvent::CallMessage { data, .. } if data[..] == *b"\x0a\x03one")
    );
    server.front.call_send(call, Bytes::from_static(b"first"));
    let mut body = soon("headers", response).await.unwrap().into_body();
    assert_eq!(
        deframe(soon("data", body.data()).await.unwrap().unwrap()),
        ["first"]
    );
    send.send_data(frame(b"\x0a\x03two"), true).unwrap();
    assert!(
        matches!(server.events.next().await, FrontEvent::CallMessage { data, .. } if data[..] == *b"\x0a\x03two")
    );
    assert!(matches!(
        server.events.next().await,
        FrontEvent::CallHalfClose { .. }
    ));
    server.front.call_send(call, Bytes::from_static(b"second"));
    assert_eq!(
        deframe(soon("data", body.data()).await.unwrap().unwrap()),
        ["second"]
    );
    server.front.call_end(call, 0, String::new(), Vec::new());
    assert!(soon("end", body.data()).await.is_none());
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    drop((client, body, send));
    server.nothing_left().await;
}

#[tokio::test]
async fn a_client_that_sends_faster_than_events_are_drained_waits() {
    let server = Server::start();
    let client = server.client().await;
    let (_response, mut send) = client.open(HEALTH_WATCH, &[]).await;
    let total = CALL_MESSAGES_UNDRAINED_MAX as usize * 2 + 5;
    for _ in 0..total {
        send.send_data(frame(b"\x0a\x01m"), false).unwrap();
    }
    // Another call on the same connection is answered, so all that was sent has been looked at.
    let settle = || async {
        let client = client.clone();
        let range = netcd_engine::proto::etcdserverpb::RangeRequest {
            key: "k".into(),
            ..Default::default()
        };
        assert_eq!(
            client
                .call(common::RANGE, &prost::Message::encode_to_vec(&range))
                .await
                .code,
            0
        );
    };
    let mut seen = 0;
    let mut rounds = 0;
    server.events.call().await;
    while seen < total {
        let limit = (total - seen).min(CALL_MESSAGES_UNDRAINED_MAX as usize);
        until("the queue fills", || server.events.waiting() >= limit).await;
        settle().await;
        assert_eq!(server.events.waiting(), limit);
        for _ in 0..limit {
            assert!(matches!(
                server.events.next().await,
                FrontEvent::CallMessage { .. }
            ));
        }
        seen += limit;
        rounds += 1;
        server.front.events_drained();
    }
    assert_eq!(rounds, 3);
    drop((send, client, _response));
    server.nothing_left().await;
}

#[tokio::test]
async fn a_slow_reader_fills_the_queue_and_drains_it() {
    let server = Server::start();
    let client = server.client().await;
    let (response, mut send) = client.open(HEALTH_WATCH, &[]).await;
    send.send_data(frame(b"\x0a\x01m"), false).unwrap();
    let call = server.events.call().await;
    assert!(matches!(
        server.events.next().await,
        FrontEvent::CallMessage { .. }
    ));
    let message = Bytes::from(vec![1; CALL_SEND_BYTES_HIGH / 4]);
    let mut sent = 1;
    while server.front.call_send(call, message.clone()) {
        sent += 1;
    }
    assert!(sent >= 4);
    let mut body = soon("headers", response).await.unwrap().into_body();
    let mut left = sent * (message.len() + 5);
    while left > 0 {
        let data = soon("data", body.data()).await.unwrap().unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        left -= data.len();
    }
    assert!(
        matches!(server.events.next().await, FrontEvent::CallDrained { call: of } if of == call)
    );
    assert!(server.front.call_send(call, Bytes::from_static(b"more")));
    drop((client, body, send));
    assert!(matches!(
        server.events.next().await,
        FrontEvent::CallCancelled { code: 1, .. }
    ));
    server.nothing_left().await;
}

#[tokio::test]
async fn cancellation_deadline_and_broken_messages() {
    let server = Server::start();
    let client = server.client().await;
    let (response, send) = client.open(HEALTH_WATCH, &[]).await;
    let call = server.events.call().await;
    drop((response, send));
    assert!(
        matches!(server.events.next().await, FrontEvent::CallCancelled { call: of, code: 1 } if of == call)
    );

    let (response, _send) = client.open(HEALTH_WATCH, &[("grpc-timeout", "50m")]).await;
    let call = server.events.call().await;
    assert!(
        matches!(server.events.next().await, FrontEvent::CallCancelled { call: of, code: 4 } if of == call)
    );
    let answer = soon("answer", read_answer(response)).await.unwrap();
    assert_eq!(answer.status(), (4, "context deadline exceeded"));

    let broken = client
        .exchange(
            request(HEALTH_WATCH, &[]),
            vec![Bytes::from_static(b"\x09\0\0\0\0")],
        )
        .await
        .unwrap();
    assert_eq!(
        broken.status(),
        (13, "grpc: received unexpected payload format 9")
    );
    server.events.call().await;
    assert!(matches!(
        server.events.next().await,
        FrontEvent::CallCancelled { code: 13, .. }
    ));

    for (path, message, text) in [
        (
            HEALTH_WATCH,
            &b"\x0a\x02a"[..],
            "grpc: failed to unmarshal the received message: proto: cannot parse invalid wire-format data",
        ),
        (
            HEALTH_WATCH,
            b"\x0a\x01\xff",
            "grpc: failed to unmarshal the received message: string field contains invalid UTF-8",
        ),
        (
            MEMBERS,
            b"\x08",
            "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data",
        ),
    ] {
        let refused = client.call(path, message).await;
        assert_eq!(refused.status(), (13, text));
        server.events.call().await;
        assert!(matches!(
            server.events.next().await,
            FrontEvent::CallCancelled { code: 13, .. }
        ));
    }

    let bad = client
        .exchange(request(HEALTH_WATCH, &[("x-bin", "!")]), vec![])
        .await
        .unwrap();
    assert_eq!((bad.http_status, bad.code), (400, 13));
    drop((client, _send));
    server.nothing_left().await;
    assert_eq!(server.events.waiting(), 0);
}

#[tokio::test]
async fn a_lost_connection_cancels_its_calls() {
    let server = Server::start();
    let stream = tokio::net::TcpStream::connect(&server.address)
        .await
        .unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut requests: h2::client::SendRequest<Bytes> = requests.ready().await.unwrap();
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(
            requests
                .send_request(request(HEALTH_WATCH, &[]), false)
                .unwrap(),
        );
        server.events.call().await;
    }
    driver.abort();
    for _ in 0..20 {
        assert!(matches!(
            server.events.next().await,
            FrontEvent::CallCancelled { code: 1, .. }
        ));
    }
    server.nothing_left().await;
}
