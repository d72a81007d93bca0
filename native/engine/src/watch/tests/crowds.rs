//! Streams with many watchers of few ranges, read in pieces: each watcher receives its history once, whatever its
//! cohort went through.

use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::Message;

use super::clients::spec;
use super::stream::{Messages, Stream, TERM, from, revision, watch};
use crate::proto::etcdserverpb::watch_request::RequestUnion;
use crate::proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use crate::watch::{History, Watched};

const RANGES: [(&str, &str); 4] = [("a", ""), ("a", "c"), ("b", "\0"), ("c", "")];
const KEYS: [&str; 4] = ["a", "b", "c", "d"];
const FRAGMENT_BYTES: usize = 300;

/// What a random test does next.
#[derive(Clone, Debug)]
enum Step {
    /// Keys as bits, and padding of their values.
    Commit(u8, usize),
    /// Range; start as a share of twice the history, or from now on; flags as bits.
    Create(usize, Option<u8>, u8),
    Cancel(prop::sample::Index),
    Write(usize),
    Progress,
    Tick,
    Compact(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let start = prop_oneof![4 => Just(None), 1 => any::<u8>().prop_map(Some)];
    prop_oneof![
        20 => (1..16u8, 0..300usize).prop_map(|(keys, padding)| Step::Commit(keys, padding)),
        8 => (0..RANGES.len(), start, any::<u8>())
            .prop_map(|(range, start, flags)| Step::Create(range, start, flags)),
        2 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        12 => (1..900usize).prop_map(Step::Write),
        2 => Just(Step::Progress),
        1 => Just(Step::Tick),
        1 => any::<u8>().prop_map(Step::Compact),
    ]
}

/// One watcher as its client sees it.
#[derive(Debug)]
struct Known {
    watched: Watched,
    /// As it was asked for.
    start_revision: i64,
    fragment: bool,
    /// The first revision that it wants; known once it was told that it is created.
    start: Option<i64>,
    /// Revision and encoding of what it has received.
    received: Vec<(i64, Vec<u8>)>,
    /// Its last response was a fragment that others follow.
    torn: bool,
    cancelling: bool,
    /// The compacted revision that ended it.
    ended: Option<i64>,
}

struct Crowd {
    stream: Stream,
    /// By id. Ids are not given twice.
    known: BTreeMap<i64, Known>,
    next_id: i64,
}

impl Crowd {
    fn step(&mut self, step: Step) {
        match step {
            Step::Commit(keys, padding) => {
                let value = "v".repeat(padding);
                let changes: Vec<_> = (0..)
                    .zip(KEYS)
                    .filter(|(bit, _)| keys & 1 << bit != 0)
                    // Short values stand for deletions.
                    .map(|(_, key)| (key, (padding > 40).then_some(value.as_str())))
                    .collect();
                self.stream.commit(&changes);
            }
            Step::Create(range, start, flags) => self.create(range, start, flags),
            Step::Cancel(index) if !self.known.is_empty() => {
                let id = index.index(self.known.len());
                let (id, watcher) = self
                    .known
                    .iter_mut()
                    .nth(id)
                    .expect("it is below the length");
                watcher.cancelling = true;
                self.stream.cancel(*id);
            }
            Step::Write(bytes_max) => {
                self.read(bytes_max);
            }
            Step::Progress => self.stream.progress(),
            Step::Tick => self.stream.session.tick_progress(),
            Step::Compact(share) => {
                let revision = self.stream.past.current() * i64::from(share) / 256;
                self.stream.compact(revision);
            }
            Step::Cancel(_) => {}
        }
    }

    fn create(&mut self, range: usize, start: Option<u8>, flags: u8) {
        let start = start.map_or(0, |share| {
            self.stream.past.current() * i64::from(share) / 128
        });
        let (key, end) = RANGES[range];
        let request = WatchCreateRequest {
            progress_notify: flags & 1 != 0,
            fragment: flags & 2 != 0,
            prev_kv: flags & 12 == 12,
            filters: (if flags & 0x70 == 0x70 {
                vec![0]
            } else {
                vec![]
            }),
            ..from(start, watch(key, end))
        };
        let known = Known {
            watched: Watched {
                no_put: !request.filters.is_empty(),
                prev_kv: request.prev_kv,
                ..spec(key.as_bytes(), end.as_bytes(), start).watched
            },
            start_revision: start,
            fragment: request.fragment,
            start: None,
            received: Vec::new(),
            torn: false,
            cancelling: false,
            ended: None,
        };
        self.known.insert(self.next_id, known);
        self.next_id += 1;
        self.stream.send(RequestUnion::CreateRequest(request));
    }

    /// Reads a piece of what the session has to say; false when that was all.
    fn read(&mut self, bytes_max: usize) -> bool {
        let mut messages = Messages::default();
        let more = self.stream.session.write(&mut messages, bytes_max, TERM);
        for response in messages.decode() {
            self.heard(&response);
        }
        more
    }

    fn heard(&mut self, response: &WatchResponse) {
        if response.watch_id == -1 {
            for watcher in self.known.values().filter(|it| it.ended.is_none()) {
                self.check(watcher, Some(revision(response)));
            }
            return;
        }
        let watcher = self.known.get_mut(&response.watch_id);
        let watcher = watcher.expect("a response is about a known watcher");
        if response.created {
            watcher.start = Some(match watcher.start_revision {
                0 => revision(response) + 1,
                start => start,
            });
        } else if response.canceled && response.compact_revision == 0 {
            assert!(watcher.cancelling);
            let watcher = self.known.remove(&response.watch_id).expect("it is known");
            self.check(&watcher, None);
        } else if response.canceled {
            watcher.ended = Some(response.compact_revision);
        } else if response.events.is_empty() {
            let watcher = &self.known[&response.watch_id];
            self.check(watcher, Some(revision(response)));
        } else {
            watcher.receive(response);
        }
    }

    /// What was received must be a beginning of the history; all of it up to `complete`.
    fn check(&self, watcher: &Known, complete: Option<i64>) {
        let Some(start) = watcher.start else {
            return assert!(watcher.received.is_empty());
        };
        let past = &self.stream.past;
        let expected = past.expected(&watcher.watched, start, past.current());
        assert!(watcher.received.len() <= expected.len());
        for ((at, encoded), (revision, event)) in watcher.received.iter().zip(&expected) {
            assert_eq!(at, revision);
            assert!(past.is_encoding(&watcher.watched, *revision, event, encoded));
        }
        if let Some((next, _)) = expected.get(watcher.received.len()) {
            let last = watcher.received.last().map_or(0, |(at, _)| *at);
            assert!(*next > last, "revision {last} is torn");
            assert!(complete.is_none_or(|complete| *next > complete));
        }
    }

    fn is_done(&self, watcher: &Known) -> bool {
        let past = &self.stream.past;
        let expected = |start| past.expected(&watcher.watched, start, past.current()).len();
        let all = |start| watcher.received.len() == expected(start);
        watcher.ended.is_some() || watcher.start.is_some_and(all)
    }

    /// Reads until every watcher has everything or was told why not.
    fn finish(mut self) {
        loop {
            while self.read(1000) {}
            if self.known.values().all(|watcher| self.is_done(watcher)) {
                break;
            }
            let wake = self.stream.wakes.recv_timeout(super::STUCK);
            wake.expect("a watcher was not woken");
        }
        for watcher in self.known.values() {
            self.check(watcher, watcher.ended.is_none().then_some(i64::MAX));
            let last = watcher.received.last().map_or(0, |(at, _)| *at);
            if let (Some(compacted), Some(start)) = (watcher.ended, watcher.start) {
                assert!(last < compacted && start < compacted);
                assert!(compacted <= self.stream.past.compact_revision());
            }
        }
        let ids: Vec<_> = self.known.keys().copied().collect();
        for id in ids {
            self.stream.cancel(id);
        }
        assert_eq!(self.stream.session.watchers(), 0);
        super::expect_nothing_retained(&self.stream.hub);
    }
}

impl Known {
    fn receive(&mut self, response: &WatchResponse) {
        let first = response.events[0].kv.as_ref().expect("a key-value");
        let last = self.received.last().map_or(0, |(at, _)| *at);
        // Only fragments may go on with a revision.
        assert!(first.mod_revision > last || self.torn && first.mod_revision == last);
        assert!(self.fragment || !response.fragment);
        self.torn = response.fragment;
        for event in &response.events {
            let at = event.kv.as_ref().expect("a key-value").mod_revision;
            self.received.push((at, event.encode_to_vec()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn every_member_of_every_cohort_receives_its_history_once(steps in prop::collection::vec(step(), 1..200)) {
        let stream = Stream::with_fragments_of(FRAGMENT_BYTES);
        let mut crowd = Crowd { stream, known: BTreeMap::new(), next_id: 0 };
        for step in steps {
            crowd.step(step);
        }
        crowd.finish();
    }
}
