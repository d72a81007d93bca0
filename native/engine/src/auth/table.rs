//! The table of users and roles. It never changes; a change makes a new one, which shares with the old what stayed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use crate::proto::authpb;

use super::grants::Grants;
use super::row::{Row, RowError};

/// Whoever has this role may do everything, whether there is such a role or not.
const ROOT_ROLE: &str = "root";
/// The auth revision before the first change.
const FIRST_REVISION: u64 = 1;

/// What the rows say. See the `check` functions.
#[derive(Clone)]
pub struct Table {
    /// Whether permissions are asked for at all.
    pub enabled: bool,
    /// Moves with every change of users and roles.
    pub revision: u64,
    users: HashMap<Arc<[u8]>, Arc<User>>,
    roles: HashMap<Arc<[u8]>, Arc<Grants>>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            enabled: false,
            revision: FIRST_REVISION,
            users: HashMap::new(),
            roles: HashMap::new(),
        }
    }
}

/// A user, with what his roles permit.
pub(super) struct User {
    roles: Arc<[Box<str>]>,
    /// Has the role root.
    pub is_root: bool,
    granted: Granted,
}

/// What the roles of a user permit, as far as there are such roles.
enum Granted {
    /// One does.
    One(Arc<Grants>),
    /// None or several do.
    Parts(Box<Parts>),
}

struct Parts {
    of_roles: Box<[Arc<Grants>]>,
    /// All together; made when it is needed first.
    merged: OnceLock<Grants>,
}

impl User {
    fn new(roles: Arc<[Box<str>]>, all: &HashMap<Arc<[u8]>, Arc<Grants>>) -> Self {
        let parts = roles.iter().filter_map(|role| all.get(role.as_bytes()));
        let parts: Vec<_> = parts.cloned().collect();
        let granted = match <[_; 1]>::try_from(parts) {
            Ok([one]) => Granted::One(one),
            Err(parts) => Granted::Parts(Box::new(Parts {
                of_roles: parts.into_boxed_slice(),
                merged: OnceLock::new(),
            })),
        };
        Self {
            is_root: roles.iter().any(|role| **role == *ROOT_ROLE),
            granted,
            roles,
        }
    }

    /// What he may do, unless he is root.
    pub fn grants(&self) -> &Grants {
        match &self.granted {
            Granted::One(one) => one,
            Granted::Parts(parts) => parts
                .merged
                .get_or_init(|| Grants::merge(parts.of_roles.iter().map(|part| &**part))),
        }
    }

    fn memory_bytes(&self) -> usize {
        let roles = self.roles.iter().map(|role| size_of_val(role) + role.len());
        let own = match &self.granted {
            Granted::One(_) => 0,
            Granted::Parts(parts) => {
                let merged = parts.merged.get().map_or(0, Grants::memory_bytes);
                size_of::<Parts>() + size_of_val(&*parts.of_roles) + merged
            }
        };
        size_of::<Self>() + roles.sum::<usize>() + own
    }

    fn has_one_of(&self, roles: &HashSet<&[u8]>) -> bool {
        self.roles
            .iter()
            .any(|role| roles.contains(role.as_bytes()))
    }
}

impl Table {
    /// The table of all rows.
    pub(crate) fn load<'a>(
        rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Self, RowError> {
        Self::default().changed(rows.map(|(key, value)| (key, Some(value))))
    }

    /// The table after these writes; the last of a row counts.
    pub(super) fn changed<'a>(
        &self,
        writes: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<Self, RowError> {
        let mut table = self.clone();
        let mut changed_roles = HashSet::new();
        let mut changed_users = HashMap::new();
        for (key, value) in writes {
            match Row::read(key, value)? {
                Row::Enabled(enabled) => table.enabled = enabled,
                Row::Revision(revision) => table.revision = revision.unwrap_or(FIRST_REVISION),
                Row::Role(name, role) => {
                    table.set_role(name, role.as_ref());
                    changed_roles.insert(name);
                }
                // They are made of the roles, so they come last.
                Row::User(name, user) => drop(changed_users.insert(name, user)),
                Row::Other => {}
            }
        }
        table.refresh_users(&changed_roles);
        for (name, user) in changed_users {
            table.set_user(name, user);
        }
        Ok(table)
    }

    fn set_role(&mut self, name: &[u8], role: Option<&authpb::Role>) {
        match role {
            Some(role) => {
                let grants = Arc::new(Grants::of_role(role));
                self.roles.insert(name.into(), grants);
            }
            None => drop(self.roles.remove(name)),
        }
    }

    /// Makes those users anew who have one of these roles.
    fn refresh_users(&mut self, roles: &HashSet<&[u8]>) {
        if roles.is_empty() {
            return;
        }
        let touched = self
            .users
            .values_mut()
            .filter(|user| user.has_one_of(roles));
        for user in touched {
            *user = Arc::new(User::new(Arc::clone(&user.roles), &self.roles));
        }
    }

    fn set_user(&mut self, name: &[u8], user: Option<authpb::User>) {
        match user {
            Some(user) => {
                let roles = user.roles.into_iter().map(String::into_boxed_str);
                let user = Arc::new(User::new(roles.collect(), &self.roles));
                self.users.insert(name.into(), user);
            }
            None => drop(self.users.remove(name)),
        }
    }

    /// About how many bytes the table takes.
    pub fn memory_bytes(&self) -> usize {
        // Of an entry of a map: what it holds, and two counters beside each thing that is shared.
        const SHARED_BYTES: usize = 4 * size_of::<usize>();
        let entry = |name: &Arc<[u8]>| size_of_val(name) + name.len() + SHARED_BYTES;
        let users = self.users.iter();
        let users = users.map(|(name, user)| entry(name) + user.memory_bytes());
        let roles = self.roles.iter();
        let roles = roles.map(|(name, role)| entry(name) + role.memory_bytes());
        users.sum::<usize>() + roles.sum::<usize>()
    }

    /// Whether there is such a user.
    pub fn has_user(&self, name: &[u8]) -> bool {
        self.users.contains_key(name)
    }

    pub(super) fn user(&self, name: &[u8]) -> Option<&User> {
        self.users.get(name).map(|user| &**user)
    }
}
