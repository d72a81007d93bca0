//! Messages and headers of clients that may know no gRPC.

use std::collections::BTreeSet;
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Request};

use super::buf::prefix;
use super::deframe::{DeframeError, Deframer, Encoding, whole_message};
use super::head::{GrpcRequest, RequestHead, encode_binary, metadata};
use super::status::ContentType;
use crate::events::MetadataValue;

/// Small, so that messages reach it.
const MESSAGE_BYTES_MAX: usize = 200;

fn encoding(number: u8) -> Encoding {
    match number % 3 {
        0 => Encoding::Identity,
        1 => Encoding::Gzip,
        _ => Encoding::Unknown("br".into()),
    }
}

/// All messages up to the first mistake, and whether one has begun behind them.
fn deframed<'a>(
    encoding: Encoding,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Bytes>, Result<bool, DeframeError>) {
    let mut deframer = Deframer::new(MESSAGE_BYTES_MAX, encoding);
    let mut messages = Vec::new();
    for piece in pieces {
        deframer.push(Bytes::copy_from_slice(piece));
        loop {
            match deframer.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
    }
    (messages, Ok(deframer.is_inside_message()))
}

/// An input is a byte for the encoding, one for the size of the pieces, and what comes in them.
fn messages(input: &[u8]) -> BTreeSet<String> {
    let &[how, bytes, ref stream @ ..] = input else {
        return BTreeSet::new();
    };
    let pieces = stream.chunks(usize::from(bytes).max(1));
    let (messages, end) = deframed(encoding(how), pieces);
    let whole = deframed(encoding(how), [stream].into_iter());
    assert_eq!((messages.clone(), end.clone()), whole);
    assert!(
        messages
            .iter()
            .all(|message| message.len() <= MESSAGE_BYTES_MAX)
    );
    if encoding(how) != Encoding::Gzip {
        let again: Vec<u8> = messages
            .iter()
            .flat_map(|message| [&prefix(message.len() as u32), &message[..]].concat())
            .collect();
        assert!(stream.starts_with(&again));
    }
    if let Ok(message) = whole_message(Bytes::copy_from_slice(stream), MESSAGE_BYTES_MAX) {
        assert_eq!((&messages[..], &end), (&[message][..], &Ok(false)));
    }
    let end = match end {
        Ok(inside) => format!("inside: {inside}"),
        Err(error) => without_digits(&error.message),
    };
    [format!("{} messages", messages.len().min(4)), end].into()
}

fn without_digits(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[test]
fn no_stream_breaks_the_deframer_and_pieces_make_no_difference() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&[b'x'; 150]).expect("memory");
    let gzip = gzip.finish().expect("memory");
    let mut flagged = prefix(gzip.len() as u32);
    flagged[0] = 1;
    let compressed = [&flagged[..], &gzip].concat();
    let plain = [&prefix(3)[..], b"abc", &prefix(0)].concat();
    let seeds = [
        [&[0, 2], &plain[..]].concat(),
        [&[1, 255], &compressed[..], &plain].concat(),
        [&[2, 9], &compressed[..]].concat(),
    ];
    let outcome = netcd_fuzz::fuzz(env!("CARGO_MANIFEST_DIR"), "messages", &seeds, messages);
    assert!(outcome.found > seeds.len());
}

/// An input is a request's path and, in lines, its headers.
fn head(input: &[u8]) -> BTreeSet<String> {
    let mut lines = input.split(|byte| *byte == b'\n');
    let path = lines.next().unwrap_or_default();
    let Ok(request) = Request::post(path).body(()) else {
        return BTreeSet::new();
    };
    let mut parts = request.into_parts().0;
    for line in lines {
        let (name, value) = line.split_at(line.iter().position(|b| *b == b':').unwrap_or(0));
        let (name, value) = (
            HeaderName::from_lowercase(name),
            HeaderValue::from_bytes(value.get(1..).unwrap_or_default()),
        );
        if let (Ok(name), Ok(value)) = (name, value) {
            parts.headers.append(name, value);
        }
    }
    let request = RequestHead::new(parts, None);
    let grpc = GrpcRequest::parse(&request.parts);
    let mut found = BTreeSet::from([format!("method: {}", grpc.method.is_some())]);
    match &grpc.head {
        Ok(head) => {
            let types = request.parts.headers.get_all(CONTENT_TYPE);
            let mut types = types
                .iter()
                .map(|value| ContentType::parse(value.as_bytes()));
            assert!(types.any(|known| known.as_ref() == Some(&head.content_type)));
            found.insert(format!("timeout: {}", head.timeout.is_some()));
            found.insert(format!("leader: {}", head.needs_leader));
        }
        Err(refused) => {
            let what = refused.error.message.split([':', '"']).next();
            found.insert(format!("{} {what:?}", refused.status));
        }
    }
    let Ok(list) = metadata(&request) else {
        assert!(grpc.head.is_err(), "what the head takes is metadata");
        found.insert("no metadata".into());
        return found;
    };
    found.insert(format!("{} values", list.len().min(4)));
    for (name, value) in list {
        assert_eq!(
            matches!(value, MetadataValue::Binary(_)),
            name.ends_with("-bin")
        );
        if let MetadataValue::Binary(bytes) = &value {
            // As it would be sent it is read again.
            let mut parts = Request::post("/")
                .body(())
                .expect("a request")
                .into_parts()
                .0;
            let text = HeaderValue::try_from(encode_binary(bytes)).expect("text");
            parts.headers.append("x-bin", text);
            let again = metadata(&RequestHead::new(parts, None)).ok();
            assert_eq!(again, Some(vec![("x-bin".to_owned(), value)]));
        }
    }
    found
}

#[test]
fn no_headers_break_a_call_and_binary_ones_can_be_sent_again() {
    let seeds = [
        "/etcdserverpb.KV/Range\ncontent-type:application/grpc\nte:trailers\ngrpc-timeout:10S",
        "/x\ncontent-type:application/grpc+proto\nx-bin:aGk=, aGk\nhasleader:true\ntoken:é",
        "/etcdserverpb.Watch/Watch\ncontent-type:text/html\ngrpc-encoding:gzip",
        "/\ncontent-type:application/grpc\ngrpc-timeout:123456789n",
        "/\ncontent-type:application/grpc\ngrpc-timeout:12x\nx-bin:!",
    ]
    .map(|text| text.as_bytes().to_vec());
    let outcome = netcd_fuzz::fuzz(env!("CARGO_MANIFEST_DIR"), "head", &seeds, head);
    assert!(outcome.found > seeds.len());
}
