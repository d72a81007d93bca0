//! Who may connect: clients together have no more connections than leave the process the descriptors that it needs itself,
//! and members and probes have places that clients cannot take. Who finds none waits in the kernel until one is free, as
//! with etcd: nothing is refused, and nothing is accepted that could not be served.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::limits::{
    ACCEPT_WARNING_INTERVAL, CONNECTIONS_MAX, METRICS_CONNECTIONS_KEPT, OWN_DESCRIPTORS,
    PEER_CONNECTIONS_KEPT,
};

/// Descriptors that this process may have open: its soft limit, which Node has raised to the hard one.
///
/// # Errors
/// The system does not tell.
pub fn descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getrlimit writes nothing but the struct it is given.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

/// Connections of clients that this process has descriptors for; 0: it has too few even for itself.
pub fn connections_max() -> usize {
    // Without an answer the limit is anybody's guess, and etcd has none then.
    let Ok(limit) = descriptor_limit() else {
        return CONNECTIONS_MAX;
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    limit.saturating_sub(OWN_DESCRIPTORS).min(CONNECTIONS_MAX)
}

/// The place of one connection; free again when it is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

/// The places of all connections of a front.
pub(crate) struct Admission {
    /// For anybody.
    common: Arc<Semaphore>,
    /// For peer listeners alone.
    peers: Arc<Semaphore>,
    /// For metrics listeners alone.
    metrics: Arc<Semaphore>,
    warned: Warned,
}

impl Admission {
    pub(crate) fn new(connections_max: usize) -> Self {
        Self {
            common: Arc::new(Semaphore::new(connections_max)),
            peers: Arc::new(Semaphore::new(PEER_CONNECTIONS_KEPT)),
            metrics: Arc::new(Semaphore::new(METRICS_CONNECTIONS_KEPT)),
            warned: Warned::default(),
        }
    }

    /// A place for the next connection of a listener of this role, as soon as there is one. `full` is called before a
    /// wait, at most once an `ACCEPT_WARNING_INTERVAL`.
    pub(crate) async fn place(&self, role: &str, full: impl FnOnce()) -> Place {
        let kept = match role {
            "peer" => Some(&self.peers),
            "metrics" => Some(&self.metrics),
            _ => None,
        };
        for places in kept.into_iter().chain([&self.common]) {
            if let Ok(place) = Arc::clone(places).try_acquire_owned() {
                return place;
            }
        }
        if self.warned.is_due() {
            full();
        }
        let common = Arc::clone(&self.common).acquire_owned();
        let place = match kept {
            None => common.await,
            Some(kept) => tokio::select! {
                place = Arc::clone(kept).acquire_owned() => place,
                place = common => place,
            },
        };
        place.expect("the semaphores are never closed")
    }
}

/// When something was said last that is said at most once an `ACCEPT_WARNING_INTERVAL`.
#[derive(Default)]
pub(crate) struct Warned(Mutex<Option<Instant>>);

impl Warned {
    /// Whether it is time to say it; it counts as said then.
    pub(crate) fn is_due(&self) -> bool {
        let now = Instant::now();
        let mut last = self.0.lock();
        let due = last.is_none_or(|last| now - last >= ACCEPT_WARNING_INTERVAL);
        if due {
            *last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_allows_is_shared_out() {
        let limit = descriptor_limit().unwrap();
        let clients = connections_max() as u64;
        assert_eq!(
            clients,
            limit.saturating_sub(150).min(CONNECTIONS_MAX as u64)
        );
    }

    #[tokio::test]
    async fn members_and_probes_have_places_that_clients_cannot_take() {
        let admission = Admission::new(2);
        let mut said = 0;
        let clients = [
            admission.place("client", || said += 1).await,
            admission.place("client", || said += 1).await,
        ];
        assert_eq!(said, 0, "nobody had to wait");
        let mut others = Vec::new();
        for (role, kept) in [
            ("peer", PEER_CONNECTIONS_KEPT),
            ("metrics", METRICS_CONNECTIONS_KEPT),
        ] {
            for _ in 0..kept {
                others.push(admission.place(role, || panic!("a {role} waits")).await);
            }
        }
        // All places are taken: the next of each role waits, and the first who leaves makes room for it.
        let mut waits = Box::pin(admission.place("client", || said += 1));
        assert!(is_pending(&mut waits).await);
        drop(clients);
        let _third = waits.await;
        assert_eq!(said, 1);
        let _peer = admission
            .place("peer", || panic!("one of the two is free"))
            .await;
        let mut waits = Box::pin(admission.place("peer", || said += 1));
        assert!(is_pending(&mut waits).await);
        others.clear();
        drop(waits.await);
        assert_eq!(said, 1, "it was said a moment ago");
    }

    async fn is_pending<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
        tokio::select! {
            biased;
            _ = future => false,
            () = tokio::task::yield_now() => true,
        }
    }
}
