//! A store that arrived from another member: checked, open, and waiting as a file until it is put in place or dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::mvcc::{Coming, MetaRow, Store, read_meta};
use crate::tree::{FILE_NAME, Marks, Tree};
use crate::types::LogMark;

use super::{SnapshotError, SnapshotInfo, io_error, lock_path, sum};

/// See the file's head. Dropped, it removes its file.
pub struct Received {
    /// None once it is in place.
    tree: Option<Tree>,
    path: PathBuf,
    marks: Marks,
    meta: Vec<MetaRow>,
    synced_in: Duration,
}

impl Received {
    /// Checks the file `path`, which is removed if it is not what `info` says, and opens it. The file names nothing else
    /// in this process before or after. Reads all of it.
    pub fn open(path: &Path, info: &SnapshotInfo, no_fsync: bool) -> Result<Self, SnapshotError> {
        let opened = Self::check(path, info).and_then(|()| Self::read(path, info, no_fsync));
        if opened.is_err() {
            remove(path);
        }
        opened
    }

    fn check(path: &Path, info: &SnapshotInfo) -> Result<(), SnapshotError> {
        let (bytes, checksum) = sum(path)?;
        if (bytes, checksum) == (info.bytes, info.checksum) {
            return Ok(());
        }
        Err(SnapshotError::Damaged {
            path: path.to_owned(),
            found: bytes,
            checksum,
            expected: info.bytes,
        })
    }

    fn read(path: &Path, info: &SnapshotInfo, no_fsync: bool) -> Result<Self, SnapshotError> {
        let tree = Tree::open(path, no_fsync)?;
        let (marks, meta) = {
            let snapshot = tree.snapshot()?;
            (snapshot.marks()?, read_meta(&snapshot)?)
        };
        if marks.applied != info.applied {
            return Err(SnapshotError::OtherEntry {
                path: path.to_owned(),
                found: marks.applied.index,
                expected: info.applied.index,
            });
        }
        // Written and durable before the file is in place: a start that finds it there and a log that ends before it
        // must know that this is not a lost log.
        let mut batch = tree.batch()?;
        batch.set_installed(marks.applied)?;
        batch.commit()?;
        let started = Instant::now();
        if !no_fsync {
            tree.sync()?;
        }
        Ok(Self {
            tree: Some(tree),
            path: path.to_owned(),
            marks,
            meta,
            synced_in: started.elapsed(),
        })
    }

    /// The last entry that is wholly in it.
    pub fn applied(&self) -> LogMark {
        self.marks.applied
    }

    /// Its revision.
    pub fn revision(&self) -> i64 {
        self.marks.revision
    }

    /// The control plane's rows.
    pub fn meta(&self) -> &[MetaRow] {
        &self.meta
    }

    /// Tells the store for whose place it came, `took` after its first byte.
    pub fn arrived(&self, store: &Store, took: Duration) {
        store.received(took, self.synced_in);
    }

    /// Takes the place of `store`. Only for the apply thread, between two entries; it must be ahead of `store`. After an
    /// error the caller must end the process: which of the two files is in place is not known.
    pub fn install(self, store: &Store) -> Result<LogMark, SnapshotError> {
        let tree = self.tree.as_ref().expect("it is not in place yet");
        let coming = Coming::read(tree)?;
        store.install(coming, |dir| self.put_in_place(dir))
    }

    /// Makes it the store's file of the member directory `dir`, durably.
    fn put_in_place(mut self, dir: &Path) -> Result<Tree, SnapshotError> {
        let target = dir.join(FILE_NAME);
        fs::rename(&self.path, &target).map_err(|source| io_error(&target, source))?;
        let tree = self.tree.take().expect("it is put in place once");
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(|source| io_error(dir, source))?;
        Ok(tree)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if self.tree.take().is_some() {
            remove(&self.path);
        }
    }
}

/// What cannot be removed now is removed by the next start.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
    let _ = fs::remove_file(lock_path(path));
}
