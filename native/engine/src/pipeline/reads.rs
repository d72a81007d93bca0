//! Linearizable reads. All that wait share one read index; a read that arrives while one is being asked for waits for
//! the next, because an index that was asked for before the read arrived may miss a write acknowledged in between.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use parking_lot::Mutex;

use crate::error::{EtcdError, STOPPED, TOO_MANY_REQUESTS};
use crate::limits::READS_PENDING_MAX;
use crate::types::Token;

/// Whether a read may be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadBarrier {
    /// At once: this member alone decides what is committed.
    Now,
    /// `Completions::reads_ready` will say.
    Wait,
}

/// See the file's head.
pub struct Reads {
    inner: Mutex<Inner>,
    /// Smallest read index that waits for apply; NEVER = none. Lets apply pass without the lock.
    ready_at: AtomicU64,
    /// Without a read index reads may be served from this applied index on.
    free_from: AtomicU64,
}

/// No index reaches it.
const NEVER: u64 = u64::MAX;

#[derive(Default)]
struct Inner {
    /// Arrived after the outstanding request.
    waiting: Vec<Token>,
    outstanding: Option<(u64, Vec<Token>)>,
    /// Have their read index, wait for apply; ascending by arrival, not by index.
    indexed: VecDeque<(u64, Vec<Token>)>,
    pending: usize,
    last_ctx: u64,
    stopped: bool,
}

impl Inner {
    /// Makes all waiting reads the outstanding request, if there is none.
    fn next_request(&mut self) -> Option<u64> {
        if self.outstanding.is_some() || self.waiting.is_empty() {
            return None;
        }
        self.last_ctx += 1;
        self.outstanding = Some((self.last_ctx, std::mem::take(&mut self.waiting)));
        Some(self.last_ctx)
    }

    fn take_outstanding(&mut self, ctx: u64) -> Option<Vec<Token>> {
        match self.outstanding.take() {
            Some((asked, tokens)) if asked == ctx => Some(tokens),
            other => {
                self.outstanding = other;
                None
            }
        }
    }

    fn take_ready(&mut self, applied: u64) -> Vec<Token> {
        let mut ready = Vec::new();
        self.indexed.retain_mut(|(index, tokens)| {
            let wait = *index > applied;
            if !wait {
                ready.append(tokens);
            }
            wait
        });
        self.pending -= ready.len();
        ready
    }

    fn ready_at(&self) -> u64 {
        self.indexed
            .iter()
            .map(|(index, _)| *index)
            .min()
            .unwrap_or(NEVER)
    }
}

impl Reads {
    /// Nothing waits.
    pub fn new() -> Self {
        Self {
            inner: Mutex::default(),
            ready_at: AtomicU64::new(NEVER),
            free_from: AtomicU64::new(NEVER),
        }
    }

    /// From when on this member alone decides what is committed: once this index is applied; None = not at all.
    pub fn free_from(&self, index: Option<u64>) {
        self.free_from.store(index.unwrap_or(NEVER), SeqCst);
    }

    /// Whether this member alone decides what is committed.
    pub fn are_ever_free(&self) -> bool {
        self.free_from.load(SeqCst) != NEVER
    }

    /// Whether reads need no read index.
    pub fn are_free(&self, applied: u64) -> bool {
        applied >= self.free_from.load(SeqCst)
    }

    /// A read waits. `request` is called, under the lock, if a read index has to be asked for now.
    pub fn wait(&self, token: Token, request: impl FnOnce(u64)) -> Result<(), EtcdError> {
        let mut inner = self.inner.lock();
        if inner.stopped {
            return Err(STOPPED);
        }
        if inner.pending >= READS_PENDING_MAX {
            return Err(TOO_MANY_REQUESTS);
        }
        inner.pending += 1;
        inner.waiting.push(token);
        if let Some(ctx) = inner.next_request() {
            request(ctx);
        }
        Ok(())
    }

    /// The read index of `ctx` is known; returns the reads that may be served now. An unknown ctx is ignored.
    pub fn index_ready(
        &self,
        ctx: u64,
        index: u64,
        applied: &AtomicU64,
        request: impl FnOnce(u64),
    ) -> Vec<Token> {
        let mut inner = self.inner.lock();
        if let Some(tokens) = inner.take_outstanding(ctx) {
            inner.indexed.push_back((index, tokens));
            self.ready_at.store(inner.ready_at(), SeqCst);
        }
        // Read after ready_at was published: apply either sees it, or its index is seen here.
        let ready = inner.take_ready(applied.load(SeqCst));
        self.ready_at.store(inner.ready_at(), SeqCst);
        if let Some(ctx) = inner.next_request() {
            request(ctx);
        }
        ready
    }

    /// The read index of `ctx` failed; returns its reads.
    pub fn index_failed(&self, ctx: u64, request: impl FnOnce(u64)) -> Vec<Token> {
        let mut inner = self.inner.lock();
        let failed = inner.take_outstanding(ctx).unwrap_or_default();
        inner.pending -= failed.len();
        if let Some(ctx) = inner.next_request() {
            request(ctx);
        }
        failed
    }

    /// Apply has come to `applied`; returns the reads that may be served now.
    pub fn applied(&self, applied: u64) -> Vec<Token> {
        if self.ready_at.load(SeqCst) > applied {
            return Vec::new();
        }
        let mut inner = self.inner.lock();
        let ready = inner.take_ready(applied);
        self.ready_at.store(inner.ready_at(), SeqCst);
        ready
    }

    /// Refuses reads from now on; returns all that waited.
    pub fn stop(&self) -> Vec<Token> {
        let mut inner = self.inner.lock();
        inner.stopped = true;
        inner.pending = 0;
        let mut all = std::mem::take(&mut inner.waiting);
        all.extend(
            inner
                .outstanding
                .take()
                .into_iter()
                .flat_map(|(_, tokens)| tokens),
        );
        all.extend(inner.indexed.drain(..).flat_map(|(_, tokens)| tokens));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(reads: &Reads, token: u64) -> Option<u64> {
        let mut asked = None;
        reads.wait(Token(token), |ctx| asked = Some(ctx)).unwrap();
        asked
    }

    #[test]
    fn a_read_never_uses_an_index_asked_for_before_it_arrived() {
        let reads = Reads::new();
        let applied = AtomicU64::new(10);
        let first = wait(&reads, 1).expect("asks");
        assert_eq!(wait(&reads, 2), None);
        let mut second = 0;
        let ready = reads.index_ready(first, 5, &applied, |ctx| second = ctx);
        assert_eq!(ready, [Token(1)]);
        assert!(second > first);
        assert!(
            reads
                .index_ready(first, 5, &applied, |_| panic!("one is outstanding"))
                .is_empty()
        );
        let ready = reads.index_ready(second, 11, &applied, |_| panic!("none waits"));
        assert!(ready.is_empty());
        assert!(reads.applied(10).is_empty());
        assert_eq!(reads.applied(11), [Token(2)]);
        assert!(reads.stop().is_empty());
    }

    #[test]
    fn a_failed_index_fails_its_reads_only() {
        let reads = Reads::new();
        let first = wait(&reads, 1).expect("asks");
        wait(&reads, 2);
        let mut second = 0;
        assert_eq!(reads.index_failed(first, |ctx| second = ctx), [Token(1)]);
        assert_ne!(second, 0);
        wait(&reads, 3);
        assert_eq!(reads.stop(), [Token(3), Token(2)]);
        assert_eq!(reads.wait(Token(4), |_| ()), Err(STOPPED));
    }

    #[test]
    fn more_reads_than_the_limit_are_refused() {
        let reads = Reads::new();
        for token in 0..READS_PENDING_MAX as u64 {
            wait(&reads, token);
        }
        assert_eq!(reads.wait(Token(0), |_| ()), Err(TOO_MANY_REQUESTS));
        assert_eq!(reads.stop().len(), READS_PENDING_MAX);
    }
}
