//! The hub's side for the apply thread: what it tells the hub, and what becomes of watchers that have no room for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::event::SharedEvent;
use super::ports::Offer;
use super::registry::{Phase, Registry};
use super::shared::Shared;
use super::watcher::Offered;
use super::{WatchEnd, WatchHub};
use crate::limits::WATCH_RETAINED_BYTES_MAX;

impl WatchHub {
    /// Queues the events of one revision for all who watch their keys. Only for the apply thread, in revision order,
    /// right after the revision became readable.
    ///
    /// # Panics
    /// If `revision` is not above those before.
    pub fn notify<E: Offer>(&self, revision: i64, events: &[E]) {
        let shared = &*self.shared;
        let mut registry = shared.registry.lock();
        assert!(revision > shared.current.load(Ordering::SeqCst));
        let mut delivery = Delivery::default();
        for event in events {
            delivery.offer(shared, &registry, revision, event);
        }
        shared.current.store(revision, Ordering::SeqCst);
        shared
            .queued_total
            .fetch_add(delivery.queued, Ordering::Relaxed);
        for number in &delivery.overflowed {
            fall_behind(&mut registry, *number);
        }
        for number in delivery.reached.iter().chain(&delivery.overflowed) {
            registry.slot(*number).watcher.wake();
        }
        if shared.retained.load(Ordering::Relaxed) > shared.sweep_at.load(Ordering::Relaxed) {
            shared.sweep(&mut registry);
        }
    }

    /// Ends lagging watchers that nobody takes from and whose next revision is compacted now; those who are being
    /// served learn of it when they get there.
    pub fn compacted(&self, revision: i64) {
        let mut registry = self.shared.registry.lock();
        let lost: Vec<_> = registry
            .iter()
            .filter(|slot| slot.phase == Phase::Idle)
            .map(|slot| Arc::clone(&slot.watcher))
            .filter(|watcher| {
                let queue = watcher.queue.lock();
                queue.events.is_empty() && queue.next_revision < revision
            })
            .collect();
        for watcher in lost {
            registry.set_phase(watcher.slot, Phase::Ended);
            watcher.end(WatchEnd::Compacted {
                compact_revision: revision,
            });
        }
    }

    /// The store jumped to `revision` without `notify`: what is between comes from its history, for everyone. Only for
    /// the apply thread, right after the store became readable at that revision.
    pub fn jumped(&self, revision: i64) {
        let shared = &*self.shared;
        let mut registry = shared.registry.lock();
        let before = shared.current.swap(revision, Ordering::SeqCst);
        assert!(revision >= before, "the revision went back");
        let served: Vec<_> = registry
            .iter()
            .filter(|slot| matches!(slot.phase, Phase::Synced | Phase::Walking { joined: true }))
            .map(|slot| Arc::clone(&slot.watcher))
            .collect();
        for watcher in served {
            let mut queue = watcher.queue.lock();
            let walking = !queue.synced;
            queue.drop_ahead();
            if !walking {
                queue.synced = false;
                queue.next_revision = queue.next_revision.max(before + 1);
            }
            let hungry = queue.is_hungry();
            drop(queue);
            fall_behind(&mut registry, watcher.slot);
            if !walking && hungry {
                registry.make_hungry(watcher.slot);
            }
        }
        shared.work.notify_one();
    }
}

/// Whom the events of one revision reached.
#[derive(Default)]
struct Delivery {
    reached: Vec<u32>,
    overflowed: Vec<u32>,
    queued: u64,
}

impl Delivery {
    fn offer<E: Offer>(&mut self, shared: &Shared, registry: &Registry, revision: i64, event: &E) {
        let mut made = None;
        registry.matcher.each(event.key(), |number| {
            let watcher = &registry.slot(number).watcher;
            let event = made.get_or_insert_with(|| {
                SharedEvent::new(revision, revision, event.event(), &shared.retained)
            });
            if !watcher.watched.wants(event.change()) {
                return;
            }
            let mut queue = watcher.queue.lock();
            match queue.offer(event) {
                Offered::First => self.reached.push(number),
                Offered::More => {}
                Offered::Ignored => return,
                Offered::Overflow => {
                    // From here on the queue takes nothing from the present, so the revision is not torn.
                    if queue.synced {
                        queue.drop_events();
                    } else {
                        queue.drop_ahead();
                    }
                    queue.synced = false;
                    self.overflowed.push(number);
                    return;
                }
            }
            self.queued += watcher.weight() as u64;
        });
    }
}

/// Takes a watcher whose queue overflowed out of the apply thread's care.
fn fall_behind(registry: &mut Registry, number: u32) {
    let phase = match registry.slot(number).phase {
        Phase::Walking { .. } => Phase::Walking { joined: false },
        // It is fed again when somebody takes from it: a client that does not read costs nothing.
        _ => Phase::Idle,
    };
    registry.set_phase(number, phase);
}

impl Shared {
    /// Makes room by taking the queues of all who have not emptied theirs; they will read from the store again.
    fn sweep(&self, registry: &mut Registry) {
        let laggards: Vec<_> = registry
            .iter()
            .filter(|slot| matches!(slot.phase, Phase::Synced | Phase::Idle))
            .map(|slot| Arc::clone(&slot.watcher))
            .collect();
        for watcher in laggards {
            let mut queue = watcher.queue.lock();
            if queue.events.is_empty() {
                continue;
            }
            queue.drop_events();
            queue.synced = false;
            drop(queue);
            registry.set_phase(watcher.slot, Phase::Idle);
            watcher.wake();
        }
        // If others hold what is retained, sweeping at each revision would help nobody.
        let left = self.retained.load(Ordering::Relaxed) + WATCH_RETAINED_BYTES_MAX / 8;
        self.sweep_at
            .store(left.max(WATCH_RETAINED_BYTES_MAX), Ordering::Relaxed);
    }
}
