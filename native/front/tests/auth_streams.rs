//! Streams with auth on: watches are asked for when they begin and whenever somebody loses something, keep-alives at
//! each message.

mod common;

use std::sync::atomic::Ordering;

use bytes::Bytes;
use common::users::{
    ALICE, APPLIED, DENIED, INVALID_TOKEN, REVISION, ROOT, USER_EMPTY, enable, register,
    register_jwt, revoke,
};
use common::watching::{Stream, watch};
use common::{Client, KEEP_ALIVE, Server, frame, read_answer, soon, until};
use netcd_engine::auth::{AUTH_ENABLED, TokenGrant};
use netcd_engine::error;
use netcd_engine::proto::etcdserverpb::watch_request::RequestUnion;
use netcd_engine::proto::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, PutRequest, WatchCreateRequest, WatchProgressRequest,
    WatchResponse,
};
use netcd_engine::types::OpKind;
use netcd_front::{FrontConfig, FrontEvent, TokenKind};
use prost::Message;

const REASON_DENIED: &str =
    "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
const REASON_TOKEN: &str =
    "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";
const LEASE: i64 = 77;

fn with_users(tokens: TokenKind) -> Server {
    let server = Server::with(FrontConfig {
        tokens,
        ..FrontConfig::default()
    });
    enable(&server.fake.auth);
    server.fake.applied_index.store(APPLIED, Ordering::SeqCst);
    server
}

fn put(server: &Server, key: &'static str, lease: i64) {
    let request = PutRequest {
        key: Bytes::from_static(key.as_bytes()),
        value: Bytes::from_static(b"v"),
        lease,
        ..PutRequest::default()
    };
    server.fake.apply(OpKind::Put, &request);
}

fn assert_refused(response: &WatchResponse, reason: &str) {
    assert_eq!(
        (response.watch_id, response.created, response.canceled),
        (-1, true, true)
    );
    assert_eq!(response.cancel_reason, reason);
}

async fn assert_cancelled(stream: &mut Stream, watch_id: i64) {
    let response = stream.next().await.unwrap();
    assert_eq!((response.watch_id, response.events.len()), (watch_id, 0));
    assert!(response.canceled && !response.created);
    assert_eq!(response.cancel_reason, REASON_DENIED);
}

async fn asked(server: &Server) -> u64 {
    match server.events.next().await {
        FrontEvent::Identify { ask, .. } => ask,
        other => panic!("a question expected, not {other:?}"),
    }
}

#[tokio::test]
async fn a_watch_that_is_refused_disturbs_no_other() {
    let server = with_users(TokenKind::Simple);
    let client = server.client().await;
    let mut stream = Stream::open(&client, &[ALICE]).await;
    stream.create(watch("team/", "team0")).await;
    for refused in [
        watch("other", ""),
        watch("team/", "team1"),
        // What is asked for is all keys from `shared` on, of which she may read the first.
        watch("shared", "\0"),
        watch("", ""),
    ] {
        assert_refused(&stream.create(refused).await, REASON_DENIED);
    }
    let negative = WatchCreateRequest {
        start_revision: -1,
        ..watch("other", "")
    };
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    assert_refused(&stream.create(negative).await, compacted);
    put(&server, "other", 0);
    put(&server, "team/k", 0);
    assert_eq!(stream.values(0, 1).await, ["v"]);
    let mut nobody = Stream::open(&client, &[]).await;
    let reason = "rpc error: code = InvalidArgument desc = etcdserver: user name is empty";
    assert_refused(&nobody.create(watch("k", "")).await, reason);
}

#[tokio::test]
async fn a_watch_ends_with_the_permission_and_the_others_of_its_stream_go_on() {
    let server = with_users(TokenKind::Simple);
    let client = server.client().await;
    let mut alice = Stream::open(&client, &[ALICE]).await;
    alice.create(watch("team/", "team0")).await;
    alice.create(watch("shared", "")).await;
    let mut root = Stream::open(&client, &[ROOT]).await;
    root.create(watch("team/", "team0")).await;
    revoke(&server.fake.auth);
    put(&server, "team/k", 0);
    put(&server, "shared", 0);
    assert_cancelled(&mut alice, 0).await;
    assert_eq!(alice.values(1, 1).await, ["v"]);
    assert_eq!(root.values(0, 1).await, ["v"]);
    assert_eq!(server.fake.store().watch_hub().stats().watchers, 2);
}

#[tokio::test]
async fn watches_end_with_the_token_when_it_is_withdrawn_and_not_when_its_time_is_over() {
    let server = with_users(TokenKind::Simple);
    let auth = &server.fake.auth;
    let client = server.client().await;
    let grant = TokenGrant {
        user: Bytes::from_static(b"alice"),
        revision: None,
        // It lasts until the first watch is there.
        ttl_ms: Some(60_000),
        renewed: false,
    };
    auth.tokens().insert(b"short.5", grant, 0);
    let mut stream = Stream::open(&client, &[("token", "short.5")]).await;
    stream.create(watch("team/", "team0")).await;
    // Forgotten as one whose time is over is.
    auth.tokens().sweep(u64::MAX - 1);
    register(auth, ALICE, "alice");
    revoke_nothing(&server);
    put(&server, "team/k", 0);
    assert_eq!(stream.values(0, 1).await, ["v"]);
    auth.tokens().forget_user(b"alice");
    assert_cancelled(&mut stream, 0).await;
    // The stream is still there, for nothing.
    assert_refused(&stream.create(watch("team/", "")).await, REASON_TOKEN);
    stream.send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    stream.send.send_data(Bytes::new(), true).unwrap();
    drop((stream, client));
    server.nothing_left().await;
}

/// Moves the revision, and with it the generation.
fn revoke_nothing(server: &Server) {
    let revision = (REVISION + 1).to_be_bytes();
    let row = netcd_engine::auth::AUTH_REVISION;
    server.fake.auth.write(row, Some(&revision)).unwrap();
}

#[tokio::test]
async fn who_watches_without_a_name_is_sent_away_when_auth_comes_on_and_nobody_when_it_goes_off() {
    let server = Server::start();
    let client = server.client().await;
    let mut nobody = Stream::open(&client, &[]).await;
    nobody.create(watch("team/", "team0")).await;
    enable(&server.fake.auth);
    assert_cancelled(&mut nobody, 0).await;
    let mut alice = Stream::open(&client, &[ALICE]).await;
    alice.create(watch("team/", "team0")).await;
    server.fake.auth.write(AUTH_ENABLED, Some(&[0])).unwrap();
    server.fake.auth.tokens().clear();
    put(&server, "team/k", 0);
    assert_eq!(alice.values(0, 1).await, ["v"]);
}

#[tokio::test]
async fn a_jwt_may_grow_old_under_a_watch_that_is_still_permitted() {
    let server = with_users(TokenKind::Jwt);
    let client = server.client().await;
    let mut stream = Stream::open(&client, &[("token", "a.b.c")]).await;
    stream.send(RequestUnion::CreateRequest(watch("team/", "team0")));
    stream.send(RequestUnion::CreateRequest(watch("shared", "")));
    let ask = asked(&server).await;
    register_jwt(&server.fake.auth, "a.b.c", "alice", REVISION);
    server.front.identified(ask, Ok(()));
    for id in [0, 1] {
        let created = stream.next().await.unwrap();
        assert_eq!((created.watch_id, created.created), (id, true));
    }
    revoke(&server.fake.auth);
    put(&server, "team/k", 0);
    put(&server, "shared", 0);
    assert_cancelled(&mut stream, 0).await;
    assert_eq!(stream.values(1, 1).await, ["v"]);
    // A new one needs a new token; etcd's client gets one when it reads this.
    let reason =
        "rpc error: code = InvalidArgument desc = etcdserver: revision of auth store is old";
    assert_refused(&stream.create(watch("shared", "")).await, reason);
}

#[tokio::test]
async fn a_watch_that_waits_for_its_token_holds_up_no_other() {
    let server = with_users(TokenKind::Jwt);
    register_jwt(&server.fake.auth, "a.b.c", "alice", REVISION);
    let client = server.client().await;
    let mut stream = Stream::open(&client, &[("token", "a.b.c")]).await;
    stream.create(watch("team/", "team0")).await;
    let mut other = Stream::open(&client, &[("token", "x.y.z")]).await;
    other.send(RequestUnion::CreateRequest(watch("team/", "")));
    let ask = asked(&server).await;
    put(&server, "team/k", 0);
    assert_eq!(stream.values(0, 1).await, ["v"]);
    server.front.identified(ask, Err(error::INVALID_AUTH_TOKEN));
    let refused = other.next().await.unwrap();
    assert_refused(&refused, REASON_TOKEN);
}

#[tokio::test]
async fn watches_that_wait_for_their_token_are_bounded() {
    let server = with_users(TokenKind::Simple);
    let client = server.client().await;
    let key = "k".repeat(1 << 20);
    let mut creates = Vec::new();
    for _ in 0..40 {
        let mut stream = Stream::open(&client, &[("token", "nextnextnextnext.99")]).await;
        let create = watch(&key, "");
        creates.push(tokio::spawn(async move { stream.create(create).await }));
    }
    let ask = asked(&server).await;
    let finished = || creates.iter().filter(|create| create.is_finished()).count();
    until("some are refused", || finished() == 9).await;
    server.front.identified(ask, Err(error::INVALID_AUTH_TOKEN));
    let many = "rpc error: code = Unknown desc = etcdserver: too many requests";
    let (mut refused, mut answered) = (0, 0);
    for create in creates {
        let response = create.await.unwrap();
        match &*response.cancel_reason {
            reason if reason == many => refused += 1,
            reason if reason == REASON_TOKEN => answered += 1,
            reason => panic!("{reason}"),
        }
    }
    assert_eq!((refused, answered), (9, 31));
}

fn keep_alive(id: i64) -> Bytes {
    frame(&LeaseKeepAliveRequest { id }.encode_to_vec())
}

fn leader_with_lease(server: &Server, key: &'static str) {
    let grant = LeaseGrantRequest { id: LEASE, ttl: 60 };
    server.fake.apply(OpKind::LeaseGrant, &grant);
    let store = server.fake.store();
    let now_ms = store.now_ms();
    store.leases().promote(0, None, now_ms);
    put(server, key, LEASE);
}

async fn keep_alive_once(client: &Client, headers: &[(&str, &str)]) -> common::Answer {
    let request = common::request(KEEP_ALIVE, headers);
    let exchange = client.exchange(request, vec![keep_alive(LEASE)]);
    exchange.await.unwrap()
}

#[tokio::test]
async fn a_lease_is_kept_alive_by_whoever_may_change_its_keys() {
    let server = with_users(TokenKind::Simple);
    leader_with_lease(&server, "team/k");
    let client = server.client().await;
    assert_eq!(keep_alive_once(&client, &[]).await.status(), USER_EMPTY);
    let junk = keep_alive_once(&client, &[("token", "x.1")]).await;
    assert_eq!(junk.status(), INVALID_TOKEN);
    let own = keep_alive_once(&client, &[ALICE]).await;
    assert_eq!((own.status(), own.messages.len()), ((0, ""), 1));
    put(&server, "other", LEASE);
    assert_eq!(keep_alive_once(&client, &[ALICE]).await.status(), DENIED);
    assert_eq!(keep_alive_once(&client, &[ROOT]).await.status(), (0, ""));
    assert_eq!(server.events.waiting(), 0);
}

#[tokio::test]
async fn a_keep_alive_ends_at_the_message_after_its_token() {
    let server = with_users(TokenKind::Simple);
    leader_with_lease(&server, "team/k");
    let client = server.client().await;
    let (response, mut send) = client.open(KEEP_ALIVE, &[ALICE]).await;
    send.send_data(keep_alive(LEASE), false).unwrap();
    let mut body = soon("headers", response).await.unwrap().into_body();
    assert!(soon("an answer", body.data()).await.unwrap().is_ok());
    server.fake.auth.tokens().forget_user(b"alice");
    send.send_data(keep_alive(LEASE), false).unwrap();
    assert!(soon("the end", body.data()).await.is_none());
    let trailers = body.trailers().await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "16");
    assert_eq!(trailers["grpc-message"], INVALID_TOKEN.1);
}

#[tokio::test]
async fn a_keep_alive_waits_for_its_token() {
    let server = with_users(TokenKind::Simple);
    leader_with_lease(&server, "team/k");
    let client = server.client().await;
    let header = ("token", "nextnextnextnext.11");
    for (answer, expected) in [
        (Err(error::INVALID_AUTH_TOKEN), INVALID_TOKEN),
        (Ok(()), (0, "")),
    ] {
        let (response, mut send) = client.open(KEEP_ALIVE, &[header]).await;
        send.send_data(keep_alive(LEASE), true).unwrap();
        let ask = asked(&server).await;
        if answer.is_ok() {
            register(&server.fake.auth, header, "alice");
        }
        server.front.identified(ask, answer);
        let answer = soon("the end", read_answer(response)).await.unwrap();
        assert_eq!(answer.status(), expected);
    }
}

#[tokio::test]
async fn a_lease_that_is_not_here_is_asked_for_by_whoever_is_known() {
    let server = with_users(TokenKind::Simple);
    let client = server.client().await;
    assert_eq!(keep_alive_once(&client, &[]).await.status(), USER_EMPTY);
    assert_eq!(server.events.waiting(), 0);
    let asking = client.clone();
    let call = tokio::spawn(async move { keep_alive_once(&asking, &[ALICE]).await });
    let FrontEvent::LeaseRenew { renewal, lease } = server.events.next().await else {
        panic!("a renewal expected")
    };
    assert_eq!(lease, LEASE);
    server.front.lease_renewed(renewal, Ok(9));
    assert_eq!(call.await.unwrap().status(), (0, ""));
}
