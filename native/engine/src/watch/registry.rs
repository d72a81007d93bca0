//! All watchers of a hub and what phase each is in. The hub's one lock guards it; it is held for moments only.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::matcher::Matcher;
use super::watcher::Watcher;
use crate::limits::{WATCH_GROUP_MAX, WATCH_GROUP_SPAN};

/// Who fills a watcher's queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// The apply thread.
    Synced,
    /// Nobody: it lags, and its queue is not taken from.
    Idle,
    /// The catch-up thread, soon.
    Hungry {
        /// Place in the line.
        ticket: u64,
        /// The revision to read from.
        revision: i64,
    },
    /// The catch-up thread, now. With `joined` the apply thread puts aside what is newer.
    Walking { joined: bool },
    /// Nobody any more: the watcher was told its end.
    Ended,
}

pub(super) struct Slot {
    pub(super) watcher: Arc<Watcher>,
    pub(super) phase: Phase,
    /// Place among those who watch the same keys, while the matcher has the watcher.
    place: u32,
}

#[derive(Default)]
pub(super) struct Registry {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    /// The watchers that the apply thread serves: synced and joined ones.
    pub(super) matcher: Matcher,
    /// Hungry watchers in the order in which they came, by ticket.
    line: BTreeSet<(u64, u32)>,
    /// Hungry watchers by the revision to read from.
    by_revision: BTreeSet<(i64, u32)>,
    next_ticket: u64,
    /// The hub is being closed.
    pub(super) closing: bool,
}

impl Registry {
    /// Watchers of clients.
    pub(super) fn len(&self) -> usize {
        self.iter().map(|slot| slot.watcher.weight()).sum()
    }

    /// Watchers of clients that the apply thread does not serve.
    pub(super) fn lagging(&self) -> usize {
        self.iter()
            .filter(|slot| slot.phase != Phase::Synced)
            .map(|slot| slot.watcher.weight())
            .sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().flatten()
    }

    /// The number that the next watcher gets.
    pub(super) fn next_slot(&self) -> u32 {
        let fresh = u32::try_from(self.slots.len()).expect("fewer than 4 billion watchers");
        self.free.last().copied().unwrap_or(fresh)
    }

    /// Adds a watcher at [`Self::next_slot`], in the phase that its queue says.
    pub(super) fn add(&mut self, watcher: Arc<Watcher>) {
        let number = self.next_slot();
        assert_eq!(number, watcher.slot);
        let synced = watcher.queue.lock().synced;
        let slot = Some(Slot {
            watcher,
            phase: Phase::Idle,
            place: 0,
        });
        if self.free.pop().is_some() {
            self.slots[number as usize] = slot;
        } else {
            self.slots.push(slot);
        }
        if synced {
            self.set_phase(number, Phase::Synced);
        } else {
            self.make_hungry(number);
        }
    }

    /// Takes a watcher out; false when it is out already.
    pub(super) fn remove(&mut self, watcher: &Arc<Watcher>) -> bool {
        if !self.holds(watcher) {
            return false;
        }
        self.set_phase(watcher.slot, Phase::Ended);
        self.slots[watcher.slot as usize] = None;
        self.free.push(watcher.slot);
        true
    }

    /// Whether the slot is still this watcher's: it may be another's since.
    pub(super) fn holds(&self, watcher: &Arc<Watcher>) -> bool {
        let slot = self
            .slots
            .get(watcher.slot as usize)
            .and_then(Option::as_ref);
        slot.is_some_and(|slot| Arc::ptr_eq(&slot.watcher, watcher))
    }

    pub(super) fn slot(&self, number: u32) -> &Slot {
        self.slots[number as usize]
            .as_ref()
            .expect("the slot is taken")
    }

    fn slot_mut(&mut self, number: u32) -> &mut Slot {
        self.slots[number as usize]
            .as_mut()
            .expect("the slot is taken")
    }

    /// Moves a watcher into another phase, and with it in or out of the matcher and the line.
    pub(super) fn set_phase(&mut self, number: u32, phase: Phase) {
        let old = self.slot(number).phase;
        if let Phase::Hungry { ticket, revision } = old {
            self.line.remove(&(ticket, number));
            self.by_revision.remove(&(revision, number));
        }
        if let Phase::Hungry { ticket, revision } = phase {
            self.line.insert((ticket, number));
            self.by_revision.insert((revision, number));
        }
        match (old.is_matched(), phase.is_matched()) {
            (false, true) => {
                let range = self.slot(number).watcher.watched.range.clone();
                self.slot_mut(number).place = self.matcher.insert(&range, number);
            }
            (true, false) => {
                let slot = self.slot(number);
                let (range, place) = (slot.watcher.watched.range.clone(), slot.place);
                if let Some(moved) = self.matcher.remove(&range, place) {
                    self.slot_mut(moved).place = place;
                }
            }
            _ => {}
        }
        self.slot_mut(number).phase = phase;
    }

    /// Puts a lagging watcher at the end of the line.
    pub(super) fn make_hungry(&mut self, number: u32) {
        let revision = self.slot(number).watcher.queue.lock().next_revision;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.set_phase(number, Phase::Hungry { ticket, revision });
    }

    /// Watchers in line.
    pub(super) fn hungry(&self) -> usize {
        self.line.len()
    }

    /// The first in line and others near its revision, to share a walk through the history. Still hungry.
    pub(super) fn next_group(&self) -> Vec<Arc<Watcher>> {
        let Some(&(_, first)) = self.line.first() else {
            return Vec::new();
        };
        let Phase::Hungry { revision, .. } = self.slot(first).phase else {
            unreachable!("only hungry watchers stand in line");
        };
        let near = (revision.saturating_sub(WATCH_GROUP_SPAN), 0)
            ..=(revision.saturating_add(WATCH_GROUP_SPAN), u32::MAX);
        let others = self.by_revision.range(near).map(|(_, number)| *number);
        std::iter::once(first)
            .chain(others.filter(|number| *number != first))
            .take(WATCH_GROUP_MAX)
            .map(|number| Arc::clone(&self.slot(number).watcher))
            .collect()
    }
}

impl Phase {
    fn is_matched(self) -> bool {
        matches!(self, Self::Synced | Self::Walking { joined: true })
    }
}
