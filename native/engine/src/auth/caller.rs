//! Who asks.

use bytes::Bytes;

/// Who asks, as the log carries it (etcd's header: user name and auth revision).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Caller {
    /// Nobody who is known: what every caller is while auth is off.
    #[default]
    Nobody,
    /// A user.
    User {
        /// His name.
        name: Bytes,
        /// The auth revision under which he was identified. A change of users or roles after it makes the request stale.
        revision: u64,
    },
    /// The member itself: what it does of its own accord is not subject to anybody's permissions.
    Internal,
}

impl Caller {
    /// The user's name; None for those who have none.
    pub fn name(&self) -> Option<&[u8]> {
        match self {
            Caller::User { name, .. } => Some(name),
            Caller::Nobody | Caller::Internal => None,
        }
    }
}
