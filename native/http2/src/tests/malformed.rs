//! What makes a request well-formed (RFC 9113, section 8).

use super::kit::*;
use crate::frame::*;
use crate::limits::HEADER_LIST_BYTES_MAX;
use crate::reason::Reason;

type Fields<'a> = Vec<(&'a str, &'a str)>;

/// POST with these fields behind its pseudo-headers.
fn with<'a>(fields: &[(&'a str, &'a str)]) -> Fields<'a> {
    [&POST, fields].concat()
}

fn without(name: &str) -> Fields<'static> {
    POST.into_iter()
        .filter(|(other, _)| *other != name)
        .collect()
}

#[test]
fn a_malformed_request_resets_its_stream_and_no_other() {
    let mut late = with(&[("a", "b")]);
    late.push((":authority", "again"));
    let mut late_method = without(":method");
    late_method.extend([("a", "b"), (":method", "POST")]);
    let empty_path = vec![(":method", "GET"), (":scheme", "http"), (":path", "")];
    for (what, fields) in [
        ("no :method", without(":method")),
        ("no :scheme", without(":scheme")),
        ("no :path", without(":path")),
        ("an empty :path", empty_path),
        ("nothing", vec![]),
        (":method twice", with(&[(":method", "POST")])),
        (":scheme twice", with(&[(":scheme", "http")])),
        (":path twice", with(&[(":path", "/call")])),
        (":authority twice", with(&[(":authority", "h")])),
        ("an unknown pseudo-header", with(&[(":color", "red")])),
        ("one of responses", with(&[(":status", "200")])),
        (":authority behind a header", late),
        (":method behind a header", late_method),
        ("upper case", with(&[("X-Color", "red")])),
        ("an empty name", with(&[("", "red")])),
        ("a name with a space", with(&[("x color", "red")])),
        ("a value with a newline", with(&[("x-color", "red\nx: y")])),
        ("connection", with(&[("connection", "close")])),
        ("keep-alive", with(&[("keep-alive", "5")])),
        ("proxy-connection", with(&[("proxy-connection", "close")])),
        (
            "transfer-encoding",
            with(&[("transfer-encoding", "chunked")]),
        ),
        ("upgrade", with(&[("upgrade", "h2c")])),
        ("te that is not trailers", with(&[("te", "gzip")])),
        (
            "content-length that is no number",
            with(&[("content-length", "x")]),
        ),
        (
            "a negative content-length",
            with(&[("content-length", "-1")]),
        ),
        (
            "two content-lengths",
            with(&[("content-length", "0"), ("content-length", "1")]),
        ),
        (
            "content-length of no data",
            with(&[("content-length", "1")]),
        ),
    ] {
        let mut wire = Wire::new();
        let other = wire.call(1, false);
        let verdict = wire.verdict(&headers(3, &fields, true));
        assert_eq!(verdict, resets(3, Reason::Protocol), "{what}");
        assert!(wire.requests.is_empty(), "{what}");
        drop(other);
        assert_eq!(wire.frames_of_streams().len(), 1, "the other was open");
        wire.assert_clean();
    }
}

#[test]
fn a_content_length_is_digits_only() {
    let verdict = Wire::new().verdict(&headers(1, &with(&[("content-length", "+0")]), true));
    assert_eq!(verdict, resets(1, Reason::Protocol));
}

#[test]
fn a_well_formed_request_is_given_out_as_it_is() {
    for fields in [
        with(&[("te", "trailers")]),
        with(&[("content-length", "0"), ("content-length", "0")]),
        with(&[("cookie", "a=b"), ("cookie", "c=d"), ("host", "h2")]),
        without(":authority"),
    ] {
        let mut wire = Wire::new();
        assert_eq!(wire.verdict(&headers(1, &fields, true)), FINE);
        let (head, _body, _respond) = wire.request();
        let headers: Vec<(&str, &str)> = (head.parts.headers.iter())
            .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
            .collect();
        let sent: Vec<_> = (fields.iter().copied())
            .filter(|(name, _)| !name.starts_with(':'))
            .collect();
        assert_eq!(headers, sent);
        assert_eq!((head.path(), head.parts.method.as_str()), ("/call", "POST"));
        let authority = fields.iter().any(|(name, _)| *name == ":authority");
        assert_eq!(head.authority.as_deref(), authority.then_some(&b"h"[..]));
    }
}

#[test]
fn data_has_to_be_of_the_content_length() {
    let long = with(&[("content-length", "3")]);
    let parts = |frames: &[Vec<u8>]| [headers(1, &long, false), frames.concat()].concat();
    let ended = headers(1, &[("a", "b")], true);
    for (what, sent, wrong) in [
        (
            "as long",
            parts(&[data(1, b"ab", false), data(1, b"c", true)]),
            false,
        ),
        (
            "as long, then trailers",
            parts(&[data(1, b"abc", false), ended.clone()]),
            false,
        ),
        ("shorter", parts(&[data(1, b"ab", true)]), true),
        ("longer", parts(&[data(1, b"abcd", false)]), true),
        (
            "shorter, then trailers",
            parts(&[data(1, b"ab", false), ended]),
            true,
        ),
    ] {
        let mut wire = Wire::new();
        let expected = if wrong {
            resets(1, Reason::Protocol)
        } else {
            FINE
        };
        assert_eq!(wire.verdict(&sent), expected, "{what}");
        wire.requests.clear();
        wire.assert_clean();
    }
}

#[test]
fn a_header_list_that_is_too_large_is_answered_with_431() {
    let value = "v".repeat(60_000);
    let large: Fields = (0..250).map(|_| ("x", value.as_str())).collect();
    let mut wire = Wire::new();
    wire.send(&headers(1, &with(&large), true));
    assert_eq!(wire.requests.len(), 1, "below the limit");
    wire.requests.clear();
    wire.frames();
    // Not too many bytes, but for the rest of what counts for a field.
    let short = "v".repeat(300);
    let tiny = vec![("x", short.as_str()); HEADER_LIST_BYTES_MAX as usize / 333];
    assert!(tiny.len() * short.len() < HEADER_LIST_BYTES_MAX as usize);
    for (id, ended) in [(3, true), (5, false)] {
        wire.send(&headers(id, &with(&tiny), ended));
        assert!(wire.requests.is_empty());
        let frames = wire.frames_of_streams();
        assert!(frames[0].is(HEADERS, id) && frames[0].head.has(END_STREAM));
        assert_eq!(frames[0].payload, block(&[(":status", "431")]));
        assert_eq!(frames.len(), if ended { 1 } else { 2 });
    }
    assert_eq!(wire.verdict(&post(7, true)), FINE);
    wire.requests.clear();
    wire.assert_clean();
}

#[test]
fn a_header_block_without_end_ends_the_connection() {
    let mut wire = Wire::new();
    let part = vec![0; 60_000];
    let mut sent = raw(HEADERS, 0, 1, &part);
    let parts = HEADER_LIST_BYTES_MAX as usize / part.len() + 1;
    sent.extend(raw(CONTINUATION, 0, 1, &part).repeat(parts));
    assert_eq!(wire.verdict(&sent), ends(Reason::EnhanceYourCalm));
    let mut wire = Wire::new();
    let mut sent = raw(HEADERS, 0, 1, b"");
    sent.extend(raw(CONTINUATION, 0, 1, b"").repeat(5000));
    assert_eq!(wire.verdict(&sent), ends(Reason::EnhanceYourCalm));
}
