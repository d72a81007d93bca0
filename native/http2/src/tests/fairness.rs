//! Streams take turns: none keeps the others waiting.

use std::collections::{BTreeMap, BTreeSet};

use super::kit::*;
use crate::frame::*;
use crate::limits::WRITE_BUFFER_BYTES_MAX;

const WIDE: (u16, u32) = (SETTING_INITIAL_WINDOW_SIZE, LOW_31_BITS);

#[test]
fn a_small_answer_overtakes_a_huge_one_and_one_whose_window_is_closed() {
    let mut wire = Wire::with_settings(&[(SETTING_INITIAL_WINDOW_SIZE, 10)]);
    let (_, _body, mut closed) = wire.call(1, true);
    closed.respond(&ok(), false).expect("open");
    closed.send_data(bytes(100), true).expect("open");
    wire.send(&window_update(0, 1 << 30));
    wire.send(&settings_frame(&[WIDE]));
    let (_, _body, mut closed) = wire.call(3, true);
    wire.send(&settings_frame(&[(SETTING_INITIAL_WINDOW_SIZE, 0)]));
    closed.respond(&ok(), false).expect("open");
    closed.send_data(bytes(100), true).expect("open");
    wire.send(&settings_frame(&[(SETTING_INITIAL_WINDOW_SIZE, 0)]));
    let (_, _body, mut huge) = wire.call(5, true);
    let (_, _body, mut small) = wire.call(7, true);
    wire.send(&window_update(5, 1 << 30));
    wire.send(&window_update(7, 1 << 10));
    wire.frames();
    huge.respond(&ok(), false).expect("open");
    huge.send_data(bytes(20 << 20), true).expect("open");
    small.respond(&ok(), false).expect("open");
    small.send_data(bytes(5), true).expect("open");
    let frames = wire.frames_of_streams();
    let end = frames.iter().position(|frame| frame.is(DATA, 7));
    let before = &frames[..end.expect("small answer")];
    let bytes: usize = before.iter().map(|frame| frame.payload.len()).sum();
    assert!(bytes <= 2 * WRITE_BUFFER_BYTES_MAX, "{bytes} came before");
    assert!(
        frames
            .last()
            .is_some_and(|last| last.is(DATA, 5) && last.head.has(END_STREAM))
    );
    assert_eq!(wire.server.state.borrow().streams.len(), 1, "3 waits");
}

#[test]
fn huge_answers_take_turns() {
    let mut wire = Wire::with_settings(&[WIDE]);
    wire.send(&window_update(0, 1 << 30));
    let mut calls: Vec<_> = (0..4_u32).map(|n| wire.call(2 * n + 1, true)).collect();
    for (_, _, respond) in &mut calls {
        respond.respond(&ok(), false).expect("open");
        respond.send_data(bytes(4 << 20), true).expect("open");
    }
    let mut sent = BTreeMap::from([(1, 0), (3, 0), (5, 0), (7, 0)]);
    for frame in wire.frames_of_streams() {
        *sent.get_mut(&frame.head.stream).expect("one of them") += frame.payload.len();
        let (least, most) = (sent.values().min(), sent.values().max());
        assert!(
            most <= least
                .map(|least| least + 2 * WRITE_BUFFER_BYTES_MAX)
                .as_ref()
        );
    }
    assert_eq!(wire.server.state.borrow().streams.len(), 0);
}

/// Each is served whether its own window, all windows or the connection's was closed.
#[test]
fn thousands_of_starved_streams_are_served_when_the_windows_open() {
    const STREAMS: usize = 2000;
    const BYTES: usize = 100;
    let ids = || (1_u32..).step_by(2).take(STREAMS);
    let by_updates = ids()
        .flat_map(|id| window_update(id, BYTES as u32))
        .collect();
    for (what, initial, opening) in [
        ("each by its own", 0, by_updates),
        ("all by a setting", 0, settings_frame(&[WIDE])),
        ("the connection's", LOW_31_BITS, window_update(0, 1 << 20)),
    ] {
        let mut wire = Wire::with_settings(&[(SETTING_INITIAL_WINDOW_SIZE, initial)]);
        if initial == 0 {
            wire.send(&window_update(0, 1 << 20));
        }
        for id in ids() {
            let (_, _body, mut respond) = wire.call(id, true);
            let answer = respond.answer(&ok(), bytes(BYTES), trailers("a", "b"));
            answer.expect("open");
        }
        let served = |frames: Vec<Frame>| -> BTreeSet<u32> {
            let ended = frames.iter().filter(|frame| frame.head.has(END_STREAM));
            ended.map(|frame| frame.head.stream).collect()
        };
        let before = served(wire.frames_of_streams());
        assert_eq!(
            before.len(),
            if initial == 0 { 0 } else { 65_535 / BYTES },
            "{what}"
        );
        wire.send(&opening);
        let after = served(wire.frames_of_streams());
        assert_eq!(after.len(), STREAMS - before.len(), "{what}");
        assert!(wire.server.state.borrow().line.is_empty(), "{what}");
        wire.assert_clean();
    }
}

/// A client may take many small DATA frames for an attack; h2's does.
#[test]
fn a_client_that_takes_little_at_a_time_gets_no_small_frames() {
    const BYTES: usize = 3 << 20;
    let mut wire = Wire::with_settings(&[WIDE]);
    wire.send(&window_update(0, 1 << 30));
    let (_, _body, mut respond) = wire.call(1, true);
    wire.reads = false;
    respond.respond(&ok(), false).expect("open");
    respond.send_data(bytes(BYTES), true).expect("open");
    wire.settle();
    for _ in 0..10_000 {
        wire.sip(100);
    }
    wire.reads = true;
    let frames = wire.frames_of_streams();
    let of_data = frames.iter().filter(|frame| frame.head.kind == DATA);
    let small = of_data.filter(|frame| frame.payload.len() < 1024).count();
    assert!(small < 10, "{small} small frames");
}
