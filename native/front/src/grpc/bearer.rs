//! The token in a call's metadata, and who is behind it once that is known.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use netcd_engine::auth::{TokenEntry, Tokens};

/// Cut from a token, once, as it is written and no other way.
const SCHEME: &[u8] = b"Bearer ";

/// A token. It is kept with the header block, which a client sends again and again: the look-up is done once.
pub(crate) struct Bearer {
    value: HeaderValue,
    known: RefCell<Option<Arc<TokenEntry>>>,
}

// Tokens get into no log.
impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bearer").finish_non_exhaustive()
    }
}

impl Bearer {
    pub(super) fn new(value: HeaderValue) -> Self {
        Self {
            value,
            known: RefCell::new(None),
        }
    }

    /// The token itself.
    pub(crate) fn token(&self) -> &[u8] {
        let value = self.value.as_bytes();
        value.strip_prefix(SCHEME).unwrap_or(value)
    }

    /// Whose it is, as it was used last or else as it is known now. That is no use of it.
    pub(crate) fn user(&self, tokens: &Tokens) -> Option<Bytes> {
        let user = |entry: &Arc<TokenEntry>| entry.user.clone();
        let known = self.known.borrow().as_ref().map(user);
        known.or_else(|| tokens.find(self.token()).as_ref().map(user))
    }

    /// Makes something of what the token stands for, and renews it; None: it is not known here, or not any more.
    pub(crate) fn use_now<R>(
        &self,
        tokens: &Tokens,
        now_ms: u64,
        make: impl FnOnce(&Arc<TokenEntry>) -> R,
    ) -> Option<R> {
        let mut known = self.known.borrow_mut();
        if !known.as_ref().is_some_and(|entry| entry.use_now(now_ms)) {
            *known = tokens
                .find(self.token())
                .filter(|entry| entry.use_now(now_ms));
        }
        known.as_ref().map(make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use netcd_engine::auth::{Auth, TokenGrant};

    fn grant(user: &'static str) -> TokenGrant {
        TokenGrant {
            user: Bytes::from_static(user.as_bytes()),
            revision: None,
            ttl_ms: Some(100),
            renewed: true,
        }
    }

    fn user(bearer: &Bearer, auth: &Auth, now_ms: u64) -> Option<Bytes> {
        bearer.use_now(auth.tokens(), now_ms, |entry| entry.user.clone())
    }

    #[test]
    fn a_use_renews_and_a_dead_token_is_looked_up_anew() {
        let auth = Auth::default();
        let bearer = Bearer::new(HeaderValue::from_static("Bearer abc.5"));
        assert_eq!(bearer.token(), b"abc.5");
        assert_eq!(user(&bearer, &auth, 0), None);
        auth.tokens().insert(b"abc.5", grant("u"), 0);
        for now_ms in [0, 90, 180, 270] {
            assert_eq!(user(&bearer, &auth, now_ms), Some("u".into()));
        }
        assert_eq!(user(&bearer, &auth, 370), None, "100 ms without a use");
        auth.tokens().insert(b"abc.5", grant("v"), 371);
        assert_eq!(user(&bearer, &auth, 372), Some("v".into()));
        auth.tokens().forget_user(b"v");
        assert_eq!(user(&bearer, &auth, 373), None);
    }

    #[test]
    fn the_entry_is_kept_until_the_token_is_somebody_elses() {
        let auth = Auth::default();
        let bearer = Bearer::new(HeaderValue::from_static("t"));
        let entry = |now_ms| bearer.use_now(auth.tokens(), now_ms, Arc::clone);
        auth.tokens().insert(b"t", grant("u"), 0);
        let first = entry(0).unwrap();
        assert!(Arc::ptr_eq(&first, &entry(1).unwrap()));
        auth.tokens().insert(b"t", grant("v"), 2);
        assert_eq!(entry(3).unwrap().user, "v");
    }
}
