//! The line `request stats`: for calls that took too long, or for all; with what was asked for, and never with a value.

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{MEMBERS, PUT, RANGE, Server, get, put};
use netcd_front::{FrontConfig, FrontEvent, RequestStats};

fn slower_than(slow_request: Duration) -> FrontConfig {
    FrontConfig {
        slow_request,
        ..Default::default()
    }
}

async fn stats(server: &Server) -> RequestStats {
    loop {
        if let FrontEvent::RequestStats(stats) = server.events.next().await {
            return *stats;
        }
    }
}

/// Counts and bytes of request and response.
fn figures(stats: &RequestStats) -> [i64; 4] {
    let RequestStats {
        request_count,
        request_bytes,
        response_count,
        response_bytes,
        ..
    } = stats;
    [
        *request_count,
        *request_bytes,
        *response_count,
        *response_bytes,
    ]
}

#[tokio::test]
async fn only_calls_over_the_warning_time_are_told_of() {
    let limit = Duration::from_millis(100);
    let server = Server::with(slower_than(limit));
    let client = server.client().await;
    assert_eq!(client.call(PUT, &put("fast", b"v")).await.code, 0);
    server.fake.hold.store(true, Ordering::SeqCst);
    let held = {
        let client = client.clone();
        tokio::spawn(async move { client.call(PUT, &put("slow", b"secret")).await })
    };
    tokio::time::sleep(2 * limit).await;
    server.fake.release();
    assert_eq!(held.await.unwrap().code, 0);
    let told = stats(&server).await;
    assert!(told.warn && told.took > limit, "{told:?}");
    assert_eq!(told.path, PUT);
    assert!(told.peer.starts_with("127.0.0.1:"), "{}", told.peer);
    assert_eq!(told.content, "key:\"slow\" value_size:6 ");
    let request = put("slow", b"secret").len() as i64;
    assert_eq!(figures(&told)[..3], [1, request, 0]);
    assert_eq!(server.events.waiting(), 0, "the fast one is not told of");
}

#[tokio::test]
async fn all_are_told_of_at_the_level_debug_with_etcds_figures() {
    let config = FrontConfig {
        log_requests: true,
        ..Default::default()
    };
    let server = Server::with(config);
    let client = server.client().await;
    for (path, request, code, content) in [
        (RANGE, get("k"), 0, "key:\"k\""),
        (RANGE, get("chunked:3"), 0, "key:\"chunked:3\""),
        (RANGE, get("fail"), 11, "key:\"fail\""),
        (RANGE, get(""), 3, ""),
        (PUT, put("k", b"secret"), 0, "key:\"k\" value_size:6 "),
        (PUT, put("", b"secret"), 3, "value_size:6 "),
    ] {
        let answer = client.call(path, &request).await;
        assert_eq!(answer.code, code, "{path}");
        let told = stats(&server).await;
        assert!(!told.warn && told.path == path);
        let [count, bytes, answers, answer_bytes] = figures(&told);
        assert_eq!(count, i64::from(path == PUT));
        assert_eq!(bytes, request.len() as i64);
        assert_eq!(answers, i64::from(path == RANGE && code == 0));
        let sent = answer.messages.first().map_or(0, bytes::Bytes::len);
        assert_eq!(answer_bytes, sent as i64);
        assert_eq!(told.content, content);
    }
    let reads = server.fake.slow_reads.lock().unwrap().clone();
    assert!(
        reads[0].starts_with("Range key:\"k\" -> range_response_count:1 size:"),
        "{reads:?}"
    );
    assert_eq!(reads.len(), 3, "a refused request is no read");
}

#[tokio::test]
async fn calls_of_the_control_plane_are_told_of_without_figures() {
    let server = Server::with(slower_than(Duration::ZERO));
    let client = server.client().await;
    let held = tokio::spawn(async move { client.call(MEMBERS, b"").await });
    let call = server.events.call().await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    server.front.call_end(call, 5, "none".into(), Vec::new());
    assert_eq!(held.await.unwrap().code, 5);
    let told = stats(&server).await;
    assert_eq!(told.path, MEMBERS);
    assert_eq!(figures(&told), [-1; 4]);
}

#[tokio::test]
async fn a_write_that_ran_out_of_time_is_told_of_with_its_request() {
    let config = FrontConfig {
        request_timeout: Duration::from_millis(100),
        ..slower_than(Duration::from_millis(50))
    };
    let server = Server::with(config);
    server.fake.hold.store(true, Ordering::SeqCst);
    let client = server.client().await;
    assert_eq!(client.call(PUT, &put("k", b"secret")).await.code, 14);
    let told = stats(&server).await;
    assert_eq!(told.content, "key:\"k\" value_size:6 ");
    assert_eq!(figures(&told)[2..], [0, 0]);
    server.fake.release();
}

#[tokio::test]
async fn a_read_whose_barrier_fails_is_told_of_with_its_request() {
    let server = Server::with(FrontConfig {
        request_timeout: Duration::from_millis(100),
        ..slower_than(Duration::from_millis(50))
    });
    server.fake.reads_wait.store(true, Ordering::SeqCst);
    let client = server.client().await;
    assert_eq!(client.call(RANGE, &get("k")).await.code, 14);
    assert_eq!(stats(&server).await.content, "key:\"k\"");
    let reads = server.fake.slow_reads.lock().unwrap().clone();
    assert_eq!(reads, ["Range key:\"k\" -> "]);
}
