//! Unary calls with auth on: whose token is looked up, what is refused before it gets anywhere, and what the control
//! plane is asked.

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use common::users::{
    ALICE, APPLIED, DENIED, INVALID_TOKEN, OLD_REVISION, REVISION, ROOT, USER_EMPTY, alice, enable,
    register, register_jwt, revoke,
};
use common::{
    COMPACT, Client, DELETE, GRANT, PUT, RANGE, RANGE_STREAM, REVOKE, Server, TXN, get, put, until,
};
use netcd_engine::auth::Caller;
use netcd_engine::error;
use netcd_engine::proto::etcdserverpb::request_op::Request;
use netcd_engine::proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest,
    RangeRequest, RequestOp, TxnRequest,
};
use netcd_engine::types::Completions;
use netcd_front::{FrontConfig, FrontEvent, TokenKind};
use prost::Message;

fn with_users(config: FrontConfig) -> Server {
    let server = Server::with(config);
    enable(&server.fake.auth);
    server.fake.applied_index.store(APPLIED, Ordering::SeqCst);
    server
}

/// The question that was asked, with its token.
async fn asked(server: &Server) -> (u64, String) {
    match server.events.next().await {
        FrontEvent::Identify { ask, token } => (ask, token),
        other => panic!("a question expected, not {other:?}"),
    }
}

fn txn(ops: Vec<Request>) -> Vec<u8> {
    let op = |request| RequestOp {
        request: Some(request),
    };
    let request = TxnRequest {
        failure: ops.into_iter().map(op).collect(),
        ..TxnRequest::default()
    };
    request.encode_to_vec()
}

fn put_op(key: &'static str) -> Request {
    Request::RequestPut(PutRequest {
        key: Bytes::from_static(key.as_bytes()),
        ..PutRequest::default()
    })
}

fn range_op(key: &'static str) -> Request {
    Request::RequestRange(RangeRequest {
        key: Bytes::from_static(key.as_bytes()),
        ..RangeRequest::default()
    })
}

#[tokio::test]
async fn while_auth_is_off_no_token_is_looked_at() {
    let server = Server::start();
    let client = server.client().await;
    for headers in [&[][..], &[("token", "junk")], &[("token", "future.99")]] {
        let answer = client.call_with(PUT, headers, &put("k", b"v")).await;
        assert_eq!(answer.code, 0);
        assert_eq!(client.call_with(RANGE, headers, &get("k")).await.code, 0);
    }
    assert_eq!(
        *server.fake.callers.lock().unwrap(),
        vec![Caller::Nobody; 3]
    );
    assert_eq!(server.events.waiting(), 0);
}

/// Another member has acknowledged a permission, which is not applied here when its user comes.
#[tokio::test]
async fn nobody_is_refused_by_a_table_that_lags_behind() {
    let server = with_users(FrontConfig::default());
    revoke(&server.fake.auth);
    server.fake.reads_wait.store(true, Ordering::SeqCst);
    let client = server.client().await;
    let write = |client: Client| async move {
        let answer = client.call_with(PUT, &[ALICE], &put("team/k", b"v")).await;
        (answer.code, answer.message.to_string())
    };
    for (granted, expected) in [(false, DENIED), (true, (0, ""))] {
        let call = tokio::spawn(write(client.clone()));
        until("it waits", || {
            server.fake.waiting_reads.lock().unwrap().len() == 1
        })
        .await;
        if granted {
            enable(&server.fake.auth);
        }
        let tokens = std::mem::take(&mut *server.fake.waiting_reads.lock().unwrap());
        server.fake.completions().reads_ready(tokens, Ok(()));
        let (code, text) = call.await.unwrap();
        assert_eq!((code, text.as_str()), expected);
    }
    let call = tokio::spawn(write(client.clone()));
    until("it is served without a wait", || call.is_finished()).await;
    revoke(&server.fake.auth);
    let call = tokio::spawn(write(client.clone()));
    until("it waits", || {
        server.fake.waiting_reads.lock().unwrap().len() == 1
    })
    .await;
    let tokens = std::mem::take(&mut *server.fake.waiting_reads.lock().unwrap());
    let lost = Err(error::LEADER_CHANGED);
    server.fake.completions().reads_ready(tokens, lost);
    assert_eq!(call.await.unwrap().0, error::LEADER_CHANGED.code as u8);
}

/// Starts more large puts than may wait, whose callers have yet to show who they are or that they may do it. Those that
/// need not wait for that have the answer `refused`; then what the others wait for comes, and all have `answer`.
async fn flood(
    server: &Server,
    headers: &'static [(&'static str, &'static str)],
    (refused, answer): ((u8, &str), (u8, &str)),
    end_wait: impl AsyncFn(),
) {
    const CALLS: usize = 40;
    let client = server.client().await;
    let calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let message = put("other", &[0; 1 << 20]);
                let answer = client.call_with(PUT, headers, &message).await;
                (answer.code, answer.message.to_string())
            })
        })
        .collect();
    let finished = || calls.iter().filter(|call| call.is_finished()).count();
    // 31 of them are as much as may wait.
    until("some are refused", || finished() == CALLS - 31).await;
    end_wait().await;
    let mut all = Vec::new();
    for call in calls {
        all.push(call.await.unwrap());
    }
    let of = |expected: (u8, &str)| {
        let is = |(code, text): &&(u8, String)| (*code, text.as_str()) == expected;
        all.iter().filter(is).count()
    };
    let expected = if refused == answer {
        (CALLS, CALLS)
    } else {
        (CALLS - 31, 31)
    };
    assert_eq!((of(refused), of(answer)), expected);
}

/// Nobody fills the memory of a member that waits for others, whatever tokens he makes up.
#[tokio::test]
async fn what_waits_for_its_caller_is_bounded() {
    let server = with_users(FrontConfig::default());
    server.fake.reads_wait.store(true, Ordering::SeqCst);
    let looked_at_again = async || {
        let tokens = std::mem::take(&mut *server.fake.waiting_reads.lock().unwrap());
        server.fake.completions().reads_ready(tokens, Ok(()));
    };
    for _ in 0..2 {
        flood(&server, &[], (USER_EMPTY, USER_EMPTY), looked_at_again).await;
    }
    let many = error::TOO_MANY_REQUESTS;
    let many = (many.code as u8, &*many.message);
    let future = &[("token", "nextnextnextnext.99")];
    let identified = async || {
        let (ask, _) = asked(&server).await;
        server.front.identified(ask, Err(error::INVALID_AUTH_TOKEN));
    };
    for _ in 0..2 {
        flood(&server, future, (many, INVALID_TOKEN), identified).await;
    }
}

#[tokio::test]
async fn a_write_goes_on_as_that_of_its_tokens_user() {
    let server = with_users(FrontConfig::default());
    let client = server.client().await;
    let bearer = format!("Bearer {}", ALICE.1);
    for headers in [
        &[ALICE][..],
        &[("authorization", ALICE.1)],
        &[("authorization", &bearer)],
        &[("token", &bearer)],
        &[ALICE, ("authorization", "junk")],
    ] {
        let answer = client.call_with(PUT, headers, &put("team/k", b"v")).await;
        assert_eq!(answer.status(), (0, ""), "{headers:?}");
    }
    let junk = [("token", "junk"), ("authorization", ALICE.1)];
    let answer = client.call_with(PUT, &junk, &put("team/k", b"v")).await;
    assert_eq!(answer.status(), INVALID_TOKEN);
    let callers = std::mem::take(&mut *server.fake.callers.lock().unwrap());
    assert_eq!(callers, vec![alice(REVISION); 5]);
    // A simple token stands for the current revision.
    revoke(&server.fake.auth);
    assert_eq!(
        client.call_with(GRANT, &[ALICE], &[]).await.status(),
        (0, "")
    );
    let callers = server.fake.callers.lock().unwrap();
    assert_eq!(*callers, vec![alice(REVISION + 1)]);
}

/// A kind of call: what alice may not do of it, and what she may.
struct Kind {
    path: &'static str,
    denied: Vec<u8>,
    permitted: Option<Vec<u8>>,
}

fn kinds() -> Vec<Kind> {
    let kind = |path, denied, permitted| Kind {
        path,
        denied,
        permitted,
    };
    let delete = |key: &'static str| {
        let key = Bytes::from_static(key.as_bytes());
        let request = DeleteRangeRequest {
            key,
            ..DeleteRangeRequest::default()
        };
        request.encode_to_vec()
    };
    let compaction = CompactionRequest {
        revision: 1,
        ..CompactionRequest::default()
    };
    let reads_other = txn(vec![put_op("team/k"), range_op("other")]);
    let reads_shared = txn(vec![put_op("team/k"), range_op("shared")]);
    vec![
        kind(PUT, put("other", b"v"), Some(put("team/k", b"v"))),
        kind(DELETE, delete("other"), Some(delete("team/k"))),
        kind(TXN, reads_other, Some(reads_shared)),
        kind(
            TXN,
            txn(vec![range_op("other")]),
            Some(txn(vec![range_op("team/k")])),
        ),
        kind(RANGE, get("other"), Some(get("shared"))),
        kind(RANGE_STREAM, get("other"), Some(get("team/k"))),
        kind(COMPACT, compaction.encode_to_vec(), None),
    ]
}

#[tokio::test]
async fn what_is_refused_gets_nowhere_and_is_counted() {
    let server = with_users(FrontConfig::default());
    let client = server.client().await;
    for kind in kinds() {
        let Kind {
            path,
            denied,
            permitted,
        } = kind;
        for (headers, expected) in [
            (&[][..], USER_EMPTY),
            (&[("token", "junk")], INVALID_TOKEN),
            // Of an index that is applied, so it is registered or gone.
            (&[("token", "gonegonegonegone.10")], INVALID_TOKEN),
            (&[ALICE], DENIED),
        ] {
            let answer = client.call_with(path, headers, &denied).await;
            assert_eq!(answer.status(), expected, "{path} {headers:?}");
        }
        assert!(server.fake.submitted().is_empty(), "{path}");
        let permitted = permitted.map(|message| (ALICE, message));
        for (user, message) in permitted.into_iter().chain([(ROOT, denied)]) {
            let answer = client.call_with(path, &[user], &message).await;
            assert_eq!(answer.status(), (0, ""), "{path}");
        }
        server.fake.forget_submitted();
    }
    assert_eq!(server.events.waiting(), 0);
    let metrics = server.front.metrics();
    let count = |code: &str, method: &str| {
        let line = format!(
            "grpc_server_handled_total{{grpc_code=\"{code}\",grpc_method=\"{method}\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}} "
        );
        let found = metrics.lines().find_map(|text| text.strip_prefix(&line));
        found.map(str::to_owned)
    };
    for method in ["Put", "Range", "Compact"] {
        assert_eq!(count("InvalidArgument", method).as_deref(), Some("1"));
        assert_eq!(count("Unauthenticated", method).as_deref(), Some("2"));
        assert_eq!(count("PermissionDenied", method).as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn for_leases_an_identity_is_enough() {
    let server = with_users(FrontConfig::default());
    let client = server.client().await;
    let grant = LeaseGrantRequest { id: 0, ttl: 5 }.encode_to_vec();
    let revoke = LeaseRevokeRequest { id: 5 }.encode_to_vec();
    for (path, message) in [(GRANT, grant), (REVOKE, revoke)] {
        let answer = client.call(path, &message).await;
        assert_eq!(answer.status(), USER_EMPTY);
        let junk = client.call_with(path, &[("token", "x.1")], &message).await;
        assert_eq!(junk.status(), INVALID_TOKEN);
        assert!(server.fake.submitted().is_empty());
        assert_eq!(client.call_with(path, &[ALICE], &message).await.code, 0);
        server.fake.forget_submitted();
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_request_is_said_in_etcds_order() {
    let server = with_users(FrontConfig {
        max_request_bytes: 1000,
        ..FrontConfig::default()
    });
    let client = server.client().await;
    let large = put("other", &[0; 1000]);
    let too_large = (3, "etcdserver: request is too large");
    for (headers, message, expected) in [
        // A request that is none, whoever asks.
        (
            &[][..],
            put("", b""),
            (3, "etcdserver: key is not provided"),
        ),
        (
            &[("token", "junk")],
            put("", b""),
            (3, "etcdserver: key is not provided"),
        ),
        // Then a token that is none, then the size, then what is permitted.
        (&[("token", "junk")], large.clone(), INVALID_TOKEN),
        (&[], large.clone(), too_large),
        (&[ALICE], large, too_large),
    ] {
        let answer = client.call_with(PUT, headers, &message).await;
        assert_eq!(answer.status(), expected, "{headers:?}");
    }
}

#[tokio::test]
async fn a_connection_forgets_a_token_that_is_withdrawn() {
    let server = with_users(FrontConfig::default());
    let client = server.client().await;
    let call = async || {
        let answer = client.call_with(RANGE, &[ALICE], &get("team/k")).await;
        (answer.code, answer.message)
    };
    for _ in 0..3 {
        assert_eq!(call().await, (0, String::new()));
    }
    server.fake.auth.tokens().forget_user(b"alice");
    let (code, text) = INVALID_TOKEN;
    assert_eq!(call().await, (code, text.to_owned()));
    register(&server.fake.auth, ALICE, "alice");
    assert_eq!(call().await, (0, String::new()));
}

#[tokio::test]
async fn a_read_is_checked_when_it_is_served() {
    let server = with_users(FrontConfig::default());
    server.fake.reads_wait.store(true, Ordering::SeqCst);
    let client = server.client().await;
    let reads = [(RANGE, get("team/k")), (TXN, txn(vec![range_op("team/k")]))];
    let calls: Vec<_> = reads
        .into_iter()
        .map(|(path, message)| {
            let client = client.clone();
            tokio::spawn(async move { client.call_with(path, &[ALICE], &message).await })
        })
        .collect();
    until("both wait", || {
        server.fake.waiting_reads.lock().unwrap().len() == 2
    })
    .await;
    revoke(&server.fake.auth);
    let tokens = std::mem::take(&mut *server.fake.waiting_reads.lock().unwrap());
    server.fake.completions().reads_ready(tokens, Ok(()));
    for call in calls {
        assert_eq!(call.await.unwrap().status(), DENIED);
    }
}

#[tokio::test]
async fn a_jwt_of_an_older_revision_is_told_so() {
    let server = with_users(FrontConfig {
        tokens: TokenKind::Jwt,
        ..FrontConfig::default()
    });
    let client = server.client().await;
    register_jwt(&server.fake.auth, "now", "alice", REVISION);
    register_jwt(&server.fake.auth, "old", "alice", REVISION - 1);
    for (path, message) in [(PUT, put("team/k", b"v")), (RANGE, get("team/k"))] {
        let now = client.call_with(path, &[("token", "now")], &message).await;
        assert_eq!(now.status(), (0, ""));
        let old = client.call_with(path, &[("token", "old")], &message).await;
        assert_eq!(old.status(), OLD_REVISION);
    }
    assert_eq!(*server.fake.callers.lock().unwrap(), [alice(REVISION)]);
}

/// A call that waits for its token.
fn waiting(
    client: &Client,
    headers: &'static [(&'static str, &'static str)],
) -> tokio::task::JoinHandle<common::Answer> {
    let client = client.clone();
    tokio::spawn(async move { client.call_with(PUT, headers, &put("team/k", b"v")).await })
}

#[tokio::test]
async fn a_token_of_an_index_that_is_not_applied_is_asked_for_once() {
    let server = with_users(FrontConfig::default());
    let client = server.client().await;
    let headers = &[("token", "nextnextnextnext.11")];
    let calls = [waiting(&client, headers), waiting(&client, headers)];
    let (ask, token) = asked(&server).await;
    assert_eq!(token, headers[0].1);
    until("both wait", || server.front.counts().calls == 2).await;
    register(&server.fake.auth, headers[0], "alice");
    server.front.identified(ask, Ok(()));
    for call in calls {
        assert_eq!(call.await.unwrap().status(), (0, ""));
    }
    assert_eq!(server.events.waiting(), 0);
    assert_eq!(
        *server.fake.callers.lock().unwrap(),
        vec![alice(REVISION); 2]
    );
}

#[tokio::test]
async fn the_control_planes_refusal_is_the_answer_and_an_answer_that_does_not_help_is_no_question()
{
    let server = with_users(FrontConfig {
        tokens: TokenKind::Jwt,
        ..FrontConfig::default()
    });
    let client = server.client().await;
    for (answer, expected) in [
        (
            Err(error::TOO_MANY_REQUESTS),
            (2, "etcdserver: too many requests"),
        ),
        (Err(error::INVALID_AUTH_TOKEN), INVALID_TOKEN),
        // It says that the token is registered, and it is not.
        (Ok(()), INVALID_TOKEN),
    ] {
        let call = waiting(&client, &[("authorization", "Bearer a.b.c")]);
        let (ask, token) = asked(&server).await;
        assert_eq!(token, "a.b.c");
        server.front.identified(ask, answer);
        assert_eq!(call.await.unwrap().status(), expected);
    }
    assert!(server.fake.submitted().is_empty());
    // An answer to nothing is none.
    server.front.identified(99, Ok(()));
    drop(client);
    server.nothing_left().await;
}

#[tokio::test]
async fn nobody_waits_for_an_answer_longer_than_for_others() {
    let server = with_users(FrontConfig {
        request_timeout: Duration::from_millis(50),
        ..FrontConfig::default()
    });
    let client = server.client().await;
    let late = waiting(&client, &[("token", "x.11"), ("grpc-timeout", "5m")]);
    assert_eq!(
        late.await.unwrap().status(),
        (4, "context deadline exceeded")
    );
    let late = waiting(&client, &[("token", "y.11")]);
    assert_eq!(
        late.await.unwrap().status(),
        (14, "etcdserver: request timed out")
    );
}

#[tokio::test]
async fn without_a_kind_of_token_none_is_good() {
    let server = with_users(FrontConfig {
        tokens: TokenKind::None,
        ..FrontConfig::default()
    });
    let client = server.client().await;
    for token in ["a.b.c", "x.99"] {
        let headers = [("token", token)];
        let answer = client.call_with(RANGE, &headers, &get("k")).await;
        assert_eq!(answer.status(), INVALID_TOKEN);
    }
    assert_eq!(server.events.waiting(), 0);
}
