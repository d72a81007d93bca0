//! Opening the store: the index and the leases' keys are built from the revision tree in one pass.

use bytes::Bytes;
use prost::Message;

use crate::auth;
use crate::index::TreeIndex;
use crate::lease::LeaseTable;
use crate::proto::leasepb::Lease;
use crate::tree::{Marks, Snapshot, Table, Tree, TreeError};
use crate::types::LogMark;

use super::api::{MetaRow, RecoveredLease};
use super::meta::{auth_table, read_meta};
use super::scan::Scan;

/// What the tree held.
pub(super) struct Recovered {
    pub marks: Marks,
    pub installed: LogMark,
    pub index: TreeIndex,
    pub leases: LeaseTable,
    pub lease_rows: Vec<RecoveredLease>,
    pub meta: Vec<MetaRow>,
    pub auth: auth::Table,
}

/// Reads everything.
pub(super) fn recover(tree: &Tree) -> Result<Recovered, TreeError> {
    let snapshot = tree.snapshot()?;
    let marks = snapshot.marks()?;
    let lease_rows = read_leases(tree, &snapshot)?;
    let mut leases = LeaseTable::new();
    for row in &lease_rows {
        leases.restore(row.id, row.ttl_seconds, row.remaining_ttl_seconds);
    }
    let index = read_revisions(tree, &marks, &mut leases)?;
    let meta = read_meta(&snapshot)?;
    Ok(Recovered {
        marks,
        installed: snapshot.installed()?,
        index,
        leases,
        lease_rows,
        auth: auth_table(tree, &meta)?,
        meta,
    })
}

fn read_revisions(
    tree: &Tree,
    marks: &Marks,
    leases: &mut LeaseTable,
) -> Result<TreeIndex, TreeError> {
    let scan = Scan {
        tree,
        leases,
        revision: marks.revision,
    };
    let (index, leased) = scan.read()?;
    for (key, (revision, lease)) in leased {
        // A key that was written again since then has the lease of that put, or none.
        let current = index.get(&key, i64::MAX);
        if current.is_some_and(|found| found.modified == revision) {
            leases.set_owner(&Bytes::from(key), lease);
        }
    }
    Ok(index)
}

fn read_leases(tree: &Tree, snapshot: &Snapshot<'_>) -> Result<Vec<RecoveredLease>, TreeError> {
    let read = |(key, value): (&[u8], &[u8])| {
        let lease = Lease::decode(value)
            .map_err(|error| tree.damaged(format!("lease row {key:02x?}: {error}")))?;
        Ok(RecoveredLease {
            id: lease.id,
            ttl_seconds: lease.ttl,
            remaining_ttl_seconds: lease.remaining_ttl,
        })
    };
    snapshot
        .rows(Table::Leases)?
        .into_iter()
        .map(read)
        .collect()
}
