//! One Watch stream without its network: requests go in decoded, responses come out encoded.
//!
//! The owner calls `request` for every message of the client and `write` after it and after every wake, as fast as the
//! client takes what was written. What the client has not taken waits in the hub's bounded queues.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::response::{Encoder, Head, WatchOutput, event_len};
use super::{KeyRange, Taken, TakenEvent, WatchEnd, WatchHub, WatchSink, WatchSpec, WatcherHandle};
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
    /// Watchers by slot; the slot is what the hub knows them by.
    slots: Vec<Option<Member>>,
    free: Vec<u32>,
    by_id: HashMap<i64, u32>,
    next_id: i64,
    /// Answers to requests, to be written before any event.
    replies: VecDeque<Head>,
    /// Watchers with something to take, in the order of their turns.
    line: VecDeque<u32>,
    /// Watchers that asked for progress notifications.
    notified: usize,
    /// A request for progress: to be answered when every watcher has been given all up to this revision.
    progress_owed: Option<i64>,
}

struct Member {
    id: i64,
    /// None once the hub has ended it: the id stays taken until the client cancels it.
    handle: Option<WatcherHandle>,
    start_revision: i64,
    fragment: bool,
    progress: Notify,
}

/// Whether a watcher is told of progress at the next tick.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Notify {
    Never,
    Next,
    /// It has had events since the last tick, which say as much.
    Skip,
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
        Self {
            hub,
            config,
            encoder: Encoder::new(config.identity),
            ready: Arc::new(Ready {
                slots: Mutex::default(),
                wake,
            }),
            slots: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            next_id: 0,
            replies: VecDeque::new(),
            line: VecDeque::new(),
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
        self.by_id.len()
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
            0 => self.choose_id(),
            id if self.by_id.contains_key(&id) => return Err(DUPLICATE.into()),
            id => id,
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("a stream has fewer watchers")
        });
        let spec = WatchSpec {
            range,
            start_revision: request.start_revision,
            no_put: request.filters.contains(&(FilterType::Noput as i32)),
            no_delete: request.filters.contains(&(FilterType::Nodelete as i32)),
            prev_kv: request.prev_kv,
        };
        let handle = self.hub.register(spec, self.ready.clone(), slot.into());
        let registered_at = handle.registered_at();
        self.slots[slot as usize] = Some(Member {
            id,
            handle: Some(handle),
            start_revision: request.start_revision,
            fragment: request.fragment,
            progress: if request.progress_notify {
                Notify::Next
            } else {
                Notify::Never
            },
        });
        self.by_id.insert(id, slot);
        self.notified += usize::from(request.progress_notify);
        Ok((id, registered_at))
    }

    fn choose_id(&mut self) -> i64 {
        while self.by_id.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }

    fn cancel(&mut self, id: i64) {
        let Some(slot) = self.by_id.remove(&id) else {
            return;
        };
        let member = self.slots[slot as usize].take();
        let member = member.expect("an id's slot has a watcher");
        self.notified -= usize::from(member.progress != Notify::Never);
        if let Some(handle) = member.handle {
            self.hub.cancel(&handle);
        }
        // A wake of the old watcher may still come; it will find the slot empty or its next owner without events.
        self.free.push(slot);
        self.replies.push_back(Head {
            revision: self.hub.current_revision(),
            watch_id: id,
            canceled: true,
            ..Head::default()
        });
    }

    fn request_progress(&mut self) {
        let now = self.hub.current_revision();
        let synced = |member: &Member| {
            let handle = member.handle.as_ref();
            handle.is_none_or(|handle| self.hub.synced(handle) && member.start_revision <= now)
        };
        let mut members = self.slots.iter().flatten();
        let any = self.slots.iter().flatten().any(|m| m.handle.is_some());
        if any && members.all(synced) {
            self.progress_owed = Some(now);
        }
    }

    /// Tells watchers that asked for it of progress, unless they have had events since the last tick or lag. To be
    /// called in the interval of progress notifications.
    pub fn tick_progress(&mut self) {
        for member in self.slots.iter_mut().flatten() {
            let (Some(handle), false) = (&member.handle, member.progress == Notify::Never) else {
                continue;
            };
            let skip = member.progress == Notify::Skip;
            member.progress = Notify::Next;
            let current = self.hub.current_revision();
            let delivered = self.hub.progress_revision(handle);
            if !skip && delivered.is_some_and(|at| at >= current && at >= member.start_revision) {
                self.replies.push_back(Head {
                    revision: current,
                    watch_id: member.id,
                    ..Head::default()
                });
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
        self.line.extend(self.ready.slots.lock().drain(..));
        while output.written() < bytes_max {
            let Some(slot) = self.line.pop_front() else {
                break;
            };
            if self.write_watcher(slot, raft_term, output) {
                self.line.push_back(slot);
            }
        }
        self.write_progress(raft_term, output);
        !self.line.is_empty()
    }

    /// Writes what a watcher has queued, up to one response's worth. True if it has more.
    fn write_watcher(&mut self, slot: u32, raft_term: u64, output: &mut impl WatchOutput) -> bool {
        let Some(member) = self.slots[slot as usize].as_mut() else {
            return false;
        };
        let Some(handle) = &member.handle else {
            return false;
        };
        let Taken { events, more, end } = self.hub.take(handle, WATCH_RESPONSE_BYTES);
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
            write_events(
                &mut self.encoder,
                head,
                raft_term,
                &events,
                split_at,
                output,
            );
        }
        if let Some(end) = end {
            self.hub.cancel(handle);
            member.handle = None;
            let head = ended(member.id, end);
            self.encoder.write(&head, raft_term, &[], output);
        }
        more
    }

    /// Answers a request for progress if every watcher has been given what there was when it came.
    fn write_progress(&mut self, raft_term: u64, output: &mut impl WatchOutput) {
        let Some(owed) = self.progress_owed else {
            return;
        };
        let mut reached = i64::MAX;
        for member in self.slots.iter().flatten() {
            let Some(handle) = &member.handle else {
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
        for handle in self.slots.drain(..).flatten().filter_map(|m| m.handle) {
            self.hub.cancel(&handle);
        }
        self.hub.stream_closed();
    }
}

/// The response that ends a watcher.
fn ended(watch_id: i64, end: WatchEnd) -> Head {
    let head = Head {
        watch_id,
        canceled: true,
        ..Head::default()
    };
    match end {
        WatchEnd::Compacted { compact_revision } => Head {
            compact_revision,
            ..head
        },
        WatchEnd::Failed(reason) => Head {
            cancel_reason: reason,
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
