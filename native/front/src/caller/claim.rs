//! What a call says of who makes it, and who that is as far as this member knows.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use netcd_engine::auth::{Auth, Caller, Table, TokenEntry};
use netcd_engine::error::{self, EtcdError};

use crate::conn::ConnCtx;
use crate::grpc::bearer::Bearer;
use crate::grpc::head::{GrpcRequest, Head, RequestHead};

/// What a call says of who makes it.
#[derive(Clone)]
pub(crate) enum Claim {
    /// Nothing.
    Nobody,
    /// A token in its metadata. The headers stay with it, whose memory the connection counts.
    Token(Rc<RequestHead>),
    /// The common name of its certificate, where that is a user's.
    CommonName(Bytes),
    /// A token of which it is known by now that it does not help.
    Refused(EtcdError),
}

impl Claim {
    pub(crate) fn new(request: &Rc<RequestHead>, head: &Head, conn: &ConnCtx) -> Self {
        if head.bearer.is_some() {
            return Self::Token(request.clone());
        }
        // Whoever calls through a gateway is not whose certificate the gateway shows.
        match conn.certified_user() {
            Some(name) if !head.through_gateway => Self::CommonName(name.clone()),
            _ => Self::Nobody,
        }
    }

    pub(super) fn bearer(&self) -> Option<&Bearer> {
        match self {
            Self::Token(request) => {
                let head = request.memo(GrpcRequest::parse).head.as_ref();
                head.ok().and_then(|head| head.bearer.as_ref())
            }
            Self::Nobody | Self::CommonName(_) | Self::Refused(_) => None,
        }
    }

    /// The name behind the claim, for whoever only wants to know; nobody's is empty.
    pub(crate) fn user(&self, auth: &Auth) -> Bytes {
        if let Self::CommonName(name) = self
            && auth.is_enabled()
        {
            return name.clone();
        }
        let bearer = self.bearer().filter(|_| auth.is_enabled());
        bearer
            .and_then(|bearer| bearer.user(auth.tokens()))
            .unwrap_or_default()
    }

    /// Who calls under this table. That is a use of the token.
    pub(super) fn caller(
        &self,
        auth: &Auth,
        table: &Table,
        now_ms: u64,
    ) -> Result<Caller, EtcdError> {
        match (self, self.bearer()) {
            (Self::Refused(error), _) => Err(error.clone()),
            (Self::CommonName(name), _) => Ok(named(name, table)),
            (_, None) => Ok(Caller::Nobody),
            (_, Some(bearer)) => bearer
                .use_now(auth.tokens(), now_ms, |entry| entry.caller(table))
                .ok_or(error::INVALID_AUTH_TOKEN),
        }
    }
}

/// A user as the table has it now.
fn named(name: &Bytes, table: &Table) -> Caller {
    Caller::User {
        name: name.clone(),
        revision: table.revision,
    }
}

/// Who has opened watches: whoever the token stood for then, also when its time is over. Nobody can use a token at a
/// stream that only listens.
pub(crate) struct Watcher {
    claim: Claim,
    entry: Option<Arc<TokenEntry>>,
}

impl Watcher {
    pub(crate) fn new(claim: Claim) -> Self {
        Self { claim, entry: None }
    }

    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Keeps who opens a watch under this table. A JWT that is older than it opens none, and is no reason for those that
    /// are there to stay either: it may have been withdrawn, and checked again since.
    pub(crate) fn identified(&mut self, auth: &Auth, table: &Table, now_ms: u64) {
        let keep = |bearer: &Bearer| bearer.use_now(auth.tokens(), now_ms, Arc::clone);
        let opens = |entry: &Arc<TokenEntry>| entry.revision.is_none_or(|of| of >= table.revision);
        let entry = self.claim.bearer().and_then(keep).filter(opens);
        self.entry = entry.or(self.entry.take());
    }

    /// Who watches, under the table of now: that a JWT is older than it ends no watch.
    pub(crate) fn caller(
        &mut self,
        auth: &Auth,
        table: &Table,
        now_ms: u64,
    ) -> Result<Caller, EtcdError> {
        if self.entry.is_none() {
            // Auth was off when the watches were opened.
            self.identified(auth, table, now_ms);
        }
        match (&self.entry, &self.claim) {
            (Some(entry), _) if entry.is_withdrawn() => Err(error::INVALID_AUTH_TOKEN),
            (Some(entry), _) => Ok(named(&entry.user, table)),
            (None, Claim::CommonName(name)) => Ok(named(name, table)),
            (None, Claim::Nobody) => Ok(Caller::Nobody),
            (None, _) => Err(error::INVALID_AUTH_TOKEN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use netcd_engine::auth::{AUTH_ENABLED, AUTH_REVISION, TokenGrant};

    const JWT: &str = "a.b.c";

    fn watcher() -> Watcher {
        let request = http::Request::post("http://h/etcdserverpb.Watch/Watch")
            .header("content-type", "application/grpc")
            .header("token", JWT);
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let request = Rc::new(RequestHead::new(parts, None));
        Watcher::new(Claim::Token(request))
    }

    /// As the control plane does, which does not look at a good JWT's revision.
    fn register(auth: &Auth, revision: u64) {
        let grant = TokenGrant {
            user: Bytes::from_static(b"alice"),
            revision: Some(revision),
            ttl_ms: None,
            renewed: false,
        };
        auth.tokens().insert(JWT.as_bytes(), grant, 0);
    }

    fn set_revision(auth: &Auth, revision: u64) {
        let row = revision.to_be_bytes();
        auth.write(AUTH_REVISION, Some(&row)).unwrap();
    }

    #[test]
    fn a_jwt_from_before_its_withdrawal_brings_no_watch_back() {
        let auth = Auth::default();
        auth.write(AUTH_ENABLED, Some(&[1])).unwrap();
        set_revision(&auth, 5);
        register(&auth, 5);
        let mut watcher = watcher();
        watcher.identified(&auth, &auth.table(), 0);
        let of = |revision| Caller::User {
            name: Bytes::from_static(b"alice"),
            revision,
        };
        assert_eq!(watcher.caller(&auth, &auth.table(), 0), Ok(of(5)));
        set_revision(&auth, 6);
        let caller = watcher.caller(&auth, &auth.table(), 0);
        assert_eq!(caller, Ok(of(6)), "it may grow old");
        // Her password is changed; the token, which is checked again, opens nothing more.
        auth.tokens().forget_user(b"alice");
        set_revision(&auth, 7);
        register(&auth, 5);
        watcher.identified(&auth, &auth.table(), 0);
        let caller = watcher.caller(&auth, &auth.table(), 0);
        assert_eq!(caller, Err(error::INVALID_AUTH_TOKEN));
    }

    #[test]
    fn an_old_jwt_keeps_no_watch_from_before_auth_was_on() {
        let auth = Auth::default();
        set_revision(&auth, 5);
        auth.write(AUTH_ENABLED, Some(&[1])).unwrap();
        register(&auth, 4);
        let caller = watcher().caller(&auth, &auth.table(), 0);
        assert_eq!(caller, Err(error::INVALID_AUTH_TOKEN));
        auth.tokens().clear();
        register(&auth, 5);
        assert!(watcher().caller(&auth, &auth.table(), 0).is_ok());
    }
}
