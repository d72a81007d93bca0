//! The headers of a gRPC request: one pass over them for what the transport itself needs, and the metadata as the
//! control plane gets it.

use std::time::Duration;

use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine as _};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, request};
use netcd_engine::error::{Code, EtcdError};

use super::bearer::Bearer;
use super::deframe::Encoding;
use super::methods::MethodId;
use super::status::ContentType;
use crate::events::MetadataValue;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A request's headers, which keep what gRPC makes of them.
pub(crate) type RequestHead = netcd_http2::RequestHead<GrpcRequest>;

/// What gRPC makes of a request's headers.
#[derive(Debug)]
pub(crate) struct GrpcRequest {
    pub(crate) head: Result<Head, NotGrpc>,
    /// None: there is no such method.
    pub(crate) method: Option<MethodId>,
}

impl GrpcRequest {
    pub(crate) fn parse(parts: &request::Parts) -> Self {
        Self {
            head: Head::parse(parts),
            method: MethodId::find(parts.uri.path()),
        }
    }
}

/// What the transport reads of a request's headers.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) content_type: ContentType,
    pub(crate) timeout: Option<Duration>,
    pub(crate) encoding: Encoding,
    /// The client wants to fail without a leader.
    pub(crate) needs_leader: bool,
    pub(crate) api_version: Option<HeaderValue>,
    pub(crate) bearer: Option<Bearer>,
    /// A gateway makes this call for somebody else.
    pub(crate) through_gateway: bool,
}

/// A request that is no proper gRPC request: HTTP status, and the gRPC status that says why.
#[derive(Debug)]
pub(crate) struct NotGrpc {
    pub(crate) status: StatusCode,
    pub(crate) error: EtcdError,
}

impl NotGrpc {
    fn new(status: StatusCode, code: Code, message: String) -> Self {
        Self {
            status,
            error: EtcdError::new(code, message),
        }
    }
}

/// True if the request says that it is gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| ContentType::parse(value.as_bytes()).is_some())
}

impl Head {
    pub(crate) fn parse(parts: &request::Parts) -> Result<Self, NotGrpc> {
        let mut content_type = Err("");
        let mut head = Head {
            content_type: ContentType::Grpc,
            timeout: None,
            encoding: Encoding::Identity,
            needs_leader: false,
            api_version: None,
            bearer: None,
            through_gateway: false,
        };
        let (mut token, mut authorization) = (None, None);
        for (name, header) in &parts.headers {
            let value = header.as_bytes();
            match name.as_str() {
                // Of several one that is gRPC's is enough, as in grpc-go.
                "content-type" => match ContentType::parse(value) {
                    Some(known) => content_type = Ok(known),
                    None if content_type.is_err() => {
                        content_type = Err(std::str::from_utf8(value).unwrap_or("?"));
                    }
                    None => {}
                },
                "grpc-timeout" => head.timeout = Some(parse_timeout(value)?),
                "grpc-encoding" => head.encoding = parse_encoding(value),
                "grpcgateway-accept" => head.through_gateway = true,
                "hasleader" => head.needs_leader |= value == b"true",
                "token" => drop(token.get_or_insert(header)),
                "authorization" => drop(authorization.get_or_insert(header)),
                "client-api-version" => head.api_version = Some(header.clone()),
                name if name.ends_with("-bin") => decode_binary_list(name, value, |_| ())?,
                _ => {}
            }
        }
        if parts.method != Method::POST {
            return Err(NotGrpc::new(
                StatusCode::METHOD_NOT_ALLOWED,
                Code::Internal,
                format!(
                    "Received a HEADERS frame with :method {:?} which should be POST",
                    parts.method.as_str()
                ),
            ));
        }
        head.content_type = content_type.map_err(|given| {
            NotGrpc::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Code::InvalidArgument,
                format!("invalid gRPC request content-type {given:?}"),
            )
        })?;
        // A bad `token` is one: what stands in `authorization` does not help then.
        let bearer = token.or(authorization);
        head.bearer = bearer.map(|value| Bearer::new(value.clone()));
        Ok(head)
    }
}

fn parse_encoding(value: &[u8]) -> Encoding {
    match value {
        b"" | b"identity" => Encoding::Identity,
        b"gzip" => Encoding::Gzip,
        other => Encoding::Unknown(String::from_utf8_lossy(other).into_owned()),
    }
}

/// grpc-timeout: one to eight digits and a unit.
fn parse_timeout(value: &[u8]) -> Result<Duration, NotGrpc> {
    let text = String::from_utf8_lossy(value);
    let malformed = |why: String| {
        NotGrpc::new(
            StatusCode::BAD_REQUEST,
            Code::Internal,
            format!("malformed grpc-timeout: {why}"),
        )
    };
    let [digits @ .., unit] = value else {
        return Err(malformed(format!(
            "transport: timeout string is too short: {text:?}"
        )));
    };
    if digits.is_empty() {
        return Err(malformed(format!(
            "transport: timeout string is too short: {text:?}"
        )));
    }
    if digits.len() > 8 {
        return Err(malformed(format!(
            "transport: timeout string is too long: {text:?}"
        )));
    }
    let per_unit: fn(u64) -> Duration = match unit {
        b'H' => |n| Duration::from_secs(n * 3600),
        b'M' => |n| Duration::from_secs(n * 60),
        b'S' => Duration::from_secs,
        b'm' => Duration::from_millis,
        b'u' => Duration::from_micros,
        b'n' => Duration::from_nanos,
        _ => {
            return Err(malformed(format!(
                "transport: timeout unit is not recognized: {text:?}"
            )));
        }
    };
    let mut n = 0u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            let digits = &text[..text.len() - 1];
            return Err(malformed(format!(
                "strconv.ParseUint: parsing {digits:?}: invalid syntax"
            )));
        }
        n = n * 10 + u64::from(digit - b'0');
    }
    Ok(per_unit(n))
}

/// Headers that are the transport's own and no metadata.
fn is_reserved(name: &str) -> bool {
    matches!(
        name,
        "content-type"
            | "te"
            | "grpc-timeout"
            | "grpc-encoding"
            | "grpc-message-type"
            | "grpc-status"
            | "grpc-message"
    )
}

/// The metadata of a call, `-bin` values decoded.
pub(crate) fn metadata(request: &RequestHead) -> Result<Vec<(String, MetadataValue)>, NotGrpc> {
    let headers = &request.parts.headers;
    let mut out = Vec::with_capacity(headers.len() + 1);
    if let Some(authority) = &request.authority {
        let text = String::from_utf8_lossy(authority).into_owned();
        out.push((":authority".to_owned(), MetadataValue::Text(text)));
    }
    for (name, value) in headers {
        let name = name.as_str();
        if is_reserved(name) {
            continue;
        }
        if !name.ends_with("-bin") {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            out.push((name.to_owned(), MetadataValue::Text(text)));
            continue;
        }
        decode_binary_list(name, value.as_bytes(), |bytes| {
            out.push((name.to_owned(), MetadataValue::Binary(bytes)));
        })?;
    }
    Ok(out)
}

/// The values of a `-bin` header, which may be several in one, with commas.
fn decode_binary_list(
    name: &str,
    value: &[u8],
    mut each: impl FnMut(Bytes),
) -> Result<(), NotGrpc> {
    for part in value.split(|byte| *byte == b',') {
        each(decode_binary(name, part.trim_ascii())?);
    }
    Ok(())
}

fn decode_binary(name: &str, value: &[u8]) -> Result<Bytes, NotGrpc> {
    BASE64.decode(value).map(Bytes::from).map_err(|problem| {
        let text = String::from_utf8_lossy(value);
        let at = match problem {
            DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
            DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => value.len(),
        };
        NotGrpc::new(
            StatusCode::BAD_REQUEST,
            Code::Internal,
            format!("malformed binary metadata {text:?} in header {name:?}: illegal base64 data at input byte {at}"),
        )
    })
}

/// A binary metadata value as it is sent: without padding.
pub(crate) fn encode_binary(value: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(headers: &[(&str, &str)]) -> request::Parts {
        let mut builder = Request::post("http://h/etcdserverpb.KV/Range");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn reads_what_it_needs() {
        let parts = parts(&[
            ("content-type", "application/grpc+proto"),
            ("grpc-timeout", "1500m"),
            ("grpc-encoding", "gzip"),
            ("hasleader", "true"),
            ("client-api-version", "3.7"),
        ]);
        let head = Head::parse(&parts).unwrap();
        assert_eq!(head.content_type, ContentType::GrpcProto);
        assert_eq!(head.timeout, Some(Duration::from_millis(1500)));
        assert_eq!(head.encoding, Encoding::Gzip);
        assert!(head.needs_leader);
        assert_eq!(head.api_version, Some(HeaderValue::from_static("3.7")));
    }

    #[test]
    fn the_token_is_the_first_of_its_name_without_its_scheme() {
        for (headers, token) in [
            (&[][..], None),
            (&[("token", "a.1")][..], Some("a.1")),
            (&[("authorization", "a.1")][..], Some("a.1")),
            (&[("authorization", "Bearer a.1")][..], Some("a.1")),
            (&[("token", "Bearer a.1")][..], Some("a.1")),
            (&[("token", "Bearer Bearer a.1")][..], Some("Bearer a.1")),
            (&[("token", "bearer a.1")][..], Some("bearer a.1")),
            (&[("token", "a.1"), ("token", "b.1")][..], Some("a.1")),
            (
                &[("authorization", "a.1"), ("token", "b.1")][..],
                Some("b.1"),
            ),
            (
                &[("token", ""), ("authorization", "Bearer a.1")][..],
                Some(""),
            ),
        ] {
            let all = [&[("content-type", "application/grpc")], headers].concat();
            let head = Head::parse(&parts(&all)).unwrap();
            let found = head.bearer.as_ref().map(Bearer::token);
            assert_eq!(found, token.map(str::as_bytes), "{headers:?}");
        }
    }

    #[test]
    fn refuses_other_content_types_and_methods() {
        let other = parts(&[("content-type", "text/html")]);
        let refused = Head::parse(&other).unwrap_err();
        assert_eq!(refused.status, 415);
        assert_eq!(
            refused.error.message,
            "invalid gRPC request content-type \"text/html\""
        );
        let mut get = parts(&[("content-type", "application/grpc")]);
        get.method = Method::GET;
        assert_eq!(Head::parse(&get).unwrap_err().status, 405);
    }

    #[test]
    fn of_several_content_types_one_that_is_grpc_is_enough() {
        let mut types = [
            ("content-type", "text/html"),
            ("content-type", "application/grpc"),
        ];
        for _ in 0..2 {
            let head = Head::parse(&parts(&types)).unwrap();
            assert_eq!(head.content_type, ContentType::Grpc);
            types.reverse();
        }
    }

    #[test]
    fn timeouts() {
        for (text, expected) in [
            ("2H", Duration::from_secs(7200)),
            ("3M", Duration::from_secs(180)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("5u", Duration::from_micros(5)),
            ("5n", Duration::from_nanos(5)),
        ] {
            assert_eq!(parse_timeout(text.as_bytes()).unwrap(), expected);
        }
        for (text, why) in [
            ("S", "transport: timeout string is too short: \"S\""),
            ("", "transport: timeout string is too short: \"\""),
            (
                "123456789S",
                "transport: timeout string is too long: \"123456789S\"",
            ),
            ("12x", "transport: timeout unit is not recognized: \"12x\""),
            ("1-2S", "strconv.ParseUint: parsing \"1-2\": invalid syntax"),
        ] {
            let refused = parse_timeout(text.as_bytes()).unwrap_err();
            assert_eq!(refused.status, 400);
            assert_eq!(
                refused.error.message,
                format!("malformed grpc-timeout: {why}")
            );
        }
    }

    #[test]
    fn metadata_is_decoded() {
        let request = RequestHead::new(
            parts(&[
                ("token", "abc"),
                ("te", "trailers"),
                ("x-bin", "aGk=, aGk"),
                ("content-type", "x"),
            ]),
            Some(Bytes::from_static(b"h")),
        );
        let hi = MetadataValue::Binary(Bytes::from_static(b"hi"));
        assert_eq!(
            metadata(&request).unwrap(),
            vec![
                (":authority".to_owned(), MetadataValue::Text("h".into())),
                ("token".to_owned(), MetadataValue::Text("abc".into())),
                ("x-bin".to_owned(), hi.clone()),
                ("x-bin".to_owned(), hi),
            ]
        );
        assert_eq!(encode_binary(b"hi"), "aGk");
    }
}
