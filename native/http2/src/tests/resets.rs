//! Streams that are reset by either side, and what is limited: streams, resets, pings.

use std::time::Duration;

use super::kit::*;
use crate::frame::*;
use crate::limits::{RAPID_RESETS_MAX, STREAM_WINDOW_BYTES};
use crate::pings::PingPolicy;
use crate::{Gone, Reason};

#[test]
fn late_frames_on_a_stream_that_the_server_reset_are_ignored() {
    let late = [
        data(1, b"late", false),
        window_update(1, 5),
        headers(1, &[("a", "b")], true),
        data(1, b"later", true),
        reset(1),
    ];
    let mut wire = Wire::new();
    let (_, body, mut respond) = wire.call(1, false);
    respond.reset(Reason::Cancel);
    assert_eq!(respond.respond(&ok(), true), Err(Gone));
    let sent = wire.frames_of_streams();
    assert!(sent.len() == 1 && sent[0].is(RST_STREAM, 1));
    assert_eq!(sent[0].number(0), Reason::Cancel as u32);
    for frame in late {
        assert_eq!(wire.verdict(&frame), FINE, "{frame:?}");
    }
    let after = data(1, b"after the client's own reset", true);
    assert_eq!(wire.verdict(&after), resets(1, Reason::StreamClosed));
    drop(body);
    wire.assert_clean();
}

#[test]
fn an_answer_before_the_end_of_the_request_asks_for_no_more_of_it() {
    let mut wire = Wire::new();
    let (_, _body, mut respond) = wire.call(1, false);
    wire.send(&data(1, b"begun", false));
    let answer = respond.answer(&ok(), bytes(5), trailers("grpc-status", "0"));
    answer.expect("open");
    let frames = wire.frames_of_streams();
    let kinds: Vec<u8> = frames.iter().map(|frame| frame.head.kind).collect();
    assert_eq!(kinds, [HEADERS, DATA, HEADERS, RST_STREAM]);
    assert_eq!(frames[3].number(0), Reason::NoError as u32);
    assert_eq!(wire.verdict(&data(1, b"rest", true)), FINE);
    wire.assert_clean();
}

#[test]
fn data_that_nobody_reads_is_given_back() {
    // More than the connection's window, on streams that are gone in each way.
    let much = data(1, &vec![0; 1 << 15], false);
    let half = STREAM_WINDOW_BYTES as usize / much.len() / 2;
    let mut wire = Wire::new();
    for id in (1..).step_by(2).take(60) {
        let mut much = much.clone();
        much[5..9].copy_from_slice(&u32::to_be_bytes(id));
        let (_, body, respond) = wire.call(id, false);
        wire.send(&much.repeat(half));
        match id % 8 {
            1 => drop(respond),
            3 => wire.send(&reset(id)),
            5 => drop(body),
            _ => drop((body, respond)),
        }
        wire.send(&much.repeat(half));
        assert!(!wire.over);
    }
    wire.assert_clean();
}

#[test]
fn a_dropped_responder_cancels_its_stream() {
    let mut wire = Wire::new();
    drop(wire.call(1, true));
    let (_, _body, mut begun) = wire.call(3, true);
    begun.respond(&ok(), false).expect("open");
    drop(begun);
    let frames = wire.frames_of_streams();
    assert_eq!(frames.len(), 3);
    assert!(frames[0].is(RST_STREAM, 1) && frames[2].is(RST_STREAM, 3));
    assert_eq!(frames[2].number(0), Reason::Cancel as u32);
    wire.assert_clean();
}

#[test]
fn streams_above_the_limit_are_refused_until_others_end() {
    let mut wire = Wire::silent(2, None);
    wire.greet(&[]);
    let (_, _body, mut first) = wire.call(1, true);
    let _second = wire.call(3, false);
    assert_eq!(
        wire.verdict(&post(5, true)),
        resets(5, Reason::RefusedStream)
    );
    first.respond(&ok(), true).expect("open");
    assert_eq!(wire.verdict(&post(7, true)), FINE);
    assert_eq!(
        wire.verdict(&post(9, true)),
        resets(9, Reason::RefusedStream)
    );
    assert_eq!(wire.verdict(&reset(3)), FINE);
    assert_eq!(wire.verdict(&post(11, true)), FINE);
}

#[test]
fn resets_of_requests_that_were_never_served_end_the_connection() {
    let mut wire = Wire::new();
    let mut sent = Vec::new();
    for id in (1..).step_by(2).take(2 * RAPID_RESETS_MAX) {
        sent.extend(post(id, true));
        sent.extend(reset(id));
    }
    assert_eq!(wire.verdict(&sent), ends(Reason::EnhanceYourCalm));
}

#[test]
fn resets_of_served_calls_are_fine() {
    let mut wire = Wire::new();
    for id in (1..).step_by(2).take(2 * RAPID_RESETS_MAX) {
        let (_, mut body, mut respond) = wire.call(id, false);
        if id % 4 == 1 {
            respond.respond(&ok(), false).expect("open");
        }
        wire.send(&reset(id));
        assert_eq!(respond.send_data(bytes(3), false), Err(Gone));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert_eq!(
            body.poll_data(&mut cx),
            std::task::Poll::Ready(Some(Err(Gone)))
        );
        assert!(respond.poll_gone(&mut cx).is_ready());
    }
    assert_eq!(wire.verdict(&post(99_999, true)), FINE);
    wire.requests.clear();
    wire.assert_clean();
}

/// A client that keeps the connection's window closed and resets what waits for it takes no memory.
#[test]
fn streams_that_are_gone_do_not_stay_in_line() {
    const CALLS: usize = 20_000;
    let mut wire = Wire::new();
    let (_, _body, mut greedy) = wire.call(1, true);
    greedy.respond(&ok(), false).expect("open");
    greedy.send_data(bytes(65_535), false).expect("open");
    for id in (3..).step_by(2).take(CALLS) {
        let (_, _body, mut respond) = wire.call(id, true);
        let answer = respond.answer(&ok(), bytes(5), trailers("grpc-status", "0"));
        answer.expect("open");
        wire.send(&reset(id));
    }
    let in_line = wire.server.state.borrow().line.len();
    assert!(
        in_line < CALLS / 10,
        "{in_line} in line, one stream is open"
    );
}

#[test]
fn pings_that_come_too_often_end_the_connection() {
    let mut wire = Wire::silent(10, Some(PingPolicy::new(Duration::from_secs(5))));
    wire.greet(&[]);
    let _call = wire.call(1, false);
    for second in [0, 5, 6, 11, 12] {
        wire.now += Duration::from_secs(second);
        wire.send(&ping(0, [7; 8]));
        if wire.over {
            break;
        }
    }
    assert!(!wire.over, "no more than the strikes that are allowed");
    wire.send(&ping(0, [7; 8]));
    wire.send(&ping(0, [7; 8]));
    wire.send(&ping(0, [7; 8]));
    let last = wire.frames().pop().expect("GOAWAY");
    assert!(wire.over && last.is(GOAWAY, 0));
    assert_eq!(last.number(0), 1, "the last stream");
    assert_eq!(last.number(4), Reason::EnhanceYourCalm as u32);
    assert_eq!(&last.payload[8..], b"too_many_pings");
}

/// What the client gets to read at once is bounded, not what it gets.
#[test]
fn every_ping_is_answered_however_many_come_at_once() {
    const PINGS: usize = 40_000;
    let mut wire = Wire::new();
    wire.send(&ping(0, [7; 8]).repeat(PINGS));
    let answers = wire.frames();
    assert_eq!(answers.len(), PINGS);
    assert!(
        answers
            .iter()
            .all(|answer| answer.head.has(ACK) && answer.payload == [7; 8])
    );
}

#[test]
fn a_client_that_reads_nothing_is_not_asked_for_more() {
    const REQUESTS: usize = 100_000;
    let mut wire = Wire::new();
    wire.reads = false;
    let pings = ping(0, [7; 8]).repeat(REQUESTS);
    wire.send(&pings[..pings.len() / 2]);
    assert!(wire.server.stalled_since().is_none(), "the pipe has room");
    wire.send(&pings[pings.len() / 2..]);
    assert!(wire.server.stalled_since().is_some());
    let waiting = wire.server.state.borrow().out.len();
    assert!(waiting < 3 * crate::limits::WRITE_BUFFER_BYTES_MAX);
    wire.reads = true;
    assert_eq!(wire.frames().len(), REQUESTS);
    assert!(wire.server.stalled_since().is_none());
}
