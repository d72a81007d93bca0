//! What becomes of watchers whose client may no longer see what they watch.
//!
//! Events are written only after a look whether anything has changed in users, roles and tokens since the watchers were
//! last checked. They are taken from the hub before that look: an event from after a change is never older than it.

use std::sync::Arc;

use super::cohort::Notify;
use super::response::Head;
use super::session::{Guard, Permission, WatchSession, refusal};
use crate::auth::Auth;

impl WatchSession {
    /// From now on `write` writes no event while a recheck is due.
    pub fn guard(&mut self, auth: Arc<Auth>) {
        let generation = auth.generation();
        self.guard = Some(Guard { auth, generation });
    }

    /// Whether something has changed since the watchers were checked last, so that `recheck` is to be called before
    /// `write`. Whoever registered with `Auth::on_change` is told when that comes about.
    pub fn is_outdated(&self) -> bool {
        self.guard
            .as_ref()
            .is_some_and(|guard| guard.auth.generation() != guard.generation)
    }

    /// Cancels every watcher whose keys `permission` refuses, with the error's long form as the reason. What they had
    /// queued is not told any more.
    pub fn recheck(&mut self, permission: Permission<'_>) {
        if let Some(guard) = &mut self.guard {
            // Before the look: what changes during it is looked at again.
            guard.generation = guard.auth.generation();
        }
        let checked = self.cohorts.iter().filter_map(|(slot, cohort)| {
            // Those that the hub has ended were told so.
            let (key, range_end) = cohort.handle.as_ref()?.watched().range.to_wire();
            let error = permission(key, range_end).err()?;
            Some((slot, refusal(&error)))
        });
        let refused: Vec<_> = checked.collect();
        for (slot, reason) in refused {
            self.cancel_cohort(slot, &reason.into());
        }
    }

    fn cancel_cohort(&mut self, slot: u32, reason: &Arc<str>) {
        let revision = self.hub.current_revision();
        for member in self.cohorts.remove_all(slot, &mut self.turn) {
            self.notified -= usize::from(member.progress != Notify::Never);
            self.replies.push_back(Head {
                revision,
                watch_id: member.id,
                canceled: true,
                cancel_reason: Arc::clone(reason),
                ..Head::default()
            });
        }
    }
}
