//! The rows of `MetaTable::Auth`, with etcd's values byte for byte.

use prost::Message;

use crate::proto::authpb::{Role, User};

/// Key of the row that says whether auth is on: one byte, 0 or 1.
pub const AUTH_ENABLED: &[u8] = b"a/authEnabled";
/// Key of the row of the auth revision: eight bytes, big endian.
pub const AUTH_REVISION: &[u8] = b"a/authRevision";
/// What the key of a user's row begins with; the name follows. The value is an authpb.User.
pub const USER_PREFIX: &[u8] = b"u/";
/// What the key of a role's row begins with; the name follows. The value is an authpb.Role.
pub const ROLE_PREFIX: &[u8] = b"r/";

/// A row that does not hold what its key says.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("auth row {key:?} is damaged: {reason}")]
pub struct RowError {
    /// Key of the row, as text.
    pub key: String,
    /// What is wrong with its value.
    pub reason: String,
}

impl RowError {
    fn new(key: &[u8], reason: impl ToString) -> Self {
        Self {
            key: String::from_utf8_lossy(key).into_owned(),
            reason: reason.to_string(),
        }
    }
}

/// One row, read; None is a row that was deleted.
pub(super) enum Row<'a> {
    Enabled(bool),
    Revision(Option<u64>),
    User(&'a [u8], Option<User>),
    Role(&'a [u8], Option<Role>),
    /// Of no concern here.
    Other,
}

impl<'a> Row<'a> {
    pub fn read(key: &'a [u8], value: Option<&[u8]>) -> Result<Self, RowError> {
        let damaged = |reason: &str| RowError::new(key, reason);
        Ok(if key == AUTH_ENABLED {
            match value {
                None | Some([0]) => Row::Enabled(false),
                Some([1]) => Row::Enabled(true),
                Some(_) => return Err(damaged("it is not one byte of 0 or 1")),
            }
        } else if key == AUTH_REVISION {
            let number = |value: &[u8]| value.try_into().map(u64::from_be_bytes);
            let revision = value.map(number).transpose();
            Row::Revision(revision.map_err(|_| damaged("it is not eight bytes"))?)
        } else if let Some(name) = key.strip_prefix(USER_PREFIX) {
            Row::User(name, value.map(|value| decode(key, value)).transpose()?)
        } else if let Some(name) = key.strip_prefix(ROLE_PREFIX) {
            Row::Role(name, value.map(|value| decode(key, value)).transpose()?)
        } else {
            Row::Other
        })
    }
}

fn decode<M: Message + Default>(key: &[u8], value: &[u8]) -> Result<M, RowError> {
    M::decode(value).map_err(|error| RowError::new(key, error))
}
