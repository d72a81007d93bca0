//! The control plane's rows, which the store keeps for it.

use bytes::Bytes;

use crate::tree::{Snapshot, Table, TreeError};

use super::api::{MetaRow, MetaTable};

/// Rows of the control plane in the table `meta` have this prefix, so that they cannot meet the store's marks.
pub(super) const CONTROL_PREFIX: &[u8] = b"c/";

/// All of them.
pub(crate) fn read_meta(snapshot: &Snapshot<'_>) -> Result<Vec<MetaRow>, TreeError> {
    let tables = [
        (Table::Meta, MetaTable::Meta),
        (Table::Members, MetaTable::Members),
        (Table::Auth, MetaTable::Auth),
        (Table::Alarms, MetaTable::Alarms),
    ];
    let mut rows = Vec::new();
    for (from, table) in tables {
        for (key, value) in snapshot.rows(from)? {
            let key = match from {
                Table::Meta => match key.strip_prefix(CONTROL_PREFIX) {
                    Some(key) => key,
                    None => continue,
                },
                _ => key,
            };
            rows.push(MetaRow {
                table,
                key: Bytes::copy_from_slice(key),
                value: Bytes::copy_from_slice(value),
            });
        }
    }
    Ok(rows)
}
