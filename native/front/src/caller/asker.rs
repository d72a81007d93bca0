//! A caller under the table of a moment: what a call is checked with, and what its read is confirmed with afterwards.

use std::sync::Arc;

use netcd_engine::auth::{Auth, Caller, Table};
use netcd_engine::error::EtcdError;

use super::claim::Claim;
use crate::worker::Worker;

/// The table that counted when a call was looked at, and how often it had changed by then.
struct Moment {
    table: Arc<Table>,
    generation: u64,
}

/// Who asks.
pub(crate) struct Asker {
    pub(crate) caller: Caller,
    /// None: auth was off.
    moment: Option<Moment>,
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
                moment: None,
            });
        }
        let (generation, table) = (auth.generation(), auth.table());
        Ok(Self {
            caller: claim.caller(auth, &table, worker.now_ms())?,
            moment: Some(Moment { table, generation }),
        })
    }

    /// Asks the table.
    pub(crate) fn check(
        &self,
        check: impl FnOnce(&Table, &Caller) -> Result<(), EtcdError>,
    ) -> Result<(), EtcdError> {
        match &self.moment {
            None => Ok(()),
            Some(moment) => check(&moment.table, &self.caller),
        }
    }

    /// To be asked when a read is done: what it saw may be younger than a change that forbids it.
    pub(crate) fn confirm(&self, auth: &Auth) -> Result<(), EtcdError> {
        let same = |moment: &Moment| moment.generation == auth.generation();
        if self.moment.as_ref().is_some_and(same) {
            return Ok(());
        }
        auth.confirm(&self.caller)
    }
}
