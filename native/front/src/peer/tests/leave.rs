//! Members that stop: nothing that is on its way to or from them is lost.

use super::super::*;
use super::kit::*;

const MESSAGES: usize = 2_000;
/// As many as a slow machine sends before a link that ends gives up.
const QUEUED: usize = 200;

fn number(at: usize) -> Bytes {
    at.to_string().into()
}

fn proposal() -> Payload {
    Payload::Proposals(vec![entry(9)])
}

/// The headers of all messages that this member was given.
fn given(member: &Member) -> Vec<Bytes> {
    let seen = member.seen.seen.lock();
    seen.messages
        .iter()
        .map(|(_, header, _)| header.clone())
        .collect()
}

#[test]
fn what_is_queued_arrives_before_a_link_ends() {
    let (one, two) = pair();
    let sent = (0..QUEUED)
        .map(number)
        .take_while(|header| one.peers.send(2, header.clone(), Payload::None, 0))
        .count();
    one.peers.close();
    let expected: Vec<_> = (0..sent).map(number).collect();
    assert_eq!(given(&two), expected);
}

#[test]
fn a_proposal_to_a_member_that_leaves_gets_there_or_comes_back() {
    let (one, two) = pair();
    let last = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut at = 0;
            // Until well after the other has left.
            while at < MESSAGES || one.seen.seen.lock().messages.len() < 10 {
                at += usize::from(one.peers.send(2, number(at), proposal(), 900));
            }
            at
        });
        two.seen
            .wait("the first", |seen| seen.messages.first().map(drop));
        two.peers.leave();
        let arrived = given(&two).len();
        let last = sending.join().expect("no panic");
        assert_eq!(given(&two).len(), arrived, "nothing comes any more");
        last
    });
    one.seen.wait("all others", |seen| {
        (given(&two).len() + seen.messages.len() == last).then_some(())
    });
    // Each is in one place, with its entry.
    let all: Vec<_> = given(&two).into_iter().chain(given(&one)).collect();
    assert_eq!(all, (0..last).map(number).collect::<Vec<_>>());
    let seen = one.seen.seen.lock();
    assert!(
        seen.messages
            .iter()
            .all(|(from, _, entries)| *from == 2 && *entries == [entry(9)])
    );
}

#[test]
fn a_member_that_leaves_takes_no_new_link_and_refuses_nobody_for_good() {
    let (one, two) = (Member::start(1, 7), Member::start(2, 7));
    two.knows(1, &one);
    two.peers.leave();
    one.knows(2, &two);
    let state = one.seen.wait("a state", |seen| seen.links.first().cloned());
    assert!(
        matches!(&state, (2, LinkState::Inactive { reason }) if reason.contains("leaving")),
        "{state:?}"
    );
}
