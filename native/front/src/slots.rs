//! KV calls of one worker that wait: for their write to be applied, or for a read barrier; and probes that wait for the
//! latter. A place is named by a token with a generation, so that an answer that comes too late finds nothing.

use std::time::Instant;

use bytes::Bytes;
use netcd_engine::error::EtcdError;
use netcd_engine::proto::etcdserverpb::{RangeRequest, TxnRequest};
use netcd_engine::types::Token;
use slab::Slab;
use tokio::sync::oneshot;

use crate::call::Call;
use crate::completions::{GENERATION_MASK, pack, unpack};
use crate::limits::SLOTS_PER_WORKER_MAX;

/// What a call waits for, and how to go on then.
pub(crate) enum Work {
    /// The answer comes with the completion.
    Write,
    /// The same for a write that took long, with the request for the log.
    SlowWrite(Bytes),
    /// A compaction at this revision that is answered when the last superseded revision is removed. Once it is decided
    /// that may take any time: only the client's own deadline ends the wait, as with etcd.
    PhysicalCompaction(i64),
    Range(RangeRequest),
    RangeStream(RangeRequest),
    Txn(TxnRequest),
}

/// A call that waits.
pub(crate) struct Slot {
    pub(crate) call: Call,
    pub(crate) work: Work,
}

impl Slot {
    /// Whether only the client's own deadline counts, and that is not over.
    fn waits_on(&self, now: Instant, compacted: impl Fn() -> i64) -> bool {
        match self.work {
            Work::PhysicalCompaction(revision) => {
                self.call.timeout.is_none_or(|timeout| timeout > now) && revision <= compacted()
            }
            _ => false,
        }
    }
}

/// Who waits. Calls are many, and a box for each would be an allocation on the path of every put.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Waiting {
    Call(Slot),
    /// Something that is no call, for a read barrier.
    Barrier(oneshot::Sender<Result<(), EtcdError>>),
}

struct Place {
    generation: u32,
    waiting: Waiting,
    /// When the wait ends with an error.
    deadline: Instant,
}

impl Place {
    fn is_over(&self, now: Instant, compacted: impl Fn() -> i64) -> bool {
        let waits_on = match &self.waiting {
            Waiting::Call(slot) => slot.waits_on(now, compacted),
            Waiting::Barrier(_) => false,
        };
        self.deadline <= now && !waits_on
    }
}

pub(crate) struct Slots {
    worker: usize,
    slab: Slab<Place>,
    generation: u32,
}

impl Slots {
    pub(crate) fn new(worker: usize) -> Self {
        Self {
            worker,
            slab: Slab::new(),
            generation: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// All that wait.
    pub(crate) fn into_all(self) -> impl Iterator<Item = Waiting> {
        self.slab.into_iter().map(|(_, place)| place.waiting)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.slab.len() >= SLOTS_PER_WORKER_MAX
    }

    /// The token of the next slot: given to the engine first, used by `insert` only if the engine took the request.
    pub(crate) fn next_token(&self) -> Token {
        pack(self.worker, self.generation, self.slab.vacant_key())
    }

    pub(crate) fn insert(&mut self, waiting: Waiting, deadline: Instant) {
        let generation = self.generation;
        self.generation = (generation + 1) & GENERATION_MASK;
        self.slab.insert(Place {
            generation,
            waiting,
            deadline,
        });
    }

    /// Who waits under a token, unless it was answered before.
    pub(crate) fn take(&mut self, token: Token) -> Option<Waiting> {
        let (generation, key) = unpack(token);
        match self.slab.get(key) {
            Some(place) if place.generation == generation => Some(self.slab.remove(key).waiting),
            _ => None,
        }
    }

    /// Keeps the request of a write whose answer comes next.
    pub(crate) fn name(&mut self, token: Token, request: Bytes) {
        let (generation, key) = unpack(token);
        if let Some(place) = self.slab.get_mut(key)
            && place.generation == generation
            && let Waiting::Call(slot) = &mut place.waiting
            && matches!(slot.work, Work::Write)
        {
            slot.work = Work::SlowWrite(request);
        }
    }

    /// Takes out what is past its deadline. `compacted` is the revision of the newest compaction that is decided.
    pub(crate) fn expired(
        &mut self,
        now: Instant,
        compacted: impl Fn() -> i64,
    ) -> Vec<(Token, Waiting)> {
        let keys: Vec<usize> = self
            .slab
            .iter()
            .filter(|(_, place)| place.is_over(now, &compacted))
            .map(|(key, _)| key)
            .collect();
        let take = |key| {
            let place = self.slab.remove(key);
            (pack(self.worker, place.generation, key), place.waiting)
        };
        keys.into_iter().map(take).collect()
    }
}
