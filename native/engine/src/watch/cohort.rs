//! The watchers of one stream. Those that watch the same keys in the same way from now on are one cohort, and one watcher
//! to the hub: their events are queued and taken once, and only written for each of them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::{Taken, WatchEnd, WatchHub, WatchSink, WatchSpec, Watched, WatcherHandle};

/// One watcher as its client knows it.
pub(super) struct Member {
    pub id: i64,
    /// As the client asked for it; 0 is "from now on".
    pub start_revision: i64,
    /// What the cohort takes of revisions before this one is not for this member.
    pub since: i64,
    pub fragment: bool,
    pub progress: Notify,
}

/// Whether a watcher is told of progress at the next tick.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Notify {
    Never,
    Next,
    /// It has had events since the last tick, which say as much.
    Skip,
}

/// Watchers that the hub serves as one.
pub(super) struct Cohort {
    /// None once the hub has ended it: the ids stay taken until the client cancels them.
    pub handle: Option<WatcherHandle>,
    pub members: Vec<Member>,
    /// It stands in the line of those who wait for their turn.
    pub in_line: bool,
    /// Its key among those that can be joined.
    digest: u64,
}

/// What one cohort took, on its way to the members.
pub(super) struct Turn {
    pub slot: u32,
    /// The first member that has not been given it.
    pub next: usize,
    pub taken: Taken,
}

impl Turn {
    /// The revision up to which every member has been given everything.
    pub fn written_to(&self) -> i64 {
        let first = self.taken.events.first();
        first.map_or(i64::MAX, |event| event.revision - 1)
    }
}

/// All watchers of a stream.
pub(super) struct Cohorts {
    hub: Arc<WatchHub>,
    sink: Arc<dyn WatchSink>,
    /// Cohorts by slot; the slot is what the hub knows them by.
    slots: Vec<Option<Cohort>>,
    free: Vec<u32>,
    by_id: HashMap<i64, u32>,
    /// The newest cohort of each digest of keys and filters. Two that share one by accident just do not both get
    /// members.
    by_digest: HashMap<u64, u32>,
    digests: RandomState,
    next_id: i64,
}

impl Cohorts {
    pub fn new(hub: Arc<WatchHub>, sink: Arc<dyn WatchSink>) -> Self {
        Self {
            hub,
            sink,
            slots: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            by_digest: HashMap::new(),
            digests: RandomState::new(),
            next_id: 0,
        }
    }

    /// Watchers, those that have ended and were not cancelled included.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn has(&self, id: i64) -> bool {
        self.by_id.contains_key(&id)
    }

    /// An id that no watcher has had from here.
    pub fn choose_id(&mut self) -> i64 {
        while self.by_id.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }

    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Cohort> {
        self.slots[slot as usize].as_mut()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Cohort)> {
        (0..)
            .zip(&self.slots)
            .filter_map(|(slot, cohort)| Some((slot, cohort.as_ref()?)))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Cohort)> {
        (0..)
            .zip(&mut self.slots)
            .filter_map(|(slot, cohort)| Some((slot, cohort.as_mut()?)))
    }

    /// Adds a watcher, whose `since` is set here; returns the revision at which it begins to watch.
    pub fn add(&mut self, spec: WatchSpec, mut member: Member) -> i64 {
        let digest = self.digests.hash_one(&spec.watched);
        if spec.start_revision == 0
            && let Some(&slot) = self.by_digest.get(&digest)
            && let Some(revision) = self.join(slot, &spec.watched)
        {
            member.since = revision + 1;
            self.by_id.insert(member.id, slot);
            let cohort = self.slots[slot as usize].as_mut();
            cohort.expect("it was just joined").members.push(member);
            return revision;
        }
        member.since = spec.start_revision;
        self.found(spec, member, digest)
    }

    /// The revision from which on the cohort's events are those of one more member; None if it cannot be joined.
    fn join(&self, slot: u32, watched: &Watched) -> Option<i64> {
        let handle = self.slots[slot as usize].as_ref()?.handle.as_ref()?;
        if handle.watched() == watched {
            self.hub.join(handle)
        } else {
            None
        }
    }

    /// A cohort of one.
    fn found(&mut self, spec: WatchSpec, member: Member, digest: u64) -> i64 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("a stream has fewer watchers")
        });
        let handle = self.hub.register(spec, self.sink.clone(), slot.into());
        let registered_at = handle.registered_at();
        self.by_id.insert(member.id, slot);
        self.by_digest.insert(digest, slot);
        self.slots[slot as usize] = Some(Cohort {
            handle: Some(handle),
            members: vec![member],
            in_line: false,
            digest,
        });
        registered_at
    }

    /// Takes a watcher out, and out of the turn that is under way.
    pub fn remove(&mut self, id: i64, turn: &mut Option<Turn>) -> Option<Member> {
        let slot = self.by_id.remove(&id)?;
        let cohort = self.slots[slot as usize].as_mut();
        let cohort = cohort.expect("an id's slot has a cohort");
        let at = cohort.members.iter().position(|member| member.id == id);
        let at = at.expect("the member is in its cohort");
        let member = cohort.members.remove(at);
        if let Some(turn) = turn
            .as_mut()
            .filter(|turn| turn.slot == slot && at < turn.next)
        {
            turn.next -= 1;
        }
        if !cohort.members.is_empty() {
            if let Some(handle) = &cohort.handle {
                self.hub.leave(handle);
            }
            return Some(member);
        }
        turn.take_if(|turn| turn.slot == slot);
        self.end(slot);
        Some(member)
    }

    /// Takes all watchers of a cohort out, and with them the turn if it is theirs.
    pub fn remove_all(&mut self, slot: u32, turn: &mut Option<Turn>) -> Vec<Member> {
        let cohort = self.slots[slot as usize].as_mut();
        let cohort = cohort.expect("the slot is taken");
        let members = std::mem::take(&mut cohort.members);
        for member in &members {
            self.by_id.remove(&member.id);
        }
        if let Some(handle) = &cohort.handle {
            members.iter().skip(1).for_each(|_| self.hub.leave(handle));
        }
        turn.take_if(|turn| turn.slot == slot);
        self.end(slot);
        members
    }

    /// The hub serves the cohort no longer; those who are left in it wait for the client to cancel them.
    pub fn end(&mut self, slot: u32) {
        let cohort = self.slots[slot as usize].as_mut();
        let cohort = cohort.expect("the slot is taken");
        if let Some(handle) = cohort.handle.take() {
            self.hub.cancel(&handle);
        }
        let (digest, empty) = (cohort.digest, cohort.members.is_empty());
        if self.by_digest.get(&digest) == Some(&slot) {
            self.by_digest.remove(&digest);
        }
        if empty {
            // A wake of the old cohort may still come; it will find the slot empty or its next owner without events.
            self.slots[slot as usize] = None;
            self.free.push(slot);
        }
    }

    /// A cohort that lagged lost revisions that not every member wanted: those who joined later go on by themselves.
    pub fn spare(&mut self, slot: u32, end: &WatchEnd) {
        let WatchEnd::Compacted { compact_revision } = end else {
            return;
        };
        let cohort = self.slots[slot as usize].as_mut();
        let cohort = cohort.expect("the slot is taken");
        let Some(handle) = cohort.handle.clone() else {
            return;
        };
        let lost_nothing = |member: &mut Member| member.since >= *compact_revision;
        let spared: Vec<_> = cohort.members.extract_if(.., lost_nothing).collect();
        let digest = cohort.digest;
        for member in spared {
            self.hub.leave(&handle);
            let spec = WatchSpec {
                watched: handle.watched().clone(),
                start_revision: member.since,
            };
            self.found(spec, member, digest);
        }
    }
}

impl Drop for Cohorts {
    fn drop(&mut self) {
        for handle in self.slots.drain(..).flatten().filter_map(|it| it.handle) {
            self.hub.cancel(&handle);
        }
    }
}
