//! The control plane's rows, which the store keeps for it.

use bytes::Bytes;

use crate::auth;
use crate::tree::{Snapshot, Table, Tree, TreeError};

use super::api::{MetaRow, MetaTable};

/// Rows of the control plane in the table `meta` have this prefix, so that they cannot meet the store's marks.
pub(super) const CONTROL_PREFIX: &[u8] = b"c/";

/// What those of users and roles say.
pub(super) fn auth_table(tree: &Tree, rows: &[MetaRow]) -> Result<auth::Table, TreeError> {
    let of_auth = rows.iter().filter(|row| row.table == MetaTable::Auth);
    auth::Table::load(of_auth.map(|row| (&*row.key, &*row.value)))
        .map_err(|error| tree.damaged(error.to_string()))
}

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
