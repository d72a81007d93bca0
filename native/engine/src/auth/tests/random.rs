//! The compiled table against its slow twin over random users, roles, permissions and requests; and a table that was
//! changed row by row against one that read all rows at once.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::kit::*;
use super::twin::Twin;
use crate::auth::{Access, Caller, ROLE_PREFIX, Table, USER_PREFIX};
use crate::proto::authpb::Permission;
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::*;

const USERS: [&str; 3] = ["u", "v", "w"];
const ROLES: [&str; 4] = ["r", "s", "t", "root"];
/// Few, with the two ends of the order, so that ranges meet, adjoin and overlap.
const LETTERS: [u8; 4] = [0, b'a', b'b', 255];
/// Of the keys in permissions and requests.
const LENGTH_MAX: usize = 2;

/// Every key that may be where something begins or ends: those of permissions and requests, and the next after each.
fn all_keys() -> Vec<Vec<u8>> {
    let mut all = vec![vec![]];
    let mut longest = all.clone();
    for _ in 0..=LENGTH_MAX {
        let longer = longest.iter().flat_map(|key| {
            let with = |letter: &u8| [&key[..], &[*letter]].concat();
            LETTERS.iter().map(with).collect::<Vec<_>>()
        });
        longest = longer.collect();
        all.extend_from_slice(&longest);
    }
    all.sort_unstable();
    all
}

fn key() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(prop::sample::select(&LETTERS[..]), 1..=LENGTH_MAX).prop_map(Bytes::from)
}

fn range_end() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        3 => Just(Bytes::new()),
        1 => Just(Bytes::from_static(b"\0")),
        6 => key(),
    ]
}

fn a_permission() -> impl Strategy<Value = Permission> {
    // The fourth type is unknown.
    (0..4i32, key(), range_end()).prop_map(|(perm_type, key, range_end)| Permission {
        perm_type,
        key,
        range_end,
    })
}

#[derive(Clone, Debug)]
enum Change {
    User(&'static str, Option<Vec<&'static str>>),
    Role(&'static str, Option<Vec<Permission>>),
    Enabled(bool),
    Revision(u64),
}

fn a_change() -> impl Strategy<Value = Change> {
    let roles = prop::sample::subsequence(ROLES.to_vec(), 0..=3);
    let permissions = prop::collection::vec(a_permission(), 0..8);
    prop_oneof![
        6 => (prop::sample::select(&USERS[..]), prop::option::weighted(0.9, roles))
            .prop_map(|(name, roles)| Change::User(name, roles)),
        8 => (prop::sample::select(&ROLES[..3]), prop::option::weighted(0.9, permissions))
            .prop_map(|(name, permissions)| Change::Role(name, permissions)),
        1 => any::<bool>().prop_map(Change::Enabled),
        1 => (4..7u64).prop_map(Change::Revision),
    ]
}

/// Entries of one or more writes each, after ones that set up something.
fn changes() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let all_at_once = prop::collection::vec(a_change(), 4..16);
    let entry = prop::collection::vec(a_change(), 1..4);
    (all_at_once, prop::collection::vec(entry, 0..6)).prop_map(|(mut first, mut entries)| {
        first.insert(0, Change::Enabled(true));
        entries.insert(0, first);
        entries
    })
}

fn leaf() -> impl Strategy<Value = Request> {
    (0..3, key(), range_end(), any::<bool>()).prop_map(|(kind, key, range_end, prev_kv)| match kind
    {
        0 => Request::RequestRange(RangeRequest {
            key,
            range_end,
            ..RangeRequest::default()
        }),
        1 => Request::RequestPut(PutRequest {
            key,
            prev_kv,
            ..PutRequest::default()
        }),
        _ => Request::RequestDeleteRange(DeleteRangeRequest {
            key,
            range_end,
            prev_kv,
        }),
    })
}

fn a_txn() -> impl Strategy<Value = TxnRequest> {
    let a_compare = (key(), range_end()).prop_map(|(key, range_end)| Compare {
        key,
        range_end,
        ..Compare::default()
    });
    let compares = prop::collection::vec(a_compare, 0..2).boxed();
    let request = leaf().prop_recursive(3, 12, 3, move |inner| {
        let ops = prop::collection::vec(inner.prop_map(op), 0..2).boxed();
        let txn = (compares.clone(), ops.clone(), ops);
        txn.prop_map(|(compare, success, failure)| {
            Request::RequestTxn(TxnRequest {
                compare,
                success,
                failure,
            })
        })
    });
    prop::collection::vec(request.prop_map(op), 0..4).prop_map(then)
}

fn row_of(change: &Change) -> Row {
    match change {
        Change::User(name, Some(roles)) => user(name, roles),
        Change::User(name, None) => (key_of(USER_PREFIX, name), None),
        Change::Role(name, Some(permissions)) => role(name, permissions),
        Change::Role(name, None) => (key_of(ROLE_PREFIX, name), None),
        Change::Enabled(on) => enabled(*on),
        Change::Revision(number) => revision(*number),
    }
}

fn apply(twin: &mut Twin, change: &Change) {
    match change.clone() {
        Change::User(name, Some(roles)) => {
            let roles = roles.into_iter().map(String::from).collect();
            twin.users.insert(name.into(), roles);
        }
        Change::User(name, None) => drop(twin.users.remove(name)),
        Change::Role(name, Some(permissions)) => drop(twin.roles.insert(name.into(), permissions)),
        Change::Role(name, None) => drop(twin.roles.remove(name)),
        Change::Enabled(on) => twin.enabled = on,
        Change::Revision(number) => twin.revision = number,
    }
}

/// Those whose permissions count, and others who are answered before.
fn callers() -> (Vec<Caller>, Vec<Caller>) {
    let others = USERS
        .iter()
        .flat_map(|name| [0, 4, 5].map(|at| caller_at(name, at)));
    let unknown = [Caller::Nobody, Caller::Internal, caller_at("gone", 6)];
    (
        USERS.map(|name| caller_at(name, 6)).into(),
        others.chain(unknown).collect(),
    )
}

/// The table and what it must agree with.
struct Pair {
    keys: Vec<Vec<u8>>,
    twin: Twin,
    table: Table,
    /// Of all rows.
    loaded: Table,
}

impl Pair {
    fn compare(&self, caller: &Caller, key: &[u8], range_end: &[u8]) {
        for access in [Access::Read, Access::Write] {
            let expected = self.twin.check(caller, access, key, range_end, &self.keys);
            for table in [&self.table, &self.loaded] {
                let answer = match access {
                    Access::Read => table.check_read(caller, key, range_end),
                    Access::Write => table.check_write(caller, key, range_end),
                };
                assert_eq!(
                    answer, expected,
                    "{caller:?} {access:?} {key:?} {range_end:?}"
                );
            }
        }
    }

    fn compare_txn(&self, caller: &Caller, txn: &TxnRequest) {
        let expected = self.twin.check_txn(caller, txn, &self.keys);
        assert_eq!(
            self.table.check_txn(caller, txn),
            expected,
            "{caller:?} {txn:?}"
        );
    }
}

proptest! {
    #[test]
    fn the_table_agrees_with_its_twin(
        entries in changes(),
        ranges in prop::collection::vec((key(), range_end()), 24),
        txns in prop::collection::vec(a_txn(), 12),
    ) {
        let mut pair = Pair {
            keys: all_keys(),
            twin: Twin { revision: 1, ..Twin::default() },
            table: Table::default(),
            loaded: Table::default(),
        };
        let mut rows = BTreeMap::new();
        let (counting, others) = callers();
        for entry in &entries {
            let written: Vec<Row> = entry.iter().map(row_of).collect();
            pair.table = change(&pair.table, &written);
            rows.extend(written);
            pair.loaded = load(&rows.clone().into_iter().collect::<Vec<_>>());
            entry.iter().for_each(|it| apply(&mut pair.twin, it));
            for caller in &counting {
                let keys = pair.keys.iter().filter(|key| !key.is_empty());
                keys.for_each(|key| pair.compare(caller, key, b""));
                ranges.iter().for_each(|(key, end)| pair.compare(caller, key, end));
                txns.iter().for_each(|txn| pair.compare_txn(caller, txn));
            }
            for caller in &others {
                ranges.iter().take(3).for_each(|(key, end)| pair.compare(caller, key, end));
                txns.iter().take(3).for_each(|txn| pair.compare_txn(caller, txn));
            }
        }
    }
}

/// Shows that the property above compares something: both answers come for keys, ranges and txns.
#[test]
fn what_is_random_is_permitted_and_refused() {
    let mut runner = TestRunner::deterministic();
    let asked = (changes(), key(), range_end(), a_txn());
    let mut counts = BTreeMap::<_, [u32; 2]>::new();
    for _ in 0..200 {
        let (entries, key, range_end, txn) = asked.new_tree(&mut runner).unwrap().current();
        let written: Vec<Row> = entries[0].iter().map(row_of).collect();
        let table = change(&Table::default(), &written);
        for caller in callers().0.iter().filter(|_| table.enabled) {
            for (what, permitted) in [
                ("key", table.check_read(caller, &key, b"").is_ok()),
                ("range", table.check_write(caller, &key, &range_end).is_ok()),
                ("txn", table.check_txn(caller, &txn).is_ok()),
            ] {
                counts.entry(what).or_default()[usize::from(permitted)] += 1;
            }
        }
    }
    assert_eq!(counts.len(), 3);
    assert!(
        counts.values().flatten().all(|count| *count >= 10),
        "{counts:?}"
    );
}
