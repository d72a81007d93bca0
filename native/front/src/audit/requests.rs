//! What each kind of request tells the log: field by field what may be told, so that a field that comes to a message later
//! is not told until somebody has thought about it.

use bytes::Bytes;
use netcd_engine::mvcc::validate::is_read_only;
use netcd_engine::proto::authpb::permission;
use netcd_engine::proto::etcdserverpb::alarm_request::AlarmAction;
use netcd_engine::proto::etcdserverpb::downgrade_request::DowngradeAction;
use netcd_engine::proto::etcdserverpb::request_op::Request;
use netcd_engine::proto::etcdserverpb::watch_request::RequestUnion;
use netcd_engine::proto::etcdserverpb::*;
use netcd_engine::proto::v3electionpb::{
    CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest,
};
use netcd_engine::proto::v3lockpb::{LockRequest, UnlockRequest};
use prost::Message;

use super::told::{Branch, Fact, OpName, Telling};
use crate::grpc::methods::MethodId;
use crate::limits::{AUDIT_OPS_MAX, AUDIT_URLS_MAX};

/// A request of which the log tells something.
pub(crate) trait Tells {
    /// Writes down what may be told.
    fn tell(&self, telling: &mut Telling<'_>);

    /// The ranges of keys that it reads or writes, each with its range end as sent.
    fn ranges(&self, _each: &mut dyn FnMut(&[u8], &[u8])) {}

    /// Whether it changes nothing although its RPC may.
    fn only_looks(&self) -> bool {
        false
    }
}

/// A request that has nothing to tell, or could not be read.
pub(crate) struct Silent;

impl Tells for Silent {
    fn tell(&self, _telling: &mut Telling<'_>) {}
}

/// What an encoded request of this RPC tells.
pub(crate) fn decoded(method: MethodId, message: &Bytes) -> Box<dyn Tells> {
    fn read<T: Message + Default + Tells + 'static>(message: &Bytes) -> Box<dyn Tells> {
        match T::decode(message.clone()) {
            Ok(request) => Box::new(request),
            Err(_) => Box::new(Silent),
        }
    }
    let method = method.get();
    let read = match (method.service, method.name) {
        ("etcdserverpb.KV", "Range" | "RangeStream") => read::<RangeRequest>,
        ("etcdserverpb.KV", "Put") => read::<PutRequest>,
        ("etcdserverpb.KV", "DeleteRange") => read::<DeleteRangeRequest>,
        ("etcdserverpb.KV", "Txn") => read::<TxnRequest>,
        ("etcdserverpb.KV", "Compact") => read::<CompactionRequest>,
        ("etcdserverpb.Watch", "Watch") => read::<WatchRequest>,
        ("etcdserverpb.Lease", "LeaseGrant") => read::<LeaseGrantRequest>,
        ("etcdserverpb.Lease", "LeaseRevoke") => read::<LeaseRevokeRequest>,
        ("etcdserverpb.Lease", "LeaseKeepAlive") => read::<LeaseKeepAliveRequest>,
        ("etcdserverpb.Lease", "LeaseTimeToLive") => read::<LeaseTimeToLiveRequest>,
        ("etcdserverpb.Cluster", "MemberAdd") => read::<MemberAddRequest>,
        ("etcdserverpb.Cluster", "MemberRemove") => read::<MemberRemoveRequest>,
        ("etcdserverpb.Cluster", "MemberUpdate") => read::<MemberUpdateRequest>,
        ("etcdserverpb.Cluster", "MemberPromote") => read::<MemberPromoteRequest>,
        ("etcdserverpb.Maintenance", "Alarm") => read::<AlarmRequest>,
        ("etcdserverpb.Maintenance", "HashKV") => read::<HashKvRequest>,
        ("etcdserverpb.Maintenance", "MoveLeader") => read::<MoveLeaderRequest>,
        ("etcdserverpb.Maintenance", "Downgrade") => read::<DowngradeRequest>,
        ("etcdserverpb.Auth", "Authenticate") => read::<AuthenticateRequest>,
        ("etcdserverpb.Auth", "UserAdd") => read::<AuthUserAddRequest>,
        ("etcdserverpb.Auth", "UserGet") => read::<AuthUserGetRequest>,
        ("etcdserverpb.Auth", "UserDelete") => read::<AuthUserDeleteRequest>,
        ("etcdserverpb.Auth", "UserChangePassword") => read::<AuthUserChangePasswordRequest>,
        ("etcdserverpb.Auth", "UserGrantRole") => read::<AuthUserGrantRoleRequest>,
        ("etcdserverpb.Auth", "UserRevokeRole") => read::<AuthUserRevokeRoleRequest>,
        ("etcdserverpb.Auth", "RoleAdd") => read::<AuthRoleAddRequest>,
        ("etcdserverpb.Auth", "RoleGet") => read::<AuthRoleGetRequest>,
        ("etcdserverpb.Auth", "RoleDelete") => read::<AuthRoleDeleteRequest>,
        ("etcdserverpb.Auth", "RoleGrantPermission") => read::<AuthRoleGrantPermissionRequest>,
        ("etcdserverpb.Auth", "RoleRevokePermission") => read::<AuthRoleRevokePermissionRequest>,
        ("v3electionpb.Election", "Campaign") => read::<CampaignRequest>,
        ("v3electionpb.Election", "Proclaim") => read::<ProclaimRequest>,
        ("v3electionpb.Election", "Leader" | "Observe") => read::<LeaderRequest>,
        ("v3electionpb.Election", "Resign") => read::<ResignRequest>,
        ("v3lockpb.Lock", "Lock") => read::<LockRequest>,
        ("v3lockpb.Lock", "Unlock") => read::<UnlockRequest>,
        _ => read::<Empty>,
    };
    read(message)
}

/// A message of which no field is told.
#[derive(Clone, PartialEq, prost::Message)]
struct Empty {}

impl Tells for Empty {
    fn tell(&self, _telling: &mut Telling<'_>) {}
}

/// Requests of one range of keys, or of one key.
macro_rules! ranges {
    ($($request:ty, $this:ident => $key:expr, $range_end:expr $(, $fact:ident: $number:expr)*;)*) => {$(
        impl Tells for $request {
            fn tell(&self, telling: &mut Telling<'_>) {
                let $this = self;
                telling.range($key, $range_end);
                $(telling.number(Fact::$fact, $number);)*
            }

            fn ranges(&self, each: &mut dyn FnMut(&[u8], &[u8])) {
                let $this = self;
                each($key, $range_end);
            }
        }
    )*};
}

ranges! {
    RangeRequest, it => &it.key, &it.range_end, AskedRevision: it.revision;
    PutRequest, it => &it.key, &[], Lease: it.lease;
    DeleteRangeRequest, it => &it.key, &it.range_end;
    WatchCreateRequest, it => &it.key, &it.range_end, WatchId: it.watch_id, AskedRevision: it.start_revision;
    LockRequest, it => &it.name, &[], Lease: it.lease;
    UnlockRequest, it => &it.key, &[];
    CampaignRequest, it => &it.name, &[], Lease: it.lease;
    LeaderRequest, it => &it.name, &[];
    LeaderKey, it => &it.key, &[], Lease: it.lease;
}

/// Requests that tell numbers and names.
macro_rules! facts {
    ($($request:ty, $this:ident => $($method:ident $fact:ident: $value:expr),*;)*) => {$(
        impl Tells for $request {
            fn tell(&self, telling: &mut Telling<'_>) {
                let $this = self;
                $(telling.$method(Fact::$fact, $value);)*
            }
        }
    )*};
}

facts! {
    CompactionRequest, it => number AskedRevision: it.revision;
    HashKvRequest, it => number AskedRevision: it.revision;
    LeaseGrantRequest, it => number Lease: it.id, number Ttl: it.ttl;
    LeaseRevokeRequest, it => number Lease: it.id;
    LeaseKeepAliveRequest, it => number Lease: it.id;
    LeaseTimeToLiveRequest, it => number Lease: it.id;
    WatchCancelRequest, it => number WatchId: it.watch_id;
    MemberRemoveRequest, it => number Member: it.id as i64;
    MemberPromoteRequest, it => number Member: it.id as i64;
    MoveLeaderRequest, it => number Member: it.target_id as i64;
    AuthenticateRequest, it => text TargetUser: it.name.as_bytes();
    AuthUserAddRequest, it => text TargetUser: it.name.as_bytes();
    AuthUserGetRequest, it => text TargetUser: it.name.as_bytes();
    AuthUserDeleteRequest, it => text TargetUser: it.name.as_bytes();
    AuthUserChangePasswordRequest, it => text TargetUser: it.name.as_bytes();
    AuthUserGrantRoleRequest, it => text TargetUser: it.user.as_bytes(), text TargetRole: it.role.as_bytes();
    AuthUserRevokeRoleRequest, it => text TargetUser: it.name.as_bytes(), text TargetRole: it.role.as_bytes();
    AuthRoleAddRequest, it => text TargetRole: it.name.as_bytes();
    AuthRoleGetRequest, it => text TargetRole: it.role.as_bytes();
    AuthRoleDeleteRequest, it => text TargetRole: it.role.as_bytes();
    AuthRoleRevokePermissionRequest, it => text TargetRole: it.role.as_bytes(), text Key: &it.key, text RangeEnd: &it.range_end;
}

impl Tells for AuthRoleGrantPermissionRequest {
    fn tell(&self, telling: &mut Telling<'_>) {
        telling.text(Fact::TargetRole, self.name.as_bytes());
        if let Some(granted) = &self.perm {
            let kind = permission::Type::try_from(granted.perm_type);
            telling.text(
                Fact::Permission,
                kind.map_or("?", |kind| kind.as_str_name()).as_bytes(),
            );
            telling.range(&granted.key, &granted.range_end);
        }
    }
}

impl Tells for MemberAddRequest {
    fn tell(&self, telling: &mut Telling<'_>) {
        urls(telling, &self.peer_ur_ls);
        telling.number(Fact::Learner, self.is_learner.into());
    }
}

impl Tells for MemberUpdateRequest {
    fn tell(&self, telling: &mut Telling<'_>) {
        telling.number(Fact::Member, self.id as i64);
        urls(telling, &self.peer_ur_ls);
    }
}

fn urls(telling: &mut Telling<'_>, urls: &[String]) {
    for url in urls.iter().take(AUDIT_URLS_MAX) {
        telling.text(Fact::PeerUrl, url.as_bytes());
    }
}

impl Tells for AlarmRequest {
    fn tell(&self, telling: &mut Telling<'_>) {
        let action = AlarmAction::try_from(self.action);
        telling.text(
            Fact::Action,
            action.map_or("?", |action| action.as_str_name()).as_bytes(),
        );
        telling.number(Fact::Member, self.member_id as i64);
        let alarm = AlarmType::try_from(self.alarm);
        telling.text(
            Fact::Alarm,
            alarm.map_or("?", |alarm| alarm.as_str_name()).as_bytes(),
        );
    }

    fn only_looks(&self) -> bool {
        self.action == AlarmAction::Get as i32
    }
}

impl Tells for DowngradeRequest {
    fn tell(&self, telling: &mut Telling<'_>) {
        let action = DowngradeAction::try_from(self.action);
        telling.text(
            Fact::Action,
            action.map_or("?", |action| action.as_str_name()).as_bytes(),
        );
        telling.text(Fact::Version, self.version.as_bytes());
    }
}

impl Tells for ProclaimRequest {
    fn tell(&self, telling: &mut Telling<'_>) {
        self.leader.iter().for_each(|leader| leader.tell(telling));
    }

    fn ranges(&self, each: &mut dyn FnMut(&[u8], &[u8])) {
        self.leader.iter().for_each(|leader| leader.ranges(each));
    }
}

impl Tells for ResignRequest {
    fn tell(&self, telling: &mut Telling<'_>) {
        self.leader.iter().for_each(|leader| leader.tell(telling));
    }

    fn ranges(&self, each: &mut dyn FnMut(&[u8], &[u8])) {
        self.leader.iter().for_each(|leader| leader.ranges(each));
    }
}

impl Tells for WatchRequest {
    fn tell(&self, telling: &mut Telling<'_>) {
        match &self.request_union {
            Some(RequestUnion::CreateRequest(create)) => create.tell(telling),
            Some(RequestUnion::CancelRequest(cancel)) => cancel.tell(telling),
            Some(RequestUnion::ProgressRequest(_)) | None => {}
        }
    }

    fn ranges(&self, each: &mut dyn FnMut(&[u8], &[u8])) {
        if let Some(RequestUnion::CreateRequest(create)) = &self.request_union {
            create.ranges(each);
        }
    }
}

impl Tells for TxnRequest {
    fn tell(&self, telling: &mut Telling<'_>) {
        let mut count = 0;
        each_op(self, None, &mut |op, branch, key, range_end| {
            if count < AUDIT_OPS_MAX {
                telling.op(op, branch, key, range_end);
            }
            count += 1;
        });
        telling.number(Fact::OpCount, count as i64);
    }

    fn ranges(&self, each: &mut dyn FnMut(&[u8], &[u8])) {
        each_op(self, None, &mut |_, _, key, range_end| each(key, range_end));
    }

    fn only_looks(&self) -> bool {
        is_read_only(self)
    }
}

/// Takes an operation: what it is, where it stands, key and range end.
type EachOp<'a> = dyn FnMut(OpName, Branch, &[u8], &[u8]) + 'a;

/// All comparisons and operations, those of nested txns too, with the branch of the outermost txn.
fn each_op(txn: &TxnRequest, within: Option<Branch>, each: &mut EachOp<'_>) {
    for compare in &txn.compare {
        let branch = within.unwrap_or(Branch::Compare);
        each(OpName::Compare, branch, &compare.key, &compare.range_end);
    }
    for (ops, branch) in [
        (&txn.success, Branch::Success),
        (&txn.failure, Branch::Failure),
    ] {
        let branch = within.unwrap_or(branch);
        for op in ops {
            match &op.request {
                Some(Request::RequestRange(it)) => {
                    each(OpName::Range, branch, &it.key, &it.range_end);
                }
                Some(Request::RequestPut(it)) => each(OpName::Put, branch, &it.key, &[]),
                Some(Request::RequestDeleteRange(it)) => {
                    each(OpName::DeleteRange, branch, &it.key, &it.range_end);
                }
                Some(Request::RequestTxn(nested)) => each_op(nested, Some(branch), each),
                None => {}
            }
        }
    }
}
