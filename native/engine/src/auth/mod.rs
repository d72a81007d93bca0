//! Who may do what: the compiled form of the rows that the control plane keeps of users and roles, and the tokens behind
//! which callers are known.
//!
//! The rows of `MetaTable::Auth` are the truth. Every change of them gives a new `Table`, which never changes again; who
//! serves a request takes the one of the moment. Apply does so between two entries, so that all members decide alike;
//! reads are checked where they are served, and looked at once more when they are done.

mod caller;
mod changes;
mod check;
mod grants;
mod row;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod tokens;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::error::EtcdError;

use changes::Changes;

pub use caller::Caller;
pub use changes::Told;
pub use check::leases_of_txn;
pub use grants::Access;
pub use row::{AUTH_ENABLED, AUTH_REVISION, ROLE_PREFIX, RowError, USER_PREFIX};
pub use table::Table;
pub use tokens::{TokenEntry, TokenGrant, Tokens};

/// What a store knows of users, roles and tokens. Shared by all of its threads.
pub struct Auth {
    /// As the table says; asked by every request, so that auth costs nothing more while it is off.
    enabled: AtomicBool,
    table: RwLock<Arc<Table>>,
    /// One change at a time; readers go on with the table that is there.
    changing: Mutex<()>,
    tokens: Tokens,
    changes: Arc<Changes>,
}

impl Default for Auth {
    fn default() -> Self {
        let changes = Arc::<Changes>::default();
        Self {
            enabled: AtomicBool::new(false),
            table: RwLock::default(),
            changing: Mutex::default(),
            tokens: Tokens::new(Arc::clone(&changes)),
            changes,
        }
    }
}

impl Auth {
    /// Whether permissions are asked for at all.
    pub fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    /// Moves with every change of the table, and when tokens are withdrawn (not when one runs out): who keeps what
    /// followed from either compares it.
    pub fn generation(&self) -> u64 {
        self.changes.generation()
    }

    /// The table as it is now.
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read())
    }

    /// Replaces the table by what all rows of `MetaTable::Auth` say.
    pub fn load<'a>(
        &self,
        rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), RowError> {
        self.replace(Table::load(rows)?);
        Ok(())
    }

    /// Replaces the table.
    pub(crate) fn replace(&self, table: Table) {
        let _changing = self.changing.lock();
        self.put_in_place(table);
    }

    /// One row was written, or deleted (None).
    pub fn write(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), RowError> {
        self.write_all(std::iter::once((key, value)))
    }

    /// The writes of one control entry: they count at once. After an error nothing is changed.
    pub fn write_all<'a>(
        &self,
        writes: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), RowError> {
        let _changing = self.changing.lock();
        let table = self.table().changed(writes)?;
        self.put_in_place(table);
        Ok(())
    }

    fn put_in_place(&self, table: Table) {
        let enabled = table.enabled;
        // Freed outside the lock: it may be large.
        let old = std::mem::replace(&mut *self.table.write(), Arc::new(table));
        self.enabled.store(enabled, Ordering::Relaxed);
        drop(old);
        self.changes.tell();
    }

    /// The tokens that are known on this member.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// `told` is called whenever the generation has moved.
    pub fn on_change(&self, told: Told) {
        self.changes.on_change(told);
    }

    /// Asks the table of this moment, unless auth is off.
    pub fn admit(
        &self,
        check: impl FnOnce(&Table) -> Result<(), EtcdError>,
    ) -> Result<(), EtcdError> {
        if self.is_enabled() {
            check(&self.table())
        } else {
            Ok(())
        }
    }

    /// To be asked when a read that was admitted is done: what it saw may be younger than a change that forbids it.
    pub fn confirm(&self, caller: &Caller) -> Result<(), EtcdError> {
        self.admit(|table| table.check_unchanged(caller))
    }
}
