//! The lease table for the control plane's lessor, and the answers to renewals that it was asked for. The table's lock
//! is held for looks at memory only.

use std::sync::Arc;

use napi::Result;
use napi::bindgen_prelude::{BigInt, Buffer, Null};
use napi_derive::napi;
use netcd_engine::lease::Renewal;

use crate::check::{lease_id, number};
use crate::options::JsStatus;
use crate::shared::Shared;

/// `LeaseTimes`.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct LeaseTimes {
    /// Granted TTL in seconds.
    pub granted_ttl_seconds: f64,
    /// Milliseconds until it expires; null unless this member is the leader.
    pub expires_in_ms: Option<f64>,
}

/// `LeaseCheckpoint`.
#[napi(object, object_from_js = false)]
pub struct LeaseCheckpoint {
    /// Lease id.
    pub id: BigInt,
    /// Remaining seconds.
    pub remaining_ttl_seconds: f64,
}

/// `LeaseRenewal`.
#[napi(object, object_from_js = false)]
pub struct LeaseRenewal {
    /// What it came to.
    pub outcome: &'static str,
    /// TTL in seconds, 0 unless renewed.
    pub ttl_seconds: f64,
}

impl From<Renewal> for LeaseRenewal {
    fn from(renewal: Renewal) -> Self {
        let (outcome, ttl_seconds) = match renewal {
            Renewal::Renewed { ttl_seconds } => ("renewed", ttl_seconds as f64),
            Renewal::Checkpointed => ("checkpointed", 0.0),
            Renewal::Expired => ("expired", 0.0),
            Renewal::Unknown => ("unknown", 0.0),
            Renewal::NotLeader => ("notLeader", 0.0),
        };
        Self {
            outcome,
            ttl_seconds,
        }
    }
}

fn ids(ids: Vec<i64>) -> Vec<BigInt> {
    ids.into_iter().map(BigInt::from).collect()
}

/// The leases of an engine.
#[napi]
pub struct NativeLeases(pub(crate) Arc<Shared>);

#[napi]
impl NativeLeases {
    /// This member became leader.
    #[napi]
    pub fn promote(&self, extend_ms: f64, checkpoint_ms: napi::Either<f64, Null>) -> Result<()> {
        let extend_ms = number("extendMs", extend_ms)?;
        let checkpoint_ms = match checkpoint_ms {
            napi::Either::A(ms) => Some(number("checkpointMs", ms)?),
            napi::Either::B(Null) => None,
        };
        self.0.enqueue(|running| {
            let now_ms = running.store.now_ms();
            let mut leases = running.store.leases();
            leases.promote(extend_ms, checkpoint_ms, now_ms);
            Ok(())
        })
    }

    /// This member no longer leads.
    #[napi]
    pub fn demote(&self) -> Result<()> {
        self.0.enqueue(|running| {
            running.store.leases().demote();
            Ok(())
        })
    }

    /// This member still leads: leases may be renewed without asking.
    #[napi]
    pub fn attend(&self) -> Result<()> {
        self.0.enqueue(|running| {
            let now_ms = running.store.now_ms();
            running.store.leases().attend(now_ms);
            Ok(())
        })
    }

    /// Up to `max` expired leases, each again after `retryMs`.
    #[napi]
    pub fn expired(&self, max: u32, retry_ms: f64) -> Result<Vec<BigInt>> {
        let retry_ms = number("retryMs", retry_ms)?;
        self.0.enqueue(|running| {
            let now_ms = running.store.now_ms();
            let mut leases = running.store.leases();
            Ok(ids(leases.expired(now_ms, max as usize, retry_ms)))
        })
    }

    /// Up to `max` leases whose checkpoint is due.
    #[napi]
    pub fn checkpoints(&self, max: u32) -> Result<Vec<LeaseCheckpoint>> {
        self.0.enqueue(|running| {
            let now_ms = running.store.now_ms();
            let due = running.store.leases().due_checkpoints(now_ms, max as usize);
            let due = due.into_iter().map(|(id, seconds)| LeaseCheckpoint {
                id: id.into(),
                remaining_ttl_seconds: seconds as f64,
            });
            Ok(due.collect())
        })
    }

    /// Renews a lease.
    #[napi]
    pub fn renew(&self, id: BigInt) -> Result<LeaseRenewal> {
        let id = lease_id("id", &id)?;
        let running = self.0.running()?;
        let now_ms = running.store.now_ms();
        let renewal = running.store.leases().renew(id, now_ms);
        Ok(renewal.into())
    }

    /// A lease's times; null if there is no such lease.
    #[napi]
    pub fn times(&self, id: BigInt) -> Result<Option<LeaseTimes>> {
        let id = lease_id("id", &id)?;
        self.0.enqueue(|running| {
            let now_ms = running.store.now_ms();
            let times = running.store.leases().times(id, now_ms);
            Ok(times.map(|times| LeaseTimes {
                granted_ttl_seconds: times.granted_ttl_seconds as f64,
                expires_in_ms: times.expires_in_ms.map(|ms| ms as f64),
            }))
        })
    }

    /// A lease's keys in ascending order; null if there is no such lease.
    #[napi]
    pub fn keys(&self, id: BigInt) -> Result<Option<Vec<Buffer>>> {
        let id = lease_id("id", &id)?;
        self.0.enqueue(|running| {
            let keys = running.store.leases().keys(id);
            Ok(keys.map(|keys| keys.iter().map(|key| Buffer::from(key.to_vec())).collect()))
        })
    }

    /// All leases, the ones that expire first in front.
    #[napi]
    pub fn all(&self) -> Result<Vec<BigInt>> {
        self.0
            .enqueue(|running| Ok(ids(running.store.leases().ids())))
    }

    /// An id that no lease has.
    #[napi]
    pub fn next_id(&self) -> Result<BigInt> {
        Ok(self.0.running()?.front.next_lease_id().into())
    }

    /// The answer to `leaseRenew`.
    #[napi]
    pub fn renewed(
        &self,
        renewal: f64,
        ttl_seconds: f64,
        error: napi::Either<JsStatus, Null>,
    ) -> Result<()> {
        let (renewal, ttl_seconds) = (
            number("renewal", renewal)?,
            number("ttlSeconds", ttl_seconds)?,
        );
        let renewed = match error {
            napi::Either::A(status) => Err(status.into()),
            napi::Either::B(Null) => Ok(ttl_seconds as i64),
        };
        self.0.front(|front| front.lease_renewed(renewal, renewed))
    }
}
