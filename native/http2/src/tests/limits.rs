//! How much a client may send: windows, unread data, mistakes.

use std::task::{Context, Poll, Waker};

use super::kit::*;
use crate::frame::*;
use crate::limits::{
    CONNECTION_WINDOW_BYTES, ERROR_RESETS_MAX, HEADER_BYTES_PER_CONNECTION_MAX,
    STREAM_WINDOW_BYTES, UNREAD_PIECES_MAX,
};
use crate::reason::Reason::{EnhanceYourCalm, FlowControl, RefusedStream};

/// DATA frames of `total` bytes.
fn much_data(id: u32, total: usize) -> Vec<u8> {
    let whole = data(id, &[0; 1 << 15], false);
    let mut out = whole.repeat(total >> 15);
    out.extend(data(id, &vec![0; total % (1 << 15)], false));
    out
}

#[test]
fn data_above_a_streams_window_resets_it_and_is_given_back() {
    let mut wire = Wire::new();
    let call = wire.call(1, false);
    let full = much_data(1, STREAM_WINDOW_BYTES as usize);
    assert_eq!(wire.verdict(&full), FINE);
    assert_eq!(wire.verdict(&data(1, b"x", false)), resets(1, FlowControl));
    drop(call);
    wire.assert_clean();
}

#[test]
fn data_above_the_connections_window_ends_it() {
    let mut wire = Wire::new();
    let streams = CONNECTION_WINDOW_BYTES / STREAM_WINDOW_BYTES;
    for id in (1..).step_by(2).take(streams as usize) {
        let held = wire.call(id, false);
        wire.requests.push_back(held);
        assert_eq!(
            wire.verdict(&much_data(id, STREAM_WINDOW_BYTES as usize)),
            FINE
        );
    }
    let _last = wire.call(99, false);
    assert_eq!(wire.verdict(&data(99, b"x", false)), ends(FlowControl));
}

#[test]
fn padding_counts_for_the_windows_and_is_given_back() {
    let mut wire = Wire::new();
    let (_, mut body, respond) = wire.call(1, false);
    let mut padded = vec![255, b'x'];
    padded.resize(257, 0);
    for _ in 0..20_000 {
        wire.send(&raw(DATA, PADDED, 1, &padded));
        let waker = Waker::noop();
        let data = body.poll_data(&mut Context::from_waker(waker));
        let Poll::Ready(Some(Ok(data))) = data else {
            panic!("no data: {data:?}");
        };
        assert_eq!(data, "x");
        body.release(1);
    }
    drop((body, respond));
    wire.assert_clean();
}

#[test]
fn too_many_mistakes_end_the_connection() {
    let mut wire = Wire::new();
    let mut id = 1;
    for _ in 0..ERROR_RESETS_MAX {
        wire.send(&headers(id, &[(":path", "/")], true));
        id += 2;
    }
    assert_eq!(wire.frames().len(), ERROR_RESETS_MAX);
    let one_more = headers(id, &[(":path", "/")], true);
    assert_eq!(wire.verdict(&one_more), ends(EnhanceYourCalm));
}

#[test]
fn too_many_pieces_of_unread_data_end_the_connection() {
    let mut wire = Wire::new();
    let (_, mut body, _respond) = wire.call(1, false);
    let most = data(1, b"x", false).repeat(UNREAD_PIECES_MAX);
    assert_eq!(wire.verdict(&most), FINE);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(body.poll_data(&mut cx).is_ready());
    assert_eq!(wire.verdict(&data(1, b"x", false)), FINE);
    assert_eq!(wire.verdict(&data(1, b"x", false)), ends(EnhanceYourCalm));
}

#[test]
fn headers_that_calls_hold_are_bounded_per_connection() {
    const VALUE_BYTES: usize = 60_000;
    const VALUES: usize = 250;
    let value = "v".repeat(VALUE_BYTES);
    let mut fields = vec![
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/p"),
        (":authority", "h"),
    ];
    fields.extend([("x", value.as_str())].repeat(VALUES));
    let mut wire = Wire::new();
    let mut ids = (1..).step_by(2);
    let mut calls = Vec::new();
    for id in ids
        .by_ref()
        .take(HEADER_BYTES_PER_CONNECTION_MAX / (VALUE_BYTES * VALUES))
    {
        wire.send(&headers(id, &fields, true));
        calls.push(wire.request());
    }
    let mut next = || ids.next().unwrap();
    let over = next();
    let sent = headers(over, &fields, true);
    assert_eq!(wire.verdict(&sent), resets(over, RefusedStream));
    // A copy of the headers counts as long as somebody keeps it.
    let (head, body, respond) = calls.pop().unwrap();
    let held = head.held();
    drop((head, body, respond));
    let over = next();
    let sent = headers(over, &fields, true);
    assert_eq!(wire.verdict(&sent), resets(over, RefusedStream));
    drop(held);
    assert_eq!(wire.verdict(&headers(next(), &fields, true)), FINE);
}
