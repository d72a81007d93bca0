//! What all links of one member share: its identity, and who its peers are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{oneshot, watch};

use super::address::Addresses;
use super::counters::PeerCounters;
use super::ports::{PeerEvents, PeerLog, PeerStore};
use super::presence::Presence;
use super::wire::Identity;
use crate::tls::{ClientTls, Tls, TlsError};

/// A peer as all its tasks see it.
#[derive(Clone, Default)]
pub struct Contact {
    /// For metrics.
    pub counters: Arc<PeerCounters>,
    /// Where it is. Every change, one to the same value too, is a reason to dial at once.
    pub addresses: watch::Sender<Addresses>,
}

impl Contact {
    /// The peer has just opened a stream to this member, so it lives, and says where.
    pub fn heard(&self, urls: Vec<String>) {
        self.addresses.send_modify(|known| known.told = urls);
    }
}

#[derive(Default)]
struct Roster {
    peers: HashMap<u64, Contact>,
    removed: HashSet<u64>,
}

/// How long a link to or from a peer may stand still.
#[derive(Clone, Copy, Debug)]
pub struct LinkTimeouts {
    /// `--raft-read-timeout`: a link that brings nothing for so long is closed by the receiver.
    pub read: Duration,
    /// `--raft-write-timeout`: a connection whose bytes the peer does not acknowledge for so long, or on which it makes no
    /// room for more, is closed by the sender.
    pub write: Duration,
}

/// See the file's head.
pub struct Shared {
    pub(super) timeouts: LinkTimeouts,
    identity: RwLock<Arc<Identity>>,
    /// What encrypted links are made with; None: the control plane has named nothing.
    tls: RwLock<Option<Arc<Tls>>>,
    roster: RwLock<Roster>,
    /// The transfer that comes from each peer: dropped, it ends.
    receiving: Mutex<HashMap<u64, oneshot::Sender<()>>>,
    /// True: this member stops, and takes no more from its peers.
    pub(super) leaving: watch::Sender<bool>,
    /// Streams from peers, and those to them.
    pub(super) incoming: Presence,
    /// See `incoming`.
    pub(super) outgoing: Presence,
    pub(super) log: Arc<dyn PeerLog>,
    pub(super) store: Arc<dyn PeerStore>,
    pub(super) events: Arc<dyn PeerEvents>,
}

impl Shared {
    pub(super) fn new(
        identity: Identity,
        timeouts: LinkTimeouts,
        log: Arc<dyn PeerLog>,
        store: Arc<dyn PeerStore>,
        events: Arc<dyn PeerEvents>,
    ) -> Self {
        Self {
            timeouts,
            identity: RwLock::new(Arc::new(identity)),
            tls: RwLock::default(),
            roster: RwLock::default(),
            receiving: Mutex::default(),
            leaving: watch::Sender::new(false),
            incoming: Presence::default(),
            outgoing: Presence::default(),
            log,
            store,
            events,
        }
    }

    pub(super) fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity.read())
    }

    pub(super) fn set_identity(&self, identity: Identity) {
        *self.identity.write() = Arc::new(identity);
    }

    pub(super) fn set_tls(&self, tls: Arc<Tls>) {
        *self.tls.write() = Some(tls);
    }

    /// With what a link that is encrypted is made now.
    pub(super) fn client_tls(&self) -> Result<Arc<ClientTls>, TlsError> {
        match &*self.tls.read() {
            Some(tls) => Ok(Arc::clone(&tls.client)),
            None => ClientTls::without_files(),
        }
    }

    /// A peer that is known from now on.
    pub(super) fn admit(&self, id: u64) -> Contact {
        let mut roster = self.roster.write();
        roster.peers.entry(id).or_default().clone()
    }

    pub(super) fn forget(&self, id: u64) {
        self.roster.write().peers.remove(&id);
    }

    pub(super) fn set_removed(&self, ids: impl IntoIterator<Item = u64>) {
        self.roster.write().removed = ids.into_iter().collect();
    }

    pub(super) fn is_removed(&self, id: u64) -> bool {
        self.roster.read().removed.contains(&id)
    }

    pub(super) fn contact(&self, id: u64) -> Option<Contact> {
        self.roster.read().peers.get(&id).cloned()
    }

    /// A transfer from this peer begins, which ends an older one. What is returned resolves when a newer one begins.
    pub(super) fn begin_receiving(&self, from: u64) -> oneshot::Receiver<()> {
        let (current, replaced) = oneshot::channel();
        self.receiving.lock().insert(from, current);
        replaced
    }

    pub(super) fn all_counters(&self) -> Vec<(u64, Arc<PeerCounters>)> {
        let roster = self.roster.read();
        let mut all: Vec<_> = roster
            .peers
            .iter()
            .map(|(id, contact)| (*id, Arc::clone(&contact.counters)))
            .collect();
        all.sort_by_key(|(id, _)| *id);
        all
    }
}
