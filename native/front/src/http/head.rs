//! What the control plane answers to an HTTP request, on its way to the worker.

use bytes::Bytes;

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
