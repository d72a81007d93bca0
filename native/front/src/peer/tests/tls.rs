//! Links over TLS: who is believed, what is said of who is not, and what happens when certificates and URLs change.

use std::net::TcpListener;

use super::kit::*;
use super::*;
use crate::tls::testing::{Authority, Made};
use crate::tls::{TlsOptions, TlsVersion};

/// As most certificates are that members have.
fn for_this_machine(authority: &Authority) -> Made {
    authority.leaf("member", &["localhost", "127.0.0.1"], |_| {})
}

fn set(member: &Member, options: &TlsOptions) {
    let tls = Tls::compile(options, None).expect("options that can be used");
    member.peers.set_tls(Arc::new(tls));
}

/// A member behind a server with this certificate that asks for one of the authority.
fn encrypted(id: u64, authority: &Authority, shown: &Made) -> Member {
    let mut member = Member::start(id, 7);
    member.encrypt(Some(authority.server(shown)));
    set(&member, &authority.options(shown));
    member
}

/// Two members that know each other and have what `authority` signs.
fn encrypted_pair(authority: &Authority) -> (Member, Member) {
    let shown = for_this_machine(authority);
    let (one, two) = (
        encrypted(1, authority, &shown),
        encrypted(2, authority, &shown),
    );
    two.knows(1, &one);
    one.knows(2, &two);
    (one, two)
}

fn wait_for_link(member: &Member, peer: u64) {
    member.seen.wait("link", |seen| {
        let link = (peer, active());
        seen.links.contains(&link).then_some(())
    });
}

/// Why the first dial of `peer` failed.
fn refusal(member: &Member, peer: u64) -> String {
    member.seen.wait("refusal", |seen| {
        seen.links.iter().find_map(|(id, state)| match state {
            LinkState::Inactive { reason } if *id == peer => Some(reason.clone()),
            _ => None,
        })
    })
}

/// Why a member with these options does not get a link to a server with this certificate.
fn refused(options: &TlsOptions, authority: &Authority, shown: &Made) -> String {
    let (one, two) = (Member::start(1, 7), encrypted(2, authority, shown));
    set(&one, options);
    two.knows(1, &one);
    one.knows(2, &two);
    let reason = refusal(&one, 2);
    let rest = reason.strip_prefix(&format!("{}: ", two.url()));
    rest.expect("the URL comes first").to_owned()
}

#[test]
fn messages_and_copies_of_the_store_go_over_tls() {
    let authority = Authority::new("CA");
    let (one, two) = encrypted_pair(&authority);
    wait_for_link(&one, 2);
    let large = vec![entry(9); 300];
    let payload = Payload::Held(large.clone());
    assert!(one.peers.send(2, "a".into(), payload, 270_000));
    let got = two
        .seen
        .wait("message", |seen| seen.messages.first().cloned());
    assert_eq!(got, (1, Bytes::from("a"), large));
    let content = vec![7; 3_000_000];
    *one.store.content.lock() = content.clone();
    one.peers.send_snapshot(2, "copy".into());
    let sent = one
        .seen
        .wait("copy", |seen| seen.copies_sent.first().cloned());
    assert_eq!(sent, Ok(one.store.info(&content)));
    assert!(two.seen.seen.lock().copies[0].2 == content);
}

#[test]
fn links_go_over_an_encrypted_socket_of_this_machine() {
    let authority = Authority::new("CA");
    let shown = for_this_machine(&authority);
    let dir = tempfile::tempdir().expect("directory");
    let (one, two) = (Member::start(1, 7), encrypted(2, &authority, &shown));
    set(&one, &authority.options(&shown));
    two.knows(1, &one);
    let path = dir.path().join("two");
    let _server = two.serve_unix(&path);
    let url = format!("unixs://{}", path.display());
    one.peers.set_peer(2, vec![url]);
    wait_for_link(&one, 2);
}

#[test]
fn who_is_not_believed_is_said_in_the_words_of_go() {
    let (authority, other) = (Authority::new("CA"), Authority::new("other CA"));
    let good = for_this_machine(&authority);
    let options = authority.options(&good);
    let old = authority.leaf("old", &["127.0.0.1"], |parameters| {
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let client = authority.leaf("client", &["127.0.0.1"], |parameters| {
        parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    for (shown, text) in [
        (
            for_this_machine(&other),
            "x509: certificate signed by unknown authority",
        ),
        (
            authority.leaf("127.0.0.1", &["m2.test"], |_| {}),
            "x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs",
        ),
        (
            authority.leaf("member", &["10.1.2.3"], |_| {}),
            "x509: certificate is valid for 10.1.2.3, not 127.0.0.1",
        ),
        (
            client,
            "x509: certificate specifies an incompatible key usage",
        ),
    ] {
        let expected = format!("tls: failed to verify certificate: {text}");
        assert_eq!(refused(&options, &authority, &shown), expected);
    }
    let expired = refused(&options, &authority, &old);
    let (text, end) = (
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time ",
        " is after 2021-01-01T00:00:00Z",
    );
    assert!(
        expired.starts_with(text) && expired.ends_with(end),
        "{expired}"
    );
}

#[test]
fn the_names_that_callers_must_have_are_asked_of_who_is_called_too() {
    let authority = Authority::new("CA");
    let shown = for_this_machine(&authority);
    let with = |change: &dyn Fn(&mut TlsOptions)| {
        let mut options = authority.options(&shown);
        change(&mut options);
        options
    };
    for options in [
        with(&|options| options.allowed_common_names = vec!["Member".into()]),
        with(&|options| options.allowed_hostnames = vec!["elsewhere".into()]),
    ] {
        let text = "client certificate authentication failed";
        assert_eq!(refused(&options, &authority, &shown), text);
    }
    for options in [
        with(&|options| options.allowed_common_names = vec!["a".into(), "member".into()]),
        with(&|options| options.allowed_hostnames = vec!["localhost".into()]),
    ] {
        let (one, two) = (Member::start(1, 7), encrypted(2, &authority, &shown));
        set(&one, &options);
        two.knows(1, &one);
        one.knows(2, &two);
        wait_for_link(&one, 2);
    }
}

#[test]
fn a_server_name_and_no_verification_stand_in_for_the_host() {
    let (authority, other) = (Authority::new("CA"), Authority::new("other CA"));
    let shown = authority.leaf("member", &["etcd.test"], |_| {});
    let named = TlsOptions {
        server_name: Some("etcd.test".into()),
        ..authority.options(&shown)
    };
    // The certificate is one that the other side believes, but not the other way round.
    let blind = TlsOptions {
        skips_server_verification: true,
        trusted_ca: Some(other.pem().into()),
        max_version: TlsVersion::V1_2,
        ..authority.options(&shown)
    };
    for options in [named, blind] {
        let (one, two) = (Member::start(1, 7), encrypted(2, &authority, &shown));
        set(&one, &options);
        two.knows(1, &one);
        one.knows(2, &two);
        wait_for_link(&one, 2);
    }
}

#[test]
fn a_member_without_certificates_believes_whom_the_system_believes() {
    let authority = Authority::new("CA");
    let shown = for_this_machine(&authority);
    let (one, two) = (Member::start(1, 7), encrypted(2, &authority, &shown));
    two.knows(1, &one);
    one.knows(2, &two);
    let reason = refusal(&one, 2);
    let text = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    assert!(reason.ends_with(text), "{reason}");
}

#[test]
fn the_next_dial_shows_and_believes_what_has_come_in_place() {
    let (before, after) = (Authority::new("CA"), Authority::new("new CA"));
    let (old, new) = (for_this_machine(&before), for_this_machine(&after));
    // The server's side is renewed; this member believes it by then, but shows what is out of date.
    let mut both = after.options(&old);
    both.trusted_ca = Some((before.pem() + &after.pem()).into());
    let reason = refused(&both, &after, &new);
    assert_eq!(reason, "remote error: tls: unknown certificate authority");
    let (one, mut two) = encrypted_pair(&before);
    wait_for_link(&one, 2);
    set(&one, &after.options(&new));
    assert!(one.peers.send(2, "goes on".into(), Payload::None, 0));
    two.seen
        .wait("message", |seen| seen.messages.first().cloned());
    two.encrypt(Some(after.server(&new)));
    one.seen.wait("a second link", |seen| {
        let links = seen.links.iter().filter(|link| **link == (2, active()));
        (links.count() == 2).then_some(())
    });
}

#[test]
fn a_link_moves_from_a_plain_url_to_an_encrypted_one_and_nobody_is_taken_for_dead() {
    let authority = Authority::new("CA");
    let shown = for_this_machine(&authority);
    let (one, mut two) = pair();
    set(&one, &authority.options(&shown));
    let plain = two.url();
    let both = vec![plain.clone(), plain.replace("http://", "https://")];
    one.peers.set_peer(2, both.clone());
    two.encrypt(Some(authority.server(&shown)));
    one.seen.wait("the encrypted link", |seen| {
        let links = seen.links.iter().filter(|link| **link == (2, active()));
        (links.count() == 2).then_some(())
    });
    // Where nobody listens any more is not where the peer is.
    let nowhere = TcpListener::bind("127.0.0.1:0").expect("bind");
    let deserted = format!("http://{}", nowhere.local_addr().expect("address"));
    drop(nowhere);
    for urls in [
        vec![deserted.clone(), two.url()],
        vec![two.url(), deserted.clone()],
    ] {
        let before = one.seen.seen.lock().links.len();
        one.peers.set_peer(2, urls);
        two.encrypt(Some(authority.server(&shown)));
        one.seen.wait("the link again", |seen| {
            seen.links[before..].contains(&(2, active())).then_some(())
        });
    }
    let gone = |(_, state): &(u64, LinkState)| matches!(state, LinkState::Gone { .. });
    let links = one.seen.seen.lock().links.clone();
    assert!(!links.iter().any(gone), "{links:?}");
    two.stop_serving();
    one.seen
        .wait("the end", |seen| seen.links.iter().any(gone).then_some(()));
}

#[test]
fn a_peer_that_stalls_in_its_handshake_is_given_up() {
    let authority = Authority::new("CA");
    let one = Member::start(1, 7);
    set(&one, &authority.options(&for_this_machine(&authority)));
    let silent = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("https://{}", silent.local_addr().expect("address"));
    one.peers.set_peer(2, vec![url.clone()]);
    let text = format!("{url}: not connected in {:?}", limits::CONNECT_TIMEOUT);
    assert_eq!(refusal(&one, 2), text);
    drop(silent);
}

#[test]
fn one_side_without_encryption_is_told_clearly() {
    let authority = Authority::new("CA");
    let shown = for_this_machine(&authority);
    let (one, two) = (Member::start(1, 7), Member::start(2, 7));
    set(&one, &authority.options(&shown));
    two.knows(1, &one);
    let url = two.url().replace("http://", "https://");
    one.peers.set_peer(2, vec![url.clone()]);
    let text = format!("{url}: tls: first record does not look like a TLS handshake");
    assert_eq!(refusal(&one, 2), text);
    let three = encrypted(3, &authority, &shown);
    let url = three.url().replace("https://", "http://");
    one.peers.set_peer(3, vec![url.clone()]);
    let text = refusal(&one, 3);
    assert!(text.starts_with(&format!("{url}: ")), "{text}");
}
