//! What takes long is logged without its values and named before its answer; what does not, is not.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::testing::{Event, MemLog, Rig, config};
use super::*;
use crate::auth::Caller;
use crate::error::{COMPACTED, TIMEOUT};
use crate::proto::etcdserverpb::PutRequest;
use crate::types::{OpKind, Token};

const LINE: &str = "apply request took too long";

fn rig(slow_apply: Duration, slow_request: Duration) -> Rig {
    let config = PipelineConfig {
        slow_apply,
        slow_request,
        ..config()
    };
    Rig::configured(config, &MemLog::default())
}

fn put(rig: &Rig, token: u64) -> Bytes {
    let request = PutRequest {
        key: "k".into(),
        value: "secret".into(),
        ..Default::default()
    };
    let request = Bytes::from(request.encode_to_vec());
    let taken = rig
        .pipeline
        .submit(OpKind::Put, &request, Token(token), &Caller::Nobody);
    taken.expect("taken");
    request
}

/// The fields of the first such line that is logged.
fn logged(rig: &Rig) -> Vec<(String, String)> {
    let logged = rig.inbox.logged.lock();
    let line = logged.iter().find(|(message, _)| message == LINE);
    line.expect("the line is there").1.clone()
}

fn field<'f>(fields: &'f [(String, String)], name: &str) -> &'f str {
    let found = fields.iter().find(|(it, _)| it == name);
    found.map_or("", |(_, value)| value)
}

#[test]
fn an_apply_over_the_warning_time_is_logged_with_etcds_fields() {
    let limit = Duration::from_millis(5);
    let rig = rig(limit, Duration::MAX);
    let driver = rig.drive(1, 0, true);
    *rig.store.pause.lock() = 2 * limit;
    put(&rig, 7);
    rig.clients.wait([7]);
    *rig.store.pause.lock() = Duration::ZERO;
    put(&rig, 8);
    rig.clients.wait([8]);
    let metrics = rig.pipeline.metrics();
    rig.finish(driver);
    let fields = logged(&rig);
    let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["took", "expected-duration", "prefix", "request", "response"]
    );
    assert_eq!(field(&fields, "expected-duration"), "5ms");
    assert_eq!(
        field(&fields, "request"),
        "header:<ID:7> put:<key:\"k\" value_size:6 >"
    );
    assert!(
        metrics.contains("etcd_server_slow_apply_total 1\n"),
        "{metrics}"
    );
}

#[test]
fn a_slow_read_is_counted_and_logged_too() {
    let rig = rig(Duration::from_millis(5), Duration::MAX);
    let read = |took| rig.pipeline.read_answered(ReadKind::Range, false, took);
    assert!(!read(Duration::from_millis(5)));
    assert!(read(Duration::from_millis(6)));
    let slow = SlowRead {
        kind: ReadKind::Range,
        request: "key:\"k\"".into(),
        response: String::new(),
        error: Some(&COMPACTED),
    };
    rig.pipeline.slow_read(Duration::from_millis(6), slow);
    let fields = logged(&rig);
    assert_eq!(field(&fields, "took"), "6ms");
    assert_eq!(field(&fields, "prefix"), "read-only range ");
    assert_eq!(
        field(&fields, "error"),
        "mvcc: required revision has been compacted"
    );
    assert!(
        rig.pipeline
            .metrics()
            .contains("etcd_server_slow_apply_total 1\n")
    );
}

#[test]
fn requests_that_took_long_are_named_before_they_are_answered() {
    let limit = Duration::from_millis(20);
    let rig = rig(Duration::MAX, limit);
    let driver = rig.drive(1, 0, true);
    *rig.store.pause.lock() = limit;
    let request = put(&rig, 7);
    rig.clients.wait([7]);
    assert_eq!(rig.clients.slow(), [(Token(7), request)]);
    rig.finish(driver);
}

#[test]
fn requests_that_nobody_applied_are_named_too_and_can_be_asked_for_while_they_wait() {
    let rig = rig(Duration::MAX, Duration::ZERO);
    let request = put(&rig, 1);
    let handle = rig.inbox.take_until(|event| match event {
        Event::Batch(handle) => Some(*handle),
        _ => None,
    });
    // Two batches are on their way, so the third is the open one.
    put(&rig, 2);
    put(&rig, 3);
    let asked = HashSet::from([Token(1), Token(3), Token(4)]);
    let mut waiting = rig.pipeline.waiting_requests(&asked);
    waiting.sort_by_key(|(token, _)| token.0);
    assert_eq!(
        waiting,
        [(Token(1), request.clone()), (Token(3), request.clone())]
    );
    rig.pipeline.drop_payloads(&[handle], &TIMEOUT);
    assert_eq!(rig.clients.wait([1]), [Err(TIMEOUT)]);
    assert_eq!(rig.clients.slow(), [(Token(1), request)]);
}
