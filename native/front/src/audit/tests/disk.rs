//! What becomes of lines when the disk is slow or fails.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};

use super::*;
use crate::events::FrontEvent;

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
            common_name: None,
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
