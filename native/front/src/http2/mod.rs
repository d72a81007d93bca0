//! The server's side of HTTP/2 (RFC 9113), made for many small calls: frames are read where they lie in the receive
//! buffer and written straight into the send buffer, a header block that came before is known by its bytes, and the
//! answers of a turn leave in one write. One thread owns a connection and all that belongs to it.
//!
//! `Connection` reads, writes and gives out requests; `Body` and `Responder` are the two halves of a stream. What one
//! stream does wrong resets that stream, what breaks the connection's state ends it with a GOAWAY. The peer links'
//! client side is the h2 crate's.

mod body;
mod connection;
mod control;
mod frame;
mod held;
mod hpack;
mod receive;
mod request;
mod responder;
mod state;
mod streams;
#[cfg(test)]
mod tests;
mod transmit;
mod window;

use netcd_engine::error::Code;

pub(crate) use body::Body;
pub(crate) use connection::Connection;
#[cfg(test)]
pub(crate) use connection::Request;
pub(crate) use held::Held;
pub(crate) use request::RequestHead;
pub(crate) use responder::{HeaderBlock, Responder};
pub(crate) use state::Config;

/// What a client says first, before its first frame.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An error code of RFC 9113, section 7.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum Reason {
    NoError = 0,
    Protocol = 1,
    Internal = 2,
    FlowControl = 3,
    StreamClosed = 5,
    FrameSize = 6,
    RefusedStream = 7,
    Cancel = 8,
    Compression = 9,
    EnhanceYourCalm = 11,
}

impl Reason {
    /// Ends a stream that can have no trailers any more, so that a gRPC client makes this status of it. grpc-go takes a
    /// CANCEL after its own deadline for DeadlineExceeded. A refused stream is one that may be repeated: only reads are
    /// answered in pieces.
    pub(crate) fn of(code: Code) -> Self {
        match code {
            Code::Canceled | Code::DeadlineExceeded => Self::Cancel,
            Code::ResourceExhausted => Self::EnhanceYourCalm,
            Code::Unavailable => Self::RefusedStream,
            _ => Self::Internal,
        }
    }
}

/// The stream was reset or its connection has ended: there is nobody left to talk to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the stream is gone")]
pub(crate) struct Gone;

#[cfg(test)]
mod reasons {
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
            assert_eq!(Reason::of(code), reason, "{code:?}");
        }
    }
}
