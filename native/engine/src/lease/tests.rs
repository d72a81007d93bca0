//! Tests of the lease table, with a clock that the test moves.

use super::*;
use crate::limits::LEASE_KEYS_MANY;

fn key(name: &str) -> Bytes {
    Bytes::copy_from_slice(name.as_bytes())
}

fn leader() -> LeaseTable {
    let mut table = LeaseTable::new();
    table.promote(0, None, 0);
    table
}

#[test]
fn grants_are_checked() {
    let mut table = LeaseTable::new();
    assert_eq!(table.grant(0, 5, 0), Err(error::LEASE_NOT_FOUND));
    assert_eq!(
        table.grant(1, LEASE_TTL_SECONDS_MAX + 1, 0),
        Err(error::LEASE_TTL_TOO_LARGE)
    );
    assert_eq!(table.grant(-1, LEASE_TTL_SECONDS_MAX, 0), Ok(()));
    assert_eq!(table.grant(-1, 5, 0), Err(error::LEASE_EXISTS));
    assert_eq!(table.len(), 1);
}

#[test]
fn a_key_has_one_lease() {
    let mut table = LeaseTable::new();
    table.grant(1, 5, 0).unwrap();
    table.grant(2, 5, 0).unwrap();
    for name in ["b", "a", "c"] {
        table.set_owner(&key(name), 1);
    }
    table.set_owner(&key("c"), 2);
    assert_eq!(table.keys(1).unwrap(), ["a", "b"]);
    assert_eq!(table.keys(2).unwrap(), ["c"]);
    table.set_owner(&key("a"), 0);
    assert_eq!(table.owner(b"a"), 0);
    assert_eq!(table.revoke(1).unwrap(), ["b"]);
    assert_eq!(table.owner(b"b"), 0);
    assert_eq!(table.revoke(1), None);
    assert_eq!(table.keys(1), None);
}

#[test]
fn a_lease_with_many_keys_knows_between_which_they_lie() {
    let mut table = LeaseTable::new();
    table.grant(1, 5, 0).unwrap();
    table.grant(2, 5, 0).unwrap();
    let name = |n: usize| key(&format!("k{n:02}"));
    for n in 0..=LEASE_KEYS_MANY {
        table.set_owner(&name(n), 1);
        let many = table.keys(1).unwrap().len() >= LEASE_KEYS_MANY;
        assert_eq!(table.bounds(1).is_some(), many);
    }
    table.set_owner(&key("a"), 1);
    table.set_owner(&key("z"), 1);
    assert_eq!(table.bounds(1), Some((&b"a"[..], &b"z"[..])));
    table.set_owner(&key("m"), 1);
    assert_eq!(table.bounds(1), Some((&b"a"[..], &b"z"[..])));
    // They hold for what is left, and are forgotten with the many.
    table.set_owner(&key("z"), 2);
    let (first, last) = table.bounds(1).unwrap();
    assert!(
        table
            .keys_unordered(1)
            .all(|key| first <= key && key <= last)
    );
    for key in table.keys(1).unwrap() {
        table.set_owner(&key, 0);
    }
    assert_eq!(
        (table.bounds(1), table.bounds(2), table.bounds(3)),
        (None, None, None)
    );
}

#[test]
fn nothing_expires_on_a_follower() {
    let mut table = LeaseTable::new();
    table.grant(1, 1, 0).unwrap();
    assert_eq!(table.expired(1 << 40, 10, 1), []);
    assert_eq!(table.renew(1, 0), Renewal::NotLeader);
    assert_eq!(table.times(1, 0).unwrap().expires_in_ms, None);
    table.promote(500, None, 1000);
    assert_eq!(table.times(1, 1200).unwrap().expires_in_ms, Some(1300));
    assert_eq!(table.expired(2499, 10, 1), []);
    assert_eq!(table.expired(2500, 10, 1), [1]);
    table.demote();
    assert_eq!(table.expired(1 << 40, 10, 1), []);
}

#[test]
fn expired_leases_are_named_again_after_a_pause() {
    let mut table = leader();
    for id in 1..=3 {
        table.grant(id, id, 0).unwrap();
    }
    assert_eq!(table.expired(999, 9, 100), []);
    assert_eq!(table.expired(2000, 1, 100), [1]);
    assert_eq!(table.expired(2000, 9, 100), [2]);
    assert_eq!(table.expired(2099, 9, 100), []);
    assert_eq!(table.expired(2100, 9, 100), [1, 2]);
    assert_eq!(table.renew(2, 2100), Renewal::Expired);
    table.revoke(1);
    table.revoke(2);
    assert_eq!(table.expired(2999, 9, 100), []);
    assert_eq!(table.expired(3000, 9, 100), [3]);
}

#[test]
fn renewal_moves_the_deadline_and_waits_for_the_end_of_a_checkpoint() {
    let mut table = leader();
    table.grant(1, 10, 0).unwrap();
    let whole = Renewal::Renewed { ttl_seconds: 10 };
    assert_eq!(table.renew(1, 5_000), whole);
    assert_eq!(table.expired(14_999, 9, 1), []);
    table.checkpoint(1, 3, 6_000).unwrap();
    assert_eq!(table.times(1, 6_000).unwrap().expires_in_ms, Some(9_000));
    assert_eq!(table.renew(1, 7_000), Renewal::Checkpointed);
    table.checkpoint(1, 0, 7_000).unwrap();
    assert_eq!(table.renew(1, 7_000), whole);
    assert_eq!(table.times(1, 7_000).unwrap().expires_in_ms, Some(10_000));
    assert_eq!(table.renew(9, 0), Renewal::Unknown);
    assert_eq!(table.checkpoint(9, 1, 0), Err(error::LEASE_NOT_FOUND));
    assert!(
        table
            .metrics()
            .contains("etcd_debugging_lease_renewed_total 2\n")
    );
}

#[test]
fn a_leader_that_nobody_confirms_is_not_trusted() {
    let mut table = leader();
    assert!(table.is_attended(LEASE_LEADER_SILENCE_MS_MAX));
    assert!(!table.is_attended(LEASE_LEADER_SILENCE_MS_MAX + 1));
    table.attend(5_000);
    assert!(table.is_attended(5_000 + LEASE_LEADER_SILENCE_MS_MAX));
}

#[test]
fn long_leases_are_checkpointed_again_and_again_and_short_ones_never() {
    let mut table = LeaseTable::new();
    table.restore(1, 700, 0);
    table.promote(0, Some(300_000), 0);
    table.grant(2, 300, 0).unwrap();
    table.grant(3, 301, 1_000).unwrap();
    assert_eq!(table.due_checkpoints(299_999, 9), []);
    assert_eq!(table.due_checkpoints(300_500, 9), [(1, 400)]);
    assert_eq!(table.due_checkpoints(400_000, 9), []);
    table.checkpoint(1, 400, 300_600).unwrap();
    table.checkpoint(1, 400, 300_600).unwrap();
    assert_eq!(
        table.due_checkpoints(600_600, 9),
        [(1, 100)],
        "3 has expired, 1 comes once"
    );
    table.checkpoint(1, 100, 600_600).unwrap();
    assert_eq!(table.due_checkpoints(1 << 40, 9), []);
    table.demote();
    assert_eq!(table.due_checkpoints(1 << 40, 9), []);
}

#[test]
fn a_new_leader_spreads_leases_that_would_expire_together() {
    let mut table = LeaseTable::new();
    for id in 1..=2_000 {
        table.restore(id, 10, 0);
    }
    table.promote(1_000, None, 0);
    for (now_ms, count) in [(10_999, 0), (11_000, 750), (12_000, 750), (13_000, 500)] {
        assert_eq!(
            table.expired(now_ms, 9_999, 1 << 40).len(),
            count,
            "{now_ms}"
        );
    }
}

#[test]
fn a_new_leader_counts_from_the_checkpoint() {
    let mut table = LeaseTable::new();
    table.restore(1, 100, 7);
    table.restore(2, 100, 0);
    table.promote(0, None, 0);
    assert_eq!(table.times(1, 0).unwrap().expires_in_ms, Some(7_000));
    assert_eq!(table.times(2, 0).unwrap().expires_in_ms, Some(100_000));
    assert_eq!(table.ids(), [1, 2]);
}

#[test]
fn many_renewals_do_not_grow_the_heap() {
    let mut table = leader();
    table.grant(1, 1, 0).unwrap();
    for now_ms in 0..10_000 {
        assert_eq!(
            table.renew(1, now_ms / 100),
            Renewal::Renewed { ttl_seconds: 1 }
        );
    }
    let deadlines = table.deadlines.as_mut().unwrap();
    assert_eq!(deadlines.next_ms(), Some(1_099));
    assert!(format!("{deadlines:?}").len() < 100_000);
}

#[test]
fn a_restarted_leader_that_finds_a_lease_whole_again_gives_it_its_time() {
    let mut table = LeaseTable::new();
    table.restore(1, 100, 7);
    table.restore(2, 100, 7);
    table.promote(0, None, 0);
    table.checkpoint(1, 0, 1_000).unwrap();
    assert_eq!(table.times(1, 1_000).unwrap().expires_in_ms, Some(100_000));
    table.checkpoint(2, 0, 7_000).unwrap();
    assert_eq!(
        table.renew(2, 7_000),
        Renewal::Expired,
        "it is being revoked"
    );
}
