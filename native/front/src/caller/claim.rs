//! What a call says of who makes it, and what becomes of that.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use netcd_engine::auth::{Auth, Caller, Table, TokenEntry};
use netcd_engine::error::{self, EtcdError};

use super::questions::{Asking, Identified};
use crate::config::TokenKind;
use crate::events::FrontEvent;
use crate::grpc::bearer::Bearer;
use crate::grpc::head::{GrpcRequest, Head, RequestHead};
use crate::worker::Worker;

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

    fn bearer(&self) -> Option<&Bearer> {
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

/// The index that a simple token names; None: it is no such token.
fn simple_index(token: &[u8]) -> Option<u64> {
    let (_, index) = std::str::from_utf8(token).ok()?.split_once('.')?;
    // As Go parses it: digits only, and no second dot.
    let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| index.parse().ok())?
}

/// Asks the control plane for whom a token stands, if it is not known here and may be known there; None: go on without.
pub(crate) fn ask(worker: &Worker, claim: &Claim) -> Option<Result<Asking, EtcdError>> {
    let shared = &worker.shared;
    if !shared.auth.is_enabled() {
        return None;
    }
    let bearer = claim.bearer()?;
    let now_ms = worker.now_ms();
    let is_known = || {
        bearer
            .use_now(shared.auth.tokens(), now_ms, |_| ())
            .is_some()
    };
    if is_known() {
        return None;
    }
    match shared.config.tokens {
        TokenKind::None => return None,
        TokenKind::Simple => {
            // Looked at before the second look at the tokens: whoever is applied is registered.
            let applied = shared.backend.applied_index();
            if simple_index(bearer.token())? <= applied || is_known() {
                return None;
            }
        }
        TokenKind::Jwt => {}
    }
    let token = std::str::from_utf8(bearer.token()).ok()?;
    let asking = shared.questions.ask(token.as_bytes());
    if let Ok(Asking { new: Some(ask), .. }) = &asking {
        shared.events.emit(FrontEvent::Identify {
            ask: *ask,
            token: token.to_owned(),
        });
    }
    Some(asking)
}

/// Waits for the answer, as long as a call may wait for anything: what it is for whoever made the claim.
pub(crate) async fn wait(
    worker: &Worker,
    asking: Result<Asking, EtcdError>,
    timeout: Option<Instant>,
) -> Identified {
    let allowed = worker.now() + worker.shared.config.request_timeout;
    let by_client = timeout.filter(|timeout| *timeout <= allowed);
    let answered = tokio::time::timeout_at(by_client.unwrap_or(allowed).into(), asking?.answered());
    let late = match by_client {
        Some(_) => error::DEADLINE,
        None => error::TIMEOUT,
    };
    answered.await.unwrap_or(Err(late))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simple_token_has_one_dot_and_an_index() {
        for (token, index) in [
            ("abc.5", Some(5)),
            (".18446744073709551615", Some(u64::MAX)),
            ("abc", None),
            ("abc.", None),
            ("abc.+5", None),
            ("abc.-5", None),
            ("abc.5.6", None),
            ("a.b.5", None),
            ("abc.18446744073709551616", None),
            ("abc.5 ", None),
        ] {
            assert_eq!(simple_index(token.as_bytes()), index, "{token:?}");
        }
        assert_eq!(simple_index(b"\xff.5"), None);
    }
}
