//! The news of a change: a number that moves, and those who are told.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

/// Told when something changed that identities and permissions rest on; must not block.
pub type Told = Box<dyn Fn() + Send + Sync>;

/// How often something changed, and who wants to know.
#[derive(Default)]
pub(super) struct Changes {
    generation: AtomicU64,
    told: RwLock<Vec<Told>>,
}

impl Changes {
    /// How often something has.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// `told` is called whenever something does.
    pub fn on_change(&self, told: Told) {
        self.told.write().push(told);
    }

    /// Something did.
    pub fn tell(&self) {
        self.generation.fetch_add(1, Ordering::Release);
        for told in &*self.told.read() {
            told();
        }
    }
}
