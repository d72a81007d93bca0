//! Large answers of KV calls: in how many pieces they come, and what slow and absent readers of them cost.

mod common;

use std::sync::atomic::Ordering;

use common::fake::CHUNK_BYTES;
use common::{RANGE, Server, frame, get, request, soon, until};
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
    // An answer that breaks in the middle ends with the error in its trailers.
    let (response, mut send) = client.open(RANGE, &[]).await;
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
