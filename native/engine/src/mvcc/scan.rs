//! Reading the whole revision tree at start, in several threads that give each other no rest: who has nothing left takes
//! over half of what the one with the most has not read yet. So it does not matter how unevenly the rows lie.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::index::{IndexBuilder, IndexRun, TreeIndex};
use crate::lease::LeaseTable;
use crate::limits::{INDEX_RUN_MAX, RECOVER_CLAIM_REVISIONS, RECOVER_THREADS_MAX};
use crate::tree::{Tree, TreeError};
use crate::types::Revision;

use super::kv::KvView;

/// The newest put of each key that has a lease of now, with that lease.
pub(super) type Leased = HashMap<Vec<u8>, (Revision, i64)>;

/// Reads a tree that nobody writes.
pub(super) struct Scan<'a> {
    pub tree: &'a Tree,
    pub leases: &'a LeaseTable,
    /// The store's revision.
    pub revision: i64,
}

/// What one thread read.
#[derive(Default)]
struct Part {
    run: IndexRun,
    leased: Leased,
}

impl Scan<'_> {
    /// Every revision into the index, in as many windows of main revisions as memory demands.
    pub fn read(&self) -> Result<(TreeIndex, Leased), TreeError> {
        let rows = self.check_extent()?;
        let threads = threads();
        let (mut from, end) = (0, self.revision + 1);
        let mut span = match rows / (threads * INDEX_RUN_MAX) as u64 {
            0 => end,
            times => (end / (2 * times as i64)).max(1),
        };
        let mut builder = IndexBuilder::new();
        let mut leased = Leased::new();
        while from < end {
            let window = Window::new(from, end.min(from + span));
            let Some(parts) = self.read_window(&window, threads)? else {
                span = (span / 4).max(1);
                continue;
            };
            let mut runs = Vec::with_capacity(threads);
            for part in parts {
                for (key, newer) in part.leased {
                    let newest = leased.entry(key).or_insert(newer);
                    *newest = newer.max(*newest);
                }
                runs.push(part.run);
            }
            builder.add(&runs);
            from = end.min(from + span);
            if runs.iter().all(IndexRun::is_sparse) {
                span = span.saturating_mul(2);
            }
        }
        Ok((builder.build(), leased))
    }

    /// The number of rows; an error if there is one above the store's revision.
    fn check_extent(&self) -> Result<u64, TreeError> {
        let snapshot = self.tree.snapshot()?;
        let above = Revision {
            main: self.revision + 1,
            sub: 0,
        };
        if let Some(row) = snapshot.changes(above)?.next() {
            return Err(self.damaged(row?.0.revision));
        }
        snapshot.change_count()
    }

    /// The window's revisions in a sorted run of each thread; None if they are too many.
    fn read_window(&self, window: &Window, threads: usize) -> Result<Option<Vec<Part>>, TreeError> {
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..threads)
                .map(|_| scope.spawn(|| self.read_part(window)))
                .collect();
            readers
                .into_iter()
                .map(|reader| reader.join().expect("a reader does not panic"))
                .collect()
        })
    }

    fn read_part(&self, window: &Window) -> Result<Option<Part>, TreeError> {
        let mut part = Part::default();
        while let Some(stretch) = window.take() {
            self.read_stretch(window, &stretch, &mut part)?;
        }
        if window.is_full() {
            return Ok(None);
        }
        part.run.sort();
        Ok(Some(part))
    }

    fn read_stretch(
        &self,
        window: &Window,
        stretch: &Stretch,
        part: &mut Part,
    ) -> Result<(), TreeError> {
        let snapshot = self.tree.snapshot()?;
        let first = Revision {
            main: stretch.from,
            sub: 0,
        };
        let mut claimed = stretch.from;
        for change in snapshot.changes(first)? {
            let (stored, value) = change?;
            let revision = stored.revision;
            if revision.main >= claimed {
                window.note_full(&part.run);
                match window.claim(stretch.number, revision.main) {
                    Some(end) => claimed = end,
                    None => break,
                }
            }
            let kv = KvView::parse(value).ok_or_else(|| self.damaged(revision))?;
            let plausible =
                stored.tombstone || (kv.version > 0 && kv.mod_revision == revision.main);
            if kv.key.is_empty() || !plausible {
                return Err(self.damaged(revision));
            }
            let (created, version) = (kv.create_revision, kv.version);
            part.run
                .add(kv.key, revision, created, version, stored.tombstone);
            if kv.lease != 0 && self.leases.contains(kv.lease) {
                let newest = part.leased.entry(kv.key.to_vec()).or_default();
                *newest = (revision, kv.lease).max(*newest);
            }
        }
        window.finish(stretch.number);
        Ok(())
    }

    fn damaged(&self, revision: Revision) -> TreeError {
        self.tree
            .damaged(format!("revision {}.{}", revision.main, revision.sub))
    }
}

fn threads() -> usize {
    if cfg!(test) {
        return 3;
    }
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(RECOVER_THREADS_MAX))
}

/// Main revisions that are read at once, divided into stretches as threads ask for work.
struct Window {
    stretches: Mutex<Vec<Progress>>,
    full: AtomicBool,
    /// A single revision is not divided further.
    divisible: bool,
}

struct Progress {
    /// The first main revision that nobody has claimed.
    position: i64,
    end: i64,
    taken: bool,
}

/// What a thread reads, from a main revision on; where it ends is known by `Window::claim` only.
struct Stretch {
    number: usize,
    from: i64,
}

impl Window {
    fn new(position: i64, end: i64) -> Self {
        let whole = Progress {
            position,
            end,
            taken: false,
        };
        Self {
            stretches: Mutex::new(vec![whole]),
            full: AtomicBool::new(false),
            divisible: end - position > 1,
        }
    }

    /// A stretch that nobody reads: the whole at first, then the farther half of the longest.
    fn take(&self) -> Option<Stretch> {
        let mut stretches = self.stretches.lock();
        if self.is_full() {
            return None;
        }
        if !stretches[0].taken {
            stretches[0].taken = true;
            let from = stretches[0].position;
            return Some(Stretch { number: 0, from });
        }
        let longest = stretches
            .iter_mut()
            .max_by_key(|stretch| stretch.end - stretch.position)?;
        let left = longest.end - longest.position;
        if left < 4 * RECOVER_CLAIM_REVISIONS {
            return None;
        }
        let (from, end) = (longest.position + left / 2, longest.end);
        longest.end = from;
        stretches.push(Progress {
            position: from,
            end,
            taken: true,
        });
        let number = stretches.len() - 1;
        Some(Stretch { number, from })
    }

    /// Asks to read on at revision `main`. Returns up to which (exclusive); None if that is not this stretch's any more.
    fn claim(&self, number: usize, main: i64) -> Option<i64> {
        let stretch = &mut self.stretches.lock()[number];
        if main >= stretch.end || self.is_full() {
            return None;
        }
        stretch.position = stretch.end.min(main + RECOVER_CLAIM_REVISIONS);
        Some(stretch.position)
    }

    fn finish(&self, number: usize) {
        let stretch = &mut self.stretches.lock()[number];
        stretch.position = stretch.end;
    }

    /// Ends the reading of a window that is too large for a run.
    fn note_full(&self, run: &IndexRun) {
        if self.divisible && run.is_full() {
            self.full.store(true, Ordering::Relaxed);
        }
    }

    fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}
