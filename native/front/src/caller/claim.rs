//! What a call says of who makes it, and who that is as far as this member knows.

use std::rc::Rc;
use std::sync::Arc;

use netcd_engine::auth::{Auth, Caller, Table, TokenEntry};
use netcd_engine::error::{self, EtcdError};

use crate::grpc::bearer::Bearer;
use crate::grpc::head::{GrpcRequest, Head, RequestHead};

/// What a call says of who makes it.
#[derive(Clone)]
pub(crate) enum Claim {
    /// Nothing.
    Nobody,
    /// A token in its metadata. The headers stay with it, whose memory the connection counts.
    Token(Rc<RequestHead>),
    /// A token of which it is known by now that it does not help.
    Refused(EtcdError),
}

impl Claim {
    pub(crate) fn new(request: &Rc<RequestHead>, head: &Head) -> Self {
        match head.bearer {
            None => Self::Nobody,
            Some(_) => Self::Token(request.clone()),
        }
    }

    pub(super) fn bearer(&self) -> Option<&Bearer> {
        match self {
            Self::Token(request) => {
                let head = request.memo(GrpcRequest::parse).head.as_ref();
                head.ok().and_then(|head| head.bearer.as_ref())
            }
            Self::Nobody | Self::Refused(_) => None,
        }
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
            (_, None) => Ok(Caller::Nobody),
            (_, Some(bearer)) => bearer
                .use_now(auth.tokens(), now_ms, |entry| entry.caller(table))
                .ok_or(error::INVALID_AUTH_TOKEN),
        }
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

    /// Keeps who opens a watch now.
    pub(crate) fn identified(&mut self, auth: &Auth, now_ms: u64) {
        let keep = |bearer: &Bearer| bearer.use_now(auth.tokens(), now_ms, Arc::clone);
        self.entry = self.claim.bearer().and_then(keep).or(self.entry.take());
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
            self.identified(auth, now_ms);
        }
        match (&self.entry, &self.claim) {
            (Some(entry), _) if entry.is_withdrawn() => Err(error::INVALID_AUTH_TOKEN),
            (Some(entry), _) => Ok(Caller::User {
                name: entry.user.clone(),
                revision: table.revision,
            }),
            (None, Claim::Nobody) => Ok(Caller::Nobody),
            (None, _) => Err(error::INVALID_AUTH_TOKEN),
        }
    }
}
