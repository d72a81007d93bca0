//! Users by the common name of their certificates.

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::auditing::{config, rule};
use common::certs::{Ca, Cert};
use common::tls::{dial, dialling, encrypted, mutual, serve_with};
use common::users::{ALICE, APPLIED, DENIED, INVALID_TOKEN, USER_EMPTY, enable};
use common::watching::{Stream, watch};
use common::{Client, MEMBERS, PUT, Server, get, put};
use netcd_front::tls::TlsOptions;
use netcd_front::{FrontConfig, FrontEvent};

struct Rig {
    ca: Ca,
    server: Server,
}

/// A server with users, whose names certificates have if `names_user`.
fn rig(config: FrontConfig, names_user: bool) -> Rig {
    let ca = Ca::new("ca");
    let options = TlsOptions {
        common_name_is_user: names_user,
        ..mutual(&ca.server(), &ca.pem)
    };
    let server = serve_with(config, &options, &encrypted("client"));
    enable(&server.fake.auth);
    server.fake.applied_index.store(APPLIED, Ordering::SeqCst);
    Rig { ca, server }
}

impl Rig {
    async fn client(&self, cert: &Cert) -> Client {
        let config = dialling(&self.ca.der, &[cert]);
        Client::over(dial(&self.server.address, config).await.unwrap()).await
    }

    async fn named(&self, name: &str) -> Client {
        self.client(&self.ca.sign(name, |_| {})).await
    }
}

#[tokio::test]
async fn a_common_name_is_a_user_where_it_is_said_so() {
    let rig = rig(FrontConfig::default(), true);
    let alice = rig.named("alice").await;
    assert_eq!(alice.call(PUT, &put("team/k", b"v")).await.code, 0);
    assert_eq!(alice.call(PUT, &put("other", b"v")).await.status(), DENIED);
    let root = rig.named("root").await;
    assert_eq!(root.call(PUT, &put("other", b"v")).await.code, 0);
    // A token goes first, also one that is no good.
    let headers = [ALICE];
    let as_alice = root.call_with(PUT, &headers, &put("other", b"v")).await;
    assert_eq!(as_alice.status(), DENIED);
    let other = put("other", b"v");
    let junk = root.call_with(PUT, &[("token", "junk")], &other).await;
    assert_eq!(junk.status(), INVALID_TOKEN);
    // A gateway shows its own certificate for others.
    let gateway = [("grpcgateway-accept", "*/*")];
    let through = root.call_with(PUT, &gateway, &other).await;
    assert_eq!(through.status(), USER_EMPTY);
}

#[tokio::test]
async fn without_that_it_is_none() {
    let rig = rig(FrontConfig::default(), false);
    let root = rig.named("root").await;
    let answer = root.call(PUT, &put("team/k", b"v")).await;
    assert_eq!(answer.status(), USER_EMPTY);
}

#[tokio::test]
async fn the_control_plane_is_told_of_it() {
    for (names_user, told) in [(true, Some("alice".to_owned())), (false, None)] {
        let rig = rig(FrontConfig::default(), names_user);
        let alice = rig.named("alice").await;
        let _call = alice.open(MEMBERS, &[]).await;
        match rig.server.events.next().await {
            FrontEvent::Call { common_name, .. } => assert_eq!(common_name, told),
            other => panic!("a call expected, not {other:?}"),
        }
        let plain = rig.ca.sign("", |it| {
            it.distinguished_name = rcgen::DistinguishedName::new()
        });
        let _call = rig.client(&plain).await.open(MEMBERS, &[]).await;
        // What nobody serves is cancelled when its client goes.
        loop {
            if let FrontEvent::Call { common_name, .. } = rig.server.events.next().await {
                assert_eq!(common_name, names_user.then(String::new));
                break;
            }
        }
    }
}

#[tokio::test]
async fn the_audit_log_has_the_names_of_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.log");
    for (names_user, user) in [(true, "\"alice\""), (false, "null")] {
        let _gone_or_new = std::fs::remove_file(&path);
        let rig = rig(config(path.clone(), false, vec![rule(&[])]), names_user);
        let alice = rig.named("alice").await;
        alice.call(PUT, &put("team/k", b"v")).await;
        rig.server.front.shutdown(Duration::ZERO);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.contains(&format!("\"user\":{user},\"cn\":\"alice\",")),
            "{text}"
        );
    }
}

#[tokio::test]
async fn watches_are_those_of_the_common_name() {
    let rig = rig(FrontConfig::default(), true);
    let alice = rig.named("alice").await;
    assert_eq!(alice.call(common::RANGE, &get("team/k")).await.code, 0);
    let mut stream = Stream::open(&alice, &[]).await;
    assert!(!stream.create(watch("team/k", "")).await.canceled);
    assert!(stream.create(watch("other", "")).await.canceled);
}
