//! The thread that serves lagging watchers from the store's history, a bounded chunk at a time.
//!
//! Watchers near each other share a walk. The line is first come, first served and one chunk long each time, so a
//! watcher far back delays none that is near. No lock is held while the history is read.
//!
//! When a group is close to the present its watchers join before the walk: from then on the apply thread puts newer
//! events aside for them. If the walk reaches the revision of the joining, past and present meet without a gap. A walk
//! that tried to meet the present without it might never do so while writes go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::WatchEnd;
use super::event::SharedEvent;
use super::matcher::Matcher;
use super::pace::Pace;
use super::ports::HistoryError;
use super::registry::{Phase, Registry};
use super::shared::Shared;
use super::watcher::Watcher;
use crate::background::yield_to_requests;
use crate::limits::{WATCH_CHUNK_BYTES, WATCH_JOIN_SPAN};

/// Watchers that share a walk.
struct Group {
    watchers: Vec<Arc<Watcher>>,
    from: i64,
    /// The present when the walk began.
    to: i64,
}

/// What a walk found for each member of its group, by the member's place.
type Found = BTreeMap<u32, Vec<Arc<SharedEvent>>>;

/// Serves until the hub closes.
pub(super) fn run(shared: &Shared) {
    yield_to_requests();
    let mut pace = Pace::new();
    while let Some(group) = next_group(shared) {
        let began = Instant::now();
        let walked = walk(shared, &group);
        let read = *walked.as_ref().unwrap_or(&0);
        match walked {
            // After a compaction the next look at the compacted revision tells who has lost events.
            Ok(_) | Err(HistoryError::Compacted) => finish(shared, &group),
            Err(HistoryError::Failed(message)) => {
                let mut registry = shared.registry.lock();
                for watcher in &group.watchers {
                    end(&mut registry, watcher, WatchEnd::Failed(message.clone()));
                }
            }
        }
        let now = Instant::now();
        let current = shared.current.load(Ordering::SeqCst);
        let hungry = shared.registry.lock().hungry();
        std::thread::sleep(pace.rest_after(now - began, read, current, hungry, now));
    }
}

/// Waits for somebody hungry; `None` when the hub closes.
fn next_group(shared: &Shared) -> Option<Group> {
    let mut registry = shared.registry.lock();
    loop {
        if registry.closing {
            return None;
        }
        if registry.hungry() == 0 {
            shared.work.wait(&mut registry);
            continue;
        }
        let compact_revision = shared.history.compact_revision();
        let to = shared.current.load(Ordering::SeqCst);
        let mut from = to + 1;
        let mut watchers = registry.next_group();
        watchers.retain(|watcher| {
            let next = watcher.queue.lock().next_revision;
            if next < compact_revision {
                end(
                    &mut registry,
                    watcher,
                    WatchEnd::Compacted { compact_revision },
                );
                return false;
            }
            from = from.min(next);
            true
        });
        if watchers.is_empty() {
            continue;
        }
        let joined = to - from < WATCH_JOIN_SPAN;
        for watcher in &watchers {
            if joined {
                watcher.queue.lock().ahead = Some(Default::default());
            }
            registry.set_phase(watcher.slot, Phase::Walking { joined });
        }
        return Some(Group { watchers, from, to });
    }
}

fn end(registry: &mut Registry, watcher: &Arc<Watcher>, end: WatchEnd) {
    if registry.holds(watcher) {
        registry.set_phase(watcher.slot, Phase::Ended);
        watcher.queue.lock().drop_ahead();
        watcher.end(end);
    }
}

/// Reads one chunk and fills the queues of those who want its events; returns how many revisions it read.
fn walk(shared: &Shared, group: &Group) -> Result<i64, HistoryError> {
    if group.from > group.to {
        return Ok(0);
    }
    let mut matcher = Matcher::default();
    for (member, watcher) in (0u32..).zip(&group.watchers) {
        matcher.insert(&watcher.watched.range, member);
    }
    let wanted = |key: &[u8]| matcher.matches(key);
    let history = &shared.history;
    let chunk = history.events(group.from, group.to, WATCH_CHUNK_BYTES, &wanted)?;
    if group.from < history.compact_revision() {
        // Some of what was to be read may have been removed meanwhile.
        return Err(HistoryError::Compacted);
    }
    assert!(chunk.next > group.from && chunk.next <= group.to + 1);
    let mut found = Found::new();
    for (revision, event) in chunk.events {
        let (key, change) = (event.key.clone(), event.change);
        let event = SharedEvent::new(revision, group.to, event, &shared.retained);
        matcher.each(&key, |member| {
            if group.watchers[member as usize].watched.wants(change) {
                found.entry(member).or_default().push(Arc::clone(&event));
            }
        });
    }
    fill(shared, group, found, chunk.next);
    Ok(chunk.next - group.from)
}

/// Queues what a walk found, complete up to before revision `next`.
fn fill(shared: &Shared, group: &Group, mut found: Found, next: i64) {
    let mut queued = 0;
    for (member, watcher) in (0u32..).zip(&group.watchers) {
        let events = found.remove(&member).unwrap_or_default();
        let mut queue = watcher.queue.lock();
        if queue.closed {
            continue;
        }
        let before = queue.events.len();
        queue.fill(events, next);
        queued += (queue.events.len() - before) * watcher.weight();
        let filled = queue.events.len() > before;
        drop(queue);
        if filled {
            watcher.wake();
        }
    }
    shared
        .queued_total
        .fetch_add(queued as u64, Ordering::Relaxed);
}

/// Decides for each watcher of the group who fills its queue from now on.
fn finish(shared: &Shared, group: &Group) {
    let mut registry = shared.registry.lock();
    let current = shared.current.load(Ordering::SeqCst);
    for watcher in &group.watchers {
        if !registry.holds(watcher) {
            continue;
        }
        let Phase::Walking { joined } = registry.slot(watcher.slot).phase else {
            unreachable!("only this thread ends a walk");
        };
        let mut queue = watcher.queue.lock();
        let met = joined && queue.next_revision > group.to;
        if met {
            let mut ahead = queue.ahead.take().expect("what is ahead was put aside");
            queue.events.append(&mut ahead);
        }
        queue.drop_ahead();
        queue.synced = met || queue.next_revision > current;
        let phase = if queue.synced {
            Phase::Synced
        } else {
            Phase::Idle
        };
        let (pending, hungry) = (!queue.events.is_empty(), queue.is_hungry());
        drop(queue);
        registry.set_phase(watcher.slot, phase);
        if hungry {
            registry.make_hungry(watcher.slot);
        }
        if pending {
            watcher.wake();
        }
    }
}
