//! A pipeline for tests, with its neighbours in memory (fakes.rs) and somebody who plays raft (raft.rs).

mod fakes;
mod raft;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use self::fakes::{Clients, Event, Inbox, MemLog, RecordingStore};
use super::*;
use crate::auth::Caller;
use crate::error::EtcdError;
use crate::types::{Completions, EntryKind, LogMark, OpKind, Token};

/// What the store gets from [`Rig::put`] with these tokens.
pub fn requests(tokens: impl IntoIterator<Item = u64>) -> Vec<Bytes> {
    let text = |token: u64| Bytes::from(token.to_string());
    tokens.into_iter().map(text).collect()
}

pub fn mark(index: u64, term: u64) -> LogMark {
    LogMark { index, term }
}

/// A pipeline with its neighbours.
pub struct Rig<A: Apply = RecordingStore> {
    pub pipeline: Arc<Pipeline<A>>,
    pub store: Arc<A>,
    pub inbox: Arc<Inbox>,
    pub clients: Arc<Clients>,
}

pub fn config() -> PipelineConfig {
    PipelineConfig {
        max_request_bytes: 1_572_864,
        append_grant: true,
        slow_apply: Duration::from_millis(100),
        slow_request: Duration::from_millis(300),
    }
}

impl Rig<RecordingStore> {
    /// Over an empty log in memory.
    pub fn over(log: &MemLog) -> Self {
        Self::configured(config(), log)
    }

    /// The same, set up otherwise.
    pub fn configured(config: PipelineConfig, log: &MemLog) -> Self {
        let store = Arc::new(RecordingStore::default());
        let inbox = Arc::new(Inbox::default());
        let clients = Arc::new(Clients::default());
        let neighbours = Neighbours {
            store: Arc::clone(&store),
            log: Box::new(log.clone()),
            reader: Arc::new(log.clone()),
            wal_metrics: Arc::default(),
            events: Arc::clone(&inbox) as Arc<dyn PipelineEvents>,
            completions: Arc::clone(&clients) as Arc<dyn Completions>,
        };
        let pipeline =
            Pipeline::start(config, 1, StartMarks::default(), neighbours).expect("threads");
        Self {
            pipeline,
            store,
            inbox,
            clients,
        }
    }
}

impl<A: Apply> Rig<A> {
    pub fn put(&self, token: u64) {
        self.submit(token).expect("taken");
    }

    pub fn submit(&self, token: u64) -> Result<(), EtcdError> {
        let request = token.to_string();
        self.pipeline.submit(
            OpKind::Put,
            request.as_bytes(),
            Token(token),
            &Caller::Nobody,
        )
    }

    /// Puts the batch behind `handle` into the log as entry 2 of term 1, and commits it.
    pub fn persist_batch(&self, handle: u64) {
        let entry = PersistEntry {
            mark: mark(2, 1),
            kind: EntryKind::Batch,
            payload: PersistPayload::Handle(handle),
        };
        self.pipeline
            .persist(1, None, vec![entry])
            .expect("room for an entry");
        self.pipeline.commit(2);
        self.inbox.wait_for(&Event::Applied(2));
    }

    /// What a new leader does: its empty entry, then (with `granted`) the grant.
    pub fn lead(&self, term: u64, last: u64, granted: bool) {
        let entry = PersistEntry {
            mark: LogMark {
                index: last + 1,
                term,
            },
            kind: EntryKind::Empty,
            payload: PersistPayload::Data(Bytes::new()),
        };
        let hard_state = HardState {
            term,
            vote: 1,
            commit: last,
        };
        self.pipeline
            .persist(term << 32, Some(hard_state), vec![entry])
            .expect("room for the first entry");
        if granted {
            self.pipeline
                .grant(term, last + 2, GrantKind::SoleVoter)
                .expect("nothing in between");
        }
    }
}
