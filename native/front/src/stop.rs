//! How a transport ends: first its clients, while members still talk with each other, then everything.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::completions::{Drain, Message};
use crate::front::Front;
use crate::limits;

impl Front {
    /// Stops accepting clients, sends them GOAWAY and lets their calls finish for at most `grace`. What other members'
    /// connections carry goes on: the calls may need it. Blocks until no client is left, or the time is up.
    pub fn drain_clients(&self, grace: Duration) {
        if self.threads.lock().is_empty() {
            return;
        }
        self.held.lock().clear();
        self.tell_all(|| Message::Drain(Drain::Clients));
        self.await_end(grace, || self.shared.clients.load(Ordering::Relaxed));
    }

    /// Stops accepting, sends GOAWAY, lets calls finish for at most `grace`, then ends all. Blocks until it is done; a
    /// second call does nothing.
    pub fn shutdown(&self, grace: Duration) {
        let mut threads = self.threads.lock();
        if threads.is_empty() {
            return;
        }
        self.held.lock().clear();
        self.tell_all(|| Message::Drain(Drain::Everybody));
        self.await_end(grace, || self.shared.connection_count());
        self.tell_all(|| Message::Stop);
        for thread in threads.drain(..) {
            assert!(thread.join().is_ok(), "a transport thread panicked");
        }
        if let Some(audit) = &self.shared.audit {
            audit.close();
        }
    }

    /// Waits until nothing of what is counted is left, for at most `grace`.
    fn await_end(&self, grace: Duration, count: impl Fn() -> usize) {
        let until = Instant::now() + grace;
        let (lock, ended) = &self.shared.ended;
        let mut looked = lock.lock();
        while count() > 0 {
            if ended.wait_until(&mut looked, until).timed_out() {
                break;
            }
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.shutdown(limits::DROP_GRACE);
    }
}
