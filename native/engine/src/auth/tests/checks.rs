//! The order of the checks, and what of a row counts.

use super::kit::*;
use crate::auth::{AUTH_ENABLED, AUTH_REVISION, Access, Caller, ROLE_PREFIX, Table, USER_PREFIX};
use crate::error::{AUTH_OLD_REVISION, EtcdError, PERMISSION_DENIED, USER_EMPTY, USER_NOT_FOUND};
use crate::proto::authpb::permission::Type::{Read, Readwrite, Write};

type Answer = Result<(), EtcdError>;

fn asked(table: &Table, caller: &Caller) -> [Answer; 3] {
    [
        table.check_known(caller),
        table.check_admin(caller),
        table.check_read(caller, b"a", b""),
    ]
}

#[test]
fn who_is_asked_in_which_order() {
    let table = table_of(&[permission(Read, "a", "")]);
    let denied = || Err(PERMISSION_DENIED);
    let old = || Err(AUTH_OLD_REVISION);
    let empty = || Err(USER_EMPTY);
    for (caller, answers) in [
        (Caller::Internal, [Ok(()), Ok(()), Ok(())]),
        (Caller::Nobody, [empty(), empty(), empty()]),
        (caller("root"), [Ok(()), Ok(()), Ok(())]),
        (caller("u"), [Ok(()), denied(), Ok(())]),
        (caller("gone"), [denied(), Err(USER_NOT_FOUND), denied()]),
        // The revision comes before the user. An identity suffices where only one is asked for.
        (caller_at("root", REVISION - 1), [Ok(()), old(), old()]),
        (caller_at("u", REVISION - 1), [Ok(()), old(), old()]),
        (caller_at("gone", REVISION - 1), [denied(), old(), old()]),
        (caller_at("u", 0), [Ok(()), empty(), empty()]),
        // A token of a member that is ahead.
        (caller_at("u", REVISION + 1), [Ok(()), denied(), Ok(())]),
        (caller_at("root", REVISION + 1), [Ok(()), Ok(()), Ok(())]),
    ] {
        assert_eq!(asked(&table, &caller), answers, "{caller:?}");
    }
}

#[test]
fn everybody_may_do_everything_while_auth_is_off() {
    let table = change(&table_of(&[]), &[enabled(false)]);
    for caller in [
        Caller::Nobody,
        Caller::Internal,
        caller("u"),
        caller("gone"),
        caller_at("u", 1),
    ] {
        assert_eq!(asked(&table, &caller), [Ok(()), Ok(()), Ok(())]);
        assert_eq!(table.check_write(&caller, b"a", b"\0"), Ok(()));
    }
    assert!(!Table::default().enabled, "without rows it is off");
    assert_eq!(
        asked(&Table::default(), &Caller::Nobody),
        [Ok(()), Ok(()), Ok(())]
    );
}

#[test]
fn root_is_who_has_the_role_whether_there_is_one() {
    let rows = [
        enabled(true),
        revision(REVISION),
        user("admin", &["q", "root"]),
    ];
    let table = load(&rows);
    assert_eq!(table.check_write(&caller("admin"), b"a", b"\0"), Ok(()));
    assert_eq!(table.check_admin(&caller("admin")), Ok(()));
    // The name of the user gives nothing, nor does a role that is called like it.
    let table = change(&table, &[user("root", &["roots"]), role("root", &[])]);
    assert_eq!(table.check_admin(&caller("root")), Err(PERMISSION_DENIED));
    assert_eq!(table.check_admin(&caller("admin")), Ok(()));
}

#[test]
fn adjoining_and_overlapping_ranges_of_all_roles_are_one() {
    let table = load(&[
        enabled(true),
        revision(REVISION),
        user("u", &["r", "gone", "s", "t"]),
        role(
            "r",
            &[permission(Read, "a", "c"), permission(Read, "b", "d")],
        ),
        role("s", &[permission(Readwrite, "d", "f")]),
        role(
            "t",
            &[permission(Read, "f", ""), permission(Write, "f\0", "g")],
        ),
    ]);
    let user = caller("u");
    assert_eq!(table.check_read(&user, b"a", b"f"), Ok(()));
    assert_eq!(table.check_read(&user, b"a", b"f\0"), Ok(()));
    let denied = Err(PERMISSION_DENIED);
    assert_eq!(table.check_read(&user, b"a", b"f\0\0"), denied);
    assert_eq!(table.check_read(&user, b"f\0", b""), denied);
    assert_eq!(table.check_write(&user, b"e", b"f"), Ok(()));
    assert_eq!(table.check_write(&user, b"e", b"g"), denied);
    assert_eq!(table.check_write(&user, b"f", b""), denied);
    assert_eq!(table.check_write(&user, b"f\0", b"g"), Ok(()));
}

#[test]
fn the_end_of_a_prefix_takes_no_memory_and_holds() {
    for (first, end) in [("ab", "ac"), ("a\u{7e}", "a\u{7f}"), ("a", "b")] {
        let table = table_of(&[permission(Read, first, end)]);
        let user = caller("u");
        assert_eq!(
            table.check_read(&user, first.as_bytes(), end.as_bytes()),
            Ok(())
        );
        let longer = [first.as_bytes(), b"\xff\xff"].concat();
        assert_eq!(table.check_read(&user, &longer, b""), Ok(()));
        let past = [end.as_bytes(), b"\0"].concat();
        let denied = Err(PERMISSION_DENIED);
        assert_eq!(table.check_read(&user, first.as_bytes(), &past), denied);
        assert_eq!(table.check_read(&user, end.as_bytes(), b""), denied);
    }
}

#[test]
fn a_damaged_row_is_told_and_changes_nothing() {
    let name = |prefix: &[u8]| key_of(prefix, "x");
    for (key, value) in [
        (AUTH_ENABLED.to_vec(), vec![]),
        (AUTH_ENABLED.to_vec(), vec![2]),
        (AUTH_REVISION.to_vec(), vec![0; 7]),
        (name(USER_PREFIX), vec![0xff]),
        (name(ROLE_PREFIX), vec![0xff]),
        // A name of a role that is no text.
        (name(USER_PREFIX), vec![0x1a, 1, 0xff]),
    ] {
        let auth = crate::auth::Auth::default();
        let before = auth.generation();
        let rows = [
            (AUTH_REVISION, Some(&[0, 0, 0, 0, 0, 0, 0, 9][..])),
            (&key, Some(&value)),
        ];
        let error = auth.write_all(rows.into_iter()).unwrap_err();
        assert!(
            error.to_string().contains(&*String::from_utf8_lossy(&key)),
            "{error}"
        );
        assert_eq!((auth.table().revision, auth.generation()), (1, before));
    }
}

#[test]
fn rows_as_etcd_writes_them_are_read() {
    // A user with two roles and without options, as old versions wrote them; a role with READ, which is left out.
    let user = b"\x0a\x01u\x12\x03pwd\x1a\x01r\x1a\x01s";
    let role = b"\x0a\x01r\x12\x06\x12\x01a\x1a\x01c\x12\x05\x08\x02\x12\x01d";
    let table = Table::load(
        [
            (AUTH_ENABLED, &[1][..]),
            (AUTH_REVISION, &[0, 0, 0, 0, 0, 0, 0, 5]),
            (b"u/u", user),
            (b"r/r", role),
            (b"a/other", b"of no concern"),
        ]
        .into_iter(),
    )
    .unwrap();
    assert!(table.enabled && table.revision == 5 && table.has_user(b"u"));
    assert_eq!(table.check_read(&caller("u"), b"a", b"c"), Ok(()));
    assert_eq!(
        table.check_write(&caller("u"), b"a", b""),
        Err(PERMISSION_DENIED)
    );
    assert_eq!(table.check_write(&caller("u"), b"d", b""), Ok(()));
}

#[test]
fn the_keys_of_a_lease_are_asked_for_together_or_one_by_one() {
    let table = table_of(&[
        permission(Readwrite, "a", "c"),
        permission(Write, "x", ""),
        permission(Read, "y", ""),
    ]);
    let may = |bounds: (&'static str, &'static str), keys: &[&'static str]| {
        let keys = keys.iter().map(|key| key.as_bytes());
        let bounds = (bounds.0.as_bytes(), bounds.1.as_bytes());
        table.check_keys(&caller("u"), Some(bounds), keys, Access::Write)
    };
    let denied = || Err(PERMISSION_DENIED);
    // The bounds may be wider than the keys, of which there may be more where he may have none.
    assert_eq!(may(("a", "x"), &["a", "b", "x"]), Ok(()));
    assert_eq!(may(("a", "x"), &["a", "b", "c"]), denied());
    assert_eq!(may(("a", "c"), &["b", "c"]), denied());
    assert_eq!(may(("x", "y"), &["x", "y"]), denied());
    assert_eq!(may(("a", "b"), &[]), Ok(()));
    // Who may have all in between is not asked for each.
    let first = std::iter::once(&b"a"[..]);
    let keys = first.chain(std::iter::from_fn(|| panic!("one more key was looked at")));
    let bounds = Some((&b"a"[..], &b"bzz"[..]));
    let answer = table.check_keys(&caller("u"), bounds, keys, Access::Write);
    assert_eq!(answer, Ok(()));
}
