//! The revision tree: LMDB (one file, mmap'd B+trees) with the store's revisions and small tables.
//!
//! | database | key | value |
//! | --- | --- | --- |
//! | rev | main revision u64 BE, sub u32 BE, `t` if a tombstone | encoded mvccpb.KeyValue |
//! | meta | name | see `marks`; control-plane rows have the prefix `c/` |
//! | members, auth, alarms | chosen by the control plane | chosen by the control plane |
//! | leases | id i64 BE | encoded leasepb.Lease |

mod key;
mod marks;
mod snapshot;
mod space;
mod whole;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use heed::types::Bytes as Raw;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, RoTxn, RwTxn, WithoutTls};
use parking_lot::Mutex;

pub use key::{RevKey, StoredKey};
pub use marks::Marks;
pub use snapshot::{Lookups, Snapshot};
pub use whole::Cut;
pub use write::Batch;

use crate::limits::{TREE_MAP_BYTES, TREE_READERS_MAX, TREE_SNAPSHOTS_IDLE_MAX};

/// Names the LMDB file inside the member directory.
pub const FILE_NAME: &str = "store.mdb";

/// A table of small rows beside the revisions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Table {
    /// Marks of the store, and the control plane's rows under the prefix `c/`.
    Meta,
    /// Membership.
    Members,
    /// Users and roles.
    Auth,
    /// Alarms.
    Alarms,
    /// Leases by id.
    Leases,
}

/// Why the tree could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// LMDB refused.
    #[error("{path}: {source}", path = path.display())]
    Lmdb {
        /// The database file.
        path: PathBuf,
        /// LMDB's reason.
        source: heed::Error,
    },
    /// The file could not be looked at.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The database file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file lacks pages at its end that hold data.
    #[error("{path}: the file is cut short: it has {} bytes, {} are in use", cut.bytes, cut.needed, path = path.display())]
    Cut {
        /// The database file.
        path: PathBuf,
        /// What it has and what it needs.
        cut: Cut,
    },
    /// The file was written by a version that this one does not understand.
    #[error("{path}: store format {found} is not supported (this version reads format {known})", path = path.display())]
    Format {
        /// The database file.
        path: PathBuf,
        /// Version found.
        found: u32,
        /// Version this program writes.
        known: u32,
    },
    /// A row does not have the form it was written in.
    #[error("{path}: damaged {what}", path = path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// Which row.
        what: String,
    },
}

impl TreeError {
    /// True if the disk (or the map) is full: the same write may succeed later.
    pub fn is_no_space(&self) -> bool {
        match self {
            TreeError::Lmdb { source, path } => match source {
                // LMDB calls a write that was cut short for lack of room EIO too. If it was a failed sync after all,
                // LMDB refuses the next transaction, so nothing is ever retried that must not be.
                heed::Error::Io(error) => match error.raw_os_error() {
                    Some(libc::ENOSPC) => true,
                    Some(libc::EIO) => space::is_exhausted(path),
                    _ => false,
                },
                heed::Error::Mdb(error) => matches!(error, heed::MdbError::MapFull),
                _ => false,
            },
            _ => false,
        }
    }
}

type RawDatabase = Database<'static, Raw, Raw>;

/// Sizes of the tree's file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TreeSize {
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of pages that hold data.
    pub used_bytes: u64,
}

/// An open revision tree. Any number of snapshots, one batch at a time.
pub struct Tree {
    env: Env<WithoutTls>,
    path: PathBuf,
    rev: RawDatabase,
    tables: [RawDatabase; 5],
    /// Snapshots of the newest commit that no one uses now.
    idle: Mutex<Idle>,
    /// Read transactions, idle ones too: each keeps pages from being used again.
    open_reads: AtomicUsize,
}

#[derive(Default)]
struct Idle {
    /// Counts commits: a snapshot taken before the newest one is not kept.
    commits: u64,
    snapshots: Vec<RoTxn<'static, WithoutTls>>,
}

impl Tree {
    /// Opens or creates the tree in the file `path`. With `no_fsync` commits are left to the operating system.
    pub fn open(path: &Path, no_fsync: bool) -> Result<Self, TreeError> {
        let fail = |source| TreeError::Lmdb {
            path: path.to_owned(),
            source,
        };
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options
            .map_size(TREE_MAP_BYTES)
            .max_dbs(8)
            .max_readers(TREE_READERS_MAX);
        let mut flags = EnvFlags::NO_SUB_DIR
            | EnvFlags::NO_META_SYNC
            | EnvFlags::NO_READ_AHEAD
            | EnvFlags::NO_MEM_INIT;
        if no_fsync {
            flags |= EnvFlags::NO_SYNC;
        }
        // SAFETY: NO_META_SYNC keeps the file consistent and may only lose the newest commit, which the WAL replays;
        // NO_SYNC is the user's explicit --unsafe-no-fsync; NO_MEM_INIT only leaves old bytes in unused parts of
        // pages.
        unsafe { options.flags(flags) };
        check_whole(path)?;
        // SAFETY: the member directory belongs to this process alone (the control plane locks it, and the WAL its own), so nobody else changes the
        // mapped file.
        let env = unsafe { options.open(path) }.map_err(fail)?;
        let txn = env.write_txn().map_err(fail)?;
        let names = ["rev", "meta", "members", "auth", "alarms", "leases"];
        let [rev, tables @ ..] = env
            .create_databases_and_commit(txn, |opener, txn| {
                let mut databases = Vec::with_capacity(names.len());
                for name in names {
                    databases.push(opener.create_database::<Raw, Raw>(txn, Some(name))?);
                }
                let databases: [Database<'_, Raw, Raw>; 6] =
                    databases.try_into().expect("one database for every name");
                Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(databases))
            })
            .map_err(fail)?
            .commit()
            .expect("the closure commits");
        let tree = Self {
            env,
            path: path.to_owned(),
            rev,
            tables,
            idle: Mutex::default(),
            open_reads: AtomicUsize::new(0),
        };
        tree.check_format()?;
        Ok(tree)
    }

    /// Takes a snapshot back for the next reader, unless a commit made it old.
    fn put_back(&self, txn: RoTxn<'static, WithoutTls>, commits: u64) {
        let mut idle = self.idle.lock();
        if idle.commits == commits && idle.snapshots.len() < TREE_SNAPSHOTS_IDLE_MAX {
            idle.snapshots.push(txn);
            return;
        }
        drop(idle);
        self.open_reads.fetch_sub(1, Relaxed);
    }

    /// Read transactions that are open, in use or kept for the next reader.
    pub fn open_reads(&self) -> usize {
        self.open_reads.load(Relaxed)
    }

    /// Commits; from here on snapshots see it. Snapshots of the state before are let go, so that their pages are
    /// used again.
    fn commit(&self, txn: RwTxn<'_>) -> Result<(), TreeError> {
        txn.commit().map_err(|source| self.fail(source))?;
        let old = {
            let mut idle = self.idle.lock();
            idle.commits += 1;
            std::mem::take(&mut idle.snapshots)
        };
        self.open_reads.fetch_sub(old.len(), Relaxed);
        drop(old);
        Ok(())
    }

    /// Returns when every commit is on stable storage, the newest too.
    pub fn sync(&self) -> Result<(), TreeError> {
        self.env.force_sync().map_err(|source| self.fail(source))
    }

    /// Sizes of the file.
    pub fn size(&self) -> Result<TreeSize, TreeError> {
        let snapshot = self.snapshot()?;
        let page_bytes = self
            .rev
            .stat(snapshot.txn())
            .map_err(|source| self.fail(source))?
            .page_size as u64;
        let mut pages = 2;
        for database in std::iter::once(&self.rev).chain(&self.tables) {
            let stat = database
                .stat(snapshot.txn())
                .map_err(|source| self.fail(source))?;
            pages += (stat.branch_pages + stat.leaf_pages + stat.overflow_pages) as u64;
        }
        Ok(TreeSize {
            bytes: (self.env.info().last_page_number as u64 + 1) * page_bytes,
            used_bytes: pages * page_bytes,
        })
    }

    /// Writes a compacted copy of the newest committed state to `file` (or a pipe), while reads and writes go on.
    pub fn copy_to(&self, file: &mut std::fs::File) -> Result<(), TreeError> {
        self.open_reads.fetch_add(1, Relaxed);
        let copied = self.env.copy_to_file(file, heed::CompactionOption::Enabled);
        self.open_reads.fetch_sub(1, Relaxed);
        copied.map_err(|source| self.fail(source))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn table(&self, table: Table) -> &RawDatabase {
        &self.tables[table as usize]
    }

    fn fail(&self, source: heed::Error) -> TreeError {
        TreeError::Lmdb {
            path: self.path.clone(),
            source,
        }
    }

    /// An error that names a damaged row of this file.
    pub fn damaged(&self, what: impl Into<String>) -> TreeError {
        TreeError::Damaged {
            path: self.path.clone(),
            what: what.into(),
        }
    }
}

/// LMDB would map a file that was cut short, and reading it would be a bus error.
fn check_whole(path: &Path) -> Result<(), TreeError> {
    let path = path.to_owned();
    let found = match std::fs::File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        opened => opened.and_then(|file| whole::find_cut(&file)),
    };
    match found {
        Ok(None) => Ok(()),
        Ok(Some(cut)) => Err(TreeError::Cut { path, cut }),
        Err(source) => Err(TreeError::Io { path, source }),
    }
}

#[cfg(test)]
mod tests;
