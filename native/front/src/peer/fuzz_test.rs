//! Frames of what may be no member. An input begins with a byte that says in what pieces the rest comes.

use std::collections::BTreeSet;

use bytes::Bytes;
use netcd_engine::pipeline::LogEntry;
use netcd_engine::pipeline::message::PeerMessage;
use netcd_engine::types::{EntryKind, LogMark};

use super::frame::{Decoder, Frame, FrameError, encode};
use super::limits::FRAME_BYTES_MAX;

/// What follows the first byte, in pieces of as many bytes as that says.
fn pieces(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (&bytes, stream) = input.split_first().unwrap_or((&1, &[]));
    stream.chunks(usize::from(bytes).max(1))
}

/// All frames up to the first mistake, and how many bytes of the decoder's are behind them.
fn decoded<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<FrameError>) {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fn bytes_of(frames: &[Frame]) -> Vec<u8> {
    let pieces = frames
        .iter()
        .flat_map(|frame| encode(&frame.header, &frame.entries));
    pieces.collect::<Vec<Bytes>>().concat()
}

fn frames(input: &[u8]) -> BTreeSet<String> {
    let (seen, error) = decoded(pieces(input));
    let stream = input.get(1..).unwrap_or_default();
    assert_eq!(decoded([stream].into_iter()), (seen.clone(), error));
    // What was read is what a member writes; between the frames there are signs of life only.
    let again = bytes_of(&seen);
    assert!(again.len() <= stream.len());
    assert_eq!(decoded([&again[..]].into_iter()), (seen.clone(), None));
    let mut rest = stream;
    for frame in &seen {
        while let Some(after) = rest.strip_prefix(&[0; 4]) {
            rest = after;
        }
        rest = rest
            .strip_prefix(&bytes_of(std::slice::from_ref(frame))[..])
            .expect("its bytes");
    }
    let mut found = BTreeSet::new();
    found.insert(format!("{} frames", seen.len().min(4)));
    found.insert(match error {
        Some(FrameError::TooLarge(bytes)) => {
            assert!(bytes > FRAME_BYTES_MAX);
            "too large".into()
        }
        Some(FrameError::UnknownKind(kind)) => {
            assert!(kind > EntryKind::ConfChange as u8);
            "unknown kind".into()
        }
        Some(FrameError::Malformed) => "malformed".into(),
        None => "no mistake".into(),
    });
    for frame in &seen {
        found.insert(format!("{} entries", frame.entries.len().min(4)));
        if let Some(message) = PeerMessage::decode(&frame.header) {
            assert_eq!(PeerMessage::decode(&message.encode()), Some(message));
            let text = format!("{message:?}");
            found.insert(text.split(' ').next().unwrap_or_default().to_owned());
        }
    }
    found
}

fn frame(header: &[u8], payloads: &[&'static [u8]]) -> Vec<u8> {
    let entries: Vec<LogEntry> = payloads
        .iter()
        .zip(1..)
        .map(|(payload, index)| LogEntry {
            mark: LogMark { index, term: 2 },
            kind: EntryKind::Batch,
            payload: Bytes::from_static(payload),
        })
        .collect();
    bytes_of(&[Frame {
        header: Bytes::copy_from_slice(header),
        entries,
    }])
}

#[test]
fn no_frames_break_a_link_and_what_is_read_is_what_a_member_writes() {
    let prev = LogMark { index: 1, term: 2 };
    let (term, commit, round) = (2, 1, 3);
    let messages = [
        PeerMessage::Append { term, prev, commit },
        PeerMessage::AppendResponse {
            term,
            index: 1,
            reject: true,
            hint: prev,
        },
        PeerMessage::Heartbeat {
            term,
            commit,
            round,
        },
        PeerMessage::HeartbeatResponse { term, round },
    ];
    let mut seeds: Vec<Vec<u8>> = messages
        .iter()
        .map(|message| [&[7], &frame(&message.encode(), &[b"a", b"", b"xyz"])[..]].concat())
        .collect();
    seeds.push([&[255, 0, 0, 0, 0], &frame(b"{}", &[])[..], &[0; 4]].concat());
    let outcome = netcd_fuzz::fuzz(env!("CARGO_MANIFEST_DIR"), "peer", &seeds, frames);
    assert!(outcome.found > seeds.len());
}
