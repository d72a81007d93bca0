//! What the control plane answers to an HTTP request, on its way to the worker.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::outbound::Outbound;

/// Status and headers of an answer, with its body if that is known as a whole.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) whole: Option<Bytes>,
}

/// Queue of the answer to one request.
pub(crate) type HttpOutbound = Outbound<Head, ()>;

/// Headers as HTTP carries them, None if it cannot.
pub fn header_map(list: &[(String, String)]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(list.len());
    for (name, value) in list {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_str(value).ok()?);
    }
    Some(headers)
}
