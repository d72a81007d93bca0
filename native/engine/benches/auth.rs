//! The compiled table of users and roles: what it weighs, what a change costs, and what a request is held up by it.
//! `BENCH_USERS` sets another number of users.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Bencher, Criterion, criterion_group, criterion_main};
use netcd_engine::auth::{
    AUTH_ENABLED, AUTH_REVISION, Auth, Caller, ROLE_PREFIX, TokenGrant, USER_PREFIX,
};
use netcd_engine::proto::authpb::permission::Type;
use netcd_engine::proto::authpb::{Permission, Role, User};
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Ranges of each user, in a role of his own.
const RANGES: usize = 100;
/// Changes whose times are told.
const CHANGES: u32 = 20;

type Row = (Vec<u8>, Vec<u8>);

fn users() -> usize {
    std::env::var("BENCH_USERS").map_or(10_000, |users| {
        users.parse().expect("BENCH_USERS is a number")
    })
}

fn user_name(number: usize) -> String {
    format!("user-{number:05}")
}

/// The first key of a user's range; the range is all keys that begin with it.
fn prefix(user: usize, range: usize) -> String {
    format!("/teams/{user:05}/service-{range:03}/")
}

fn user_row(number: usize, roles: &[String]) -> Row {
    let name = user_name(number);
    let user = User {
        name: name.clone().into(),
        password: vec![b'p'; 60].into(),
        roles: roles.to_vec(),
        options: Some(Default::default()),
    };
    (
        [USER_PREFIX, name.as_bytes()].concat(),
        user.encode_to_vec(),
    )
}

/// Every third range may be read only, every seventh written only.
fn role_row(number: usize, ranges: usize) -> Row {
    let name = format!("role-{number:05}");
    let permissions = (0..ranges).map(|range| {
        let key = prefix(number, range);
        // The first key that does not begin with it: `0` comes after `/`.
        let range_end = format!("{}0", key.trim_end_matches('/'));
        let kind = match range {
            range if range % 3 == 0 => Type::Read,
            range if range % 7 == 0 => Type::Write,
            _ => Type::Readwrite,
        };
        Permission {
            perm_type: kind.into(),
            range_end: range_end.into(),
            key: key.into(),
        }
    });
    let role = Role {
        name: name.clone().into(),
        key_permission: permissions.collect(),
    };
    (
        [ROLE_PREFIX, name.as_bytes()].concat(),
        role.encode_to_vec(),
    )
}

fn rows(users: usize) -> Vec<Row> {
    let mut rows = vec![
        (AUTH_ENABLED.to_vec(), vec![1]),
        (AUTH_REVISION.to_vec(), 9u64.to_be_bytes().to_vec()),
    ];
    for number in 0..users {
        rows.push(user_row(number, &[format!("role-{number:05}")]));
        rows.push(role_row(number, RANGES));
    }
    rows
}

fn load(auth: &Auth, rows: &[Row]) {
    let rows = rows.iter().map(|(key, value)| (&key[..], &value[..]));
    auth.load(rows).expect("the rows are whole");
}

/// Bytes of memory that the process holds.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages
        .as_deref()
        .and_then(|it| it.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// Times of changes of one row: the median, and the longest.
fn changes(what: &str, auth: &Auth, row: impl Fn(u32) -> Row) {
    let mut times: Vec<Duration> = (0..CHANGES)
        .map(|number| {
            let (key, value) = row(number);
            let started = Instant::now();
            auth.write(&key, Some(&value)).expect("the row is whole");
            started.elapsed()
        })
        .collect();
    times.sort();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{what}: median {median:?}, longest {longest:?}");
}

fn tables(auth: &Auth, users: usize) {
    let rows = rows(users);
    let before = resident_bytes();
    let started = Instant::now();
    load(auth, &rows);
    let took = started.elapsed();
    let grown = resident_bytes().saturating_sub(before);
    println!(
        "{users} users with {RANGES} ranges each: {} bytes (the process grew by {grown}), compiled in {took:?}",
        auth.table().memory_bytes()
    );
    let number = |change: u32| change as usize % users;
    changes("a role with one range less", auth, |change| {
        role_row(number(change), RANGES - 1)
    });
    changes("a user with one role more", auth, |change| {
        let number = number(change);
        let roles = [format!("role-{number:05}"), "role-of-all".into()];
        user_row(number, &roles)
    });
    let mut shared = rows;
    for number in 0..users {
        let roles = [format!("role-{number:05}"), "role-of-all".into()];
        shared.push(user_row(number, &roles));
    }
    load(auth, &shared);
    changes("a role that all users have", auth, |change| {
        let (_, value) = role_row(users, 1 + change as usize);
        ([ROLE_PREFIX, b"role-of-all"].concat(), value)
    });
    load(auth, &shared[..2 + 2 * users]);
}

/// Measures CPU time in place of the wall's.
fn timed<T>(b: &mut Bencher<'_>, mut operation: impl FnMut() -> T) {
    b.iter_custom(|iterations| {
        let start = thread_cpu();
        for _ in 0..iterations {
            black_box(operation());
        }
        thread_cpu() - start
    });
}

/// CPU time of this thread: a look-up is short, and another process on its core would be counted to it.
fn thread_cpu() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec of this function.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(status, 0, "a thread has a CPU clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn requests(c: &mut Criterion, auth: &Auth, users: usize) {
    let mut rng = StdRng::seed_from_u64(17);
    // Made before, so that only the look-ups are measured.
    let asked: Vec<(Caller, Vec<u8>, Vec<u8>)> = (0..10_000)
        .map(|_| {
            let number = rng.random_range(0..users);
            let caller = Caller::User {
                name: user_name(number).into(),
                revision: 9,
            };
            // Of a kind that is readable and writable.
            let key = prefix(number, 3 * rng.random_range(0..RANGES / 3) + 1);
            let end = format!("{key}z");
            (caller, key.into_bytes(), end.into_bytes())
        })
        .collect();
    let mut at = 0;
    let mut next = || {
        at = (at + 1) % asked.len();
        &asked[at]
    };
    let table = auth.table();
    let denied = |answer: Result<(), _>| usize::from(answer.is_err());
    c.bench_function("auth/key", |b| {
        timed(b, || {
            let (caller, key, _) = next();
            denied(table.check_read(caller, key, b""))
        });
    });
    c.bench_function("auth/range", |b| {
        timed(b, || {
            let (caller, key, end) = next();
            denied(table.check_read(caller, key, end))
        });
    });
    c.bench_function("auth/refused range", |b| {
        timed(b, || {
            let (caller, key, _) = next();
            denied(table.check_read(caller, key, b"\0"))
        });
    });
    c.bench_function("auth/admit, with the table of the moment", |b| {
        timed(b, || {
            let (caller, key, _) = next();
            denied(auth.admit(|table| table.check_read(caller, key, b"")))
        });
    });
    let off = Auth::default();
    c.bench_function("auth/admit while auth is off", |b| {
        timed(b, || {
            let (caller, key, _) = next();
            denied(off.admit(|table| table.check_read(caller, key, b"")))
        });
    });
}

fn tokens(c: &mut Criterion, auth: &Auth, users: usize) {
    let tokens = auth.tokens();
    let names: Vec<_> = (0..users)
        .map(|number| format!("AbCdEfGhIjKlMnOp.{number}"))
        .collect();
    for (number, name) in names.iter().enumerate() {
        let grant = TokenGrant {
            user: user_name(number).into(),
            revision: None,
            ttl_ms: Some(300_000),
            renewed: true,
        };
        tokens.insert(name.as_bytes(), grant, 0);
    }
    let table = auth.table();
    let mut rng = StdRng::seed_from_u64(18);
    c.bench_function("auth/token to caller", |b| {
        timed(b, || {
            let token = names[rng.random_range(0..names.len())].as_bytes();
            let entry = tokens.find(token).expect("it was registered");
            entry.use_now(1).then(|| entry.caller(&table))
        });
    });
}

fn auth(c: &mut Criterion) {
    let (auth, users) = (Auth::default(), users());
    tables(&auth, users);
    requests(c, &auth, users);
    tokens(c, &auth, users);
}

criterion_group!(benches, auth);
criterion_main!(benches);
