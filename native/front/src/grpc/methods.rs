//! The static table of gRPC methods: every RPC of etcd, its kind, and who serves it.

/// Which sides stream; the names are those of the metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum MethodKind {
    Unary,
    ServerStream,
    Bidi,
}

impl MethodKind {
    /// The value of the label grpc_type.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ServerStream => "server_stream",
            Self::Bidi => "bidi_stream",
        }
    }
}

/// Who serves a method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Route {
    Range,
    RangeStream,
    Put,
    DeleteRange,
    Txn,
    Compact,
    Watch,
    LeaseGrant,
    LeaseRevoke,
    LeaseKeepAlive,
    /// The control plane.
    HandOver,
}

/// One RPC.
#[derive(Debug)]
pub struct Method {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// `package.Service`.
    pub service: &'static str,
    /// `Method`.
    pub name: &'static str,
    /// Which sides stream.
    pub kind: MethodKind,
    pub(crate) route: Route,
}

impl Method {
    /// What a learner serves: Status, Snapshot, and (decided by its request) a serializable Range.
    pub(crate) fn learner_serves(&self) -> bool {
        matches!(
            self.path,
            "/etcdserverpb.Maintenance/Status"
                | "/etcdserverpb.Maintenance/Snapshot"
                | "/etcdserverpb.KV/Range"
        )
    }
}

macro_rules! methods {
    ($($service:literal $name:literal $kind:ident $route:ident;)*) => {
        &[$(Method {
            path: concat!("/", $service, "/", $name),
            service: $service,
            name: $name,
            kind: MethodKind::$kind,
            route: Route::$route,
        }),*]
    };
}

/// Every method, the hot ones first.
pub const METHODS: &[Method] = methods! {
    "etcdserverpb.KV" "Range" Unary Range;
    "etcdserverpb.KV" "RangeStream" ServerStream RangeStream;
    "etcdserverpb.KV" "Put" Unary Put;
    "etcdserverpb.KV" "DeleteRange" Unary DeleteRange;
    "etcdserverpb.KV" "Txn" Unary Txn;
    "etcdserverpb.KV" "Compact" Unary Compact;
    "etcdserverpb.Watch" "Watch" Bidi Watch;
    "etcdserverpb.Lease" "LeaseGrant" Unary LeaseGrant;
    "etcdserverpb.Lease" "LeaseRevoke" Unary LeaseRevoke;
    "etcdserverpb.Lease" "LeaseKeepAlive" Bidi LeaseKeepAlive;
    "etcdserverpb.Lease" "LeaseTimeToLive" Unary HandOver;
    "etcdserverpb.Lease" "LeaseLeases" Unary HandOver;
    "etcdserverpb.Cluster" "MemberAdd" Unary HandOver;
    "etcdserverpb.Cluster" "MemberRemove" Unary HandOver;
    "etcdserverpb.Cluster" "MemberUpdate" Unary HandOver;
    "etcdserverpb.Cluster" "MemberList" Unary HandOver;
    "etcdserverpb.Cluster" "MemberPromote" Unary HandOver;
    "etcdserverpb.Maintenance" "Alarm" Unary HandOver;
    "etcdserverpb.Maintenance" "Status" Unary HandOver;
    "etcdserverpb.Maintenance" "Defragment" Unary HandOver;
    "etcdserverpb.Maintenance" "Hash" Unary HandOver;
    "etcdserverpb.Maintenance" "HashKV" Unary HandOver;
    "etcdserverpb.Maintenance" "Snapshot" ServerStream HandOver;
    "etcdserverpb.Maintenance" "MoveLeader" Unary HandOver;
    "etcdserverpb.Maintenance" "Downgrade" Unary HandOver;
    "etcdserverpb.Auth" "AuthEnable" Unary HandOver;
    "etcdserverpb.Auth" "AuthDisable" Unary HandOver;
    "etcdserverpb.Auth" "AuthStatus" Unary HandOver;
    "etcdserverpb.Auth" "Authenticate" Unary HandOver;
    "etcdserverpb.Auth" "UserAdd" Unary HandOver;
    "etcdserverpb.Auth" "UserGet" Unary HandOver;
    "etcdserverpb.Auth" "UserList" Unary HandOver;
    "etcdserverpb.Auth" "UserDelete" Unary HandOver;
    "etcdserverpb.Auth" "UserChangePassword" Unary HandOver;
    "etcdserverpb.Auth" "UserGrantRole" Unary HandOver;
    "etcdserverpb.Auth" "UserRevokeRole" Unary HandOver;
    "etcdserverpb.Auth" "RoleAdd" Unary HandOver;
    "etcdserverpb.Auth" "RoleGet" Unary HandOver;
    "etcdserverpb.Auth" "RoleList" Unary HandOver;
    "etcdserverpb.Auth" "RoleDelete" Unary HandOver;
    "etcdserverpb.Auth" "RoleGrantPermission" Unary HandOver;
    "etcdserverpb.Auth" "RoleRevokePermission" Unary HandOver;
    "v3electionpb.Election" "Campaign" Unary HandOver;
    "v3electionpb.Election" "Proclaim" Unary HandOver;
    "v3electionpb.Election" "Leader" Unary HandOver;
    "v3electionpb.Election" "Observe" ServerStream HandOver;
    "v3electionpb.Election" "Resign" Unary HandOver;
    "v3lockpb.Lock" "Lock" Unary HandOver;
    "v3lockpb.Lock" "Unlock" Unary HandOver;
    "grpc.health.v1.Health" "Check" Unary HandOver;
    "grpc.health.v1.Health" "List" Unary HandOver;
    "grpc.health.v1.Health" "Watch" ServerStream HandOver;
};

/// An index into METHODS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MethodId(pub(crate) u8);

const _: () = assert!(METHODS.len() <= u8::MAX as usize);

impl MethodId {
    pub(crate) fn get(self) -> &'static Method {
        &METHODS[usize::from(self.0)]
    }

    /// The method of a request path. The hot ones come first, so they cost a few comparisons of lengths.
    pub(crate) fn find(path: &str) -> Option<Self> {
        METHODS
            .iter()
            .position(|method| method.path == path)
            .map(|at| Self(at as u8))
    }
}

/// gRPC's text for a path that names no method.
pub(crate) fn unknown(path: &str) -> String {
    let split = path
        .strip_prefix('/')
        .and_then(|rest| rest.rsplit_once('/'));
    match split {
        None => format!("malformed method name: {path:?}"),
        Some((service, name)) if METHODS.iter().any(|method| method.service == service) => {
            format!("unknown method {name} for service {service}")
        }
        Some((service, _)) => format!("unknown service {service}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_method_and_no_other() {
        for (at, method) in METHODS.iter().enumerate() {
            assert_eq!(MethodId::find(method.path), Some(MethodId(at as u8)));
            assert_eq!(method.path, format!("/{}/{}", method.service, method.name));
        }
        assert_eq!(MethodId::find("/etcdserverpb.KV/range"), None);
        assert_eq!(
            MethodId::find("/etcdserverpb.KV/Range")
                .unwrap()
                .get()
                .route,
            Route::Range
        );
    }

    #[test]
    fn unknown_methods_have_grpc_texts() {
        assert_eq!(unknown("/foo.Bar/Baz"), "unknown service foo.Bar");
        assert_eq!(
            unknown("/etcdserverpb.KV/Baz"),
            "unknown method Baz for service etcdserverpb.KV"
        );
        assert_eq!(unknown("/nothing"), "malformed method name: \"/nothing\"");
    }
}
