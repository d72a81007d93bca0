//! Changes of the table as those see them who serve requests meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::kit::*;
use crate::auth::{Auth, Caller};
use crate::error::{AUTH_OLD_REVISION, PERMISSION_DENIED, USER_EMPTY};
use crate::proto::authpb::permission::Type::Read;

fn write(auth: &Auth, rows: &[Row]) {
    let writes = rows.iter().map(|(key, value)| (&key[..], value.as_deref()));
    auth.write_all(writes).unwrap();
}

#[test]
fn every_change_moves_the_generation_and_is_told() {
    let auth = Auth::default();
    let told = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&told);
    auth.on_change(Box::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    let mut seen = vec![auth.generation()];
    for rows in [
        vec![user("root", &["root"]), revision(2)],
        vec![enabled(true)],
        vec![revision(3)],
    ] {
        write(&auth, &rows);
        seen.push(auth.generation());
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    assert_eq!(told.load(Ordering::Relaxed), 3);
    assert!(auth.is_enabled());
    write(&auth, &[enabled(false)]);
    assert!(!auth.is_enabled());
}

#[test]
fn a_table_in_use_does_not_change() {
    let auth = Auth::default();
    let permitted = [permission(Read, "a", "")];
    let rows = [
        enabled(true),
        revision(5),
        user("u", &["r"]),
        role("r", &permitted),
    ];
    write(&auth, &rows);
    let before = auth.table();
    write(&auth, &[revision(6), role("r", &[])]);
    assert_eq!(before.check_read(&caller_at("u", 5), b"a", b""), Ok(()));
    let now = auth.table().check_read(&caller_at("u", 6), b"a", b"");
    assert_eq!(now, Err(PERMISSION_DENIED));
}

#[test]
fn what_was_read_is_confirmed_only_under_the_same_table() {
    let auth = Auth::default();
    let nobody = Caller::Nobody;
    assert_eq!(auth.confirm(&nobody), Ok(()));
    write(&auth, &[revision(5), user("u", &[]), enabled(true)]);
    // Auth came on while nobody was reading.
    assert_eq!(auth.confirm(&nobody), Err(USER_EMPTY));
    assert_eq!(auth.confirm(&caller_at("u", 5)), Ok(()));
    assert_eq!(auth.confirm(&Caller::Internal), Ok(()));
    write(&auth, &[revision(6)]);
    assert_eq!(auth.confirm(&caller_at("u", 5)), Err(AUTH_OLD_REVISION));
    // A token of a member that is ahead: what this one knows is too old for it.
    assert_eq!(auth.confirm(&caller_at("u", 7)), Err(AUTH_OLD_REVISION));
    assert_eq!(auth.confirm(&Caller::Internal), Ok(()));
    write(&auth, &[enabled(false), revision(7)]);
    assert_eq!(auth.confirm(&caller_at("u", 5)), Ok(()));
}

#[test]
fn the_writes_of_one_entry_count_together_in_any_order() {
    let auth = Auth::default();
    let permitted = [permission(Read, "a", "")];
    // The user comes before his role, and a row is written twice.
    let rows = [
        user("u", &["r"]),
        role("r", &[]),
        enabled(true),
        role("r", &permitted),
        revision(5),
    ];
    write(&auth, &rows);
    let table = auth.table();
    assert_eq!(table.check_read(&caller("u"), b"a", b""), Ok(()));
    // What a deleted role gave is gone, though the user's row still names it.
    let gone = (key_of(crate::auth::ROLE_PREFIX, "r"), None);
    write(&auth, &[gone, revision(6)]);
    let refused = auth.table().check_read(&caller_at("u", 6), b"a", b"");
    assert_eq!(refused, Err(PERMISSION_DENIED));
    let gone = (key_of(crate::auth::USER_PREFIX, "u"), None);
    write(&auth, &[gone]);
    assert!(!auth.table().has_user(b"u"));
}
