//! How a streaming call ends, and the queue of what goes to its client before.

use http::{HeaderMap, HeaderName, HeaderValue};
use netcd_engine::error::EtcdError;

use super::head::encode_binary;
use super::status;
use crate::events::MetadataValue;
use crate::outbound::Outbound;

/// How a call ends.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: u8,
    pub(crate) message: String,
    pub(crate) trailers: Vec<(String, MetadataValue)>,
}

impl From<&EtcdError> for End {
    fn from(error: &EtcdError) -> Self {
        Self {
            code: error.code as u8,
            message: error.message.clone().into_owned(),
            trailers: Vec::new(),
        }
    }
}

impl End {
    /// The end of a call that did what it was asked.
    pub(crate) fn ok() -> Self {
        Self {
            code: 0,
            message: String::new(),
            trailers: Vec::new(),
        }
    }

    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = status::status_headers(self.code, &self.message);
        for (name, value) in &self.trailers {
            let value = match value {
                MetadataValue::Text(text) => HeaderValue::from_str(text),
                MetadataValue::Binary(bytes) => HeaderValue::from_str(&encode_binary(bytes)),
            };
            // A name or value that HTTP cannot carry is left out, as grpc-go does.
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), value) {
                headers.append(name, value);
            }
        }
        headers
    }
}

/// Queue of messages to the client of one call.
pub(crate) type CallOutbound = Outbound<(), End>;
