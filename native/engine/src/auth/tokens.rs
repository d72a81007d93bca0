//! Tokens: what a call carries instead of a name and a password. The control plane registers them; who serves calls
//! finds them here, and keeps the entry for the next call of its connection.
//!
//! An entry outlives its place in the table, so it says itself whether it still counts. Times are the caller's
//! monotonic milliseconds (`Store::now_ms`).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;

use crate::limits::{TOKENS_EVICTED, TOKENS_MAX};

use super::caller::Caller;
use super::changes::Changes;
use super::table::Table;

/// What a token is registered with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenGrant {
    /// Whose it is.
    pub user: Bytes,
    /// The auth revision that it carries (a JWT's claim); None: it stands for the current one at any time.
    pub revision: Option<u64>,
    /// How long it counts; None: without end.
    pub ttl_ms: Option<u64>,
    /// Whether that time begins anew with each use.
    pub renewed: bool,
}

/// A token that was registered.
pub struct TokenEntry {
    /// Whose it is.
    pub user: Bytes,
    /// See `TokenGrant::revision`.
    pub revision: Option<u64>,
    /// Its time in milliseconds if each use starts that anew.
    renewal_ms: Option<u64>,
    /// From when on it counts no more.
    end_ms: AtomicU64,
    withdrawn: AtomicBool,
}

impl TokenEntry {
    fn new(grant: TokenGrant, now_ms: u64) -> Self {
        let end_ms = grant
            .ttl_ms
            .map_or(u64::MAX, |ttl| now_ms.saturating_add(ttl));
        Self {
            user: grant.user,
            revision: grant.revision,
            renewal_ms: grant.ttl_ms.filter(|_| grant.renewed),
            end_ms: AtomicU64::new(end_ms),
            withdrawn: AtomicBool::new(false),
        }
    }

    /// Whether the token still counts.
    pub fn is_alive(&self, now_ms: u64) -> bool {
        !self.is_withdrawn() && now_ms < self.end_ms.load(Ordering::Relaxed)
    }

    /// Whether it was withdrawn before its time: what was begun with it must end. (What is begun with a token that then
    /// runs out goes on, as in etcd.)
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    /// Whether the token still counts for this call. If so its time begins anew, where it is of that kind.
    pub fn use_now(&self, now_ms: u64) -> bool {
        let alive = self.is_alive(now_ms);
        if let Some(ttl_ms) = self.renewal_ms.filter(|_| alive) {
            let end_ms = now_ms.saturating_add(ttl_ms);
            // Many calls come within one millisecond: they leave the line of memory to each other.
            if self.end_ms.load(Ordering::Relaxed) < end_ms {
                self.end_ms.fetch_max(end_ms, Ordering::Relaxed);
            }
        }
        alive
    }

    /// Who calls with this token under this table.
    pub fn caller(&self, table: &Table) -> Caller {
        Caller::User {
            name: self.user.clone(),
            revision: self.revision.unwrap_or(table.revision),
        }
    }

    /// It was registered again. False: not as the same, or too late.
    fn renew_as(&self, again: &Self) -> bool {
        let same = self.user == again.user
            && self.revision == again.revision
            && self.renewal_ms == again.renewal_ms
            && !self.is_withdrawn();
        if same {
            let end_ms = again.end_ms.load(Ordering::Relaxed);
            self.end_ms.store(end_ms, Ordering::Relaxed);
        }
        same
    }

    /// True if it was not before.
    fn withdraw(&self) -> bool {
        !self.withdrawn.swap(true, Ordering::AcqRel)
    }
}

/// The tokens that this member knows.
pub struct Tokens {
    entries: RwLock<HashMap<Box<[u8]>, Arc<TokenEntry>>>,
    changes: Arc<Changes>,
}

impl Tokens {
    pub(super) fn new(changes: Arc<Changes>) -> Self {
        Self {
            entries: RwLock::default(),
            changes,
        }
    }

    /// What is behind a token; None: it is not known, or was withdrawn. Whether its time is over `use_now` tells.
    pub fn find(&self, token: &[u8]) -> Option<Arc<TokenEntry>> {
        let entries = self.entries.read();
        let entry = entries.get(token)?;
        (!entry.is_withdrawn()).then(|| Arc::clone(entry))
    }

    /// Registers a token. If there are too many, those whose time is over go, and then those that are next.
    pub fn insert(&self, token: &[u8], grant: TokenGrant, now_ms: u64) {
        let entry = Arc::new(TokenEntry::new(grant, now_ms));
        let mut entries = self.entries.write();
        if let Some(known) = entries.get(token) {
            if known.renew_as(&entry) {
                return;
            }
            known.withdraw();
        } else if entries.len() >= TOKENS_MAX {
            evict(&mut entries, now_ms);
        }
        entries.insert(token.into(), entry);
    }

    /// Withdraws all tokens of a user.
    pub fn forget_user(&self, user: &[u8]) {
        let withdrawn = {
            let entries = self.entries.read();
            let own = entries.values().filter(|entry| entry.user == user);
            own.fold(false, |any, entry| entry.withdraw() | any)
        };
        // Whoever keeps one of them is told; without any nothing changed. Their places are freed by the next sweep.
        if withdrawn {
            self.changes.tell();
        }
    }

    /// Withdraws all tokens.
    pub fn clear(&self) {
        let entries = std::mem::take(&mut *self.entries.write());
        for entry in entries.values() {
            entry.withdraw();
        }
        if !entries.is_empty() {
            self.changes.tell();
        }
    }

    /// Forgets the tokens that count no more, but for those that somebody keeps: what was begun with them (a watch) must
    /// still hear when they are withdrawn. To be called about once a second.
    pub fn sweep(&self, now_ms: u64) {
        let dead = |entry: &Arc<TokenEntry>| {
            !entry.is_alive(now_ms) && (entry.is_withdrawn() || Arc::strong_count(entry) == 1)
        };
        // Most times there is nothing to do, and nobody waits for that.
        if self.entries.read().values().any(dead) {
            self.entries.write().retain(|_, entry| !dead(entry));
        }
    }

    /// Tokens that are known, those included that were withdrawn since the last sweep.
    pub fn len(&self) -> usize {
        self.entries.read().len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Makes room: for one, or for many at once, so that the next ones find room too.
fn evict(entries: &mut HashMap<Box<[u8]>, Arc<TokenEntry>>, now_ms: u64) {
    entries.retain(|_, entry| {
        let stays = entry.is_alive(now_ms);
        if !stays {
            entry.withdraw();
        }
        stays
    });
    if entries.len() < TOKENS_MAX {
        return;
    }
    let end = |entry: &Arc<TokenEntry>| entry.end_ms.load(Ordering::Relaxed);
    let mut ends: Vec<u64> = entries.values().map(end).collect();
    let (_, last, _) = ends.select_nth_unstable(TOKENS_EVICTED - 1);
    let last = *last;
    let mut left = TOKENS_EVICTED;
    entries.retain(|_, entry| {
        let goes = left > 0 && end(entry) <= last;
        left -= usize::from(goes);
        if goes {
            entry.withdraw();
        }
        !goes
    });
}
