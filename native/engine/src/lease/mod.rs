//! The lease table: id → TTL and keys, key → lease. Apply changes it; expiry runs on the leader only, on a monotonic
//! clock that the caller reads (milliseconds), so that nothing here depends on wall time.

mod checkpoints;
mod deadlines;
mod metrics;
mod record;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use bytes::Bytes;

use crate::error::{self, EtcdError};
use crate::limits::{
    LEASE_EXPIRIES_PER_SECOND, LEASE_LEADER_SILENCE_MS_MAX, LEASE_TTL_SECONDS_MAX,
};

use checkpoints::Checkpoints;
use deadlines::Deadlines;
use metrics::Counters;
use record::Lease;

/// What LeaseTimeToLive tells of a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseTimes {
    /// Granted TTL in seconds.
    pub granted_ttl_seconds: i64,
    /// Seconds a checkpoint left, 0 = none.
    pub remaining_ttl_seconds: i64,
    /// Milliseconds until it expires (0 = it has); None unless this member is the leader.
    pub expires_in_ms: Option<u64>,
}

/// All leases of the store.
#[derive(Default, Debug)]
pub struct LeaseTable {
    leases: HashMap<i64, Lease>,
    owners: HashMap<Bytes, i64>,
    /// Some while this member is the leader.
    deadlines: Option<Deadlines>,
    /// Some while this member is the leader and checkpoints are asked for.
    checkpoints: Option<Checkpoints>,
    /// When the control plane last said that this member leads.
    attended_ms: u64,
    counters: Counters,
}

impl LeaseTable {
    /// An empty table of a member that is not the leader.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks a grant without doing it.
    pub fn check_grant(&self, id: i64, ttl_seconds: i64) -> Result<(), EtcdError> {
        if id == 0 {
            return Err(error::LEASE_NOT_FOUND);
        }
        if ttl_seconds > LEASE_TTL_SECONDS_MAX {
            return Err(error::LEASE_TTL_TOO_LARGE);
        }
        if self.leases.contains_key(&id) {
            return Err(error::LEASE_EXISTS);
        }
        Ok(())
    }

    /// Adds a lease; on the leader its time starts at `now_ms`.
    pub fn grant(&mut self, id: i64, ttl_seconds: i64, now_ms: u64) -> Result<(), EtcdError> {
        self.check_grant(id, ttl_seconds)?;
        self.insert(id, ttl_seconds, 0);
        self.counters.grant(ttl_seconds);
        if let Some(deadlines) = &mut self.deadlines {
            deadlines.set(id, after(now_ms, ttl_seconds));
        }
        self.schedule_checkpoint(id, ttl_seconds, now_ms);
        Ok(())
    }

    /// Adds a lease that was read back from disk.
    pub fn restore(&mut self, id: i64, ttl_seconds: i64, remaining_ttl_seconds: i64) {
        self.insert(id, ttl_seconds, remaining_ttl_seconds);
    }

    fn insert(&mut self, id: i64, ttl_seconds: i64, remaining_ttl_seconds: i64) {
        let lease = Lease::new(ttl_seconds, remaining_ttl_seconds);
        self.leases.insert(id, lease);
    }

    /// Whether the lease exists.
    pub fn contains(&self, id: i64) -> bool {
        self.leases.contains_key(&id)
    }

    /// Removes a lease and returns its keys in ascending order; None if there is no such lease.
    pub fn revoke(&mut self, id: i64) -> Option<Vec<Bytes>> {
        let lease = self.leases.remove(&id)?;
        self.counters.revoked += 1;
        if let Some(deadlines) = &mut self.deadlines {
            deadlines.clear(id);
        }
        let mut keys: Vec<Bytes> = lease.into_keys().collect();
        keys.sort_unstable();
        for key in &keys {
            self.owners.remove(key);
        }
        Some(keys)
    }

    /// Notes the seconds that a lease has left; a leader that comes later counts from there. This leader's own deadline
    /// stays, unless the lease is whole again: a restarted leader may find only here that its client renewed it.
    pub fn checkpoint(
        &mut self,
        id: i64,
        remaining_ttl_seconds: i64,
        now_ms: u64,
    ) -> Result<(), EtcdError> {
        let lease = self.leases.get_mut(&id).ok_or(error::LEASE_NOT_FOUND)?;
        lease.remaining_ttl_seconds = remaining_ttl_seconds;
        let left_seconds = lease.effective_ttl_seconds();
        if remaining_ttl_seconds == 0
            && let Some(deadlines) = &mut self.deadlines
            && let Some(deadline) = deadlines.get(id).filter(|deadline| *deadline > now_ms)
        {
            deadlines.set(id, deadline.max(after(now_ms, left_seconds)));
        }
        self.schedule_checkpoint(id, left_seconds, now_ms);
        Ok(())
    }

    /// Moves a key to the lease `id`, 0 = to none.
    ///
    /// # Panics
    /// If there is no such lease: apply has checked it.
    pub fn set_owner(&mut self, key: &Bytes, id: i64) {
        if id == 0 && self.owners.is_empty() {
            return;
        }
        if self.owner(key) == id {
            return;
        }
        if let Some((key, old)) = self.owners.remove_entry(key)
            && let Some(lease) = self.leases.get_mut(&old)
        {
            lease.detach(&key);
        }
        if id != 0 {
            // A copy, because the caller's key is a slice of a whole batch.
            let key = Bytes::copy_from_slice(key);
            let lease = self.leases.get_mut(&id).expect("apply checks the lease");
            lease.attach(key.clone());
            self.owners.insert(key, id);
        }
    }

    /// The lease of a key, 0 = none.
    pub fn owner(&self, key: &[u8]) -> i64 {
        self.owners.get(key).copied().unwrap_or(0)
    }

    /// A lease's keys in ascending order; None if there is no such lease.
    pub fn keys(&self, id: i64) -> Option<Vec<Bytes>> {
        let mut keys: Vec<Bytes> = self.leases.get(&id)?.keys().cloned().collect();
        keys.sort_unstable();
        Some(keys)
    }

    /// A lease's keys in no order; none if there is no such lease.
    pub fn keys_unordered(&self, id: i64) -> impl Iterator<Item = &[u8]> {
        let lease = self.leases.get(&id).into_iter();
        lease.flat_map(Lease::keys).map(|key| &**key)
    }

    /// A first and a last key between which all keys of a lease lie. None: they are few.
    pub fn bounds(&self, id: i64) -> Option<(&[u8], &[u8])> {
        self.leases.get(&id)?.bounds()
    }

    /// All lease ids, the ones that expire first in front on the leader, else in ascending order.
    pub fn ids(&self) -> Vec<i64> {
        let mut ids: Vec<i64> = self.leases.keys().copied().collect();
        let deadline = |id: &i64| self.deadlines.as_ref().and_then(|all| all.get(*id));
        ids.sort_unstable_by_key(|id| (deadline(id), *id));
        ids
    }

    /// Number of leases.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether there are no leases.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// A lease's times; None if there is no such lease.
    pub fn times(&self, id: i64, now_ms: u64) -> Option<LeaseTimes> {
        let lease = self.leases.get(&id)?;
        let deadline = self.deadlines.as_ref().and_then(|all| all.get(id));
        Some(LeaseTimes {
            granted_ttl_seconds: lease.ttl_seconds,
            remaining_ttl_seconds: lease.remaining_ttl_seconds,
            expires_in_ms: deadline.map(|deadline| deadline.saturating_sub(now_ms)),
        })
    }

    /// Starts the lease's time anew.
    pub fn renew(&mut self, id: i64, now_ms: u64) -> Renewal {
        let Some(deadlines) = self.deadlines.as_mut() else {
            return Renewal::NotLeader;
        };
        let Some(lease) = self.leases.get_mut(&id) else {
            return Renewal::Unknown;
        };
        if deadlines.get(id).is_some_and(|deadline| deadline <= now_ms) {
            return Renewal::Expired;
        }
        if lease.remaining_ttl_seconds > 0 {
            return Renewal::Checkpointed;
        }
        deadlines.set(id, after(now_ms, lease.ttl_seconds));
        self.counters.renewed += 1;
        Renewal::Renewed {
            ttl_seconds: lease.ttl_seconds,
        }
    }

    /// Whether `renew` may be trusted without asking the other members: the control plane said lately that this member
    /// leads. A process that was stopped for long wakes up believing so.
    pub fn is_attended(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.attended_ms) <= LEASE_LEADER_SILENCE_MS_MAX
    }

    /// The control plane says that this member still leads.
    pub fn attend(&mut self, now_ms: u64) {
        self.attended_ms = now_ms;
    }

    /// Up to `max` leases that have expired; each is named again only after `retry_ms`, for the case that its
    /// revocation gets lost.
    pub fn expired(&mut self, now_ms: u64, max: usize, retry_ms: u64) -> Vec<i64> {
        match &mut self.deadlines {
            Some(deadlines) => deadlines.expired(now_ms, max, retry_ms),
            None => Vec::new(),
        }
    }

    /// Up to `max` leases whose checkpoint is due, with their remaining seconds. Empty unless `promote` asked for them.
    pub fn due_checkpoints(&mut self, now_ms: u64, max: usize) -> Vec<(i64, i64)> {
        let (Some(deadlines), Some(checkpoints)) = (&self.deadlines, &mut self.checkpoints) else {
            return Vec::new();
        };
        let mut due = Vec::new();
        while due.len() < max
            && let Some(id) = checkpoints.take_due(now_ms)
        {
            let left_ms = deadlines.get(id).map_or(0, |at| at.saturating_sub(now_ms));
            if left_ms > 0 && self.leases.contains_key(&id) {
                due.push((
                    id,
                    i64::try_from(left_ms.div_ceil(1000)).unwrap_or(i64::MAX),
                ));
            }
        }
        due
    }

    fn schedule_checkpoint(&mut self, id: i64, left_seconds: i64, now_ms: u64) {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.schedule(id, after(0, left_seconds), now_ms);
        }
    }

    /// This member became leader: every lease gets its whole (or checkpointed) time from `now_ms` on, and `extend_ms`
    /// more because its client could not renew it during the election. Where more expire in one second than are
    /// revoked in one, the later ones get more time. With `checkpoint_ms` the time left is told in this interval.
    pub fn promote(&mut self, extend_ms: u64, checkpoint_ms: Option<u64>, now_ms: u64) {
        let mut order: Vec<(u64, i64)> = self
            .leases
            .iter()
            .map(|(id, lease)| (after(now_ms, lease.effective_ttl_seconds()), *id))
            .collect();
        order.sort_unstable();
        let mut deadlines = Deadlines::default();
        let mut checkpoints = checkpoint_ms.map(Checkpoints::new);
        for (id, at) in spread(&order) {
            let at = at.saturating_add(extend_ms);
            deadlines.set(id, at);
            if let Some(checkpoints) = &mut checkpoints {
                checkpoints.schedule(id, at.saturating_sub(now_ms), now_ms);
            }
        }
        self.deadlines = Some(deadlines);
        self.checkpoints = checkpoints;
        self.attended_ms = now_ms;
    }

    /// This member is no longer the leader: nothing expires here.
    pub fn demote(&mut self) {
        self.deadlines = None;
        self.checkpoints = None;
    }

    /// The table's counters in Prometheus text.
    pub fn metrics(&self) -> String {
        self.counters.render()
    }
}

/// Deadlines in ascending order, moved so that no second has more than `LEASE_EXPIRIES_PER_SECOND`.
fn spread(order: &[(u64, i64)]) -> impl Iterator<Item = (i64, u64)> {
    let mut times = Vec::<u64>::with_capacity(order.len());
    for (at, _) in order {
        let earliest = times
            .len()
            .checked_sub(LEASE_EXPIRIES_PER_SECOND)
            .map_or(0, |before| times[before].saturating_add(1000));
        times.push((*at).max(earliest));
    }
    order.iter().map(|(_, id)| *id).zip(times)
}

/// What a renewal came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Renewal {
    /// Its time begins anew.
    Renewed {
        /// The lease's TTL in seconds.
        ttl_seconds: i64,
    },
    /// A checkpoint has shortened the lease: the log must say first that it is whole again.
    Checkpointed,
    /// It has expired and is about to be revoked.
    Expired,
    /// There is no such lease here, yet.
    Unknown,
    /// This member is not the leader.
    NotLeader,
}

/// A deadline; far away if the seconds overflow.
fn after(now_ms: u64, seconds: i64) -> u64 {
    let ms = u64::try_from(seconds).unwrap_or(0).saturating_mul(1000);
    now_ms.saturating_add(ms)
}
