//! A driver that plays raft for a single voter.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::{Event, Rig};
use crate::pipeline::{
    Apply, MetaTable, MetaWrite, PersistEntry, PersistPayload, Pipeline, PipelineError,
};
use crate::types::{EntryKind, LogMark};

impl<A: Apply> Rig<A> {
    /// Plays raft on a thread until `Event::End`; returns what was fatal.
    pub fn drive(&self, term: u64, last: u64, granted: bool) -> JoinHandle<Option<String>> {
        self.lead(term, last, granted);
        let mut raft = Raft {
            pipeline: Arc::clone(&self.pipeline),
            term,
            last: last + 1,
            last_seq: term << 32,
            persisting: VecDeque::from([(term << 32, last + 1)]),
            committed: 0,
        };
        let inbox = Arc::clone(&self.inbox);
        std::thread::spawn(move || {
            loop {
                match inbox.take() {
                    Event::End => return None,
                    Event::Fatal(message) => return Some(message),
                    event => raft.step(event),
                }
            }
        })
    }

    /// Ends the driver and the pipeline.
    pub fn finish(&self, driver: JoinHandle<Option<String>>) -> Option<String> {
        self.pipeline.close();
        self.inbox.put(Event::End);
        driver.join().expect("driver")
    }
}

/// Raft with one voter, as far as the pipeline sees it.
struct Raft<A: Apply> {
    pipeline: Arc<Pipeline<A>>,
    term: u64,
    last: u64,
    last_seq: u64,
    /// (seq, last index of it)
    persisting: VecDeque<(u64, u64)>,
    committed: u64,
}

impl<A: Apply> Raft<A> {
    fn step(&mut self, event: Event) {
        match event {
            Event::Batch(handle) => self.propose(handle),
            Event::Appended(entries) => {
                // Those up to `last` were accounted for when the grant was withdrawn.
                let known = self.last;
                for entry in entries.iter().filter(|entry| entry.mark.index > known) {
                    assert_eq!(entry.mark.index, self.last + 1, "appended in order");
                    self.last += 1;
                }
            }
            Event::Stable(mark) => {
                self.committed = self.committed.max(mark.index);
                self.pipeline.commit(self.committed);
            }
            Event::Persisted(seq) => {
                while self.persisting.front().is_some_and(|(s, _)| *s <= seq) {
                    let (_, index) = self.persisting.pop_front().expect("just seen");
                    self.committed = self.committed.max(index);
                }
                self.pipeline.commit(self.committed);
            }
            Event::Control(mark, data) => {
                let write = MetaWrite {
                    table: MetaTable::Meta,
                    key: data,
                    value: None,
                };
                self.pipeline.control_applied(mark.index, vec![write]);
            }
            Event::ReadRequest(ctx) => self.pipeline.read_index_ready(ctx, self.committed),
            Event::Applied(_) | Event::Log(_) => {}
            Event::Acknowledged(..) | Event::Committed(_) => unreachable!("there are no others"),
            Event::Fatal(_) | Event::End => unreachable!("handled by the loop"),
        }
    }

    fn propose(&mut self, handle: u64) {
        let entry = PersistEntry {
            mark: LogMark {
                index: self.last + 1,
                term: self.term,
            },
            kind: EntryKind::Batch,
            payload: PersistPayload::Handle(handle),
        };
        match self.pipeline.persist(self.last_seq + 1, None, vec![entry]) {
            Ok(()) => {
                self.last += 1;
                self.last_seq += 1;
                self.persisting.push_back((self.last_seq, self.last));
            }
            // The batch crossed the grant.
            Err(PipelineError::GrantHeld) => {
                self.last = self.pipeline.revoke_grant();
                self.propose(handle);
            }
            Err(PipelineError::Closed) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
