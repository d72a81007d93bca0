//! The log as a whole: what its lines say and never say, and what becomes of them when the disk is slow or fails.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use netcd_engine::wire::{Kind, Shape, request_shape, shape_at};
use parking_lot::{Condvar, Mutex};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::json::Lines;
use super::record::Records;
use super::time::Clock;
use super::*;
use crate::events::FrontEvent;
use crate::grpc::methods::METHODS;

const PUT: &str = "/etcdserverpb.KV/Put";
const TXN: &str = "/etcdserverpb.KV/Txn";

fn method(path: &str) -> MethodId {
    MethodId::find(path).unwrap()
}

/// The noted part of a record.
fn noted(user: &[u8], request: &dyn Tells) -> Vec<u8> {
    let mut noted = Vec::new();
    put_text(&mut noted, user);
    request.tell(&mut Telling(&mut noted));
    noted
}

fn record<'a>(path: &str, noted: &'a [u8]) -> Record<'a> {
    Record {
        at: 0,
        method: method(path),
        code: 0,
        revision: 0,
        succeeded: None,
        address: b"127.0.0.1:1",
        message: b"",
        noted,
    }
}

/// Its line, 1.5 s after the beginning of 1970.
fn line_of(record: &Record<'_>) -> String {
    let mut lane = Vec::new();
    record.put(&mut lane);
    let mut out = Vec::new();
    let read = Records(&lane).next().unwrap();
    Lines::new(Clock::starting(Duration::from_millis(1500))).request(&mut out, &read);
    String::from_utf8(out).unwrap()
}

fn told(path: &str, message: impl prost::Message) -> Value {
    let message = Bytes::from(message.encode_to_vec());
    let noted = noted(b"alice", &*decoded(method(path), &message));
    let line = line_of(&record(path, &noted));
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

mod lines {
    use netcd_engine::proto::authpb::Permission;
    use netcd_engine::proto::etcdserverpb::*;
    use netcd_engine::proto::v3lockpb::LockRequest;

    use super::*;
    use crate::limits::{AUDIT_OPS_MAX, AUDIT_TEXT_BYTES_MAX};

    #[test]
    fn a_line_has_all_that_was_asked_for_and_what_came_of_it() {
        let put = PutRequest {
            key: "/app/\"a\"\n".into(),
            value: "secret".into(),
            lease: 0x694d,
            ..Default::default()
        };
        let noted = noted(b"alice", &put);
        let mut record = record(PUT, &noted);
        record.revision = 7;
        assert_eq!(
            line_of(&record),
            "{\"time\":\"1970-01-01T00:00:01.500000Z\",\"user\":\"alice\",\"cn\":null,\"address\":\"127.0.0.1:1\",\
             \"rpc\":\"/etcdserverpb.KV/Put\",\"key\":\"/app/\\\"a\\\"\\n\",\"lease\":\"000000000000694d\",\
             \"revision\":7,\"code\":\"OK\"}\n"
        );
        record.revision = 0;
        record.code = 7;
        record.message = b"etcdserver: permission denied";
        assert!(line_of(&record).ends_with(
            "\"revision\":null,\"code\":\"PermissionDenied\",\"message\":\"etcdserver: permission denied\"}\n"
        ));
    }

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        let range = RangeRequest {
            key: Bytes::from_static(b"\xff\x00"),
            range_end: Bytes::from_static(b"\0"),
            revision: 3,
            ..Default::default()
        };
        let line = told("/etcdserverpb.KV/Range", range);
        assert_eq!(line["keyBase64"], "/wA=");
        assert_eq!(line["key"], Value::Null);
        assert_eq!(line["rangeEnd"], "\0");
        assert_eq!(line["askedRevision"], 3);
        let name = noted(b"\xff", &Silent);
        let line: Value = serde_json::from_str(&line_of(&record(PUT, &name))).unwrap();
        assert_eq!(
            (&line["user"], &line["userBase64"]),
            (&Value::Null, &json!("/w=="))
        );
        let nobody = noted(b"", &Silent);
        let line: Value = serde_json::from_str(&line_of(&record(PUT, &nobody))).unwrap();
        assert_eq!(line["user"], Value::Null);
    }

    #[test]
    fn of_long_keys_the_beginning_and_the_length_are_there() {
        let put = PutRequest {
            key: "k".repeat(5000).into(),
            ..Default::default()
        };
        let line = told(PUT, put);
        assert_eq!(line["key"], "k".repeat(AUDIT_TEXT_BYTES_MAX));
        assert_eq!(line["keyBytes"], 5000);
    }

    fn op(request: request_op::Request) -> RequestOp {
        RequestOp {
            request: Some(request),
        }
    }

    fn put_op(key: &'static str) -> RequestOp {
        op(request_op::Request::RequestPut(PutRequest {
            key: key.into(),
            value: "secret".into(),
            ..Default::default()
        }))
    }

    #[test]
    fn a_txn_tells_each_operation_and_the_branch_that_ran() {
        let nested = TxnRequest {
            compare: vec![Compare {
                key: "d".into(),
                ..Default::default()
            }],
            failure: vec![put_op("e")],
            ..Default::default()
        };
        let delete = DeleteRangeRequest {
            key: "b".into(),
            range_end: "c".into(),
            ..Default::default()
        };
        let txn = TxnRequest {
            compare: vec![Compare {
                key: "a".into(),
                ..Default::default()
            }],
            success: vec![
                op(request_op::Request::RequestDeleteRange(delete)),
                op(request_op::Request::RequestTxn(nested)),
            ],
            failure: vec![put_op("f")],
        };
        let noted = noted(b"", &txn);
        let mut record = record(TXN, &noted);
        record.succeeded = Some(true);
        let line: Value = serde_json::from_str(&line_of(&record)).unwrap();
        assert_eq!(
            line["ops"],
            json!([
                {"op": "compare", "in": "compare", "key": "a"},
                {"op": "deleteRange", "in": "success", "key": "b", "rangeEnd": "c"},
                {"op": "compare", "in": "success", "key": "d"},
                {"op": "put", "in": "success", "key": "e"},
                {"op": "put", "in": "failure", "key": "f"},
            ])
        );
        assert_eq!(
            (&line["opCount"], &line["succeeded"]),
            (&json!(5), &json!(true))
        );
        let many = TxnRequest {
            success: vec![put_op("k"); 2 * AUDIT_OPS_MAX],
            ..Default::default()
        };
        let line = told(TXN, many);
        assert_eq!(line["ops"].as_array().unwrap().len(), AUDIT_OPS_MAX);
        assert_eq!(line["opCount"], 2 * AUDIT_OPS_MAX);
    }

    #[test]
    fn other_calls_tell_whom_and_what_they_concern() {
        let granted = AuthRoleGrantPermissionRequest {
            name: "ops".into(),
            perm: Some(Permission {
                perm_type: 2,
                key: "/app/".into(),
                range_end: "/app0".into(),
            }),
        };
        let line = told("/etcdserverpb.Auth/RoleGrantPermission", granted);
        assert_eq!(line["targetRole"], "ops");
        assert_eq!(line["permission"], "READWRITE");
        assert_eq!(
            (&line["key"], &line["rangeEnd"]),
            (&json!("/app/"), &json!("/app0"))
        );
        let user = AuthUserGrantRoleRequest {
            user: "bob".into(),
            role: "ops".into(),
        };
        let line = told("/etcdserverpb.Auth/UserGrantRole", user);
        assert_eq!(
            (&line["targetUser"], &line["targetRole"]),
            (&json!("bob"), &json!("ops"))
        );
        let member = MemberAddRequest {
            peer_ur_ls: vec!["http://a".into(), "http://b".into()],
            is_learner: true,
        };
        let line = told("/etcdserverpb.Cluster/MemberAdd", member);
        assert_eq!(line["peerURLs"], json!(["http://a", "http://b"]));
        assert_eq!(line["isLearner"], true);
        let member = MemberRemoveRequest {
            id: 0x8e9e_05c5_2164_694d,
        };
        assert_eq!(
            told("/etcdserverpb.Cluster/MemberRemove", member)["member"],
            "8e9e05c52164694d"
        );
        let alarm = AlarmRequest {
            action: 2,
            member_id: 0,
            alarm: 1,
        };
        let line = told("/etcdserverpb.Maintenance/Alarm", alarm);
        assert_eq!(
            (&line["action"], &line["alarm"]),
            (&json!("DEACTIVATE"), &json!("NOSPACE"))
        );
        let lock = LockRequest {
            name: "l".into(),
            lease: -1,
        };
        let line = told("/v3lockpb.Lock/Lock", lock);
        assert_eq!(
            (&line["key"], &line["lease"]),
            (&json!("l"), &json!("ffffffffffffffff"))
        );
        let granted = LeaseGrantRequest { ttl: 60, id: 5 };
        let line = told("/etcdserverpb.Lease/LeaseGrant", granted);
        assert_eq!(
            (&line["ttlSeconds"], &line["lease"]),
            (&json!(60), &json!("0000000000000005"))
        );
    }
}

/// Texts of requests by message and field that the log may tell. Everything else in a request is a secret: values,
/// passwords, what a client wants to compare.
const TOLD: &[(&str, &[u32])] = &[
    ("RangeRequest", &[1, 2]),
    ("PutRequest", &[1]),
    ("DeleteRangeRequest", &[1, 2]),
    ("Compare", &[3, 64]),
    ("WatchCreateRequest", &[1, 2]),
    ("MemberAddRequest", &[1]),
    ("MemberUpdateRequest", &[2]),
    ("DowngradeRequest", &[2]),
    ("AuthenticateRequest", &[1]),
    ("AuthUserAddRequest", &[1]),
    ("AuthUserGetRequest", &[1]),
    ("AuthUserDeleteRequest", &[1]),
    ("AuthUserChangePasswordRequest", &[1]),
    ("AuthUserGrantRoleRequest", &[1, 2]),
    ("AuthUserRevokeRoleRequest", &[1, 2]),
    ("AuthRoleAddRequest", &[1]),
    ("AuthRoleGetRequest", &[1]),
    ("AuthRoleDeleteRequest", &[1]),
    ("AuthRoleGrantPermissionRequest", &[1]),
    ("Permission", &[2, 3]),
    ("AuthRoleRevokePermissionRequest", &[1, 2, 3]),
    ("CampaignRequest", &[1]),
    ("LeaderRequest", &[1]),
    ("LeaderKey", &[2]),
    ("LockRequest", &[1]),
    ("UnlockRequest", &[1]),
];

/// Random enough, and the same again for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        // The constants of Knuth's MMIX; the low bits of such a generator are poor.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A request of this shape in which every text says where it stands; some fields are left out.
fn marked(shape: &Shape, rng: &mut Random, depth: usize, marks: &mut BTreeSet<String>) -> Vec<u8> {
    let short = shape.name.rsplit('.').next().unwrap();
    let mut out = Vec::new();
    for field in shape.fields {
        if rng.below(10) == 0 {
            continue;
        }
        match field.kind {
            Kind::Varint => {
                varint(&mut out, u64::from(field.number) << 3);
                varint(&mut out, rng.below(5));
            }
            Kind::Varints => {}
            Kind::Bytes | Kind::Text => {
                let mark = format!("<{short}.{}>", field.number);
                varint(&mut out, u64::from(field.number) << 3 | 2);
                varint(&mut out, mark.len() as u64);
                out.extend_from_slice(mark.as_bytes());
                marks.insert(mark);
            }
            Kind::Message(at) if depth > 0 => {
                let inner = marked(shape_at(at), rng, depth - 1, marks);
                varint(&mut out, u64::from(field.number) << 3 | 2);
                varint(&mut out, inner.len() as u64);
                out.extend_from_slice(&inner);
            }
            Kind::Message(_) => {}
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_value_and_no_password_is_ever_told(at in 0..METHODS.len(), seed: u64) {
        let path = METHODS[at].path;
        let (mut rng, mut marks) = (Random(seed), BTreeSet::new());
        let message = marked(request_shape(path).unwrap(), &mut rng, 4, &mut marks);
        let noted = noted(b"alice", &*decoded(method(path), &message.into()));
        let line = line_of(&record(path, &noted));
        serde_json::from_str::<Value>(&line).unwrap();
        for mark in marks {
            let (name, number) = mark[1..mark.len() - 1].rsplit_once('.').unwrap();
            let number: u32 = number.parse().unwrap();
            let may_be_told = TOLD.iter().any(|(known, fields)| *known == name && fields.contains(&number));
            if !may_be_told {
                prop_assert!(!line.contains(&mark), "{mark} in {line}");
            }
        }
    }
}

#[test]
fn all_that_may_be_told_is() {
    let (mut rng, mut lines, mut marks) = (Random(1), String::new(), BTreeSet::new());
    for _ in 0..50 {
        for of in METHODS {
            let message = marked(request_shape(of.path).unwrap(), &mut rng, 4, &mut marks);
            let noted = noted(b"", &*decoded(method(of.path), &message.into()));
            lines += &line_of(&record(of.path, &noted));
        }
    }
    for (name, fields) in TOLD {
        for field in *fields {
            let mark = format!("<{name}.{field}>");
            assert!(lines.contains(&mark), "{mark} is never told");
        }
    }
    // The requests did have the secrets.
    for secret in [
        "<PutRequest.2>",
        "<Compare.7>",
        "<AuthenticateRequest.2>",
        "<AuthUserAddRequest.2>",
        "<AuthUserAddRequest.4>",
        "<AuthUserChangePasswordRequest.2>",
        "<ProclaimRequest.2>",
    ] {
        assert!(marks.contains(secret), "{secret}");
        assert!(!lines.contains(secret), "{secret}");
    }
}

/// A disk that does as it is told.
#[derive(Default)]
struct Disk {
    state: Mutex<DiskState>,
    changed: Condvar,
}

#[derive(Default)]
struct DiskState {
    text: String,
    /// Bytes that are written before the next error; None: all.
    room: Option<usize>,
    stuck: bool,
    tries: usize,
}

impl Disk {
    fn set(&self, change: impl FnOnce(&mut DiskState)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }

    fn until(&self, condition: impl Fn(&DiskState) -> bool) {
        let mut state = self.state.lock();
        let late = self.changed.wait_while_for(
            &mut state,
            |state| !condition(state),
            Duration::from_secs(30),
        );
        assert!(!late.timed_out(), "{}", state.text);
    }

    fn lines(&self) -> Vec<Value> {
        let text = self.state.lock().text.clone();
        let line = |line| serde_json::from_str(line).unwrap_or_else(|_| json!({ "torn": line }));
        text.lines().map(line).collect()
    }
}

impl Output for Arc<Disk> {
    fn prepare(&mut self, _bytes: usize) -> io::Result<()> {
        Ok(())
    }

    fn write(&mut self, lines: &mut &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        state.tries += 1;
        self.changed.notify_all();
        self.changed.wait_while(&mut state, |state| state.stuck);
        let fits = state.room.unwrap_or(usize::MAX).min(lines.len());
        let (written, rest) = lines.split_at(fits);
        state.text += std::str::from_utf8(written).unwrap();
        *lines = rest;
        state.room = state.room.map(|room| room - fits);
        self.changed.notify_all();
        match rest.is_empty() {
            true => Ok(()),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

#[derive(Default)]
struct Events(Mutex<Vec<String>>);

impl FrontEvents for Events {
    fn emit(&self, event: FrontEvent) {
        self.0.lock().push(format!("{event:?}"));
    }
}

struct Rig {
    audit: Audit,
    disk: Arc<Disk>,
    events: Arc<Events>,
}

fn rig(blocks: bool, workers: usize) -> Rig {
    let rule = AuditRule {
        calls: vec![PUT.into()],
        users: None,
        prefixes: None,
        results: AuditResult::ALL.to_vec(),
        logged: true,
    };
    let config = AuditConfig {
        path: "audit.log".into(),
        bytes_max: None,
        age_max: None,
        backups_max: None,
        blocks,
        rules: vec![rule],
    };
    let (disk, events) = (Arc::new(Disk::default()), Arc::new(Events::default()));
    let audit = Audit::start_with(&config, workers, disk.clone(), events.clone()).unwrap();
    Rig {
        audit,
        disk,
        events,
    }
}

impl Rig {
    /// A put that ends so long after the start.
    fn put(&self, worker: usize, after: Duration, key: &str) {
        let request = netcd_engine::proto::etcdserverpb::PutRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            ..Default::default()
        };
        let note = self.audit.note(method(PUT), b"alice", &request).unwrap();
        let ended = Ended {
            worker,
            now: self.audit.opened + after,
            method: method(PUT),
            address: "127.0.0.1:1",
            code: 0,
            message: "",
            answer: Facts::default(),
        };
        self.audit.ended(&ended, &note);
    }

    fn keys(&self) -> Vec<String> {
        let lines = self.disk.lines();
        lines
            .iter()
            .filter_map(|line| Some(line["key"].as_str()?.to_owned()))
            .collect()
    }

    fn dropped(&self) -> u64 {
        let lines = self.disk.lines();
        lines
            .iter()
            .filter_map(|line| line["dropped"].as_u64())
            .sum()
    }
}

#[test]
fn lines_of_all_threads_come_in_the_order_of_their_time() {
    let rig = rig(false, 3);
    rig.disk.set(|disk| disk.stuck = true);
    rig.put(0, Duration::ZERO, "first");
    rig.disk.until(|disk| disk.tries == 1);
    for (worker, ms) in [(2, 1), (0, 2), (1, 3), (1, 4), (2, 5), (0, 6)] {
        rig.put(worker, Duration::from_millis(ms), &ms.to_string());
    }
    rig.disk.set(|disk| disk.stuck = false);
    rig.audit.close();
    assert_eq!(rig.keys(), ["first", "1", "2", "3", "4", "5", "6"]);
    assert_eq!(rig.audit.written.lines.load(Ordering::Relaxed), 7);
    assert!(
        rig.audit
            .metrics()
            .contains("netcd_audit_dropped_total 0\n")
    );
}

#[test]
fn what_cannot_be_written_is_counted_and_told_later() {
    let rig = rig(false, 1);
    // The disk is full in the middle of the second of three lines.
    rig.disk.set(|disk| disk.room = Some(250));
    rig.disk.set(|disk| disk.stuck = true);
    rig.put(0, Duration::ZERO, "0");
    rig.disk.until(|disk| disk.tries == 1);
    for key in ["1", "2", "3"] {
        rig.put(0, Duration::ZERO, key);
    }
    rig.disk.set(|disk| disk.stuck = false);
    rig.disk
        .until(|disk| disk.tries == 2 && disk.room == Some(0));
    let written = rig.disk.state.lock().text.matches('\n').count() as u64;
    while rig.audit.lanes.dropped() == 0 {
        std::thread::yield_now();
    }
    // Of the next nothing at all is written, not even the end of the line before.
    let first = rig.audit.lanes.dropped();
    rig.put(0, Duration::ZERO, "lost as a whole");
    while rig.audit.lanes.dropped() == first {
        std::thread::yield_now();
    }
    rig.disk.set(|disk| disk.room = None);
    rig.put(0, Duration::ZERO, "after");
    rig.audit.close();
    let lost = 5 - written;
    assert!(lost > 0 && written > 0, "{written}");
    assert_eq!(rig.dropped(), lost);
    assert_eq!(rig.audit.lanes.dropped(), lost);
    assert_eq!(rig.audit.written.lines.load(Ordering::Relaxed), written + 1);
    assert_eq!(rig.keys().last().unwrap(), "after");
    let torn = rig
        .disk
        .lines()
        .iter()
        .filter(|line| line.get("torn").is_some())
        .count();
    assert_eq!(
        torn, 1,
        "what comes after a part of a line begins a line of its own"
    );
    let events = rig.events.0.lock();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(
        events[0].contains("cannot write the audit log"),
        "{events:?}"
    );
    assert!(
        rig.audit
            .metrics()
            .contains("netcd_audit_write_errors_total 2\n")
    );
}

#[test]
fn a_disk_that_is_slow_costs_lines_and_nothing_else() {
    let rig = rig(false, 1);
    rig.disk.set(|disk| disk.stuck = true);
    let mut puts = 0u64;
    while rig.audit.lanes.dropped() < 3 {
        rig.put(0, Duration::ZERO, &"k".repeat(1000));
        puts += 1;
        assert!(rig.audit.has_room(0), "nobody waits");
    }
    rig.disk.set(|disk| disk.stuck = false);
    rig.audit.close();
    assert_eq!(rig.dropped(), 3);
    assert_eq!(rig.keys().len() as u64, puts - 3);
}

#[test]
fn a_policy_that_blocks_loses_nothing() {
    let rig = rig(true, 1);
    rig.disk.set(|disk| disk.room = Some(250));
    let mut puts = 0u64;
    while rig.audit.has_room(0) {
        rig.put(0, Duration::ZERO, &format!("{puts} {}", "k".repeat(1000)));
        puts += 1;
    }
    // Those that were admitted before.
    for _ in 0..3 {
        rig.put(0, Duration::ZERO, &format!("{puts} "));
        puts += 1;
    }
    let mut wait = Wait::default();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    // The writer may have taken what was there before it met the error; then one that is stuck has taken all.
    while rig.audit.has_room(0) {
        rig.put(0, Duration::ZERO, &format!("{puts} {}", "k".repeat(1000)));
        puts += 1;
    }
    assert!(rig.audit.poll_room(0, &mut wait, &mut cx).is_pending());
    rig.disk.set(|disk| disk.room = None);
    while rig.audit.poll_room(0, &mut wait, &mut cx).is_pending() {
        std::thread::yield_now();
    }
    rig.audit.close();
    let numbers: Vec<u64> = rig
        .keys()
        .iter()
        .map(|key| key.split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..puts).collect::<Vec<_>>());
    assert_eq!((rig.dropped(), rig.audit.lanes.dropped()), (0, 0));
}

#[test]
fn the_end_does_not_wait_for_a_disk_that_fails() {
    let rig = rig(true, 1);
    rig.disk.set(|disk| disk.room = Some(0));
    rig.put(0, Duration::ZERO, "a");
    rig.disk.until(|disk| disk.tries > 0);
    rig.audit.close();
    assert_eq!(rig.audit.lanes.dropped(), 1);
}
