//! HTTP/1 requests that are refused before anybody sees them, as Go's net/http refuses them.

use http::header::{EXPECT, HOST};
use http::uri::Uri;
use http::{Method, StatusCode, Version, request};

/// A refusal: what is said behind the status, in the first line and in the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) why: &'static str,
}

const fn bad_request(why: &'static str) -> Refusal {
    Refusal {
        status: StatusCode::BAD_REQUEST,
        why,
    }
}

/// Why a request is refused; None: it is not.
pub(super) fn refusal(parts: &request::Parts) -> Option<Refusal> {
    if !is_target(&parts.method, &parts.uri) || !has_escapes(parts.uri.path()) {
        return Some(bad_request(""));
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Some(bad_request("")),
        (None, None) if parts.version == Version::HTTP_11 && parts.method != Method::CONNECT => {
            return Some(bad_request(": missing required Host header"));
        }
        (Some(host), None) if !host.as_bytes().iter().all(is_of_host) => {
            return Some(bad_request(": malformed Host header"));
        }
        _ => {}
    }
    let expects = parts.headers.get(EXPECT);
    if expects.is_some_and(|value| !value.is_empty()) && !expects_continue(parts) {
        return Some(Refusal {
            status: StatusCode::EXPECTATION_FAILED,
            why: "",
        });
    }
    None
}

/// The client waits for leave to send its body.
pub(super) fn expects_continue(parts: &request::Parts) -> bool {
    parts
        .headers
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// A path or a whole URL; a mere name only for CONNECT.
fn is_target(method: &Method, uri: &Uri) -> bool {
    uri.authority().is_none() || uri.scheme().is_some() || method == Method::CONNECT
}

/// Every `%` begins an escape.
fn has_escapes(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes.iter().enumerate().all(|(at, byte)| {
        let escape = || bytes.get(at + 1..at + 3);
        *byte != b'%' || escape().is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    })
}

fn is_of_host(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$%&()*+,-.:;=['']_~".contains(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Option<(u16, &'static str)> {
        let mut builder = http::Request::builder().method(method).uri(target);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let (parts, ()) = builder.body(()).unwrap().into_parts();
        refusal(&parts).map(|refusal| (refusal.status.as_u16(), refusal.why))
    }

    #[test]
    fn what_go_refuses() {
        let host = ("host", "x");
        for (method, target, headers, refusal) in [
            ("GET", "/version", &[host][..], None),
            ("GET", "/version?%zz", &[host], None),
            ("GET", "http://h/version", &[host], None),
            ("CONNECT", "x:1", &[host], None),
            ("GET", "/version", &[("host", "")], None),
            ("GET", "/v", &[host, ("expect", "100-Continue")], None),
            (
                "GET",
                "/v",
                &[],
                Some((400, ": missing required Host header")),
            ),
            ("GET", "/v", &[host, host], Some((400, ""))),
            (
                "GET",
                "/v",
                &[("host", "a b")],
                Some((400, ": malformed Host header")),
            ),
            (
                "GET",
                "/v",
                &[("host", "a/b")],
                Some((400, ": malformed Host header")),
            ),
            ("GET", "/%zz", &[host], Some((400, ""))),
            ("GET", "/v%2", &[host], Some((400, ""))),
            ("GET", "version", &[host], Some((400, ""))),
            ("GET", "/v", &[host, ("expect", "more")], Some((417, ""))),
        ] {
            assert_eq!(
                refused(method, target, headers),
                refusal,
                "{target} {headers:?}"
            );
        }
    }

    #[test]
    fn older_clients_need_no_host() {
        let request = http::Request::get("/version").version(Version::HTTP_10);
        let (parts, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(refusal(&parts), None);
    }
}
