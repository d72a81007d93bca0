//! A client that sends anything, and a server that does with its requests whatever the input says. An input is a list of
//! steps: a byte that chooses one, then what that one takes.

use std::collections::BTreeSet;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::kit::*;
use crate::frame::*;
use crate::limits::{RESETS_REMEMBERED, UNREAD_PIECES_MAX, WRITE_BUFFER_BYTES_MAX};
use crate::pings::PingPolicy;
use crate::reason::Reason;
use crate::{Body, Responder};

const STREAMS_MAX: u32 = 20;
/// Bytes that the client sends while it reads nothing: more would only fill the pipe.
const UNREAD_BYTES_MAX: usize = 512 << 10;
/// Bytes of data that a step may ask for.
const DATA_UNIT_BYTES: usize = 256;

/// The rest of an input.
struct Steps<'a>(&'a [u8]);

impl<'a> Steps<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.byte()?).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(bytes)
    }
}

/// A request that the server has and did not end.
struct Held {
    body: Option<Body>,
    respond: Option<Responder>,
    responded: bool,
    unreleased: usize,
}

/// A connection, and what the server holds of it.
struct Fuzzed {
    wire: Wire,
    held: Vec<Held>,
    sent_unread: usize,
    /// What the server said: kinds of frames, and the codes in those that have one. With a kind of 255: what came of all.
    said: BTreeSet<(u8, u32)>,
    given: usize,
}

impl Fuzzed {
    fn new() -> Self {
        let mut wire = Wire::silent(
            STREAMS_MAX,
            Some(PingPolicy::new(Duration::from_millis(10))),
        );
        wire.greet(&[]);
        Self {
            wire,
            held: Vec::new(),
            sent_unread: 0,
            said: BTreeSet::new(),
            given: 0,
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        if !self.wire.reads {
            self.sent_unread += bytes.len();
            if self.sent_unread > UNREAD_BYTES_MAX {
                self.wire.reads = true;
            }
        }
        if !self.wire.over {
            self.wire.send(bytes);
        }
    }

    /// One step; None at the end of the input.
    fn step(&mut self, steps: &mut Steps) -> Option<()> {
        match steps.byte()? {
            kind @ 0..=11 => {
                let (flags, id) = (steps.byte()?, steps.byte()?);
                let payload = steps.bytes()?;
                self.send(&raw(kind, flags, u32::from(id), payload));
            }
            12 => self.send(steps.bytes()?),
            13 => {
                let (id, end) = (steps.byte()?, steps.byte()? & 1 != 0);
                self.send(&post(u32::from(id), end));
            }
            14 => {
                let (id, units) = (steps.byte()?, steps.byte()?);
                let payload = vec![0; usize::from(units) * DATA_UNIT_BYTES];
                let pieces = payload.chunks(16_384);
                let frames: Vec<u8> = pieces
                    .flat_map(|part| data(u32::from(id), part, false))
                    .collect();
                self.send(&frames);
            }
            15 => {
                let (id, by) = (steps.byte()?, u32::from(steps.byte()?));
                self.send(&window_update(u32::from(id), by << 12));
            }
            16 => {
                let setting = (u16::from(steps.byte()?), u32::from(steps.byte()?) << 8);
                self.send(&settings_frame(&[setting]));
            }
            17 => {
                self.wire.reads = !self.wire.reads;
                self.sent_unread = 0;
            }
            18 => {
                let bytes = usize::from(steps.byte()?) * DATA_UNIT_BYTES;
                self.wire.sip(bytes);
            }
            19 => self.wire.server.announce_end(),
            20 => self.wire.server.ping(),
            21 => self.wire.now += Duration::from_millis(u64::from(steps.byte()?)),
            act => {
                let at = usize::from(steps.byte()?);
                let amount = usize::from(steps.byte()?) * DATA_UNIT_BYTES;
                if !self.held.is_empty() {
                    let at = at % self.held.len();
                    self.held[at].act(act, amount);
                }
            }
        }
        self.look();
        Some(())
    }

    /// Takes the requests, and looks at all that has a bound.
    fn look(&mut self) {
        for frame in self.wire.frames() {
            let code = match frame.head.kind {
                RST_STREAM => frame.number(0),
                GOAWAY => frame.number(4),
                _ => 0,
            };
            self.said.insert((frame.head.kind, code));
        }
        while let Some((_, body, respond)) = self.wire.requests.pop_front() {
            self.given += 1;
            self.held.push(Held {
                body: Some(body),
                respond: Some(respond),
                responded: false,
                unreleased: 0,
            });
        }
        self.held
            .retain(|held| held.body.is_some() || held.respond.is_some());
        let state = self.wire.server.state.borrow();
        assert!(state.streams.len() <= STREAMS_MAX as usize);
        assert!(state.pieces <= UNREAD_PIECES_MAX + 1);
        assert!(state.reset_before.len() <= RESETS_REMEMBERED);
        assert!(
            state.out.len() <= 4 * WRITE_BUFFER_BYTES_MAX,
            "{} bytes wait",
            state.out.len()
        );
    }

    /// The client reads all there is, the server lets go of all it has: nothing may be left.
    fn end(mut self) -> BTreeSet<(u8, u32)> {
        self.wire.reads = true;
        self.wire.settle();
        self.held.clear();
        self.wire.settle();
        self.look();
        assert!(
            self.wire.is_between_frames(),
            "the server sent half a frame"
        );
        let goaways = self.said.iter().filter(|(kind, _)| *kind == GOAWAY);
        let ended = goaways
            .clone()
            .any(|(_, code)| *code != Reason::NoError as u32);
        assert!(
            !ended || self.wire.over,
            "the connection goes on after it was ended"
        );
        assert!(self.wire.server.receiver.accepted.is_empty());
        {
            let state = &mut *self.wire.server.state.borrow_mut();
            let mut waiting = state.streams.iter_mut();
            assert!(
                waiting.all(|(_, stream)| !stream.queued.is_empty()),
                "a stream is left that does not wait for the client's window"
            );
            // A connection that is over opens no window any more.
            assert!(
                self.wire.over || window_is_whole(&mut state.receive_window),
                "bytes are missing from the receive window"
            );
        }
        let over = self.wire.over;
        self.wire.hang_up();
        assert_eq!(self.wire.server.state.borrow().streams.len(), 0);
        self.said.insert((u8::MAX, self.given.min(3) as u32));
        self.said.insert((u8::MAX, 100 + u32::from(over)));
        self.said
    }
}

impl Held {
    /// Does something with the request. An error means that the stream is gone, which may be.
    fn act(&mut self, what: u8, amount: usize) {
        let mut cx = Context::from_waker(Waker::noop());
        match what % 8 {
            0 => {
                if let Some(body) = &mut self.body
                    && let Poll::Ready(Some(Ok(data))) = body.poll_data(&mut cx)
                {
                    self.unreleased += data.len();
                }
            }
            1 => {
                if let Some(body) = &mut self.body {
                    // More than was read is no more than that.
                    body.release(amount);
                }
            }
            2 => drop(self.body.take()),
            3 => drop(self.respond.take()),
            4 => {
                if let Some(respond) = &mut self.respond {
                    respond.reset(Reason::Cancel);
                }
            }
            kind => self.answer(kind, amount),
        }
    }

    fn answer(&mut self, kind: u8, amount: usize) {
        let Some(respond) = &mut self.respond else {
            return;
        };
        let _gone = if !self.responded && kind == 5 {
            let _gone = respond.answer(&ok(), bytes(amount), trailers("end", "0"));
            self.respond = None;
            return;
        } else if !self.responded {
            respond.respond(&ok(), false)
        } else {
            respond.send_data(bytes(amount), kind == 6)
        };
        self.responded = true;
    }
}

fn connection(input: &[u8]) -> BTreeSet<(u8, u32)> {
    let mut fuzzed = Fuzzed::new();
    let mut steps = Steps(input);
    while !fuzzed.wire.over && fuzzed.step(&mut steps).is_some() {}
    fuzzed.end()
}

#[test]
fn no_frames_break_the_server_and_nothing_is_left_of_them() {
    let seeds = [
        // A call with data that is read, released and answered.
        vec![
            13, 1, 0, 14, 1, 40, 24, 0, 0, 25, 0, 40, 0, 1, 1, 0, 31, 0, 9, 29, 0, 40,
        ],
        // Answers that wait for the window, a client that reads little, and settings that change the windows.
        vec![
            13, 1, 1, 13, 3, 1, 17, 31, 0, 0, 31, 1, 0, 31, 0, 255, 31, 1, 255, 16, 4, 255, 18, 9,
            15, 0, 255, 15, 1, 99, 17,
        ],
        // Resets from both sides, pings, the end.
        vec![
            13, 1, 0, 3, 0, 1, 4, 0, 0, 0, 8, 13, 3, 0, 28, 0, 0, 20, 6, 0, 0, 8, 1, 2, 3, 4, 5, 6,
            7, 8, 19, 6, 1, 0, 8, 102, 97, 114, 101, 119, 101, 108, 108,
        ],
        // A header block in pieces, padding, priorities, and bytes that are no frame.
        vec![
            1, 0, 1, 2, 0x83, 0x86, 9, 4, 1, 2, 0x84, 0x81, 0, 8, 1, 4, 1, 0, 0, 0, 2, 0, 3, 5, 0,
            0, 0, 1, 9, 12, 3, 255, 255, 255,
        ],
    ];
    let outcome = netcd_fuzz::fuzz(env!("CARGO_MANIFEST_DIR"), "frames", &seeds, connection);
    assert!(outcome.found > seeds.len());
}
