//! Every limit of a connection, in one place. A queue, buffer or loop without an entry here is a mistake.

use std::time::Duration;

/// Streams of one connection that were reset and whose late frames are still known for that.
pub const RESETS_REMEMBERED: usize = 1024;
/// Pieces of data that streams of one connection may have unread: each costs memory beside its bytes.
pub const UNREAD_PIECES_MAX: usize = 64 << 10;
/// Bytes that a stream may send before the next in line has its turn.
pub const SEND_QUANTUM_BYTES: usize = 32 << 10;
/// CONTINUATION frames of one header block.
pub const CONTINUATIONS_MAX: u32 = 4096;
/// Header blocks of one connection that are known by their bytes, and how long each may be.
pub const BLOCKS_REMEMBERED: usize = 8;
/// See `BLOCKS_REMEMBERED`.
pub const BLOCK_REMEMBERED_BYTES_MAX: usize = 1 << 10;
/// Bytes that one read of a connection asks for, at least.
pub const READ_BUFFER_BYTES: usize = 8 << 10;
/// Bytes that may follow the prefix of an integer in a header block: 28 bits.
pub const HPACK_INTEGER_BYTES_MAX: usize = 4;
/// Capacity that a connection's header decoder keeps between blocks for Huffman coded strings.
pub const HPACK_SCRATCH_BYTES_KEPT: usize = 512;
/// Bytes of request headers of one stream, as HTTP/2 counts them; as many as grpc-go takes.
pub const HEADER_LIST_BYTES_MAX: u32 = 16 << 20;
/// Bytes of request headers that the open streams of one connection hold together, those that are kept after a stream has
/// ended too; a stream that would hold more is refused.
pub const HEADER_BYTES_PER_CONNECTION_MAX: usize = 64 << 20;
/// Bytes that wait in a connection's write buffer before data has to wait; at twice as many nothing more is read.
pub const WRITE_BUFFER_BYTES_MAX: usize = 128 << 10;
/// Capacity that an idle connection's write buffer may keep.
pub const WRITE_BUFFER_IDLE_BYTES_MAX: usize = 16 << 10;
/// HTTP/2 receive window of one stream: what a client may send before the server read it.
pub const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// HTTP/2 receive window of one connection.
pub const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Largest HTTP/2 frame accepted.
pub const FRAME_BYTES_MAX: u32 = 64 << 10;
/// Streams that a client may reset before the server has even seen them (rapid reset), then the connection ends.
pub const RAPID_RESETS_MAX: usize = 1000;
/// Streams that the server may reset for the client's own errors, then the connection ends.
pub const ERROR_RESETS_MAX: usize = 1000;
/// Client pings that may come too early before the connection is refused with too_many_pings.
pub const PING_STRIKES_MAX: u32 = 2;
/// Client pings without any stream open may come this often.
pub const IDLE_PING_INTERVAL: Duration = Duration::from_secs(2 * 60 * 60);

const _: () = assert!(2 * SEND_QUANTUM_BYTES <= WRITE_BUFFER_BYTES_MAX);
const _: () = assert!(STREAM_WINDOW_BYTES <= CONNECTION_WINDOW_BYTES);
const _: () = assert!(HEADER_LIST_BYTES_MAX as usize <= HEADER_BYTES_PER_CONNECTION_MAX);
