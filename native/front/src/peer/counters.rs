//! What is counted of the links, for metrics.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use netcd_engine::metrics::Histogram;

/// Counters of one peer, for metrics.
#[derive(Debug)]
pub struct PeerCounters {
    /// Bytes sent to the peer.
    pub sent_bytes: AtomicU64,
    /// Bytes received from the peer.
    pub received_bytes: AtomicU64,
    /// Messages that were dropped instead of sent.
    pub sent_failures: AtomicU64,
    /// Streams from the peer that broke.
    pub received_failures: AtomicU64,
    /// Connections to the peer that were lost.
    pub disconnects: AtomicU64,
    /// 1 while the stream to the peer is open.
    pub active: AtomicU64,
    /// Bytes that wait to be sent.
    pub queued_bytes: AtomicUsize,
    /// Times of pings to the peer and back.
    pub round_trip: Histogram,
    /// Copies of the own store that go to the peer.
    pub copies_out: Copies,
    /// Copies of the peer's store that come from it.
    pub copies_in: Copies,
}

impl Default for PeerCounters {
    fn default() -> Self {
        Self {
            sent_bytes: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            sent_failures: AtomicU64::new(0),
            received_failures: AtomicU64::new(0),
            disconnects: AtomicU64::new(0),
            active: AtomicU64::new(0),
            queued_bytes: AtomicUsize::new(0),
            round_trip: Histogram::doubling(0.0001, 16),
            copies_out: Copies::default(),
            copies_in: Copies::default(),
        }
    }
}

/// Adds to a counter that is only ever read for display.
pub fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// Copies of the store on their way to or from one peer.
#[derive(Debug)]
pub struct Copies {
    /// Those that run.
    pub running: AtomicU64,
    /// Those that arrived.
    pub arrived: AtomicU64,
    /// Those that did not.
    pub failed: AtomicU64,
    /// How long those that arrived took.
    pub(super) took: Histogram,
}

impl Default for Copies {
    fn default() -> Self {
        Self {
            running: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            took: Histogram::doubling(0.1, 10),
        }
    }
}

impl Copies {
    /// One begins; it has failed unless `arrived` is called.
    pub(super) fn begin(&self) -> RunningCopy<'_> {
        add(&self.running, 1);
        RunningCopy {
            copies: self,
            started: Instant::now(),
            arrived: false,
        }
    }
}

/// A copy on its way.
pub(super) struct RunningCopy<'c> {
    copies: &'c Copies,
    started: Instant,
    arrived: bool,
}

impl RunningCopy<'_> {
    pub(super) fn arrived(mut self) {
        self.arrived = true;
    }
}

impl Drop for RunningCopy<'_> {
    fn drop(&mut self) {
        let copies = self.copies;
        copies.running.fetch_sub(1, Ordering::Relaxed);
        if self.arrived {
            add(&copies.arrived, 1);
            copies.took.seconds(self.started.elapsed());
        } else {
            add(&copies.failed, 1);
        }
    }
}
