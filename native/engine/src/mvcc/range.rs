//! Range: an answer that is small is encoded at once; a large one is measured first and then written in chunks, both
//! at one pinned revision, so that it never lies in memory as a whole.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::auth::Caller;
use crate::error::{self, EtcdError};
use crate::limits::{RANGE_CHUNK_BYTES, RANGE_PAGE_KEYS, RANGE_WHOLE_BYTES_MAX, READ_RETRIES_MAX};
use crate::proto::etcdserverpb::RangeRequest;

use super::api::RangeAnswer;
use super::encode::{Header, RangeEnding};
use super::page::{Page, ReadError};
use super::pins::Pin;
use super::plan::Plan;
use super::select::{Look, Selection};
use super::store::Store;

/// What the first look at the state gives.
struct Head {
    header: Header,
    at: i64,
    count: u64,
    /// The only page of a short answer.
    page: Option<(Page, bool)>,
}

impl Store {
    /// Answers a range at the revision that is current now, or at the one it names. Who calls this has validated it and,
    /// if it is linearizable, passed the read barrier.
    ///
    /// Whether `caller` may read it is asked of the table before the read and again after it (of a chunked answer with
    /// its last chunk, which is then an error), so that no key is shown that was written after a change that forbids it.
    pub fn range(
        self: &Arc<Self>,
        request: &RangeRequest,
        caller: &Caller,
        raft_term: u64,
    ) -> Result<RangeAnswer, EtcdError> {
        self.auth
            .admit(|table| table.check_range(caller, request))?;
        let started = Instant::now();
        self.metrics.read(1);
        let answer = self.range_retried(request, caller, raft_term);
        let answer = answer.and_then(|answer| self.auth.confirm(caller).map(|()| answer));
        self.metrics.ranged(answer.is_ok(), started.elapsed());
        answer
    }

    fn range_retried(
        self: &Arc<Self>,
        request: &RangeRequest,
        caller: &Caller,
        raft_term: u64,
    ) -> Result<RangeAnswer, EtcdError> {
        let plan = Arc::new(Plan::new(request));
        for _ in 0..READ_RETRIES_MAX {
            match self.try_range(&plan, caller, raft_term) {
                Err(RangeError::Read(ReadError::Gone)) => {}
                Err(RangeError::Read(ReadError::Tree(error))) => return Err(self.fatal(&error)),
                Err(RangeError::Client(error)) => return Err(error),
                Ok(answer) => return Ok(answer),
            }
        }
        Err(self.fatal(
            &self
                .tree()
                .damaged("history: a revision of the index is missing"),
        ))
    }

    fn try_range(
        self: &Arc<Self>,
        plan: &Arc<Plan>,
        caller: &Caller,
        raft_term: u64,
    ) -> Result<RangeAnswer, RangeError> {
        let head = self.head(plan, raft_term)?;
        if plan.request.count_only {
            return Ok(RangeAnswer::Whole(encode_count(&head)));
        }
        if let Some((page, more)) = &head.page
            && let Some(answer) = self.encode_page(plan, &head, page, *more)?
        {
            return Ok(RangeAnswer::Whole(answer));
        }
        let pin = self
            .pin(head.at)
            .map_err(|error| self.unpinnable(plan, error))?;
        let selection = Selection::load(Arc::clone(plan), head.at, &**self)?;
        self.long_answer(selection, pin, &head, caller)
    }

    /// A current read whose revision was compacted before it could be pinned looks again; another one has failed.
    fn unpinnable(&self, plan: &Plan, error: EtcdError) -> RangeError {
        if plan.request.revision <= 0 {
            RangeError::Read(ReadError::Gone)
        } else {
            RangeError::Client(error)
        }
    }

    fn head(&self, plan: &Arc<Plan>, raft_term: u64) -> Result<Head, EtcdError> {
        self.look(|state| {
            let at = state.resolve(plan.request.revision)?;
            let page = (!plan.request.count_only && plan.sort.is_none())
                .then(|| {
                    let mut selection = Selection::walk(Arc::clone(plan), at);
                    let page = selection.page(state, RANGE_PAGE_KEYS);
                    selection.is_done().then(|| (page, selection.more()))
                })
                .flatten();
            // A page that holds the whole range has counted it.
            let count = match &page {
                Some((page, false)) if !plan.is_filtered() => page.len() as u64,
                _ => state.index.count(&plan.request.key, plan.end(), at),
            };
            Ok(Head {
                header: self.header(state.revision, raft_term),
                at,
                count,
                page,
            })
        })
    }

    /// The answer that fits one page; None if it is too large to be held in memory.
    fn encode_page(
        &self,
        plan: &Plan,
        head: &Head,
        page: &Page,
        more: bool,
    ) -> Result<Option<Bytes>, ReadError> {
        let tree = self.tree();
        let snapshot = tree.snapshot()?;
        let ending = RangeEnding {
            more,
            count: head.count,
        };
        let mut stored = snapshot.lookups();
        let mut pieces = Vec::with_capacity(page.len());
        let mut bytes = head.header.field_len() + ending.len();
        for i in 0..page.len() {
            let piece = page.piece(i, plan, &mut stored)?;
            bytes += piece.field_len();
            pieces.push(piece);
        }
        if bytes > RANGE_WHOLE_BYTES_MAX {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(bytes);
        head.header.put(&mut out);
        pieces.iter().for_each(|piece| piece.put(&mut out));
        ending.put(&mut out);
        debug_assert_eq!(out.len(), bytes);
        Ok(Some(Bytes::from(out)))
    }

    /// Measures the answer; then it is read a second time into one buffer or into chunks.
    fn long_answer(
        self: &Arc<Self>,
        selection: Selection,
        pin: Pin,
        head: &Head,
        caller: &Caller,
    ) -> Result<RangeAnswer, RangeError> {
        let mut measured = selection.clone();
        let mut bytes = head.header.field_len() as u64;
        let mut kvs = 0;
        while !measured.is_done() {
            let page = self.look(|state| measured.page(state, RANGE_PAGE_KEYS));
            let tree = self.tree();
            let snapshot = tree.snapshot().map_err(ReadError::from)?;
            let mut stored = snapshot.lookups();
            kvs += page.len() as u64;
            for i in 0..page.len() {
                bytes += page.piece(i, &measured.plan, &mut stored)?.field_len() as u64;
            }
        }
        let ending = RangeEnding {
            more: measured.more(),
            count: head.count,
        };
        bytes += ending.len() as u64;
        let mut start = Vec::new();
        head.header.put(&mut start);
        let chunks = RangeChunks {
            store: Arc::clone(self),
            pin,
            selection,
            page: Page::default(),
            position: 0,
            start,
            ending: Some(ending),
            caller: caller.clone(),
        };
        if bytes > RANGE_WHOLE_BYTES_MAX as u64 {
            return Ok(RangeAnswer::Chunked {
                bytes,
                kvs,
                count: head.count,
                chunks: Box::new(chunks),
            });
        }
        let mut out = Vec::with_capacity(bytes as usize);
        for chunk in chunks {
            out.extend_from_slice(&chunk?);
        }
        Ok(RangeAnswer::Whole(Bytes::from(out)))
    }
}

/// Why one try at a range gave no answer.
enum RangeError {
    Client(EtcdError),
    Read(ReadError),
}

impl From<EtcdError> for RangeError {
    fn from(error: EtcdError) -> Self {
        RangeError::Client(error)
    }
}

impl From<ReadError> for RangeError {
    fn from(error: ReadError) -> Self {
        RangeError::Read(error)
    }
}

fn encode_count(head: &Head) -> Bytes {
    let ending = RangeEnding {
        more: false,
        count: head.count,
    };
    let mut out = Vec::with_capacity(head.header.field_len() + ending.len());
    head.header.put(&mut out);
    ending.put(&mut out);
    Bytes::from(out)
}

/// The chunks of a large answer, written when they are asked for.
struct RangeChunks {
    store: Arc<Store>,
    pin: Pin,
    selection: Selection,
    page: Page,
    /// The first item of the page that is not written yet.
    position: usize,
    /// The header, until it is written.
    start: Vec<u8>,
    /// Until it is written.
    ending: Option<RangeEnding>,
    caller: Caller,
}

impl RangeChunks {
    /// Whether the caller may still have what was read, once all is.
    fn confirm(&self) -> Result<(), EtcdError> {
        match self.ending {
            Some(_) => Ok(()),
            None => self.store.auth.confirm(&self.caller),
        }
    }

    fn fill(&mut self, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let tree = self.store.tree();
        while out.len() < RANGE_CHUNK_BYTES {
            if self.position == self.page.len() {
                if self.selection.is_done() {
                    if let Some(ending) = self.ending.take() {
                        ending.put(out);
                    }
                    return Ok(());
                }
                self.page = self
                    .store
                    .look(|state| self.selection.page(state, RANGE_PAGE_KEYS));
                self.position = 0;
            }
            let snapshot = tree.snapshot()?;
            let mut stored = snapshot.lookups();
            while self.position < self.page.len() && out.len() < RANGE_CHUNK_BYTES {
                let piece = self
                    .page
                    .piece(self.position, &self.selection.plan, &mut stored)?;
                piece.put(out);
                self.position += 1;
            }
        }
        Ok(())
    }
}

impl Iterator for RangeChunks {
    type Item = Result<Bytes, EtcdError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.ending?;
        let mut out = std::mem::take(&mut self.start);
        let filled = self.fill(&mut out);
        let error = match filled {
            // A broken pin means that pages may have missed keys.
            Ok(()) if self.pin.is_broken() => error::COMPACTED,
            Ok(()) => match self.confirm() {
                Ok(()) => return Some(Ok(Bytes::from(out))),
                Err(error) => error,
            },
            Err(error) => self.store.pinned_error(&self.pin, error),
        };
        self.ending = None;
        Some(Err(error))
    }
}
