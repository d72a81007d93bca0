//! Reading the tree at one commit.

use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering::Relaxed;

use heed::types::Bytes as Raw;
use heed::{RoRange, RoTxn, WithoutTls};

use crate::types::Revision;

use super::{RevKey, StoredKey, Table, Tree, TreeError};

/// Key and value of a row.
pub type Row<'a> = (&'a [u8], &'a [u8]);

/// A read transaction. Its pages are not used again while it lives, so it must be short.
pub struct Snapshot<'t> {
    tree: &'t Tree,
    /// Taken out once, by drop, which hands it back to the tree.
    txn: ManuallyDrop<RoTxn<'static, WithoutTls>>,
    commits: u64,
}

impl Tree {
    /// Reads the newest committed state.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, TreeError> {
        let (idle, commits) = {
            let mut idle = self.idle.lock();
            (idle.snapshots.pop(), idle.commits)
        };
        let txn = match idle {
            Some(txn) => txn,
            None => {
                let txn = self.env.clone().static_read_txn();
                let txn = txn.map_err(|source| self.fail(source))?;
                self.open_reads.fetch_add(1, Relaxed);
                txn
            }
        };
        Ok(Snapshot::new(self, txn, commits))
    }
}

impl<'t> Snapshot<'t> {
    fn new(tree: &'t Tree, txn: RoTxn<'static, WithoutTls>, commits: u64) -> Self {
        Self {
            tree,
            txn: ManuallyDrop::new(txn),
            commits,
        }
    }

    pub(super) fn txn(&self) -> &RoTxn<'static, WithoutTls> {
        &self.txn
    }

    pub(super) fn tree(&self) -> &'t Tree {
        self.tree
    }

    /// The KeyValue that a put at `revision` stored; None if it is not (or no longer) here.
    pub fn get(&self, revision: Revision) -> Result<Option<&[u8]>, TreeError> {
        self.tree
            .rev
            .get(&self.txn, RevKey::new(revision).bytes())
            .map_err(|source| self.tree.fail(source))
    }

    /// For several puts that may have been made one after another.
    pub fn lookups(&self) -> Lookups<'_> {
        Lookups {
            snapshot: self,
            last: Revision::default(),
            rows: None,
        }
    }

    /// Every change from `from` on, in revision order.
    pub fn changes(
        &self,
        from: Revision,
    ) -> Result<impl Iterator<Item = Result<(StoredKey, &[u8]), TreeError>>, TreeError> {
        let rows = self.rows_from(&RevKey::new(from))?;
        Ok(rows.map(|row| {
            let (key, value) = row.map_err(|source| self.tree.fail(source))?;
            let key = StoredKey::parse(key)
                .ok_or_else(|| self.tree.damaged(format!("revision key {key:02x?}")))?;
            Ok((key, value))
        }))
    }

    fn rows_from(&self, key: &RevKey) -> Result<RoRange<'_, Raw, Raw>, TreeError> {
        self.tree
            .rev
            .range(&self.txn, &key.and_after())
            .map_err(|source| self.tree.fail(source))
    }

    /// Number of changes.
    pub fn change_count(&self) -> Result<u64, TreeError> {
        self.tree
            .rev
            .len(&self.txn)
            .map_err(|source| self.tree.fail(source))
    }

    /// A row of a table.
    pub fn row(&self, table: Table, key: &[u8]) -> Result<Option<&[u8]>, TreeError> {
        self.tree
            .table(table)
            .get(&self.txn, key)
            .map_err(|source| self.tree.fail(source))
    }

    /// All rows of a table in key order.
    pub fn rows(&self, table: Table) -> Result<Vec<Row<'_>>, TreeError> {
        self.tree
            .table(table)
            .iter(&self.txn)
            .and_then(Iterator::collect)
            .map_err(|source| self.tree.fail(source))
    }
}

/// Looks puts up one after another. Keys that were written in their order have revisions that follow each other: the row
/// behind the last one is the next then, and no descent through the tree is needed.
pub struct Lookups<'s> {
    snapshot: &'s Snapshot<'s>,
    last: Revision,
    /// The rows behind the last one, while they are those that are asked for.
    rows: Option<RoRange<'s, Raw, Raw>>,
}

impl<'s> Lookups<'s> {
    /// As `Snapshot::get`.
    pub fn get(&mut self, revision: Revision) -> Result<Option<&'s [u8]>, TreeError> {
        let follows = follows(self.last, revision);
        self.last = revision;
        if !follows {
            self.rows = None;
            return self.snapshot.get(revision);
        }
        let key = RevKey::new(revision);
        let mut rows = match self.rows.take() {
            Some(rows) => rows,
            None => self.snapshot.rows_from(&key)?,
        };
        match rows.next().transpose() {
            Ok(Some((found, value))) if found == key.bytes() => {
                self.rows = Some(rows);
                Ok(Some(value))
            }
            // The last revision was not the last of its main one, or this one is not here.
            Ok(_) => self.snapshot.get(revision),
            Err(source) => Err(self.snapshot.tree.fail(source)),
        }
    }
}

fn follows(last: Revision, revision: Revision) -> bool {
    let (main, sub) = (last.main, last.sub);
    (revision.main == main && revision.sub == sub + 1)
        || (revision.main == main + 1 && revision.sub == 0)
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // SAFETY: drop runs once, and nothing uses the field after it.
        let txn = unsafe { ManuallyDrop::take(&mut self.txn) };
        self.tree.put_back(txn, self.commits);
    }
}
