//! From the transport threads to the writer: each thread has a lane of its own into which it copies records. A lane is
//! bounded. When one is full, records are left out and counted, or (as the policy says) what would make more of them waits:
//! the thread itself never does, since it serves members too.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};

use super::record::Record;
use crate::limits::{AUDIT_GATHER, AUDIT_QUEUE_BYTES_MAX};

#[derive(Default)]
struct State {
    records: Vec<u8>,
    /// Left out since the last take.
    dropped: u64,
    /// Counts the takes.
    takes: u64,
    /// Whom the next take wakes.
    waiting: Vec<Waker>,
}

#[derive(Default)]
struct Lane {
    state: Mutex<State>,
    /// What may wait does.
    full: AtomicBool,
}

/// What the writer is to do.
#[derive(Default)]
struct Due {
    some: bool,
    /// Much: it gathers no longer.
    much: bool,
    closing: bool,
}

pub(crate) struct Lanes {
    lanes: Vec<Lane>,
    blocks: bool,
    due: Mutex<Due>,
    changed: Condvar,
    dropped: AtomicU64,
}

/// What was in a lane.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) records: Vec<u8>,
    pub(crate) dropped: u64,
}

/// What one call or stream remembers of its waits.
#[derive(Default)]
pub(crate) struct Wait {
    /// It is among those that the take after this one wakes.
    registered: Option<u64>,
}

impl Lanes {
    pub(crate) fn new(workers: usize, blocks: bool) -> Self {
        Self {
            lanes: (0..workers).map(|_| Lane::default()).collect(),
            blocks,
            due: Mutex::default(),
            changed: Condvar::new(),
            dropped: AtomicU64::new(0),
        }
    }

    pub(crate) fn blocks(&self) -> bool {
        self.blocks
    }

    /// Copies a record into the lane of this worker.
    pub(crate) fn push(&self, worker: usize, record: &Record<'_>) {
        let lane = &self.lanes[worker];
        let (before, after) = {
            let mut state = lane.state.lock();
            let before = state.records.len();
            if before >= AUDIT_QUEUE_BYTES_MAX && !self.blocks {
                state.dropped += 1;
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            // What was admitted before the lane was full still gets its line.
            record.put(&mut state.records);
            (before, state.records.len())
        };
        if self.blocks && after >= AUDIT_QUEUE_BYTES_MAX {
            lane.full.store(true, Ordering::Relaxed);
        }
        const MUCH: usize = AUDIT_QUEUE_BYTES_MAX / 4;
        if before == 0 || (before < MUCH && after >= MUCH) {
            let mut due = self.due.lock();
            due.some = true;
            due.much |= after >= MUCH;
            self.changed.notify_one();
        }
    }

    /// Whether a request that gets a line may go on at once.
    pub(crate) fn has_room(&self, worker: usize) -> bool {
        !self.lanes[worker].full.load(Ordering::Relaxed)
    }

    /// Ready when a request that gets a line may go on.
    pub(crate) fn poll_room(
        &self,
        worker: usize,
        wait: &mut Wait,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let lane = &self.lanes[worker];
        if self.has_room(worker) {
            return Poll::Ready(());
        }
        let mut state = lane.state.lock();
        // The take that comes between the look and the lock has made room.
        if state.records.len() < AUDIT_QUEUE_BYTES_MAX {
            return Poll::Ready(());
        }
        // Once per take: a stream that is woken for other reasons would fill the list.
        if wait.registered != Some(state.takes) {
            wait.registered = Some(state.takes);
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Has those that wait look anew whether they should.
    pub(crate) fn wake(&self, worker: usize) {
        let waiting = {
            let mut state = self.lanes[worker].state.lock();
            // They register anew if they wait on.
            state.takes += 1;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Waits until there is something to write, and a little for more of it. True: it is to be the last time.
    pub(crate) fn wait(&self) -> bool {
        let mut due = self.due.lock();
        self.changed
            .wait_while(&mut due, |due| !due.some && !due.closing);
        self.changed
            .wait_while_for(&mut due, |due| !due.much && !due.closing, AUDIT_GATHER);
        due.some = false;
        due.much = false;
        due.closing
    }

    /// Whether the writer is to end; asked while it waits for the disk.
    pub(crate) fn is_closing(&self) -> bool {
        self.due.lock().closing
    }

    /// Has the writer write all that is there, and end.
    pub(crate) fn close(&self) {
        self.due.lock().closing = true;
        self.changed.notify_all();
    }

    /// Moves what is there to the writer, whose buffers take its place.
    pub(crate) fn take(&self, into: &mut Vec<Taken>) {
        into.resize_with(self.lanes.len(), Taken::default);
        for (lane, taken) in self.lanes.iter().zip(into) {
            taken.records.clear();
            let waiting = {
                let mut state = lane.state.lock();
                std::mem::swap(&mut state.records, &mut taken.records);
                taken.dropped = std::mem::take(&mut state.dropped);
                lane.full.store(false, Ordering::Relaxed);
                state.takes += 1;
                std::mem::take(&mut state.waiting)
            };
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Counts lines that could not be written.
    pub(crate) fn count_dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// All that were left out.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::super::record::Records;
    use super::*;
    use crate::grpc::methods::MethodId;

    /// An empty name, and no facts.
    const NOBODY: [u8; 6] = [0; 6];

    fn record(noted: &[u8]) -> Record<'_> {
        Record {
            at: 7,
            method: MethodId(0),
            code: 0,
            revision: 0,
            succeeded: None,
            common_name: None,
            address: b"",
            message: b"",
            noted,
        }
    }

    /// Pushes records until the lane is full; how many they were.
    fn fill(lanes: &Lanes, worker: usize) -> u64 {
        let noted = [&NOBODY[..], &vec![0; 1 << 20]].concat();
        let mut pushed = 0;
        while lanes.lanes[worker].state.lock().records.len() < AUDIT_QUEUE_BYTES_MAX {
            lanes.push(worker, &record(&noted));
            pushed += 1;
        }
        pushed
    }

    fn taken(lanes: &Lanes) -> Vec<(u64, u64)> {
        let mut taken = Vec::new();
        lanes.take(&mut taken);
        let counts = |lane: &Taken| (Records(&lane.records).count() as u64, lane.dropped);
        taken.iter().map(counts).collect()
    }

    #[test]
    fn a_full_lane_drops_and_counts() {
        let lanes = Lanes::new(2, false);
        let kept = fill(&lanes, 0);
        for _ in 0..3 {
            lanes.push(0, &record(&NOBODY));
        }
        lanes.push(1, &record(&NOBODY));
        let mut wait = Wait::default();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(
            lanes.poll_room(0, &mut wait, &mut cx).is_ready(),
            "nobody waits"
        );
        assert_eq!(lanes.dropped(), 3);
        assert_eq!(taken(&lanes), [(kept, 3), (1, 0)]);
        lanes.push(0, &record(&NOBODY));
        assert_eq!(taken(&lanes), [(1, 0), (0, 0)], "there is room again");
        assert_eq!(lanes.dropped(), 3);
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_full_lane_lets_wait_and_loses_nothing() {
        let lanes = Lanes::new(2, true);
        let woken = Arc::new(Count::default());
        let waker = woken.clone().into();
        let mut cx = Context::from_waker(&waker);
        let mut wait = Wait::default();
        assert!(lanes.poll_room(0, &mut wait, &mut cx).is_ready());
        let kept = fill(&lanes, 0);
        assert!(lanes.poll_room(0, &mut wait, &mut cx).is_pending());
        assert!(lanes.poll_room(0, &mut wait, &mut cx).is_pending());
        let mut other = Wait::default();
        assert!(
            lanes.poll_room(1, &mut other, &mut cx).is_ready(),
            "each has its own"
        );
        // What was admitted before is not lost.
        lanes.push(0, &record(&NOBODY));
        assert_eq!(taken(&lanes), [(kept + 1, 0), (0, 0)]);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1, "once");
        assert!(lanes.poll_room(0, &mut wait, &mut cx).is_ready());
        assert_eq!(lanes.dropped(), 0);
        // It waits again at the next time.
        fill(&lanes, 0);
        assert!(lanes.poll_room(0, &mut wait, &mut cx).is_pending());
        lanes.wake(0);
        assert_eq!(woken.0.load(Ordering::SeqCst), 2);
        assert!(lanes.poll_room(0, &mut wait, &mut cx).is_pending());
        lanes.wake(0);
        assert_eq!(woken.0.load(Ordering::SeqCst), 3, "it registered anew");
    }

    #[test]
    fn the_writer_waits_for_something() {
        let lanes = Arc::new(Lanes::new(1, false));
        let waiting = {
            let lanes = lanes.clone();
            std::thread::spawn(move || (lanes.wait(), lanes.wait()))
        };
        lanes.push(0, &record(&NOBODY));
        while lanes.due.lock().some {
            std::thread::yield_now();
        }
        lanes.close();
        assert_eq!(waiting.join().unwrap(), (false, true));
        assert!(lanes.is_closing());
    }
}
