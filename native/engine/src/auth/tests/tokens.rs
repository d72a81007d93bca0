//! Tokens: how long they count, and whom their end reaches.

use std::sync::Arc;

use super::kit::*;
use crate::auth::{Auth, Caller, TokenGrant};
use crate::limits::{TOKENS_EVICTED, TOKENS_MAX};

const TTL_MS: u64 = 1000;

fn simple(user: &str) -> TokenGrant {
    TokenGrant {
        user: bytes(user),
        revision: None,
        ttl_ms: Some(TTL_MS),
        renewed: true,
    }
}

fn signed(user: &str, revision: u64, ttl_ms: Option<u64>) -> TokenGrant {
    TokenGrant {
        user: bytes(user),
        revision: Some(revision),
        ttl_ms,
        renewed: false,
    }
}

#[test]
fn each_use_of_a_simple_token_begins_its_time_anew() {
    let auth = Auth::default();
    let tokens = auth.tokens();
    tokens.insert(b"t", simple("u"), 0);
    let entry = tokens.find(b"t").unwrap();
    for now_ms in [999, 1998, 2997] {
        assert!(entry.use_now(now_ms), "{now_ms}");
        tokens.sweep(now_ms);
    }
    assert!(!entry.use_now(2997 + TTL_MS));
    // A look is no use, and an end is one for good.
    assert!(entry.is_alive(2998) && !entry.is_alive(3997));
    assert!(!entry.is_withdrawn());
    assert!(tokens.find(b"x").is_none() && tokens.find(b"").is_none());
}

#[test]
fn a_signed_token_ends_when_it_says() {
    let auth = Auth::default();
    let tokens = auth.tokens();
    tokens.insert(b"t", signed("u", 3, Some(TTL_MS)), 500);
    tokens.insert(b"for ever", signed("u", 3, None), 500);
    let entry = tokens.find(b"t").unwrap();
    assert!(entry.use_now(1499) && !entry.use_now(1500));
    assert!(tokens.find(b"for ever").unwrap().use_now(u64::MAX - 1));
}

#[test]
fn a_simple_token_stands_for_the_current_revision_and_a_signed_one_for_its_own() {
    let auth = Auth::default();
    let tokens = auth.tokens();
    tokens.insert(b"simple", simple("u"), 0);
    tokens.insert(b"signed", signed("u", 3, None), 0);
    let table = load(&[revision(9)]);
    let caller = |token: &[u8]| tokens.find(token).unwrap().caller(&table);
    assert_eq!(caller(b"simple"), caller_at("u", 9));
    assert_eq!(caller(b"signed"), caller_at("u", 3));
    assert_eq!(caller(b"signed").name(), Some(&b"u"[..]));
    assert_eq!(
        (Caller::Nobody.name(), Caller::Internal.name()),
        (None, None)
    );
}

#[test]
fn a_users_tokens_are_withdrawn_from_those_who_keep_them_too() {
    let auth = Auth::default();
    let tokens = auth.tokens();
    tokens.insert(b"u1", simple("u"), 0);
    tokens.insert(b"u2", signed("u", 1, None), 0);
    tokens.insert(b"v", simple("v"), 0);
    let kept = tokens.find(b"u1").unwrap();
    let before = auth.generation();
    tokens.forget_user(b"nobody");
    assert_eq!(auth.generation(), before, "nothing changed");
    tokens.forget_user(b"u");
    assert!(auth.generation() > before);
    assert!(kept.is_withdrawn() && !kept.use_now(1));
    assert!(tokens.find(b"u1").is_none() && tokens.find(b"u2").is_none());
    assert!(tokens.find(b"v").unwrap().use_now(1));
    // A user of the same name begins anew; the old tokens stay dead.
    tokens.insert(b"u3", simple("u"), 1);
    assert!(tokens.find(b"u3").unwrap().use_now(1) && !kept.use_now(1));
    tokens.sweep(1);
    assert_eq!(tokens.len(), 2);
}

#[test]
fn all_are_withdrawn_at_once() {
    let auth = Auth::default();
    let tokens = auth.tokens();
    tokens.insert(b"a", simple("u"), 0);
    tokens.insert(b"b", signed("v", 1, None), 0);
    let kept = tokens.find(b"b").unwrap();
    let before = auth.generation();
    tokens.clear();
    assert!(tokens.is_empty() && kept.is_withdrawn() && auth.generation() > before);
}

#[test]
fn a_token_that_ran_out_is_forgotten_unless_somebody_keeps_it() {
    let auth = Auth::default();
    let tokens = auth.tokens();
    tokens.insert(b"kept", simple("u"), 0);
    tokens.insert(b"not", simple("u"), 0);
    let watch = tokens.find(b"kept").unwrap();
    tokens.sweep(TTL_MS - 1);
    assert_eq!(tokens.len(), 2);
    let before = auth.generation();
    tokens.sweep(TTL_MS);
    assert_eq!((tokens.len(), auth.generation()), (1, before));
    // It does not count, but what was begun with it still hears of the user's end.
    assert!(!tokens.find(b"kept").unwrap().use_now(TTL_MS));
    assert!(!watch.is_withdrawn());
    tokens.forget_user(b"u");
    assert!(watch.is_withdrawn() && auth.generation() > before);
    tokens.sweep(TTL_MS);
    assert!(tokens.is_empty());
}

#[test]
fn a_token_that_comes_again_is_the_same_or_takes_the_old_ones_place() {
    let auth = Auth::default();
    let tokens = auth.tokens();
    tokens.insert(b"t", simple("u"), 0);
    let first = tokens.find(b"t").unwrap();
    tokens.insert(b"t", simple("u"), 500);
    assert!(Arc::ptr_eq(&first, &tokens.find(b"t").unwrap()));
    assert!(first.is_alive(1400));
    tokens.insert(b"t", simple("v"), 500);
    assert!(first.is_withdrawn());
    assert_eq!(tokens.find(b"t").unwrap().user, "v");
    tokens.forget_user(b"v");
    tokens.insert(b"t", simple("v"), 600);
    assert!(tokens.find(b"t").unwrap().use_now(601));
}

#[test]
fn there_are_never_too_many_and_the_next_to_end_go_first() {
    let auth = Auth::default();
    let tokens = auth.tokens();
    let name = |number: usize| number.to_string().into_bytes();
    // Some have ended by the time when there are too many.
    for number in 0..TOKENS_MAX {
        let ttl_ms = if number < 3 { 1 } else { 100 + number as u64 };
        tokens.insert(&name(number), signed("u", 1, Some(ttl_ms)), 0);
    }
    tokens.insert(b"a", simple("u"), 50);
    assert_eq!(tokens.len(), TOKENS_MAX - 2);
    tokens.insert(b"b", simple("u"), 50);
    tokens.insert(b"c", simple("u"), 50);
    assert_eq!(tokens.len(), TOKENS_MAX);
    let first = tokens.find(&name(3)).unwrap();
    tokens.insert(b"d", simple("u"), 50);
    assert_eq!(tokens.len(), TOKENS_MAX - TOKENS_EVICTED + 1);
    assert!(first.is_withdrawn(), "nobody could withdraw it later");
    assert!(tokens.find(&name(2 + TOKENS_EVICTED)).is_none());
    assert!(tokens.find(&name(3 + TOKENS_EVICTED)).is_some());
    for token in [b"a", b"b", b"c", b"d"] {
        assert!(tokens.find(token).is_some());
    }
}
