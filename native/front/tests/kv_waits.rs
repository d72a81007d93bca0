//! KV calls that wait: for a barrier, a deadline, a compaction; and what is left of those that nobody waits for.

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{COMPACT, PUT, RANGE, Server, frame, get, put, until};
use netcd_engine::error;
use netcd_engine::proto::etcdserverpb::CompactionRequest;
use netcd_engine::types::Completions;
use netcd_front::{FrontConfig, ServingState};
use prost::Message;

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

/// Anybody can send them: whose they are is asked when they are served.
#[tokio::test]
async fn large_reads_that_wait_are_bounded_in_bytes() {
    let server = Server::start();
    server.fake.reads_wait.store(true, Ordering::SeqCst);
    let client = server.client().await;
    for _ in 0..2 {
        let key = "k".repeat(1 << 20);
        let mut calls: Vec<_> = (0..40)
            .map(|_| {
                let (client, request) = (client.clone(), get(&key));
                tokio::spawn(async move { client.call(RANGE, &request).await })
            })
            .collect();
        let waiting = || server.fake.waiting_reads.lock().unwrap().len();
        until("the others are refused", || {
            waiting() == 31 && calls.iter().filter(|call| call.is_finished()).count() == 9
        })
        .await;
        let small = client.clone();
        calls.push(tokio::spawn(
            async move { small.call(RANGE, &get("k")).await },
        ));
        until("a small one waits", || waiting() == 32).await;
        let tokens = std::mem::take(&mut *server.fake.waiting_reads.lock().unwrap());
        server.fake.completions().reads_ready(tokens, Ok(()));
        let many = error::TOO_MANY_REQUESTS;
        let mut refused = 0;
        for call in calls {
            let answer = call.await.unwrap();
            if answer.code != 0 {
                assert_eq!(answer.status(), (many.code as u8, &*many.message));
                refused += 1;
            }
        }
        assert_eq!(refused, 9);
    }
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
    assert_eq!(late.status(), (4, "context deadline exceeded"));
    let late = client.call(PUT, &put("k", b"v")).await;
    assert_eq!(late.status(), (14, "etcdserver: request timed out"));
    server.front.set_serving(ServingState {
        has_leader: false,
        ..common::leading()
    });
    assert_eq!(client.call(PUT, &put("k", b"v")).await.code, 4);
    server.front.set_serving(common::leading());
    // Proposed by a leader that is none any more when the time is up: what became of it is not known.
    let proposed = client.clone();
    let call = tokio::spawn(async move { proposed.call(PUT, &put("k", b"v")).await });
    until("it is proposed", || server.fake.held() == 4).await;
    server.front.set_serving(ServingState {
        has_leader: false,
        ..common::leading()
    });
    let late = call.await.unwrap();
    assert_eq!(late.status(), (14, "etcdserver: request timed out"));
    server.front.set_serving(common::leading());
    // New calls take the slots of the old ones; the late answers must not reach them.
    let waiting = client.clone();
    let call = tokio::spawn(async move { waiting.call_with(RANGE, &[], &get("mine")).await });
    assert_eq!(server.fake.held(), 4);
    server.fake.release();
    let answer = call.await.unwrap();
    assert_eq!(answer.key(), "mine");
    assert_eq!(client.call(PUT, &put("k", b"v")).await.code, 0);
    assert_eq!(
        server.fake.applied.load(Ordering::SeqCst),
        5,
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
        assert_eq!(answer.status(), (14, "etcdserver: request timed out"));
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
        let (response, mut send) = client.open(PUT, &[]).await;
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
