//! One Watch stream without its network: requests go in decoded, responses come out encoded.
//!
//! The owner calls `request` for every message of the client and `write` after it and after every wake, as fast as the
//! client takes what was written. What the client has not taken waits in the hub's bounded queues.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::cohort::{Cohort, Cohorts, Member, Notify, Turn};
use super::metrics::Written;
use super::response::{Encoder, Head};
use super::{KeyRange, WatchHub, WatchSink, WatchSpec, Watched};
use crate::auth::Auth;
use crate::error::EtcdError;
use crate::limits::WATCH_REPLIES_MAX;
use crate::proto::etcdserverpb::watch_create_request::FilterType;
use crate::proto::etcdserverpb::watch_request::RequestUnion;
use crate::proto::etcdserverpb::{WatchCreateRequest, WatchRequest};
use crate::types::Identity;

/// The watch id of responses that are about no single watcher.
pub(super) const NO_WATCHER: i64 = -1;

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

/// Whether the client may watch this key and range end (as it sent them, but that an empty key is the first there is); the
/// error's long form becomes the reason of the refusal.
pub type Permission<'a> = &'a dyn Fn(&[u8], &[u8]) -> Result<(), EtcdError>;

/// The watchers of one stream.
pub struct WatchSession {
    pub(super) hub: Arc<WatchHub>,
    pub(super) config: SessionConfig,
    pub(super) encoder: Encoder,
    pub(super) ready: Arc<Ready>,
    pub(super) cohorts: Cohorts,
    /// Answers to requests, to be written before any event.
    pub(super) replies: VecDeque<Head>,
    /// Cohorts with something to take, in the order of their turns.
    pub(super) line: VecDeque<u32>,
    /// What was taken and has not been written for every member.
    pub(super) turn: Option<Turn>,
    /// Watchers that asked for progress notifications.
    pub(super) notified: usize,
    /// A request for progress: to be answered when every watcher has been given all up to this revision.
    pub(super) progress_owed: Option<i64>,
    /// What the piece holds that is being written.
    pub(super) written: Written,
    pub(super) guard: Option<Guard>,
}

/// The session's end at the hub: which watchers were woken since the last look.
pub(super) struct Ready {
    pub(super) slots: Mutex<Vec<u32>>,
    wake: SessionWake,
}

/// Against what a session's watchers were checked.
pub(super) struct Guard {
    pub auth: Arc<Auth>,
    /// Of auth, before they were.
    pub generation: u64,
}

/// Why a watcher is refused or cancelled, in the form that etcd's clients know.
pub(super) fn refusal(error: &EtcdError) -> String {
    format!(
        "rpc error: code = {:?} desc = {}",
        error.code, error.message
    )
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
            written: Written::default(),
            guard: None,
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

    /// Serves one request of the client; of one for a watcher: its id, or the reason why there is none.
    pub fn request(
        &mut self,
        request: WatchRequest,
        permission: Permission<'_>,
    ) -> Option<Result<i64, Arc<str>>> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => {
                return Some(self.create(request, permission));
            }
            Some(RequestUnion::CancelRequest(request)) => self.cancel(request.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => self.request_progress(),
            // etcd serves on when it does not know a request.
            None => {}
        }
        None
    }

    fn create(
        &mut self,
        request: WatchCreateRequest,
        permission: Permission<'_>,
    ) -> Result<i64, Arc<str>> {
        match self.try_create(&request, permission) {
            Ok((watch_id, revision)) => {
                self.replies.push_back(Head {
                    revision,
                    watch_id,
                    created: true,
                    ..Head::default()
                });
                Ok(watch_id)
            }
            Err(reason) => {
                let reason: Arc<str> = reason.into();
                self.replies.push_back(Head {
                    revision: self.hub.current_revision(),
                    watch_id: NO_WATCHER,
                    created: true,
                    canceled: true,
                    cancel_reason: Arc::clone(&reason),
                    ..Head::default()
                });
                Err(reason)
            }
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
        let key: &[u8] = match &*request.key {
            [] => &[0],
            key => key,
        };
        permission(key, &request.range_end).map_err(|error| refusal(&error))?;
        let range = KeyRange::from_wire(&request.key, &request.range_end).ok_or(EMPTY_RANGE)?;
        let id = match request.watch_id {
            0 => self.cohorts.choose_id(),
            id if self.cohorts.has(id) => return Err(DUPLICATE.into()),
            id => id,
        };
        let spec = WatchSpec {
            watched: Watched {
                range,
                no_put: request.filters.contains(&(FilterType::Noput as i32)),
                no_delete: request.filters.contains(&(FilterType::Nodelete as i32)),
                prev_kv: request.prev_kv,
            },
            start_revision: request.start_revision,
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
        let started = Instant::now();
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
        let took = started.elapsed();
        self.hub.shared.send_loop.told_progress(took);
    }
}

impl Drop for WatchSession {
    fn drop(&mut self) {
        self.hub.stream_closed();
    }
}
