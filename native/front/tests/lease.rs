//! Lease calls over real sockets: ids and TTLs of grants, keep-alive streams on a leader and elsewhere.

mod common;

use bytes::Bytes;
use common::{Client, GRANT, KEEP_ALIVE, Server, frame, read_answer, request, soon, until};
use netcd_engine::error::{self, EtcdError};
use netcd_engine::proto::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, PutRequest,
};
use netcd_engine::types::OpKind;
use netcd_front::{FrontEvent, ServingState};
use prost::Message;

const LEASE: i64 = 77;
const TTL_SECONDS: i64 = 60;

fn grant(server: &Server, id: i64) {
    let request = LeaseGrantRequest {
        id,
        ttl: TTL_SECONDS,
    };
    server.fake.apply(OpKind::LeaseGrant, &request);
}

fn leader(server: &Server) {
    let store = server.fake.store();
    let now_ms = store.now_ms();
    store.leases().promote(0, None, now_ms);
}

fn keep_alives(ids: &[i64]) -> Vec<Bytes> {
    ids.iter()
        .map(|id| frame(&LeaseKeepAliveRequest { id: *id }.encode_to_vec()))
        .collect()
}

/// Id and TTL of every answer, and the revision of the first.
fn read(messages: &[Bytes]) -> (Vec<(i64, i64)>, i64) {
    let all: Vec<LeaseKeepAliveResponse> = messages
        .iter()
        .map(|message| LeaseKeepAliveResponse::decode(message.clone()).unwrap())
        .collect();
    let revision = all[0].header.as_ref().unwrap().revision;
    (all.iter().map(|one| (one.id, one.ttl)).collect(), revision)
}

/// A renewal that the control plane was asked for.
async fn asked(server: &Server) -> (u64, i64) {
    match server.events.next().await {
        FrontEvent::LeaseRenew { renewal, lease } => (renewal, lease),
        other => panic!("a renewal expected, not {other:?}"),
    }
}

async fn exchange(client: Client, ids: Vec<i64>) -> common::Answer {
    client
        .exchange(request(KEEP_ALIVE, &[]), keep_alives(&ids))
        .await
        .unwrap()
}

#[tokio::test]
async fn the_leader_answers_each_request_in_order_and_without_the_control_plane() {
    let server = Server::start();
    grant(&server, LEASE);
    grant(&server, -5);
    leader(&server);
    let put = PutRequest {
        key: Bytes::from_static(b"k"),
        lease: LEASE,
        ..Default::default()
    };
    server.fake.apply(OpKind::Put, &put);
    let answer = exchange(server.client().await, vec![LEASE, -5, LEASE]).await;
    assert_eq!(answer.status(), (0, ""));
    let (answers, revision) = read(&answer.messages);
    let expected = [LEASE, -5, LEASE].map(|id| (id, TTL_SECONDS));
    assert_eq!((answers.as_slice(), revision), (&expected[..], 2));
    assert_eq!(server.events.waiting(), 0);
}

#[tokio::test]
async fn what_a_leader_does_not_know_is_asked_for_and_keeps_its_place() {
    let server = Server::start();
    grant(&server, LEASE);
    leader(&server);
    let exchange = tokio::spawn(exchange(server.client().await, vec![1, LEASE, 2]));
    let (first, id) = asked(&server).await;
    assert_eq!(id, 1);
    server.front.lease_renewed(first, Ok(0));
    server.front.lease_renewed(first, Ok(7));
    let (second, id) = asked(&server).await;
    assert_eq!(id, 2);
    server.front.lease_renewed(second, Ok(9));
    let answer = exchange.await.unwrap();
    let (answers, _) = read(&answer.messages);
    assert_eq!(answers, [(1, 0), (LEASE, TTL_SECONDS), (2, 9)]);
    assert_eq!(answer.code, 0);
    server.nothing_left().await;
}

#[tokio::test]
async fn a_member_that_does_not_lead_asks_for_all_and_an_error_ends_the_stream() {
    let server = Server::start();
    grant(&server, LEASE);
    for (error, code) in [(error::NO_LEADER, 14), (error::NOT_PRIMARY_LESSOR, 2)] {
        let exchange = tokio::spawn(exchange(server.client().await, vec![LEASE, LEASE]));
        let (renewal, id) = asked(&server).await;
        assert_eq!(id, LEASE);
        let expected: EtcdError = error.clone();
        server.front.lease_renewed(renewal, Err(error));
        let answer = exchange.await.unwrap();
        assert_eq!(
            (answer.code, answer.message),
            (code, expected.message.into_owned())
        );
        assert!(answer.messages.is_empty());
    }
    server.nothing_left().await;
}

#[tokio::test]
async fn a_client_that_leaves_while_the_control_plane_thinks_leaves_nothing() {
    let server = Server::start();
    let client = server.client().await;
    let (response, mut send) = client.open(KEEP_ALIVE, &[]).await;
    send.send_data(keep_alives(&[LEASE]).remove(0), false)
        .unwrap();
    let (renewal, _) = asked(&server).await;
    send.send_reset(h2::Reason::CANCEL);
    drop(response);
    until("the end of the call", || server.front.counts().calls == 0).await;
    server.front.lease_renewed(renewal, Ok(1));
    drop((send, client));
    server.nothing_left().await;
}

#[tokio::test]
async fn a_malformed_request_ends_the_stream_as_grpc_go_does() {
    let server = Server::start();
    let answer = server.client().await.call(KEEP_ALIVE, &[0xff, 0xff]).await;
    assert_eq!(answer.code, 13);
    assert!(
        answer.message.starts_with("grpc: failed to unmarshal"),
        "{}",
        answer.message
    );
}

#[tokio::test]
async fn a_stream_that_wants_a_leader_ends_with_it_and_every_stream_with_the_server() {
    let config = netcd_front::FrontConfig {
        leader_loss_timeout: std::time::Duration::ZERO,
        ..Default::default()
    };
    let server = Server::with(config);
    let client = server.client().await;
    let (wanting, _send_wanting) = client.open(KEEP_ALIVE, &[("hasleader", "true")]).await;
    let (patient, _send_patient) = client.open(KEEP_ALIVE, &[]).await;
    until("both calls", || server.front.counts().calls == 2).await;
    server.front.set_serving(ServingState {
        has_leader: false,
        ..common::leading()
    });
    let answer = soon("the end", read_answer(wanting)).await.unwrap();
    assert_eq!(answer.status(), (14, "etcdserver: no leader"));
    assert_eq!(server.front.counts().calls, 1);
    let front = server.front.clone();
    let down =
        tokio::task::spawn_blocking(move || front.shutdown(std::time::Duration::from_secs(60)));
    let answer = soon("the end", read_answer(patient)).await.unwrap();
    assert_eq!(answer.status(), (14, "etcdserver: server stopped"));
    drop(client);
    down.await.unwrap();
}

#[tokio::test]
async fn a_grant_goes_into_the_log_with_its_id_and_ttl_chosen() {
    let server = Server::start();
    let client = server.client().await;
    let mut logged = Vec::new();
    for (id, ttl) in [(0, 5), (0, -1), (-3, 1), (9, 9_000_000_001)] {
        let request = LeaseGrantRequest { id, ttl };
        let answer = client.call(GRANT, &request.encode_to_vec()).await;
        assert_eq!(answer.code, 0);
        let (kind, request) = server.fake.submitted().pop().unwrap();
        assert_eq!(kind, OpKind::LeaseGrant);
        let request = LeaseGrantRequest::decode(request).unwrap();
        logged.push((request.id, request.ttl));
    }
    assert!(logged[0].0 > 0 && logged[1].0 > logged[0].0, "{logged:?}");
    let ttls: Vec<i64> = logged.iter().map(|(_, ttl)| *ttl).collect();
    assert_eq!(
        ttls,
        [5, 2, 2, 9_000_000_001],
        "too large is the store's to refuse"
    );
    assert_eq!((logged[2].0, logged[3].0), (-3, 9));
}
