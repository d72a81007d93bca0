//! The audit log of a front: what calls of each kind leave in it, with users and without, and what becomes of them while
//! nobody takes its lines.

mod common;

use std::fs::read_to_string;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::auditing::{config, rule, txn};
use common::users::{ALICE, ROOT, enable, revoke};
use common::watching::{Stream, watch};
use common::{
    DELETE, KEEP_ALIVE, PUT, RANGE, RANGE_STREAM, Server, TXN, frame, get, put, request, until,
};
use netcd_engine::proto::etcdserverpb::request_op::Request;
use netcd_engine::proto::etcdserverpb::watch_request::RequestUnion;
use netcd_engine::proto::etcdserverpb::*;
use netcd_front::{AuditResult, AuditRule, FrontEvent};
use prost::Message;
use serde_json::Value;

const USER_ADD: &str = "/etcdserverpb.Auth/UserAdd";
const AUTH_DISABLE: &str = "/etcdserverpb.Auth/AuthDisable";

struct Rig {
    server: Server,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

fn rig(rules: Vec<AuditRule>) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.log");
    let server = Server::with(config(path.clone(), false, rules));
    Rig {
        server,
        path,
        _dir: dir,
    }
}

impl Rig {
    /// All lines, once the server has ended.
    fn end(self) -> Vec<Value> {
        self.server.front.shutdown(Duration::ZERO);
        let text = read_to_string(&self.path).unwrap();
        for secret in ["secret", ALICE.1, ROOT.1, "junk"] {
            assert!(!text.contains(secret), "{text}");
        }
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// What a line says besides its time and address, shortened to what tells lines apart.
fn gist(line: &Value) -> String {
    let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
    let rpc = text("rpc");
    let name = rpc.rsplit('/').next().unwrap();
    format!(
        "{name} {} {} {} {} {}",
        text("user"),
        text("key"),
        text("rangeEnd"),
        text("code"),
        line["revision"],
    )
}

fn gists(lines: &[Value]) -> Vec<String> {
    lines.iter().map(gist).collect()
}

#[tokio::test]
async fn hot_calls_are_told_of_with_their_users_and_answers() {
    let rig = rig(vec![rule(&[])]);
    let client = rig.server.client().await;
    client.call(PUT, &put("anybody", b"secret")).await;
    enable(&rig.server.fake.auth);
    client
        .call_with(PUT, &[ALICE], &put("team/k", b"secret"))
        .await;
    client
        .call_with(PUT, &[ALICE], &put("else", b"secret"))
        .await;
    client
        .call_with(PUT, &[("token", "junk.0")], &put("team/k", b"secret"))
        .await;
    client.call_with(RANGE, &[ALICE], &get("team/k")).await;
    client.call_with(PUT, &[ALICE], &put("", b"secret")).await;
    let delete = DeleteRangeRequest {
        key: "team/".into(),
        range_end: "team0".into(),
        prev_kv: true,
    };
    client
        .call_with(DELETE, &[ALICE], &delete.encode_to_vec())
        .await;
    let write = PutRequest {
        key: "team/t".into(),
        value: "secret".into(),
        ..Default::default()
    };
    client
        .call_with(TXN, &[ROOT], &txn(vec![Request::RequestPut(write)]))
        .await;
    client
        .call_with(
            TXN,
            &[ALICE],
            &txn(vec![Request::RequestRange(RangeRequest::default())]),
        )
        .await;
    let lines = rig.end();
    assert_eq!(
        gists(&lines),
        [
            "Put - anybody - OK 2",
            "Put alice team/k - OK 3",
            "Put alice else - PermissionDenied null",
            "Put - team/k - Unauthenticated null",
            "Range alice team/k - OK null",
            "Put alice - - InvalidArgument null",
            "DeleteRange alice team/ team0 OK 4",
            "Txn root - - OK 5",
            "Txn alice - - InvalidArgument null",
        ]
    );
    assert_eq!(lines[2]["message"], "etcdserver: permission denied");
    assert_eq!(lines[7]["ops"][0]["key"], "team/t");
    for line in &lines {
        assert!(
            line["address"].as_str().unwrap().starts_with("127.0.0.1:"),
            "{line}"
        );
        assert_eq!(line["cn"], Value::Null);
    }
}

#[tokio::test]
async fn a_call_that_is_not_asked_for_leaves_nothing() {
    let mut quiet = rule(&[PUT]);
    quiet.prefixes = Some(vec!["noise/".into()]);
    quiet.logged = false;
    let mut refused = rule(&[RANGE]);
    refused.results = vec![AuditResult::Refused];
    let rig = rig(vec![quiet, rule(&[PUT]), refused]);
    let client = rig.server.client().await;
    for key in ["noise/a", "a"] {
        client.call(PUT, &put(key, b"secret")).await;
        client.call(RANGE, &get(key)).await;
    }
    enable(&rig.server.fake.auth);
    client
        .call_with(RANGE, &[("token", "junk.0")], &get("b"))
        .await;
    assert_eq!(
        gists(&rig.end()),
        ["Put - a - OK 3", "Range - b - Unauthenticated null"]
    );
}

#[tokio::test]
async fn a_call_that_the_end_of_the_server_overtakes_is_told_of() {
    let rig = rig(vec![rule(&[])]);
    rig.server.fake.hold.store(true, Ordering::SeqCst);
    let mut held = Vec::new();
    let add = AuthUserAddRequest::default().encode_to_vec();
    for (path, message) in [(PUT, put("k", b"v")), (USER_ADD, add)] {
        let client = rig.server.client().await;
        held.push(tokio::spawn(async move {
            // Whether the client hears of it is another matter.
            let _answer = client
                .exchange(request(path, &[]), vec![frame(&message)])
                .await;
        }));
    }
    until("the put waits", || rig.server.front.counts().waiting == 1).await;
    // The call, its message and its half-close.
    until("the call is there", || rig.server.events.waiting() == 3).await;
    let mut gists = gists(&rig.end());
    gists.sort_unstable();
    assert_eq!(
        gists,
        [
            "Put - k - Unavailable null",
            "UserAdd - - - Unavailable null"
        ]
    );
    for call in held {
        call.await.unwrap();
    }
}

#[tokio::test]
async fn answers_that_are_sent_in_parts_are_told_of_once() {
    let rig = rig(vec![rule(&[])]);
    let client = rig.server.client().await;
    for key in ["chunks:3", "large:100000"] {
        let answer = client.call(RANGE, &get(key)).await;
        assert_eq!(answer.code, 0, "{key}");
    }
    let all = RangeRequest {
        key: "a".into(),
        range_end: "b".into(),
        ..Default::default()
    };
    client.call(RANGE, &all.encode_to_vec()).await;
    client.call(RANGE_STREAM, &all.encode_to_vec()).await;
    assert_eq!(
        gists(&rig.end()),
        [
            "Range - chunks:3 - OK null",
            "Range - large:100000 - OK null",
            "Range - a b OK null",
            "RangeStream - a b OK null",
        ]
    );
}

#[tokio::test]
async fn a_call_that_is_handed_over_is_told_of_with_whom_it_concerns() {
    let rig = rig(vec![rule(&[])]);
    enable(&rig.server.fake.auth);
    let client = rig.server.client().await;
    let add = AuthUserAddRequest {
        name: "bob".into(),
        password: "secret".into(),
        hashed_password: "secret".into(),
        ..Default::default()
    };
    let header = ResponseHeader {
        revision: 9,
        ..Default::default()
    };
    let answer = AuthUserAddResponse {
        header: Some(header),
    };
    let front = rig.server.front.clone();
    let called = tokio::spawn({
        let client = client.clone();
        async move {
            client
                .call_with(USER_ADD, &[ROOT], &add.encode_to_vec())
                .await
        }
    });
    let call = rig.server.events.call().await;
    // Until the message is there, which is what an answer is to.
    until("message and half-close", || {
        rig.server.events.waiting() >= 2
    })
    .await;
    front.call_send(call, answer.encode_to_vec().into());
    front.call_end(call, 0, String::new(), Vec::new());
    assert_eq!(called.await.unwrap().code, 0);
    // Whose token is withdrawn by the call itself was its user all the same.
    for _ in 0..2 {
        rig.server.events.next().await;
    }
    let called = tokio::spawn(async move { client.call_with(AUTH_DISABLE, &[ROOT], &[]).await });
    let call = rig.server.events.call().await;
    until("message and half-close", || {
        rig.server.events.waiting() >= 2
    })
    .await;
    rig.server.fake.auth.tokens().clear();
    front.call_end(call, 7, "etcdserver: permission denied".into(), Vec::new());
    assert_eq!(called.await.unwrap().code, 7);
    let lines = rig.end();
    assert_eq!(
        gists(&lines),
        [
            "UserAdd root - - OK 9",
            "AuthDisable root - - PermissionDenied null"
        ]
    );
    assert_eq!(lines[0]["targetUser"], "bob");
}

#[tokio::test]
async fn watches_are_told_of_when_they_begin_and_when_they_are_cancelled() {
    let rig = rig(vec![rule(&[])]);
    enable(&rig.server.fake.auth);
    let client = rig.server.client().await;
    let mut stream = Stream::open(&client, &[ALICE]).await;
    stream.create(watch("team/a", "")).await;
    let refused = stream.create(watch("else", "")).await;
    assert!(refused.canceled);
    stream.create(watch("team/b", "team/c")).await;
    let cancel = WatchCancelRequest { watch_id: 1 };
    stream.send(RequestUnion::CancelRequest(cancel));
    assert!(stream.next().await.unwrap().canceled);
    revoke(&rig.server.fake.auth);
    assert!(stream.next().await.unwrap().canceled);
    let lines = rig.end();
    let mut gists = gists(&lines);
    // The server's end, if it came to that.
    gists.truncate(5);
    assert_eq!(
        gists,
        [
            "Watch alice team/a - OK 1",
            "Watch alice else - PermissionDenied null",
            "Watch alice team/b team/c OK 1",
            "Watch alice - - OK 1",
            "Watch alice team/a - PermissionDenied null",
        ]
    );
    assert_eq!(lines[2]["watchId"], 1);
    assert_eq!(lines[3]["watchId"], 1);
}

#[tokio::test]
async fn each_renewal_of_a_lease_is_a_request() {
    let rig = rig(vec![rule(&[KEEP_ALIVE])]);
    enable(&rig.server.fake.auth);
    let client = rig.server.client().await;
    let renewal = LeaseKeepAliveRequest { id: 7 }.encode_to_vec();
    let both = vec![frame(&renewal), frame(&renewal)];
    let renewing = {
        let client = client.clone();
        let renewals = request(KEEP_ALIVE, &[ALICE]);
        tokio::spawn(async move { client.exchange(renewals, both).await.unwrap() })
    };
    for _ in 0..2 {
        match rig.server.events.next().await {
            FrontEvent::LeaseRenew { renewal, .. } => {
                rig.server.front.lease_renewed(renewal, Ok(60));
            }
            other => panic!("a renewal expected, not {other:?}"),
        }
    }
    let answer = renewing.await.unwrap();
    assert_eq!((answer.code, answer.messages.len()), (0, 2));
    let answer = client
        .call_with(KEEP_ALIVE, &[("token", "junk.0")], &renewal)
        .await;
    assert_eq!(answer.code, 16);
    let lines = rig.end();
    let gists = gists(&lines);
    assert!(
        gists[0].starts_with("LeaseKeepAlive alice - - OK"),
        "{gists:?}"
    );
    assert_eq!(gists[1], gists[0]);
    assert_eq!(gists[2..], ["LeaseKeepAlive - - - Unauthenticated null"]);
    for line in &lines {
        assert_eq!(line["lease"], "0000000000000007");
    }
}

#[test]
fn a_log_that_cannot_be_opened_is_no_start() {
    let refused = std::panic::catch_unwind(|| {
        Server::with(config("/nowhere/audit.log".into(), false, Vec::new()))
    });
    let message = *refused.err().unwrap().downcast::<String>().unwrap();
    assert!(
        message.contains("open audit log /nowhere/audit.log"),
        "{message}"
    );
}
