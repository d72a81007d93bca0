//! Response headers and trailers of gRPC.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use netcd_engine::error::{Code, EtcdError};
use netcd_http2::{HeaderBlock, Reason};

use super::percent;

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(crate) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What the response's content-type repeats of the request's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ContentType {
    Grpc,
    GrpcProto,
    /// Another subtype: grpc-go takes it for protobuf and repeats it.
    Other(HeaderValue),
}

impl ContentType {
    /// The content type of a gRPC request; None if it is none.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let rest = value.strip_prefix(b"application/grpc")?;
        match rest {
            [] => Some(Self::Grpc),
            b"+proto" => Some(Self::GrpcProto),
            [b'+' | b';', subtype @ ..] => {
                let value = [b"application/grpc+", subtype].concat();
                HeaderValue::from_bytes(&value).ok().map(Self::Other)
            }
            _ => None,
        }
    }

    fn value(&self) -> HeaderValue {
        match self {
            Self::Grpc => HeaderValue::from_static("application/grpc"),
            Self::GrpcProto => HeaderValue::from_static("application/grpc+proto"),
            Self::Other(value) => value.clone(),
        }
    }
}

/// `:status` 200 and the content type; a test compares them with what the encoder makes.
const GRPC_HEAD: HeaderBlock = HeaderBlock::from_static(b"\x88\x0f\x10\x10application/grpc");
const GRPC_PROTO_HEAD: HeaderBlock =
    HeaderBlock::from_static(b"\x88\x0f\x10\x16application/grpc+proto");
const OK_TRAILERS: HeaderBlock = HeaderBlock::from_static(b"\x00\x0bgrpc-status\x010");

fn head_with(content_type: &ContentType) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(CONTENT_TYPE, content_type.value());
    headers
}

/// The headers of an answer with messages.
pub(crate) fn head(content_type: &ContentType) -> HeaderBlock {
    match content_type {
        ContentType::Grpc => GRPC_HEAD,
        ContentType::GrpcProto => GRPC_PROTO_HEAD,
        ContentType::Other(_) => HeaderBlock::response(StatusCode::OK, &head_with(content_type)),
    }
}

/// The one header block of an answer without messages: its headers and these trailers.
pub(crate) fn head_and_trailers(content_type: &ContentType, trailers: HeaderMap) -> HeaderBlock {
    let mut headers = head_with(content_type);
    headers.extend(trailers);
    HeaderBlock::response(StatusCode::OK, &headers)
}

/// The trailers of a call that succeeded.
pub(crate) fn ok_trailers() -> HeaderBlock {
    OK_TRAILERS
}

/// The status of a call as headers; gRPC's own leave the message out when the call succeeded.
pub(crate) fn status_headers(code: u8, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert(GRPC_STATUS, HeaderValue::from(u16::from(code)));
    if code != 0 {
        trailers.insert(GRPC_MESSAGE, percent::encode(message));
    }
    trailers
}

/// The trailers of a call that ends with this status.
pub(crate) fn trailers(code: u8, message: &str) -> HeaderBlock {
    HeaderBlock::trailers(&status_headers(code, message))
}

/// The one header block of a call that fails before its first message.
pub(crate) fn trailers_only(content_type: &ContentType, error: &EtcdError) -> HeaderBlock {
    head_and_trailers(
        content_type,
        status_headers(error.code as u8, &error.message),
    )
}

/// As `trailers_only`, for a request that is not proper gRPC: an HTTP status says so too.
pub(crate) fn not_grpc(status: StatusCode, error: &EtcdError) -> HeaderBlock {
    let mut headers = head_with(&ContentType::Grpc);
    headers.extend(status_headers(error.code as u8, &error.message));
    HeaderBlock::response(status, &headers)
}

/// Ends a stream that can have no trailers any more, so that a gRPC client makes this status of it. grpc-go takes a
/// CANCEL after its own deadline for DeadlineExceeded. A refused stream is one that may be repeated: only reads are
/// answered in pieces.
pub(crate) fn reset_reason(code: Code) -> Reason {
    match code {
        Code::Canceled | Code::DeadlineExceeded => Reason::Cancel,
        Code::ResourceExhausted => Reason::EnhanceYourCalm,
        Code::Unavailable => Reason::RefusedStream,
        _ => Reason::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_says_what_grpc_makes_the_right_code_of() {
        // grpc-go's table of HTTP/2 errors, as far as it has an answer for the code.
        for (code, reason) in [
            (Code::Canceled, Reason::Cancel),
            (Code::DeadlineExceeded, Reason::Cancel),
            (Code::ResourceExhausted, Reason::EnhanceYourCalm),
            (Code::Unavailable, Reason::RefusedStream),
            (Code::Internal, Reason::Internal),
            (Code::OutOfRange, Reason::Internal),
        ] {
            assert_eq!(reset_reason(code), reason, "{code:?}");
        }
    }

    #[test]
    fn ready_made_blocks_are_what_the_encoder_makes() {
        for content_type in [ContentType::Grpc, ContentType::GrpcProto] {
            let made = HeaderBlock::response(StatusCode::OK, &head_with(&content_type));
            assert_eq!(head(&content_type), made);
        }
        assert_eq!(ok_trailers(), HeaderBlock::trailers(&status_headers(0, "")));
    }

    #[test]
    fn content_types() {
        assert_eq!(
            ContentType::parse(b"application/grpc"),
            Some(ContentType::Grpc)
        );
        assert_eq!(
            ContentType::parse(b"application/grpc+proto"),
            Some(ContentType::GrpcProto)
        );
        assert_eq!(
            ContentType::parse(b"application/grpc;x=y").map(|known| known.value()),
            Some("application/grpc+x=y".parse().unwrap())
        );
        assert_eq!(
            ContentType::parse(b"application/grpc+json").map(|known| known.value()),
            Some("application/grpc+json".parse().unwrap())
        );
        assert_eq!(ContentType::parse(b"application/grpcx"), None);
        assert_eq!(ContentType::parse(b"application/json"), None);
    }
}
