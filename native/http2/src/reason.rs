//! Why a stream or a connection ends.

/// An error code of RFC 9113, section 7.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Reason {
    /// Nothing is wrong.
    NoError = 0,
    /// The other side broke the protocol.
    Protocol = 1,
    /// This side failed.
    Internal = 2,
    /// More data than the window allowed.
    FlowControl = 3,
    /// A frame for a stream that was ended.
    StreamClosed = 5,
    /// A frame of a length that its kind may not have.
    FrameSize = 6,
    /// The stream was not looked at: it may be tried again.
    RefusedStream = 7,
    /// Nobody wants the rest of the stream.
    Cancel = 8,
    /// A header block that breaks HPACK.
    Compression = 9,
    /// The other side asks for too much.
    EnhanceYourCalm = 11,
}

/// The stream was reset or its connection has ended: there is nobody left to talk to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the stream is gone")]
pub struct Gone;
