//! What a session writes: answers first, then what its cohorts have taken, in turns.

use std::collections::VecDeque;
use std::time::Instant;

use super::cohort::{Cohorts, Notify, Turn};
use super::response::{Head, WatchOutput};
use super::session::{NO_WATCHER, WatchSession};
use crate::limits::WATCH_RESPONSE_BYTES;

impl WatchSession {
    /// Writes answers and events until nothing is left or `output` holds `bytes_max`, or until a recheck is due (see
    /// `is_outdated`). True if there is more.
    pub fn write(
        &mut self,
        output: &mut impl WatchOutput,
        bytes_max: usize,
        raft_term: u64,
    ) -> bool {
        let started = Instant::now();
        let more = self.write_piece(output, bytes_max, raft_term);
        let piece = std::mem::take(&mut self.written);
        self.hub.shared.send_loop.wrote(started.elapsed(), piece);
        more
    }

    fn write_piece(
        &mut self,
        output: &mut impl WatchOutput,
        bytes_max: usize,
        raft_term: u64,
    ) -> bool {
        while let Some(head) = self.replies.pop_front() {
            match head.created {
                true => self.written.created += 1,
                false => self.written.others += 1,
            }
            self.encoder.write(&head, raft_term, &[], output);
            if output.written() >= bytes_max && !self.replies.is_empty() {
                return true;
            }
        }
        for slot in self.ready.slots.lock().drain(..) {
            line_up(&mut self.cohorts, &mut self.line, slot);
        }
        while output.written() < bytes_max {
            match &self.turn {
                Some(_) if self.is_outdated() => return true,
                Some(_) => self.write_turn(output, bytes_max, raft_term),
                None => match self.line.pop_front() {
                    Some(slot) => self.begin_turn(slot),
                    None => break,
                },
            }
        }
        self.write_progress(raft_term, output);
        self.turn.is_some() || !self.line.is_empty()
    }

    /// Takes what a cohort has queued, up to one response's worth.
    fn begin_turn(&mut self, slot: u32) {
        let Some(cohort) = self.cohorts.get_mut(slot) else {
            return;
        };
        cohort.in_line = false;
        let Some(handle) = &cohort.handle else {
            return;
        };
        let taken = self.hub.take(handle, WATCH_RESPONSE_BYTES);
        if let Some(end) = &taken.end {
            self.cohorts.spare(slot, end);
        }
        if taken.events.is_empty() && taken.end.is_none() && !taken.more {
            return;
        }
        self.turn = Some(Turn {
            slot,
            next: 0,
            taken,
        });
    }

    /// Writes what was taken for one member after the other, until `output` holds `bytes_max`.
    fn write_turn(&mut self, output: &mut impl WatchOutput, bytes_max: usize, raft_term: u64) {
        let turn = self.turn.as_mut().expect("a turn is under way");
        let cohort = self.cohorts.get_mut(turn.slot);
        let cohort = cohort.expect("the cohort whose turn it is stays");
        for member in &mut cohort.members[turn.next..] {
            if output.written() >= bytes_max {
                return;
            }
            turn.next += 1;
            let events = &turn.taken.events;
            let events = &events[events.partition_point(|it| it.revision < member.since)..];
            if let Some(last) = events.last() {
                if member.progress == Notify::Next {
                    member.progress = Notify::Skip;
                }
                let head = Head {
                    revision: last.store_revision,
                    watch_id: member.id,
                    ..Head::default()
                };
                let split_at = member.fragment.then_some(self.config.fragment_bytes);
                self.written.others += 1;
                self.written.with_events += 1;
                self.written.events += events.len() as u64;
                self.encoder
                    .write_split(head, raft_term, events, split_at, output);
            }
            if let Some(end) = &turn.taken.end {
                self.written.others += 1;
                let head = Head::end(member.id, end);
                self.encoder.write(&head, raft_term, &[], output);
            }
        }
        if turn.taken.end.is_some() {
            self.cohorts.end(turn.slot);
        } else if turn.taken.more {
            line_up(&mut self.cohorts, &mut self.line, turn.slot);
        }
        self.turn = None;
    }

    /// Answers a request for progress if every watcher has been given what there was when it came.
    fn write_progress(&mut self, raft_term: u64, output: &mut impl WatchOutput) {
        let Some(owed) = self.progress_owed else {
            return;
        };
        // What is taken has left the queue but has not reached every member.
        let mut reached = self.turn.as_ref().map_or(i64::MAX, Turn::written_to);
        for (_, cohort) in self.cohorts.iter() {
            let Some(handle) = &cohort.handle else {
                continue;
            };
            match self.hub.progress_revision(handle) {
                Some(delivered) => reached = reached.min(delivered),
                // It fell behind; etcd does not answer then, and the client will ask again.
                None => {
                    self.progress_owed = None;
                    return;
                }
            }
        }
        if reached < owed {
            return;
        }
        self.progress_owed = None;
        if reached < i64::MAX {
            let head = Head {
                revision: reached,
                watch_id: NO_WATCHER,
                ..Head::default()
            };
            self.written.others += 1;
            self.encoder.write(&head, raft_term, &[], output);
        }
    }
}

/// Gives a cohort a place in the line, one at most: a wake may find it there because it had more.
fn line_up(cohorts: &mut Cohorts, line: &mut VecDeque<u32>, slot: u32) {
    if let Some(cohort) = cohorts.get_mut(slot)
        && !std::mem::replace(&mut cohort.in_line, true)
    {
        line.push_back(slot);
    }
}
