//! Two members' links over loopback: delivery in order, refusals, loss of the peer, entries that are gone.

mod kit;
mod leave;
mod tls;

use std::time::{Duration, Instant};

use super::link::Paused;
use super::*;
use kit::*;

#[test]
fn messages_arrive_in_order_with_their_entries_from_memory_and_from_disk() {
    let (one, two) = pair();
    let log = |first, last| Payload::Log {
        first,
        last,
        last_term: 1,
    };
    assert!(one.peers.send(2, "a".into(), log(60, 70), 10_000));
    assert!(one.peers.send(2, "b".into(), log(3, 40), 10_000));
    assert!(one.peers.send(2, "c".into(), Payload::None, 0));
    assert!(
        one.peers
            .send(2, "d".into(), Payload::Held(vec![entry(9)]), 900)
    );
    let got = two.seen.wait("four messages", |seen| {
        (seen.messages.len() == 4).then(|| seen.messages.clone())
    });
    let expected = [
        (1, Bytes::from("a"), (60..=70).map(entry).collect()),
        (1, Bytes::from("b"), (3..=40).map(entry).collect()),
        (1, Bytes::from("c"), vec![]),
        (1, Bytes::from("d"), vec![entry(9)]),
    ];
    assert_eq!(got, expected);
    assert_eq!(
        one.peers.counters()[0]
            .1
            .queued_bytes
            .load(Ordering::Relaxed),
        0
    );
}

#[test]
fn a_message_whose_entries_are_gone_or_rewritten_is_dropped_and_raft_told() {
    let (one, two) = pair();
    let stale = Payload::Log {
        first: 60,
        last: 61,
        last_term: 4,
    };
    let compacted = Payload::Log {
        first: 40,
        last: 101,
        last_term: 1,
    };
    assert!(one.peers.send(2, "stale".into(), stale, 1));
    assert!(one.peers.send(2, "compacted".into(), compacted, 1));
    assert!(one.peers.send(2, "good".into(), Payload::None, 0));
    let got = two
        .seen
        .wait("the good one", |seen| seen.messages.first().cloned());
    assert_eq!(got.1, Bytes::from("good"));
    one.seen
        .wait("both reports", |seen| (seen.unreachable == 2).then_some(()));
}

#[test]
fn strangers_and_removed_members_are_refused() {
    let (one, two, other) = (
        Member::start(1, 7),
        Member::start(2, 7),
        Member::start(3, 8),
    );
    one.knows(2, &two);
    let refused = |status, text: &str| {
        (
            2,
            LinkState::Refused {
                status,
                text: text.into(),
            },
        )
    };
    one.seen.wait("unknown", |seen| {
        seen.links
            .contains(&refused(404, "error sender not found"))
            .then_some(())
    });
    two.peers.set_removed([1]);
    two.knows(1, &one);
    let gone = Member::start(1, 7);
    gone.knows(2, &two);
    gone.seen.wait("removed", |seen| {
        seen.links
            .contains(&refused(410, "removed member"))
            .then_some(())
    });
    other.knows(2, &two);
    other.seen.wait("cluster", |seen| {
        seen.links
            .contains(&refused(412, "cluster ID mismatch"))
            .then_some(())
    });
}

#[test]
fn a_member_that_is_not_known_is_told_of_and_let_in_once_it_is() {
    let (one, two) = (Member::start(1, 7), Member::start(2, 7));
    one.says_it_is_at(&one);
    one.knows(2, &two);
    let stranger = two
        .seen
        .wait("stranger", |seen| seen.strangers.first().cloned());
    assert_eq!(stranger, (1, vec![one.url()]));
    two.peers.set_peer(stranger.0, stranger.1);
    for (member, peer) in [(&one, 2), (&two, 1)] {
        member.seen.wait("link", |seen| {
            seen.links.contains(&(peer, active())).then_some(())
        });
    }
    assert!(two.peers.send(1, "answer".into(), Payload::None, 0));
    one.seen
        .wait("answer", |seen| seen.messages.first().cloned());
}

#[test]
fn a_peer_that_has_moved_is_found_where_it_says_it_is_by_links_and_by_copies() {
    let (one, two) = (Member::start(1, 7), Member::start(2, 7));
    // Nobody is there: the configuration is older than the move.
    two.peers.set_peer(1, vec!["http://127.0.0.1:1".into()]);
    one.says_it_is_at(&one);
    one.knows(2, &two);
    two.seen.wait("link", |seen| {
        seen.links.contains(&(1, active())).then_some(())
    });
    assert!(two.peers.send(1, "answer".into(), Payload::None, 0));
    one.seen
        .wait("answer", |seen| seen.messages.first().cloned());
    two.peers.send_snapshot(1, "copy".into());
    let sent = two
        .seen
        .wait("copy", |seen| seen.copies_sent.first().cloned());
    assert!(sent.is_ok(), "{sent:?}");
}

#[test]
fn a_peer_that_calls_is_dialled_at_once() {
    let mut two = Member::start(2, 7);
    two.stop_serving();
    let one = Member::start(1, 7);
    let pause = Duration::from_secs(600);
    let contact = one.peers.shared.admit(2);
    let (_queue, queued) = mpsc::channel(1);
    let mut link = Link {
        id: 2,
        shared: Arc::clone(&one.peers.shared),
        counters: Arc::clone(&contact.counters),
        addresses: contact.addresses.subscribe(),
        queue: queued,
    };
    two.serve();
    two.knows(1, &one);
    // Two's stream is accepted while the link to it sits out a pause that nobody could wait for.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("runtime");
    let paused =
        runtime.block_on(async { tokio::time::timeout(PATIENCE, link.discard_for(pause)).await });
    assert_eq!(paused.expect("the pause was cut short"), Paused::Called);
}

#[test]
fn members_talk_over_sockets_of_one_machine() {
    let dir = tempfile::tempdir().expect("directory");
    let url = |name: &str| format!("unix://{}", dir.path().join(name).display());
    let (one, mut two) = (Member::start(1, 7), Member::start(2, 7));
    one.serve_unix(&dir.path().join("one"));
    let second = two.serve_unix(&dir.path().join("two"));
    one.peers.set_peer(2, vec![url("two")]);
    two.peers.set_peer(1, vec![url("one")]);
    one.seen.wait("link", |seen| {
        seen.links.contains(&(2, active())).then_some(())
    });
    assert!(one.peers.send(2, "over a socket".into(), Payload::None, 0));
    two.seen
        .wait("message", |seen| seen.messages.first().cloned());
    one.peers.send_snapshot(2, "copy".into());
    let sent = one
        .seen
        .wait("copy", |seen| seen.copies_sent.first().cloned());
    assert!(sent.is_ok(), "{sent:?}");
    two.server = Some(second);
    two.stop_serving();
    // The process has ended and taken its file with it, or was killed: both say that nobody is there.
    one.seen.wait("end", |seen| {
        let gone = |state: &LinkState| matches!(state, LinkState::Gone { .. });
        seen.links.iter().any(|(_, s)| gone(s)).then_some(())
    });
    std::fs::remove_file(dir.path().join("two")).expect("the file stayed");
    let gone = one.seen.seen.lock().links.len();
    let third = two.serve_unix(&dir.path().join("two"));
    one.seen.wait("return", |seen| {
        seen.links[gone..].contains(&(2, active())).then_some(())
    });
    two.server = Some(third);
    two.stop_serving();
    std::fs::remove_file(dir.path().join("two")).expect("the file stayed");
    one.seen.wait("end without a file", |seen| {
        let gone_again = |state: &LinkState| matches!(state, LinkState::Gone { .. });
        seen.links[gone..]
            .iter()
            .any(|(_, s)| gone_again(s))
            .then_some(())
    });
}

#[test]
fn a_url_that_cannot_be_dialled_is_named() {
    let one = Member::start(1, 7);
    for (id, url) in [(2, "ftp://127.0.0.1:1"), (3, "m3:2380")] {
        one.peers.set_peer(id, vec![url.into()]);
        one.seen.wait(url, |seen| {
            let named = |state: &LinkState| {
                matches!(state, LinkState::Inactive { reason } if reason.starts_with(url))
            };
            let told = seen.links.iter().any(|(peer, s)| *peer == id && named(s));
            told.then_some(())
        });
    }
}

#[test]
fn a_link_comes_back_after_its_peer_did_and_says_what_was_lost() {
    let (one, mut two) = pair();
    two.stop_serving();
    one.seen.wait("loss", |seen| {
        seen.links
            .iter()
            .any(|(_, state)| matches!(state, LinkState::Inactive { .. }))
            .then_some(())
    });
    assert!(one.peers.send(2, "lost".into(), Payload::None, 0));
    one.seen
        .wait("report", |seen| (seen.unreachable > 0).then_some(()));
    two.serve();
    one.seen.wait("return", |seen| {
        (seen.links.iter().filter(|(_, s)| *s == active()).count() == 2).then_some(())
    });
    assert!(one.peers.send(2, "found".into(), Payload::None, 0));
    let got = two
        .seen
        .wait("message", |seen| seen.messages.last().cloned());
    assert_eq!(got.1, Bytes::from("found"));
}

#[test]
fn a_peer_that_does_not_keep_up_costs_no_more_than_the_queue() {
    let one = Member::start(1, 7);
    one.peers.set_peer(2, vec!["http://127.0.0.1:1".into()]);
    let half = limits::QUEUE_BYTES_MAX / 2 + 1;
    let mut refused = 0;
    for _ in 0..limits::QUEUE_MESSAGES_MAX {
        refused += usize::from(!one.peers.send(2, Bytes::new(), Payload::None, half));
    }
    assert!(refused > 0);
    assert!(
        one.peers.counters()[0]
            .1
            .queued_bytes
            .load(Ordering::Relaxed)
            <= limits::QUEUE_BYTES_MAX
    );
    assert!(
        !one.peers.send(99, Bytes::new(), Payload::None, 0),
        "unknown peer"
    );
}

#[test]
fn a_copy_of_the_store_arrives_whole_behind_its_message() {
    let (one, two) = pair();
    for bytes in [0, 10, 3_000_000] {
        let content: Vec<u8> = (0..bytes).map(|at: u32| (at % 251) as u8).collect();
        *one.store.content.lock() = content.clone();
        let before = two.seen.seen.lock().copies.len();
        one.peers.send_snapshot(2, "announced".into());
        let sent = one
            .seen
            .wait("report", |seen| seen.copies_sent.get(before).cloned());
        assert_eq!(sent, Ok(one.store.info(&content)));
        let got = two.seen.seen.lock().copies[before].clone();
        assert_eq!((got.0, got.1), (1, Bytes::from("announced")));
        assert!(got.2 == content);
        assert_eq!((one.store.files(), two.store.files()), (0, 0));
    }
}

#[test]
fn a_peer_that_is_gone_or_refuses_gets_no_copy() {
    let (one, mut two) = pair();
    one.peers.send_snapshot(99, "to a stranger".into());
    two.peers.set_removed([1]);
    one.peers.send_snapshot(2, "from a removed one".into());
    let failed = |seen: &Seen, at: usize| seen.copies_sent.get(at).cloned();
    let second = one.seen.wait("refusal", |seen| failed(seen, 1));
    assert!(second.is_err_and(|reason| reason.contains("410")));
    two.stop_serving();
    one.peers.send_snapshot(2, "to nobody".into());
    assert!(one.seen.wait("loss", |seen| failed(seen, 2)).is_err());
    assert_eq!((one.store.files(), two.store.files()), (0, 0));
    assert_eq!(two.seen.seen.lock().copies.len(), 0);
}

#[test]
fn a_copy_that_fails_in_the_middle_is_told_and_leaves_nothing() {
    let (one, two) = pair();
    *one.store.content.lock() = vec![1; 3_000_000];
    *one.store.breaks_at.lock() = Some(1_000_000);
    one.peers.send_snapshot(2, "fails".into());
    let failed = one
        .seen
        .wait("report", |seen| seen.copies_sent.first().cloned());
    assert_eq!(failed, Err("the disk failed".into()));
    *one.store.breaks_at.lock() = None;
    one.peers.send_snapshot(2, "again".into());
    one.seen.wait("second", |seen| {
        seen.copies_sent.get(1).map(|sent| assert!(sent.is_ok()))
    });
    assert_eq!(two.seen.seen.lock().copies.len(), 1);
    // The first one's file goes with its writer's thread.
    let deadline = Instant::now() + PATIENCE;
    while two.store.files() > 0 {
        assert!(Instant::now() < deadline, "something is left");
        std::thread::yield_now();
    }
}

#[test]
fn a_receiver_that_dies_in_the_middle_leaves_nothing_and_gets_a_fresh_copy() {
    let (one, mut two) = pair();
    *one.store.content.lock() = vec![1; 64 << 20];
    one.peers.send_snapshot(2, "cut".into());
    let deadline = Instant::now() + PATIENCE;
    while two.store.files() == 0 {
        assert!(Instant::now() < deadline, "never began");
        std::thread::yield_now();
    }
    two.stop_serving();
    let cut = one
        .seen
        .wait("report", |seen| seen.copies_sent.first().cloned());
    assert!(cut.is_err());
    assert_eq!((one.store.files(), two.store.files()), (0, 0));
    two.serve();
    *one.store.content.lock() = vec![2; 1000];
    one.peers.send_snapshot(2, "again".into());
    one.seen.wait("second", |seen| {
        seen.copies_sent.get(1).map(|sent| assert!(sent.is_ok()))
    });
    assert_eq!(two.seen.seen.lock().copies[0].2, vec![2; 1000]);
}

/// Long enough never to pass in a test.
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_link_that_falls_silent_is_closed_after_the_read_timeout() {
    // What comes every 500 ms is too late for one of them.
    for (read, closed) in [(Duration::from_millis(50), true), (LONG, false)] {
        let (one, two) = (
            Member::start(1, 7),
            Member::with(2, 7, LinkTimeouts { read, ..TIMEOUTS }),
        );
        two.knows(1, &one);
        one.knows(2, &two);
        if closed {
            one.seen.wait("the end of a silent link", |seen| {
                let inactive =
                    |(_, state): &(u64, LinkState)| matches!(state, LinkState::Inactive { .. });
                seen.links.iter().any(inactive).then_some(())
            });
            continue;
        }
        one.seen.wait("link", |seen| {
            seen.links.contains(&(2, active())).then_some(())
        });
        std::thread::sleep(3 * limits::ALIVE_INTERVAL / 2);
        let counters = one.peers.counters();
        assert_eq!(counters[0].1.disconnects.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_peer_that_takes_nothing_is_left_after_the_write_timeout() {
    let one = Member::with(
        1,
        7,
        LinkTimeouts {
            write: Duration::from_millis(100),
            ..TIMEOUTS
        },
    );
    let deaf = Deaf::listen();
    one.peers
        .set_peer(2, vec![format!("http://{}", deaf.address)]);
    one.seen.wait("link", |seen| {
        let opened = |(_, state): &(u64, LinkState)| matches!(state, LinkState::Active { .. });
        seen.links.iter().any(opened).then_some(())
    });
    // More than the window that it opened at the beginning.
    let large = Bytes::from(vec![0; 1 << 20]);
    assert!(one.peers.send(2, large, Payload::None, 0));
    one.seen.wait("the end of the link", |seen| {
        let told = |(_, state): &(u64, LinkState)| match state {
            LinkState::Inactive { reason } => reason == "the peer took nothing for 100ms",
            _ => false,
        };
        seen.links.iter().any(told).then_some(())
    });
}
