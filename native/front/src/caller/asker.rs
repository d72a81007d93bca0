//! A caller under the table of a moment: what a call is checked with before it is done.

use std::sync::Arc;

use netcd_engine::auth::{Caller, Table};
use netcd_engine::error::EtcdError;

use super::claim::Claim;
use crate::worker::Worker;

/// Who asks.
pub(crate) struct Asker {
    pub(crate) caller: Caller,
    /// None: auth was off.
    table: Option<Arc<Table>>,
}

impl Asker {
    /// Whoever makes a claim now.
    ///
    /// # Errors
    /// The token is none, or none any more.
    pub(crate) fn of(worker: &Worker, claim: &Claim) -> Result<Self, EtcdError> {
        let auth = &worker.shared.auth;
        if !auth.is_enabled() {
            return Ok(Self {
                caller: Caller::Nobody,
                table: None,
            });
        }
        let table = auth.table();
        Ok(Self {
            caller: claim.caller(auth, &table, worker.now_ms())?,
            table: Some(table),
        })
    }

    /// The table that is asked; None: auth was off.
    pub(crate) fn table(&self) -> Option<&Table> {
        self.table.as_deref()
    }

    /// Asks the table.
    pub(crate) fn check(
        &self,
        check: impl FnOnce(&Table, &Caller) -> Result<(), EtcdError>,
    ) -> Result<(), EtcdError> {
        match &self.table {
            None => Ok(()),
            Some(table) => check(table, &self.caller),
        }
    }
}
