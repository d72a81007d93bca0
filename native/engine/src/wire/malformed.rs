//! What is no message.

/// Why a message is refused, with the texts of Go's protobuf.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
    /// Cut short, a varint that is too long, a group that does not end, no field's number.
    #[error("proto: cannot parse invalid wire-format data")]
    Wire,
    /// Text that is not UTF-8.
    #[error("string field contains invalid UTF-8")]
    Utf8,
    /// Messages in messages, deeper than Go follows them.
    #[error("proto: exceeded maximum recursion depth")]
    Depth,
}
