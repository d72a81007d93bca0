//! One Watch stream without its network: requests go in decoded, responses come out encoded.
//!
//! The owner calls `request` for every message of the client and `write` after it and after every wake, as fast as the
//! client takes what was written. What the client has not taken waits in the hub's bounded queues.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::cohort::{Cohort, Cohorts, Member, Notify, Turn};
use super::response::{Encoder, Head, WatchOutput, event_len};
use super::{KeyRange, TakenEvent, WatchEnd, WatchHub, WatchSink, WatchSpec};
use crate::error::EtcdError;
use crate::limits::{WATCH_REPLIES_MAX, WATCH_RESPONSE_BYTES};
use crate::proto::etcdserverpb::watch_create_request::FilterType;
use crate::proto::etcdserverpb::watch_request::RequestUnion;
use crate::proto::etcdserverpb::{WatchCreateRequest, WatchRequest};
use crate::types::Identity;

/// The watch id of responses that are about no single watcher.
const NO_WATCHER: i64 = -1;

/// Settings of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionConfig {
    /// Constant part of every header.
    pub identity: Identity,
    /// A response of this many bytes is split for watchers that asked for fragments.
    pub fragment_bytes: usize,
}

/// Told once that a session has something to write; called from the apply thread, so it must not block.
pub type SessionWake = Box<dyn Fn() + Send + Sync>;

/// Whether the client may watch this key and range end; the error's long form becomes the reason of the refusal.
pub type Permission<'a> = &'a dyn Fn(&[u8], &[u8]) -> Result<(), EtcdError>;

/// The watchers of one stream.
pub struct WatchSession {
    hub: Arc<WatchHub>,
    config: SessionConfig,
    encoder: Encoder,
    ready: Arc<Ready>,
    cohorts: Cohorts,
    /// Answers to requests, to be written before any event.
    replies: VecDeque<Head>,
    /// Cohorts with something to take, in the order of their turns.
    pub(super) line: VecDeque<u32>,
    /// What was taken and has not been written for every member.
    turn: Option<Turn>,
    /// Watchers that asked for progress notifications.
    notified: usize,
    /// A request for progress: to be answered when every watcher has been given all up to this revision.
    progress_owed: Option<i64>,
}

/// The session's end at the hub: which watchers were woken since the last look.
struct Ready {
    slots: Mutex<Vec<u32>>,
    wake: SessionWake,
}

impl WatchSink for Ready {
    fn wake(&self, watch_key: u64) {
        let first = {
            let mut slots = self.slots.lock();
            slots.push(u32::try_from(watch_key).expect("keys are slots"));
            slots.len() == 1
        };
        if first {
            (self.wake)();
        }
    }
}

impl WatchSession {
    /// A session without watchers. `wake` is called when `write` has something new to do.
    pub fn new(hub: Arc<WatchHub>, config: SessionConfig, wake: SessionWake) -> Self {
        hub.stream_opened();
        let ready = Arc::new(Ready {
            slots: Mutex::default(),
            wake,
        });
        Self {
            cohorts: Cohorts::new(hub.clone(), ready.clone()),
            hub,
            config,
            encoder: Encoder::new(config.identity),
            ready,
            replies: VecDeque::new(),
            line: VecDeque::new(),
            turn: None,
            notified: 0,
            progress_owed: None,
        }
    }

    /// Whether so many answers wait that no request should be given until some are written.
    pub fn is_full(&self) -> bool {
        self.replies.len() >= WATCH_REPLIES_MAX
    }

    /// Watchers of this session, those that have ended and were not cancelled included.
    pub fn watchers(&self) -> usize {
        self.cohorts.len()
    }

    /// Whether a watcher asked for progress notifications.
    pub fn wants_progress(&self) -> bool {
        self.notified > 0
    }

    /// Serves one request of the client.
    pub fn request(&mut self, request: WatchRequest, permission: Permission<'_>) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => self.create(request, permission),
            Some(RequestUnion::CancelRequest(request)) => self.cancel(request.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => self.request_progress(),
            // etcd serves on when it does not know a request.
            None => {}
        }
    }

    fn create(&mut self, request: WatchCreateRequest, permission: Permission<'_>) {
        match self.try_create(&request, permission) {
            Ok((watch_id, revision)) => self.replies.push_back(Head {
                revision,
                watch_id,
                created: true,
                ..Head::default()
            }),
            Err(reason) => self.replies.push_back(Head {
                revision: self.hub.current_revision(),
                watch_id: NO_WATCHER,
                created: true,
                canceled: true,
                cancel_reason: reason,
                ..Head::default()
            }),
        }
    }

    /// The new watcher's id and the revision at which it began, or the reason why there is none. The checks come in
    /// etcd's order.
    fn try_create(
        &mut self,
        request: &WatchCreateRequest,
        permission: Permission<'_>,
    ) -> Result<(i64, i64), String> {
        const EMPTY_RANGE: &str = "mvcc: watcher range is empty";
        const DUPLICATE: &str = "mvcc: duplicate watch ID provided on the WatchStream";
        if request.start_revision < 0 {
            return Err(crate::error::COMPACTED.message.into_owned());
        }
        permission(&request.key, &request.range_end).map_err(|error| {
            format!(
                "rpc error: code = {:?} desc = {}",
                error.code, error.message
            )
        })?;
        let range = KeyRange::from_wire(&request.key, &request.range_end).ok_or(EMPTY_RANGE)?;
        let id = match request.watch_id {
            0 => self.cohorts.choose_id(),
            id if self.cohorts.has(id) => return Err(DUPLICATE.into()),
            id => id,
        };
        let spec = WatchSpec {
            range,
            start_revision: request.start_revision,
            no_put: request.filters.contains(&(FilterType::Noput as i32)),
            no_delete: request.filters.contains(&(FilterType::Nodelete as i32)),
            prev_kv: request.prev_kv,
        };
        let member = Member {
            id,
            start_revision: request.start_revision,
            since: request.start_revision,
            fragment: request.fragment,
            progress: if request.progress_notify {
                Notify::Next
            } else {
                Notify::Never
            },
        };
        self.notified += usize::from(request.progress_notify);
        Ok((id, self.cohorts.add(spec, member)))
    }

    fn cancel(&mut self, id: i64) {
        let Some(member) = self.cohorts.remove(id, &mut self.turn) else {
            return;
        };
        self.notified -= usize::from(member.progress != Notify::Never);
        self.replies.push_back(Head {
            revision: self.hub.current_revision(),
            watch_id: id,
            canceled: true,
            ..Head::default()
        });
    }

    fn request_progress(&mut self) {
        let now = self.hub.current_revision();
        let mut cohorts = self.cohorts.iter().map(|(_, cohort)| cohort);
        let any = self.cohorts.iter().any(|(_, it)| it.handle.is_some());
        let synced = |cohort: &Cohort| {
            let handle = cohort.handle.as_ref();
            let began = |member: &Member| member.start_revision <= now;
            handle.is_none_or(|it| self.hub.synced(it) && cohort.members.iter().all(began))
        };
        if any && cohorts.all(synced) {
            self.progress_owed = Some(now);
        }
    }

    /// Tells watchers that asked for it of progress, unless they have had events since the last tick or lag. To be
    /// called in the interval of progress notifications.
    pub fn tick_progress(&mut self) {
        let under_way = self.turn.as_ref().map(|turn| turn.slot);
        for (slot, cohort) in self.cohorts.iter_mut() {
            let Some(handle) = &cohort.handle else {
                continue;
            };
            let current = self.hub.current_revision();
            let delivered = self.hub.progress_revision(handle);
            let delivered = delivered.filter(|_| under_way != Some(slot));
            for member in &mut cohort.members {
                let skip = member.progress != Notify::Next;
                if member.progress != Notify::Never {
                    member.progress = Notify::Next;
                }
                let told = |at| at >= current && at >= member.start_revision;
                if !skip && delivered.is_some_and(told) {
                    self.replies.push_back(Head {
                        revision: current,
                        watch_id: member.id,
                        ..Head::default()
                    });
                }
            }
        }
    }

    /// Writes answers and events until nothing is left or `output` holds `bytes_max`. True if there is more.
    pub fn write(
        &mut self,
        output: &mut impl WatchOutput,
        bytes_max: usize,
        raft_term: u64,
    ) -> bool {
        while let Some(head) = self.replies.pop_front() {
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
                write_events(&mut self.encoder, head, raft_term, events, split_at, output);
            }
            if let Some(end) = &turn.taken.end {
                let head = ended(member.id, end);
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
            self.encoder.write(&head, raft_term, &[], output);
        }
    }
}

impl Drop for WatchSession {
    fn drop(&mut self) {
        self.hub.stream_closed();
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

/// The response that ends a watcher.
fn ended(watch_id: i64, end: &WatchEnd) -> Head {
    let head = Head {
        watch_id,
        canceled: true,
        ..Head::default()
    };
    match end {
        WatchEnd::Compacted { compact_revision } => Head {
            compact_revision: *compact_revision,
            ..head
        },
        WatchEnd::Failed(reason) => Head {
            cancel_reason: reason.clone(),
            ..head
        },
    }
}

/// Writes events as one response, or as several if they reach `split_at` bytes. One event is never split.
fn write_events(
    encoder: &mut Encoder,
    mut head: Head,
    raft_term: u64,
    mut events: &[TakenEvent],
    split_at: Option<usize>,
    output: &mut impl WatchOutput,
) {
    let Some(bytes_max) = split_at else {
        return encoder.write(&head, raft_term, events, output);
    };
    let all: usize = events.iter().map(event_len).sum();
    if encoder.head_len(&head, raft_term) + all < bytes_max {
        return encoder.write(&head, raft_term, events, output);
    }
    head.fragment = true;
    let head_len = encoder.head_len(&head, raft_term);
    while !events.is_empty() {
        let mut bytes = head_len;
        let fitting = events.iter().take_while(|event| {
            bytes += event_len(event);
            bytes < bytes_max
        });
        let count = fitting.count().max(1);
        let (part, rest) = events.split_at(count);
        events = rest;
        head.fragment = !events.is_empty();
        encoder.write(&head, raft_term, part, output);
    }
}
