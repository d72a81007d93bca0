//! The graceful end: two GOAWAYs around a ping, and calls in flight that finish.

use std::task::{Context, Poll, Waker};

use super::kit::*;
use crate::frame::*;
use crate::{Gone, Reason};

/// Announces the end as a connection's driver does, which then polls.
fn announce(wire: &mut Wire) -> Vec<u8> {
    wire.server.announce_end();
    wire.server.ping();
    let frames = wire.frames();
    assert!(frames[0].is(GOAWAY, 0) && frames[1].is(PING, 0));
    assert_eq!(frames[0].number(0), LOW_31_BITS, "all streams are served");
    assert_eq!(frames[0].number(4), Reason::NoError as u32);
    frames[1].payload.clone()
}

fn ack(farewell: &[u8]) -> Vec<u8> {
    raw(PING, ACK, 0, farewell)
}

/// The second GOAWAY, of this last stream.
fn assert_last(frame: &Frame, last: u32) {
    assert!(frame.is(GOAWAY, 0));
    assert_eq!(
        (frame.number(0), frame.number(4)),
        (last, Reason::NoError as u32)
    );
}

#[test]
fn an_idle_connection_ends_with_the_answer_to_its_ping() {
    let mut wire = Wire::new();
    let farewell = announce(&mut wire);
    wire.send(&ack(b"not that"));
    assert!(!wire.over);
    wire.send(&ack(&farewell));
    assert_last(&wire.frames()[0], 0);
    assert!(wire.over);
}

#[test]
fn calls_in_flight_finish_and_later_ones_are_not_served() {
    let mut wire = Wire::new();
    let (_, _, mut first) = wire.call(1, true);
    let farewell = announce(&mut wire);
    let (_, body, mut between) = wire.call(3, false);
    wire.send(&ack(&farewell));
    assert_last(&wire.frames()[0], 3);
    wire.send(&post(5, true));
    wire.send(&data(3, b"x", true));
    assert!(wire.requests.is_empty(), "5 is above the last stream");
    first.respond(&ok(), true).expect("open");
    wire.settle();
    assert!(!wire.over);
    between.respond(&ok(), true).expect("open");
    let frames = wire.frames_of_streams();
    assert!(frames[0].is(HEADERS, 1) && frames[1].is(HEADERS, 3) && frames.len() == 2);
    assert!(wire.over);
    drop(body);
    wire.assert_clean();
}

#[test]
fn an_answer_that_waits_for_the_window_is_finished_first() {
    let mut wire = Wire::new();
    let (_, _body, mut respond) = wire.call(1, true);
    let answer = respond.answer(&ok(), bytes(100_000), trailers("grpc-status", "0"));
    answer.expect("open");
    let farewell = announce_behind_data(&mut wire);
    wire.send(&ack(&farewell));
    assert!(!wire.over);
    wire.send(&window_update(0, 100_000));
    wire.send(&window_update(1, 100_000));
    let frames = wire.frames_of_streams();
    let end = frames.last().expect("trailers");
    assert!(end.is(HEADERS, 1) && end.head.has(END_STREAM));
    assert!(wire.over, "nothing is left to do");
}

fn announce_behind_data(wire: &mut Wire) -> Vec<u8> {
    wire.frames();
    announce(wire)
}

#[test]
fn a_second_announcement_says_nothing_new() {
    let mut wire = Wire::new();
    announce(&mut wire);
    wire.server.announce_end();
    wire.server.ping();
    let frames = wire.frames();
    assert!(frames.len() == 1 && frames[0].is(PING, 0), "{frames:?}");
}

#[test]
fn halves_of_streams_outlive_their_connection() {
    let mut cx = Context::from_waker(Waker::noop());
    let mut wire = Wire::new();
    let (_, mut body, mut respond) = wire.call(1, false);
    wire.send(&data(1, b"x", false));
    assert!(body.poll_data(&mut cx).is_ready());
    assert_eq!(wire.verdict(&data(0, b"", false)), ends(Reason::Protocol));
    assert_eq!(respond.respond(&ok(), false), Err(Gone));
    body.release(1);
    respond.reset(Reason::Cancel);
    let mut wire = Wire::new();
    let (_, mut body, mut respond) = wire.call(1, false);
    assert!(respond.poll_gone(&mut cx).is_pending() && body.poll_data(&mut cx).is_pending());
    drop(wire);
    assert!(respond.poll_gone(&mut cx).is_ready() && body.poll_data(&mut cx).is_ready());
    assert_eq!(respond.send_data(bytes(1), true), Err(Gone));
}

#[test]
fn a_client_that_says_goaway_is_served_to_its_last_answer() {
    let mut wire = Wire::new();
    let (_, _body, mut respond) = wire.call(1, true);
    wire.send(&raw(GOAWAY, 0, 0, &[0; 8]));
    assert!(!wire.over);
    respond.respond(&ok(), true).expect("open");
    assert!(wire.frames()[0].is(HEADERS, 1));
    assert!(wire.over);
}

#[test]
fn a_client_that_hangs_up_leaves_nothing() {
    let mut cx = Context::from_waker(Waker::noop());
    let mut wire = Wire::new();
    let (_, mut body, mut respond) = wire.call(1, false);
    let unseen = wire.call(3, false);
    wire.hang_up();
    assert!(wire.over);
    assert_eq!(body.poll_data(&mut cx), Poll::Ready(Some(Err(Gone))));
    assert_eq!(respond.respond(&ok(), false), Err(Gone));
    drop(unseen);
    wire.assert_clean();
}
