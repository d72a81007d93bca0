//! The TLS of each side that handshakes take at the moment.

use std::sync::Arc;

use parking_lot::RwLock;

use super::Tls;
use super::options::TlsSide;

/// None: there is none yet.
#[derive(Default)]
pub(crate) struct TlsSlots {
    clients: RwLock<Option<Arc<Tls>>>,
    members: RwLock<Option<Arc<Tls>>>,
}

impl TlsSlots {
    fn of(&self, side: TlsSide) -> &RwLock<Option<Arc<Tls>>> {
        match side {
            TlsSide::Client => &self.clients,
            TlsSide::Peer => &self.members,
        }
    }

    pub(crate) fn get(&self, side: TlsSide) -> Option<Arc<Tls>> {
        self.of(side).read().clone()
    }

    /// For handshakes that begin from now on.
    pub(crate) fn set(&self, side: TlsSide, tls: Arc<Tls>) {
        *self.of(side).write() = Some(tls);
    }
}
