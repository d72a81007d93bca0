//! Response headers and trailers of gRPC.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use netcd_engine::error::EtcdError;

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

/// The headers of an answer with messages.
pub(crate) fn head(content_type: &ContentType) -> Response<()> {
    let mut response = Response::new(());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, content_type.value());
    response
}

/// The trailers of a call that succeeded.
pub(crate) fn ok_trailers() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    trailers
}

fn put_status(headers: &mut HeaderMap, code: u8, message: &str) {
    headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(code)));
    headers.insert(GRPC_MESSAGE, percent::encode(message));
}

/// The trailers of a call that ends with this status.
pub(crate) fn trailers(code: u8, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    put_status(&mut trailers, code, message);
    trailers
}

/// The one header block of a call that fails before its first message.
pub(crate) fn trailers_only(content_type: &ContentType, error: &EtcdError) -> Response<()> {
    let mut response = head(content_type);
    put_status(response.headers_mut(), error.code as u8, &error.message);
    response
}

/// As `trailers_only`, for a request that is not proper gRPC: an HTTP status says so too.
pub(crate) fn not_grpc(status: StatusCode, error: &EtcdError) -> Response<()> {
    let mut response = trailers_only(&ContentType::Grpc, error);
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

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
