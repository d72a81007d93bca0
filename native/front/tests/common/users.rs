//! Users and roles as rows, and tokens, for tests of what callers may do.

use bytes::Bytes;
use netcd_engine::auth::{
    AUTH_ENABLED, AUTH_REVISION, Auth, Caller, ROLE_PREFIX, TokenGrant, USER_PREFIX,
};
use netcd_engine::proto::authpb::permission::Type;
use netcd_engine::proto::authpb::{Permission, Role, User};
use prost::Message;

/// The auth revision of `enable`.
pub const REVISION: u64 = 7;

/// A simple token of alice, and one of root, when `enable` has registered them.
pub const ALICE: (&str, &str) = ("token", "alicealicealicea.3");
pub const ROOT: (&str, &str) = ("token", "rootrootrootroot.4");
/// The last index that is applied as far as these are concerned.
pub const APPLIED: u64 = 10;

pub const USER_EMPTY: (u8, &str) = (3, "etcdserver: user name is empty");
pub const OLD_REVISION: (u8, &str) = (3, "etcdserver: revision of auth store is old");
pub const INVALID_TOKEN: (u8, &str) = (16, "etcdserver: invalid auth token");
pub const DENIED: (u8, &str) = (7, "etcdserver: permission denied");

/// What alice may do: all with keys below `team/`, nothing with others, but read `shared`.
fn team() -> Vec<Permission> {
    vec![
        permission(Type::Readwrite, "team/", "team0"),
        permission(Type::Read, "shared", ""),
    ]
}

fn permission(kind: Type, key: &str, end: &str) -> Permission {
    Permission {
        perm_type: kind as i32,
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: Bytes::copy_from_slice(end.as_bytes()),
    }
}

fn user(name: &str, role: &str) -> User {
    User {
        name: Bytes::copy_from_slice(name.as_bytes()),
        roles: vec![role.into()],
        ..User::default()
    }
}

fn role(permissions: Vec<Permission>) -> Role {
    Role {
        name: Bytes::from_static(b"team"),
        key_permission: permissions,
    }
}

fn write(auth: &Auth, rows: &[(Vec<u8>, Option<Vec<u8>>)]) {
    let rows = rows.iter().map(|(key, value)| (&key[..], value.as_deref()));
    auth.write_all(rows).unwrap();
}

fn row(prefix: &[u8], name: &str, message: &impl Message) -> (Vec<u8>, Option<Vec<u8>>) {
    let key = [prefix, name.as_bytes()].concat();
    (key, Some(message.encode_to_vec()))
}

fn revision(revision: u64) -> (Vec<u8>, Option<Vec<u8>>) {
    (
        AUTH_REVISION.to_vec(),
        Some(revision.to_be_bytes().to_vec()),
    )
}

/// Registers a token that always stands for the current revision.
pub fn register(auth: &Auth, (_, token): (&str, &str), user: &str) {
    let grant = TokenGrant {
        user: Bytes::copy_from_slice(user.as_bytes()),
        revision: None,
        ttl_ms: None,
        renewed: true,
    };
    auth.tokens().insert(token.as_bytes(), grant, 0);
}

/// Registers a token that stands for one revision.
pub fn register_jwt(auth: &Auth, token: &str, user: &str, revision: u64) {
    let grant = TokenGrant {
        user: Bytes::copy_from_slice(user.as_bytes()),
        revision: Some(revision),
        ttl_ms: None,
        renewed: false,
    };
    auth.tokens().insert(token.as_bytes(), grant, 0);
}

/// Switches auth on, with the users root and alice and a token of each.
pub fn enable(auth: &Auth) {
    write(
        auth,
        &[
            (AUTH_ENABLED.to_vec(), Some(vec![1])),
            revision(REVISION),
            row(USER_PREFIX, "root", &user("root", "root")),
            row(USER_PREFIX, "alice", &user("alice", "team")),
            row(ROLE_PREFIX, "team", &role(team())),
        ],
    );
    register(auth, ALICE, "alice");
    register(auth, ROOT, "root");
}

/// Takes `team/` from alice; `shared` she may still read.
pub fn revoke(auth: &Auth) {
    let left = role(team().split_off(1));
    write(
        auth,
        &[revision(REVISION + 1), row(ROLE_PREFIX, "team", &left)],
    );
}

pub fn alice(revision: u64) -> Caller {
    Caller::User {
        name: Bytes::from_static(b"alice"),
        revision,
    }
}
