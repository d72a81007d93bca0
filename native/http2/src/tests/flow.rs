//! What the server sends, within the client's settings and windows.

use std::task::{Context, Poll, Waker};

use super::kit::*;
use crate::frame::*;
use crate::{Gone, HeaderBlock};

/// Bytes of DATA of a stream, and whether its end came.
fn received(frames: &[Frame], id: u32) -> (usize, bool) {
    let of = || frames.iter().filter(|frame| frame.head.stream == id);
    let data = of().filter(|frame| frame.head.kind == DATA);
    (
        data.map(|frame| frame.payload.len()).sum(),
        of().any(|frame| frame.head.has(END_STREAM)),
    )
}

#[test]
fn data_goes_as_far_as_the_streams_window() {
    let mut wire = Wire::with_settings(&[(SETTING_INITIAL_WINDOW_SIZE, 10)]);
    let (_, _body, mut respond) = wire.call(1, true);
    respond.respond(&ok(), false).expect("open");
    respond.send_data(bytes(25), true).expect("open");
    assert_eq!(received(&wire.frames(), 1), (10, false));
    wire.send(&window_update(1, 1));
    assert_eq!(received(&wire.frames(), 1), (1, false));
    wire.send(&window_update(1, 14));
    assert_eq!(received(&wire.frames(), 1), (14, true));
    wire.assert_clean();
}

#[test]
fn data_goes_as_far_as_the_connections_window() {
    let mut wire = Wire::with_settings(&[(SETTING_INITIAL_WINDOW_SIZE, 1 << 20)]);
    let (_, _body, mut respond) = wire.call(1, true);
    respond.respond(&ok(), false).expect("open");
    respond.send_data(bytes(70_000), false).expect("open");
    respond.send_trailers(trailers("a", "b")).expect("open");
    assert_eq!(received(&wire.frames(), 1), (65_535, false));
    wire.send(&window_update(0, 4464));
    assert_eq!(received(&wire.frames(), 1), (4464, false));
    wire.send(&window_update(0, 1));
    assert_eq!(received(&wire.frames(), 1), (1, true));
}

#[test]
fn windows_change_in_the_middle_of_an_answer_and_may_be_negative() {
    let mut wire = Wire::with_settings(&[(SETTING_INITIAL_WINDOW_SIZE, 100)]);
    let (_, _body, mut respond) = wire.call(1, true);
    respond.respond(&ok(), false).expect("open");
    respond.send_data(bytes(200), true).expect("open");
    assert_eq!(received(&wire.frames(), 1), (100, false));
    // 100 are sent of a window of 40.
    wire.send(&settings_frame(&[(SETTING_INITIAL_WINDOW_SIZE, 40)]));
    wire.send(&window_update(1, 60));
    assert_eq!(received(&wire.frames(), 1), (0, false));
    wire.send(&window_update(1, 5));
    assert_eq!(received(&wire.frames(), 1), (5, false));
    wire.send(&settings_frame(&[(SETTING_INITIAL_WINDOW_SIZE, 0)]));
    wire.send(&settings_frame(&[(SETTING_INITIAL_WINDOW_SIZE, 41)]));
    assert_eq!(received(&wire.frames(), 1), (1, false));
    wire.send(&settings_frame(&[(SETTING_INITIAL_WINDOW_SIZE, 1000)]));
    assert_eq!(received(&wire.frames(), 1), (94, true));
}

#[test]
fn a_task_that_waits_for_room_is_woken_when_data_was_sent() {
    let mut wire = Wire::with_settings(&[(SETTING_INITIAL_WINDOW_SIZE, 10)]);
    let (_, _body, mut respond) = wire.call(1, true);
    respond.respond(&ok(), false).expect("open");
    let woken = Woken::new();
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    respond.send_data(bytes(25), false).expect("open");
    for (window, sent, left) in [(0, 10, 15), (7, 7, 8)] {
        if window > 0 {
            wire.send(&window_update(1, window));
            assert!(woken.take());
        }
        assert_eq!(received(&wire.frames(), 1), (sent, false));
        assert_eq!(respond.unsent(), left);
        assert!(respond.poll_sent(left, &mut cx).is_ready());
        assert!(respond.poll_sent(left - 1, &mut cx).is_pending());
        wire.send(&ping(0, [0; 8]));
        assert!(!woken.take(), "nothing was sent to wake for");
    }
    wire.send(&window_update(1, 8));
    assert!(woken.take());
    assert_eq!(respond.poll_sent(0, &mut cx), Poll::Ready(Ok(())));
    respond.send_data(bytes(0), true).expect("open");
    assert_eq!(received(&wire.frames(), 1), (8, true));
}

#[test]
fn a_task_that_waits_for_room_is_woken_when_its_stream_is_gone() {
    let mut wire = Wire::with_settings(&[(SETTING_INITIAL_WINDOW_SIZE, 0)]);
    for gone in [reset(1), data(0, b"", false)] {
        let id = u32::from(gone != reset(1)) * 2 + 1;
        let (_, _body, mut respond) = wire.call(id, true);
        respond.respond(&ok(), false).expect("open");
        let woken = Woken::new();
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        respond.send_data(bytes(1), false).expect("open");
        assert!(respond.poll_sent(0, &mut cx).is_pending());
        wire.send(&gone);
        assert!(woken.take());
        assert_eq!(respond.poll_sent(0, &mut cx), Poll::Ready(Err(Gone)));
    }
}

#[test]
fn frames_are_no_larger_than_the_client_takes() {
    for (setting, largest) in [(None, 16_384), (Some(20_000), 20_000)] {
        let mut settings = vec![(SETTING_INITIAL_WINDOW_SIZE, 1 << 20)];
        settings.extend(setting.map(|bytes| (SETTING_MAX_FRAME_SIZE, bytes)));
        let mut wire = Wire::with_settings(&settings);
        let (_, _body, mut respond) = wire.call(1, true);
        let long = trailers("x", &"v".repeat(50_000));
        respond
            .answer(&ok(), bytes(60_000), long.clone())
            .expect("open");
        let frames = wire.frames_of_streams();
        let of_data = frames.iter().filter(|frame| frame.head.kind == DATA);
        assert!(of_data.clone().all(|frame| frame.payload.len() <= largest));
        assert_eq!(of_data.count(), 60_000_usize.div_ceil(largest));
        assert_block(
            &frames[frames.len() - 50_000_usize.div_ceil(largest)..],
            &long,
            largest,
        );
    }
}

/// The frames are one HEADERS and as many CONTINUATION as it needs, and nothing else.
fn assert_block(frames: &[Frame], block: &HeaderBlock, largest: usize) {
    let payloads: Vec<u8> = frames
        .iter()
        .flat_map(|frame| frame.payload.clone())
        .collect();
    assert_eq!(payloads, block.bytes());
    for (at, frame) in frames.iter().enumerate() {
        let kind = if at == 0 { HEADERS } else { CONTINUATION };
        assert!(frame.is(kind, 1) && frame.payload.len() <= largest);
        assert_eq!(frame.head.has(END_STREAM), at == 0);
        assert_eq!(frame.head.has(END_HEADERS), at == frames.len() - 1);
    }
}

#[test]
fn a_smaller_header_table_is_acknowledged_once() {
    const SHRINK: u8 = 0x20;
    let mut wire = Wire::with_settings(&[(SETTING_HEADER_TABLE_SIZE, 8192)]);
    let mut id = 1;
    let mut answered = |wire: &mut Wire| {
        let (_, _body, mut respond) = wire.call(id, true);
        id += 2;
        let answer = respond.answer(&ok(), bytes(1), trailers("a", "b"));
        answer.expect("open");
        let mut frames = wire.frames_of_streams();
        frames.retain(|frame| frame.head.kind == HEADERS);
        frames
            .into_iter()
            .map(|frame| frame.payload)
            .collect::<Vec<_>>()
    };
    let plain = answered(&mut wire);
    assert_eq!(plain[0], ok().bytes());
    wire.send(&settings_frame(&[(SETTING_HEADER_TABLE_SIZE, 100)]));
    let first = answered(&mut wire);
    assert_eq!(first[0], [&[SHRINK], &plain[0][..]].concat());
    assert_eq!(first[1], plain[1]);
    assert_eq!(answered(&mut wire), plain);
    // Down and up again between two blocks: the smallest size has to be told.
    wire.send(&settings_frame(&[
        (SETTING_HEADER_TABLE_SIZE, 0),
        (SETTING_HEADER_TABLE_SIZE, 4096),
    ]));
    assert_eq!(answered(&mut wire), first);
    assert_eq!(answered(&mut wire), plain);
}

#[test]
fn the_servers_settings_come_first() {
    let mut wire = Wire::silent(7, None);
    let frames = wire.frames();
    assert!(frames[0].is(SETTINGS, 0) && !frames[0].head.has(ACK));
    let (settings, rest) = frames[0].payload.as_chunks::<6>();
    assert!(rest.is_empty());
    assert!(
        settings.contains(&[0, 3, 0, 0, 0, 7]),
        "the limit of streams"
    );
    assert!(frames[1].is(WINDOW_UPDATE, 0));
}

#[test]
fn a_window_is_opened_as_its_bytes_are_released() {
    let mut wire = Wire::new();
    let (_, mut body, _respond) = wire.call(1, false);
    let mut cx = Context::from_waker(Waker::noop());
    let mut opened = [0, 0];
    for _ in 0..500 {
        wire.send(&data(1, &[1; 30_000], false));
        let Poll::Ready(Some(Ok(data))) = body.poll_data(&mut cx) else {
            panic!("no data");
        };
        assert_eq!(data, [1; 30_000][..]);
        body.release(data.len());
        for frame in wire.frames() {
            assert_eq!(frame.head.kind, WINDOW_UPDATE);
            opened[frame.head.stream as usize] += frame.number(0);
        }
    }
    let sent = 500 * 30_000;
    assert!(opened.iter().all(|&opened| opened <= sent));
    assert!(opened[1] > sent - crate::limits::STREAM_WINDOW_BYTES / 2);
    assert!(opened[0] > sent - crate::limits::CONNECTION_WINDOW_BYTES / 2);
}

#[test]
fn frames_may_come_in_any_pieces() {
    let sent = [
        headers(1, &[&POST[..], &[("content-length", "6")]].concat(), false),
        data(1, b"hel", false),
        ping(0, *b"any time"),
        raw(DATA, PADDED, 1, b"\x03lo...."),
        headers(1, &[("a", "b")], true),
    ]
    .concat();
    for piece in [1, 2, 7, 50] {
        let mut wire = Wire::new();
        sent.chunks(piece).for_each(|piece| wire.send(piece));
        let (_, mut body, mut respond) = wire.request();
        let mut cx = Context::from_waker(Waker::noop());
        let mut came = Vec::new();
        while let Poll::Ready(Some(Ok(data))) = body.poll_data(&mut cx) {
            came.extend_from_slice(&data);
            body.release(data.len());
        }
        assert_eq!(came, b"hello.");
        assert_eq!(body.poll_data(&mut cx), Poll::Ready(None));
        assert_eq!(wire.frames()[0].payload, b"any time");
        respond.respond(&ok(), true).expect("open");
        wire.assert_clean();
    }
}
