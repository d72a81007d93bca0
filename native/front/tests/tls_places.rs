//! What those may do who are let in nowhere: they hold no place for long, and hide nothing.
#![allow(missing_docs)]

mod common;

use std::time::Duration;

use common::certs::Ca;
use common::tls::*;
use common::*;
use netcd_front::{FrontConfig, ListenerConfig, Patience};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn who_says_nothing_keeps_no_place_of_members_where_both_are_served() {
    let ca = Ca::new("ca");
    let patience = Patience {
        peer_first_bytes: Duration::from_millis(50),
        ..Patience::default()
    };
    let config = FrontConfig {
        patience,
        ..FrontConfig::default()
    };
    let both = ListenerConfig {
        plain: true,
        ..encrypted("peer")
    };
    let server = serve_with(config, &mutual(&ca.server(), &ca.pem), &both);
    let mut silent = TcpStream::connect(&server.address).await.unwrap();
    let mut nothing = [0; 1];
    let read = soon("the end of a silent connection", silent.read(&mut nothing)).await;
    assert_eq!(read.unwrap(), 0);
    until("the place", || server.front.counts().connections == 0).await;
}
