//! Large answers of KV calls: in how many pieces they come, and what slow and absent readers of them cost.

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::fake::CHUNK_BYTES;
use common::{RANGE, Server, deframe, frame, get, request, soon, until};
use netcd_engine::proto::etcdserverpb::{RangeRequest, RangeStreamResponse};
use prost::Message;

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
    drop(client);
    server.nothing_left().await;
}

#[tokio::test]
async fn an_answer_that_breaks_inside_its_message_is_reset() {
    let server = Server::start();
    let client = server.client().await;
    let (response, mut send) = client.open(RANGE, &[]).await;
    send.send_data(frame(&get("broken:4")), true).unwrap();
    let mut body = soon("headers", response).await.unwrap().into_body();
    let reason = loop {
        match soon("data", body.data()).await {
            Some(Ok(data)) => body.flow_control().release_capacity(data.len()).unwrap(),
            Some(Err(broken)) => break broken.reason(),
            None => panic!("trailers after a part of a message"),
        }
    };
    assert_eq!(reason, Some(h2::Reason::INTERNAL_ERROR));
    drop((client, send, body));
    server.nothing_left().await;
}

#[tokio::test]
async fn a_slow_client_of_a_large_answer_costs_two_chunks() {
    let server = Server::start();
    let client = server.client().await;
    let chunks = 64;
    let (response, mut send) = client.open(RANGE, &[]).await;
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
async fn a_deadline_inside_a_message_does_not_cut_it() {
    let server = Server::start();
    let client = server.client().await;
    for key in ["chunked:8", "large:2000000"] {
        let (response, mut send) = client.open(RANGE, &[("grpc-timeout", "100m")]).await;
        send.send_data(frame(&get(key)), true).unwrap();
        let mut body = soon("headers", response).await.unwrap().into_body();
        // The window is closed until the deadline is long over.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut bytes = Vec::new();
        while let Some(data) = soon("data", body.data()).await {
            let data = data.expect("the message is not broken off");
            bytes.extend_from_slice(&data);
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        assert_eq!(deframe(bytes.into()).len(), 1, "{key}");
        assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    }
    drop(client);
    server.nothing_left().await;
}

#[tokio::test]
async fn a_deadline_between_messages_is_told() {
    let server = Server::start();
    let client = server.client().await;
    let stream = RangeRequest {
        key: "large:".into(),
        range_end: "m".into(),
        limit: 100,
        ..Default::default()
    };
    let headers = [("grpc-timeout", "100m")];
    let (response, mut send) = client.open("/etcdserverpb.KV/RangeStream", &headers).await;
    send.send_data(frame(&stream.encode_to_vec()), true)
        .unwrap();
    let mut body = soon("headers", response).await.unwrap().into_body();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut bytes = Vec::new();
    while let Some(data) = soon("data", body.data()).await {
        let data = data.unwrap();
        bytes.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    let messages = deframe(bytes.into()).len();
    assert!((1..100).contains(&messages), "{messages} whole messages");
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "4");
    drop((client, body, send));
    server.nothing_left().await;
}

#[tokio::test]
async fn a_client_that_drops_a_large_answer_leaves_nothing() {
    let server = Server::start();
    let client = server.client().await;
    for key in ["chunked:40", "large:2000000"] {
        let (response, mut send) = client.open(RANGE, &[]).await;
        send.send_data(frame(&get(key)), true).unwrap();
        let body = soon("headers", response).await.unwrap().into_body();
        drop((send, body));
        until("the call is gone", || server.front.counts().calls == 0).await;
    }
    drop(client);
    server.nothing_left().await;
}
