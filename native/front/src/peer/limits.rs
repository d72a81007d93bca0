//! The limits of the links between members, in one place.

use std::time::Duration;

/// Bytes of one frame; an entry is at most a batch of 1 MiB plus one request of the largest size.
pub const FRAME_BYTES_MAX: usize = 256 << 20;
/// Bytes that may wait for one peer; a message more is dropped and raft told, which sends again.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Messages that may wait for one peer.
pub const QUEUE_MESSAGES_MAX: usize = 4096;
/// HTTP/2 window of a peer stream and its connection.
pub const WINDOW_BYTES: u32 = 16 << 20;
/// HTTP/2 frames between members.
pub const HTTP2_FRAME_BYTES: u32 = 1 << 20;
/// Bytes of the peer URLs that a member names when it calls; who names more has said nothing.
pub const PEER_URLS_BYTES_MAX: usize = 2048;
/// Time to connect and be accepted.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause before the first and before any later attempt to connect again.
pub const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(50);
/// See RECONNECT_PAUSE_MIN; it doubles up to here.
pub const RECONNECT_PAUSE_MAX: Duration = Duration::from_millis(500);
/// An idle link says after so long that it lives.
pub const ALIVE_INTERVAL: Duration = Duration::from_millis(500);
/// So often a ping measures the way to a peer and back.
pub const ROUND_TRIP_INTERVAL: Duration = Duration::from_secs(5);
/// Bytes per second at which a copy of the store is sent: above the network's and the disk's usual speed, and low enough
/// to leave both to the log.
pub const SNAPSHOT_BYTES_PER_SECOND: u64 = 128 << 20;
/// Bytes of the copy that are read, sent and paced at once.
pub const SNAPSHOT_CHUNK_BYTES: usize = 256 << 10;
/// Bytes of the message that goes before a copy.
pub const SNAPSHOT_HEADER_BYTES_MAX: usize = 1 << 20;
/// Received pieces of a copy (HTTP/2 frames) that may wait for the disk.
pub const SNAPSHOT_PIECES_QUEUED_MAX: usize = 64;
/// The receiver takes nothing for so long, or the sender, whose copy is read from the disk while it is sent, brings
/// nothing: the transfer is given up.
pub const SNAPSHOT_STALL_MAX: Duration = Duration::from_secs(30);
/// The receiver needs at most so long to check a copy.
pub const SNAPSHOT_CHECK_MAX: Duration = Duration::from_secs(300);
/// A member that stops waits so long for the others to end their streams to it.
pub const LEAVE_MAX: Duration = Duration::from_secs(1);
/// A link that ends waits so long for its peer to have read all of it.
pub const FLUSH_MAX: Duration = Duration::from_millis(500);
