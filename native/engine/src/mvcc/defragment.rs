//! Online defragmentation: a compacted copy is made while the store serves. Commits wait meanwhile, so what is applied
//! collects in the tail; then the copy takes the old file's place in one rename.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::tree::{FILE_NAME, Tree, TreeError};

use super::directory::COPY_PREFIX;
use super::store::Store;

/// Defragmentation failed; the store goes on with the old file.
#[derive(Debug, thiserror::Error)]
pub enum DefragmentError {
    /// The directory may be another's by now.
    #[error("the store is closed")]
    Closed,
    /// The copy could not be made or opened.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A file operation on the copy failed.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The copy.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
}

impl Store {
    /// Gives back the database's free pages, with those of the compactions that were accepted before: who compacts and
    /// defragments wants room. Blocks its caller until they are done and for the time of a copy; puts and reads go on.
    pub fn defragment(&self) -> Result<(), DefragmentError> {
        self.await_compactions();
        let _running = self.metrics.defragmenting();
        let _gate = self.flush.gate.lock();
        if self.flush.is_ending() {
            return Err(DefragmentError::Closed);
        }
        let path = self.copy_path();
        let fresh = self.copy(&path);
        if fresh.is_err() {
            remove_copy(&path);
        }
        let fresh = fresh?;
        let size = fresh.size()?;
        *self.tree.write() = Arc::new(fresh);
        self.db_bytes.store(size.bytes, Ordering::Relaxed);
        self.db_used_bytes.store(size.used_bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Looks at the tree while nothing is committed.
    pub(crate) fn between_commits<T>(&self, look: impl FnOnce(&Arc<Tree>) -> T) -> T {
        let _gate = self.flush.gate.lock();
        look(&self.tree())
    }

    fn copy(&self, path: &Path) -> Result<Tree, DefragmentError> {
        let io = |source| DefragmentError::Io {
            path: path.to_owned(),
            source,
        };
        let mut options = File::options();
        let mut file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(io)?;
        self.tree().copy_to(&mut file)?;
        file.sync_all().map_err(io)?;
        let fresh = Tree::open(path, self.no_fsync)?;
        fs::rename(path, self.dir.join(FILE_NAME)).map_err(io)?;
        File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .map_err(io)?;
        Ok(fresh)
    }

    /// LMDB knows an open file by its name, so each copy of a process has its own.
    fn copy_path(&self) -> PathBuf {
        static COPIES: AtomicU64 = AtomicU64::new(0);
        let number = COPIES.fetch_add(1, Ordering::Relaxed);
        self.dir.join(format!("{COPY_PREFIX}.{number}"))
    }
}

fn remove_copy(path: &Path) {
    // The next start removes it if this fails.
    let _ = fs::remove_file(path);
}
