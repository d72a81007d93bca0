//! The lock of a directory: who holds it has the directory to itself, until the handle or its process is gone.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// A directory that nobody else has locked.
#[derive(Debug)]
pub struct DirectoryLock {
    // Holds a flock: closing it, even by the end of the process, lets another handle in.
    directory: File,
}

impl DirectoryLock {
    /// Locks the directory; `None` if another handle (of this or another process) has it. Does not wait.
    ///
    /// # Errors
    /// The directory cannot be opened, or its file system has no locks.
    pub fn acquire(path: &Path) -> io::Result<Option<Self>> {
        let directory = File::open(path)?;
        match directory.try_lock() {
            Ok(()) => Ok(Some(Self { directory })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Makes the names in the directory durable.
    pub fn sync(&self) -> io::Result<()> {
        self.directory.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_handle_has_the_directory_until_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirectoryLock::acquire(dir.path()).unwrap();
        assert!(first.is_some());
        assert!(DirectoryLock::acquire(dir.path()).unwrap().is_none());
        drop(first);
        assert!(DirectoryLock::acquire(dir.path()).unwrap().is_some());
        let missing = DirectoryLock::acquire(&dir.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
