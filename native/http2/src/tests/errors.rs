//! What a client does wrong, and the code that it is told (RFC 9113, sections 5 to 7).

use super::kit::*;
use crate::frame::*;
use crate::reason::Reason::{self, *};

/// Stream 1 is open, 3 was answered and is closed, 5 waits for its answer: its client has sent all.
fn wire() -> Wire {
    let mut wire = Wire::new();
    let open = wire.call(1, false);
    let (_, _, mut respond) = wire.call(3, true);
    respond.respond(&ok(), true).expect("open");
    let ended = wire.call(5, true);
    wire.requests.extend([open, ended]);
    wire
}

fn bits(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect()
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    settings_frame(&[(id, value)])
}

type Cases = Vec<(&'static str, Vec<u8>, Reason)>;

fn assert_ends(cases: Cases) {
    for (what, wrong, reason) in cases {
        assert_eq!(wire().verdict(&wrong), ends(reason), "{what}");
    }
}

#[test]
fn a_frame_on_a_stream_that_cannot_have_it_ends_the_connection() {
    let call = block(&POST);
    assert_ends(vec![
        ("DATA on stream 0", data(0, b"x", false), Protocol),
        ("DATA on an idle stream", data(7, b"x", false), Protocol),
        ("DATA on an even stream", data(2, b"x", false), Protocol),
        ("HEADERS on stream 0", post(0, true), Protocol),
        ("HEADERS on an even stream", post(8, true), Protocol),
        ("HEADERS on a closed stream", post(3, true), StreamClosed),
        ("RST_STREAM on stream 0", reset(0), Protocol),
        ("RST_STREAM on an idle stream", reset(7), Protocol),
        ("RST_STREAM on an even stream", reset(2), Protocol),
        (
            "PRIORITY on stream 0",
            raw(PRIORITY, 0, 0, &[0; 5]),
            Protocol,
        ),
        ("SETTINGS on a stream", raw(SETTINGS, 0, 1, b""), Protocol),
        ("PING on a stream", raw(PING, 0, 1, &[0; 8]), Protocol),
        ("GOAWAY on a stream", raw(GOAWAY, 0, 1, &[0; 8]), Protocol),
        (
            "WINDOW_UPDATE on an idle stream",
            window_update(7, 1),
            Protocol,
        ),
        (
            "PUSH_PROMISE",
            raw(PUSH_PROMISE, END_HEADERS, 1, &call),
            Protocol,
        ),
    ]);
}

#[test]
fn an_id_below_one_that_was_used_ends_the_connection() {
    let mut wire = Wire::new();
    let _call = wire.call(9, true);
    assert_eq!(wire.verdict(&post(7, true)), ends(StreamClosed));
}

#[test]
fn a_frame_of_the_wrong_size_ends_the_connection() {
    let (mut large, mut begun) = (raw(DATA, 0, 1, b""), raw(PING, 0, 0, &[0; 8]));
    large[..3].copy_from_slice(&[1, 0, 1]);
    begun.extend_from_slice(&large);
    assert_ends(vec![
        ("DATA above the largest frame", large, FrameSize),
        ("the same behind another frame", begun, FrameSize),
        (
            "RST_STREAM of 3 bytes",
            raw(RST_STREAM, 0, 1, &[0; 3]),
            FrameSize,
        ),
        (
            "RST_STREAM of 5 bytes",
            raw(RST_STREAM, 0, 1, &[0; 5]),
            FrameSize,
        ),
        (
            "SETTINGS of 5 bytes",
            raw(SETTINGS, 0, 0, &[0; 5]),
            FrameSize,
        ),
        (
            "SETTINGS ack with a payload",
            raw(SETTINGS, ACK, 0, &[0; 6]),
            FrameSize,
        ),
        ("PING of 7 bytes", raw(PING, 0, 0, &[0; 7]), FrameSize),
        ("PING ack of 9 bytes", raw(PING, ACK, 0, &[0; 9]), FrameSize),
        ("GOAWAY of 7 bytes", raw(GOAWAY, 0, 0, &[0; 7]), FrameSize),
        (
            "WINDOW_UPDATE of 3 bytes",
            raw(WINDOW_UPDATE, 0, 0, &[0; 3]),
            FrameSize,
        ),
        (
            "WINDOW_UPDATE of 5 bytes",
            raw(WINDOW_UPDATE, 0, 1, &[0; 5]),
            FrameSize,
        ),
        (
            "HEADERS too short for their priority",
            raw(HEADERS, END_HEADERS | HAS_PRIORITY, 7, &[0; 4]),
            FrameSize,
        ),
    ]);
}

#[test]
fn padding_longer_than_its_frame_ends_the_connection() {
    assert_ends(vec![
        ("DATA", raw(DATA, PADDED, 1, &[3, b'x', 0]), Protocol),
        (
            "DATA with all padding and one more",
            raw(DATA, PADDED, 1, &[1]),
            Protocol,
        ),
        (
            "DATA without even the length",
            raw(DATA, PADDED, 1, b""),
            Protocol,
        ),
        (
            "HEADERS",
            raw(HEADERS, PADDED | END_HEADERS, 7, &[9, 0x83]),
            Protocol,
        ),
    ]);
}

#[test]
fn settings_out_of_range_end_the_connection() {
    let mut raised = window_update(1, LOW_31_BITS - 65_535);
    raised.extend(setting(SETTING_INITIAL_WINDOW_SIZE, 65_536));
    assert_ends(vec![
        (
            "push neither on nor off",
            setting(SETTING_ENABLE_PUSH, 2),
            Protocol,
        ),
        (
            "window of 2^31",
            setting(SETTING_INITIAL_WINDOW_SIZE, 1 << 31),
            FlowControl,
        ),
        ("a window raised above 2^31-1", raised, FlowControl),
        (
            "window of 2^31 before a good one",
            settings_frame(&[
                (SETTING_INITIAL_WINDOW_SIZE, 1 << 31),
                (SETTING_INITIAL_WINDOW_SIZE, 5),
            ]),
            FlowControl,
        ),
        (
            "frames below 2^14",
            setting(SETTING_MAX_FRAME_SIZE, 16_383),
            Protocol,
        ),
        (
            "frames of 2^24",
            setting(SETTING_MAX_FRAME_SIZE, 1 << 24),
            Protocol,
        ),
    ]);
}

#[test]
fn a_window_of_the_connection_opened_wrongly_ends_it() {
    assert_ends(vec![
        ("by nothing", window_update(0, 0), Protocol),
        ("above 2^31-1", window_update(0, LOW_31_BITS), FlowControl),
    ]);
    assert_eq!(
        wire().verdict(&window_update(0, LOW_31_BITS - 65_535)),
        FINE
    );
}

#[test]
fn a_header_block_with_anything_in_between_ends_the_connection() {
    let call = block(&POST);
    let begun = raw(HEADERS, 0, 7, &call[..2]);
    let then = |frame: Vec<u8>| [begun.clone(), frame].concat();
    let rest = raw(CONTINUATION, END_HEADERS, 7, &call[2..]);
    assert_ends(vec![
        ("CONTINUATION of nothing", rest.clone(), Protocol),
        ("DATA", then(data(1, b"x", false)), Protocol),
        ("HEADERS", then(post(9, true)), Protocol),
        ("PING", then(ping(0, [0; 8])), Protocol),
        ("SETTINGS", then(settings_frame(&[])), Protocol),
        (
            "a frame of an unknown kind",
            then(raw(0x77, 0, 7, b"x")),
            Protocol,
        ),
        (
            "CONTINUATION of another stream",
            then(raw(CONTINUATION, END_HEADERS, 9, &call[2..])),
            Protocol,
        ),
    ]);
    let mut wire = wire();
    assert_eq!(wire.verdict(&then(rest)), FINE);
    assert_eq!(wire.requests.len(), 3, "the whole block is a request");
}

#[test]
fn a_header_block_that_cannot_be_decoded_ends_the_connection() {
    assert_ends(vec![
        (
            "no such index",
            raw(HEADERS, END_HEADERS, 7, &[0xbe]),
            Compression,
        ),
        (
            "cut off",
            raw(HEADERS, END_HEADERS, 7, &[0x00, 0x05, b'a']),
            Compression,
        ),
        (
            "as trailers",
            raw(HEADERS, END_HEADERS | END_STREAM, 1, &[0x80]),
            Compression,
        ),
    ]);
}

#[test]
fn nothing_but_settings_may_come_first() {
    for first in [
        ping(0, [0; 8]),
        post(1, true),
        raw(SETTINGS, ACK, 0, b""),
        raw(0x77, 0, 0, b""),
        window_update(0, 1),
    ] {
        let mut wire = Wire::silent(10, None);
        assert!(!wire.server.is_greeted());
        assert_eq!(wire.verdict(&first), ends(Protocol), "{first:?}");
    }
    assert!(Wire::new().server.is_greeted());
}

#[test]
fn a_mistake_on_a_stream_resets_that_stream() {
    let mut itself = bits(&[7]);
    itself.push(1);
    itself.extend(block(&POST));
    let cases = vec![
        (
            "DATA after END_STREAM",
            data(5, b"x", false),
            5,
            StreamClosed,
        ),
        (
            "HEADERS after END_STREAM",
            headers(5, &[("a", "b")], true),
            5,
            StreamClosed,
        ),
        (
            "DATA on a closed stream",
            data(3, b"x", false),
            3,
            StreamClosed,
        ),
        ("WINDOW_UPDATE of nothing", window_update(1, 0), 1, Protocol),
        (
            "WINDOW_UPDATE above 2^31-1",
            window_update(5, LOW_31_BITS),
            5,
            FlowControl,
        ),
        (
            "trailers without END_STREAM",
            headers(1, &[("a", "b")], false),
            1,
            Protocol,
        ),
        (
            "trailers with a pseudo-header",
            headers(1, &[(":path", "/")], true),
            1,
            Protocol,
        ),
        (
            "trailers in upper case",
            headers(1, &[("A", "b")], true),
            1,
            Protocol,
        ),
        (
            "PRIORITY of 4 bytes",
            raw(PRIORITY, 0, 1, &[0; 4]),
            1,
            FrameSize,
        ),
        (
            "PRIORITY on itself",
            raw(PRIORITY, 0, 5, &[0, 0, 0, 5, 1]),
            5,
            Protocol,
        ),
        (
            "HEADERS that depend on themselves",
            raw(HEADERS, END_HEADERS | HAS_PRIORITY, 7, &itself),
            7,
            Protocol,
        ),
    ];
    for (what, wrong, id, reason) in cases {
        assert_eq!(wire().verdict(&wrong), resets(id, reason), "{what}");
    }
}

#[test]
fn what_a_server_need_not_know_or_obey_is_ignored() {
    let padded = [&[2][..], &block(&POST), &[0, 0]].concat();
    let priority = [&[0, 0, 0, 5, 200][..], &block(&POST)].concat();
    let end = END_HEADERS | END_STREAM;
    for (what, frame) in [
        ("a frame of an unknown kind", raw(0x77, 0xff, 1, b"xyz")),
        ("the same on an idle stream", raw(0x77, 0xff, 99, b"")),
        (
            "PRIORITY on an idle stream",
            raw(PRIORITY, 0, 9, &[0, 0, 0, 1, 7]),
        ),
        ("WINDOW_UPDATE on a closed stream", window_update(3, 7)),
        ("RST_STREAM on a closed stream", reset(3)),
        ("an unknown setting", setting(0x77, u32::MAX)),
        ("the ack of settings", raw(SETTINGS, ACK, 0, b"")),
        ("the ack of an unknown ping", ping(ACK, *b"whatever")),
        (
            "HEADERS with padding",
            raw(HEADERS, end | PADDED, 7, &padded),
        ),
        (
            "HEADERS with a priority",
            raw(HEADERS, end | HAS_PRIORITY, 7, &priority),
        ),
        ("unknown flags", raw(HEADERS, end | 0xc2, 7, &block(&POST))),
        ("the reserved bit of an id", data(1 | 1 << 31, b"x", false)),
        ("trailers", headers(1, &[("a", "b")], true)),
        ("GOAWAY", raw(GOAWAY, 0, 0, &[0; 8])),
    ] {
        assert_eq!(wire().verdict(&frame), FINE, "{what}");
    }
}
