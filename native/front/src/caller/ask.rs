//! The question to the control plane whose a token is, where it is not known here and may be known there.

use std::time::Instant;

use netcd_engine::error::{self, EtcdError};

use super::claim::Claim;
use super::questions::{Asking, Identified};
use crate::config::TokenKind;
use crate::events::FrontEvent;
use crate::worker::Worker;

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
