//! What a caller may do, asked of a table. The order of the checks and their errors are etcd's; with auth off everybody
//! may do everything.
//!
//! A range end has the wire's meaning: none is one key, a single zero byte is all keys from the first on.

use crate::error::{AUTH_OLD_REVISION, EtcdError, PERMISSION_DENIED, USER_EMPTY, USER_NOT_FOUND};
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};

use super::caller::Caller;
use super::grants::{Access, Grants};
use super::table::{Table, User};

/// What somebody may do with keys.
enum Rights<'t> {
    All,
    Some(&'t Grants),
}

impl Table {
    /// Whether the caller is known: a user who is there, or the member itself.
    pub fn check_known(&self, caller: &Caller) -> Result<(), EtcdError> {
        let Some(name) = self.asking(caller)? else {
            return Ok(());
        };
        self.user(name).map(drop).ok_or(PERMISSION_DENIED)
    }

    /// Whether the caller is an administrator, that is, has the role root. Unlike etcd this asks for the revision too: a
    /// token that carries an older one (a JWT) may be from before its user's password was changed.
    pub fn check_admin(&self, caller: &Caller) -> Result<(), EtcdError> {
        let Some(name) = self.asking(caller)? else {
            return Ok(());
        };
        self.check_revision(caller)?;
        match self.user(name) {
            None => Err(USER_NOT_FOUND),
            Some(user) if user.is_root => Ok(()),
            Some(_) => Err(PERMISSION_DENIED),
        }
    }

    /// Whether the caller may see these keys.
    pub fn check_read(
        &self,
        caller: &Caller,
        key: &[u8],
        range_end: &[u8],
    ) -> Result<(), EtcdError> {
        self.check_range_of(Access::Read, caller, key, range_end)
    }

    /// Whether the caller may change these keys.
    pub fn check_write(
        &self,
        caller: &Caller,
        key: &[u8],
        range_end: &[u8],
    ) -> Result<(), EtcdError> {
        self.check_range_of(Access::Write, caller, key, range_end)
    }

    /// Whether the caller may see, or change, each of these keys: those of a lease. For no keys at all nothing is needed.
    /// Of many it may be known between which two they lie: who may have all in between is asked for none by itself.
    pub fn check_keys<'k>(
        &self,
        caller: &Caller,
        bounds: Option<(&[u8], &[u8])>,
        keys: impl IntoIterator<Item = &'k [u8]>,
        access: Access,
    ) -> Result<(), EtcdError> {
        let mut keys = keys.into_iter().peekable();
        if keys.peek().is_none() {
            return Ok(());
        }
        match self.rights(caller)? {
            Rights::All => Ok(()),
            Rights::Some(grants) => {
                let all = bounds.is_some_and(|(first, last)| {
                    grants.cover(access, first, Some(&[last, b"\0"].concat()))
                });
                permit(all || keys.all(|key| grants.hold(access, key)))
            }
        }
    }

    /// A Range and a RangeStream: the keys must be readable.
    pub fn check_range(&self, caller: &Caller, request: &RangeRequest) -> Result<(), EtcdError> {
        self.check_read(caller, &request.key, &request.range_end)
    }

    /// A Put as far as the request says: the key must be writable, and readable if its value before is asked for. The
    /// keys of its lease must be writable too, see `check_keys`.
    pub fn check_put(&self, caller: &Caller, request: &PutRequest) -> Result<(), EtcdError> {
        self.check_write(caller, &request.key, &[])?;
        if request.prev_kv {
            self.check_read(caller, &request.key, &[])?;
        }
        Ok(())
    }

    /// A DeleteRange: the keys must be writable, and readable if their values before are asked for.
    pub fn check_delete(
        &self,
        caller: &Caller,
        request: &DeleteRangeRequest,
    ) -> Result<(), EtcdError> {
        self.check_write(caller, &request.key, &request.range_end)?;
        if request.prev_kv {
            self.check_read(caller, &request.key, &request.range_end)?;
        }
        Ok(())
    }

    /// A Txn as far as the request says: what it compares must be readable, and everything in both branches, nested
    /// txns included, permitted, whichever of them will run. The leases of its puts are those of `leases_of_txn`.
    pub fn check_txn(&self, caller: &Caller, request: &TxnRequest) -> Result<(), EtcdError> {
        for compare in &request.compare {
            self.check_read(caller, &compare.key, &compare.range_end)?;
        }
        let mut ops = request.success.iter().chain(&request.failure);
        ops.try_for_each(|op| self.check_op(caller, op))
    }

    fn check_op(&self, caller: &Caller, op: &RequestOp) -> Result<(), EtcdError> {
        match &op.request {
            Some(Request::RequestRange(range)) => self.check_range(caller, range),
            Some(Request::RequestPut(put)) => self.check_put(caller, put),
            Some(Request::RequestDeleteRange(delete)) => self.check_delete(caller, delete),
            Some(Request::RequestTxn(txn)) => self.check_txn(caller, txn),
            None => Ok(()),
        }
    }

    /// Whether the table is still that under which the caller was admitted to what he has read since.
    pub(super) fn check_unchanged(&self, caller: &Caller) -> Result<(), EtcdError> {
        match caller {
            Caller::User { revision, .. } if *revision != self.revision => Err(AUTH_OLD_REVISION),
            _ => self.asking(caller).map(drop),
        }
    }

    fn check_range_of(
        &self,
        access: Access,
        caller: &Caller,
        key: &[u8],
        range_end: &[u8],
    ) -> Result<(), EtcdError> {
        let grants = match self.rights(caller)? {
            Rights::All => return Ok(()),
            Rights::Some(grants) => grants,
        };
        permit(match range_end {
            [] => grants.hold(access, key),
            [0] => grants.cover(access, key, None),
            end => grants.cover(access, key, Some(end)),
        })
    }

    /// The user whose permissions count; None: nobody's do.
    fn asking<'c>(&self, caller: &'c Caller) -> Result<Option<&'c [u8]>, EtcdError> {
        match caller {
            _ if !self.enabled => Ok(None),
            Caller::Internal => Ok(None),
            Caller::User { name, .. } if !name.is_empty() => Ok(Some(name)),
            Caller::User { .. } | Caller::Nobody => Err(USER_EMPTY),
        }
    }

    fn check_revision(&self, caller: &Caller) -> Result<(), EtcdError> {
        match caller {
            Caller::User { revision: 0, .. } => Err(USER_EMPTY),
            Caller::User { revision, .. } if *revision < self.revision => Err(AUTH_OLD_REVISION),
            _ => Ok(()),
        }
    }

    fn rights(&self, caller: &Caller) -> Result<Rights<'_>, EtcdError> {
        let Some(name) = self.asking(caller)? else {
            return Ok(Rights::All);
        };
        self.check_revision(caller)?;
        match self.user(name) {
            None => Err(PERMISSION_DENIED),
            Some(User { is_root: true, .. }) => Ok(Rights::All),
            Some(user) => Ok(Rights::Some(user.grants())),
        }
    }
}

fn permit(permitted: bool) -> Result<(), EtcdError> {
    if permitted {
        Ok(())
    } else {
        Err(PERMISSION_DENIED)
    }
}

/// The leases to which a txn's puts attach keys, nested txns and both branches included.
pub fn leases_of_txn(request: &TxnRequest) -> Vec<i64> {
    let mut leases = Vec::new();
    collect_leases(request, &mut leases);
    leases.sort_unstable();
    leases.dedup();
    leases
}

fn collect_leases(request: &TxnRequest, into: &mut Vec<i64>) {
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(Request::RequestPut(put)) if put.lease != 0 => into.push(put.lease),
            Some(Request::RequestTxn(txn)) => collect_leases(txn, into),
            _ => {}
        }
    }
}
