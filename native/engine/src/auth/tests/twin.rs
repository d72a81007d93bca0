//! The slow twin: it keeps the rows as they are, and answers for one key after the other.

use std::collections::BTreeMap;

use crate::auth::{Access, Caller};
use crate::error::{AUTH_OLD_REVISION, EtcdError, PERMISSION_DENIED, USER_EMPTY};
use crate::proto::authpb::Permission;
use crate::proto::authpb::permission::Type;
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::{RequestOp, TxnRequest};

#[derive(Clone, Debug, Default)]
pub(super) struct Twin {
    pub enabled: bool,
    pub revision: u64,
    pub users: BTreeMap<String, Vec<String>>,
    pub roles: BTreeMap<String, Vec<Permission>>,
}

/// Whether a key lies in a range of the wire.
fn contains(first: &[u8], range_end: &[u8], key: &[u8]) -> bool {
    match range_end {
        [] => key == first,
        [0] => first <= key,
        end => first <= key && key < end,
    }
}

fn gives(permission: &Permission, access: Access, key: &[u8]) -> bool {
    let right = match Type::try_from(permission.perm_type) {
        Ok(Type::Read) => access == Access::Read,
        Ok(Type::Write) => access == Access::Write,
        Ok(Type::Readwrite) => true,
        Err(_) => false,
    };
    // An empty key is no first key of anything.
    let named = !permission.key.is_empty();
    right && named && contains(&permission.key, &permission.range_end, key)
}

impl Twin {
    /// Whether the caller may have this range. `keys` are all keys that can make a difference.
    pub fn check(
        &self,
        caller: &Caller,
        access: Access,
        first: &[u8],
        range_end: &[u8],
        keys: &[Vec<u8>],
    ) -> Result<(), EtcdError> {
        if !self.enabled || *caller == Caller::Internal {
            return Ok(());
        }
        let Caller::User { name, revision } = caller else {
            return Err(USER_EMPTY);
        };
        if name.is_empty() || *revision == 0 {
            return Err(USER_EMPTY);
        }
        if *revision < self.revision {
            return Err(AUTH_OLD_REVISION);
        }
        let name = std::str::from_utf8(name).unwrap();
        let roles = self.users.get(name).ok_or(PERMISSION_DENIED)?;
        if roles.iter().any(|role| role == "root") {
            return Ok(());
        }
        let permissions = roles.iter().filter_map(|role| self.roles.get(role));
        let permissions: Vec<_> = permissions.flatten().collect();
        let may = |key: &[u8]| permissions.iter().any(|it| gives(it, access, key));
        let mut asked = keys.iter().filter(|key| contains(first, range_end, key));
        // The first key is asked for even if the range holds none.
        let permitted = may(first) && asked.all(|key| may(key));
        permitted.then_some(()).ok_or(PERMISSION_DENIED)
    }

    pub fn check_txn(
        &self,
        caller: &Caller,
        txn: &TxnRequest,
        keys: &[Vec<u8>],
    ) -> Result<(), EtcdError> {
        for compare in &txn.compare {
            self.check(caller, Access::Read, &compare.key, &compare.range_end, keys)?;
        }
        for op in txn.success.iter().chain(&txn.failure) {
            self.check_op(caller, op, keys)?;
        }
        Ok(())
    }

    fn check_op(&self, caller: &Caller, op: &RequestOp, keys: &[Vec<u8>]) -> Result<(), EtcdError> {
        let (key, range_end, reads, writes) = match op.request.as_ref().unwrap() {
            Request::RequestTxn(txn) => return self.check_txn(caller, txn, keys),
            Request::RequestRange(it) => (&it.key, &it.range_end[..], true, false),
            Request::RequestPut(it) => (&it.key, &[][..], it.prev_kv, true),
            Request::RequestDeleteRange(it) => (&it.key, &it.range_end[..], it.prev_kv, true),
        };
        for (access, needed) in [(Access::Read, reads), (Access::Write, writes)] {
            if needed {
                self.check(caller, access, key, range_end, keys)?;
            }
        }
        Ok(())
    }
}
