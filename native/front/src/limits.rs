//! Every limit of the transport, in one place. A queue, buffer or loop without an entry here is a mistake.

use std::time::Duration;

use netcd_engine::limits::WAL_SEGMENTS_OPEN_MAX;

/// Transport threads; a token has seven bits for the worker.
pub const WORKERS_MAX: usize = 64;
/// Connections of clients that one front holds, whatever the limit of descriptors is; more wait in the kernel.
pub const CONNECTIONS_MAX: usize = 65_536;
/// Descriptors that no client's connection takes, as in etcd: they are for the store, the log, copies of the store, links
/// to other members, and for the connections that are kept below. The process refuses to start with no more than these.
pub const OWN_DESCRIPTORS: usize = 150;
/// Connections to peer listeners that find a place although clients have taken all of theirs: every other member has one
/// link, one more while it sends its store, and asks over HTTP.
pub const PEER_CONNECTIONS_KEPT: usize = 48;
/// Connections to metrics listeners that find a place although clients have taken all of theirs.
pub const METRICS_CONNECTIONS_KEPT: usize = 16;
/// Descriptors that are neither of these nor of the log: Node's, the runtimes', the store's, and the links that this
/// member opens.
pub const OTHER_DESCRIPTORS: usize = 70;
/// How often it is said that connections wait for others to end, or that none can be accepted.
pub const ACCEPT_WARNING_INTERVAL: Duration = Duration::from_secs(10);
/// Time for the first bytes of a connection to a peer listener: members speak at once, and who does not must not keep
/// the places of those who do.
pub const PEER_FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the lookups of names that tell whether another member's certificate is for the address it calls from.
pub const HOST_LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Such lookups that run at once; each has a thread of its own, which a silent name server may hold for long.
pub const HOST_LOOKUPS_MAX: usize = 32;
/// Connections that may wait in the kernel to be accepted.
pub const LISTEN_BACKLOG: i32 = 4096;
/// Streams of one connection whatever --max-concurrent-streams says: each may hold an answer that waits for the window.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 16_384;
/// Answers of this size or more are counted while they wait for the client's window; smaller ones are bounded by the
/// number of streams.
pub const ANSWER_TRACKED_BYTES_MIN: usize = 4 << 10;
/// Bytes of counted answers that may wait for one client before its reads get `too many requests`.
pub const UNSENT_PER_CONNECTION_MAX: usize = 64 << 20;
/// Time for the first bytes of a connection, and for the headers of an HTTP/1.1 request.
pub const READ_HEADER_TIMEOUT: Duration = Duration::from_secs(300);
/// Time for a client to send its settings, which end the HTTP/2 handshake, once it has sent a preface.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(120);
/// A connection that takes none of the bytes that wait for it for so long is closed.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(120);
/// A streamed answer whose client opens no window for so long is reset: it pins a read transaction.
pub const STREAM_STALL_MAX: Duration = Duration::from_secs(120);
/// Time for a client to answer the ping behind the first GOAWAY; what it opens later is not served, and it is told so.
pub const FAREWELL_ANSWER_MAX: Duration = Duration::from_millis(250);
/// Time for the last bytes (GOAWAY, a final answer) of a connection that is being closed.
pub const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);
/// gRPC's own allowance over --max-request-bytes for a received message.
pub const GRPC_OVERHEAD_BYTES: usize = 512 << 10;
/// Largest message sent, as gRPC counts it.
pub const SEND_BYTES_MAX: u64 = i32::MAX as u64;
/// Bytes that a watch stream gives to HTTP/2 at once (a larger revision counts as one).
pub const WATCH_WRITE_BYTES: usize = 32 << 10;
/// An event of this many bytes goes to HTTP/2 as the copy that all watchers share; smaller ones are copied together.
pub const WATCH_SHARE_BYTES_MIN: usize = 8 << 10;
/// Time for a TLS handshake, from a connection's first moment to its end.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// TLS handshakes of one transport thread that are not finished; with one more the oldest is ended.
pub const TLS_HANDSHAKES_MAX: usize = 4096;
/// Bytes of a connection's records that wait for its client to take them; what goes into records after that waits with
/// the rest of the connection's.
pub const TLS_UNSENT_BYTES_MAX: usize = 64 << 10;
/// Certificates between a client's own and one that is trusted.
pub const TLS_PATH_CERTIFICATES_MAX: usize = 6;
/// Signatures that are looked at on that way.
pub const TLS_PATH_SIGNATURES_MAX: usize = 64;
/// Lines of the log about connections that were not taken, a second; more are counted.
pub const TLS_REFUSALS_LOGGED_PER_SECOND_MAX: u32 = 20;
/// Bytes of a name in such a line, which may be a stranger's choice.
pub const TLS_NAME_LOGGED_BYTES_MAX: usize = 256;
/// Threads that read large ranges.
pub const READER_THREADS: usize = 2;
/// Large reads (or next chunks of them) that may wait for a reader thread.
pub const READER_QUEUE_MAX: usize = 4096;
/// Requests of KV calls that one worker lets wait for the pipeline or for a read barrier.
pub const SLOTS_PER_WORKER_MAX: usize = 1 << 20;
/// Bytes of requests that one worker lets wait until it is known whose they are, or whether a caller who may not write as far
/// as this member knows may after all. Anybody can send them; more are refused at once.
pub const UNPROVEN_BYTES_MAX: usize = 32 << 20;
/// Bytes of a read from which on it counts among those while it waits; the others are bounded by the number of calls.
pub const UNPROVEN_READ_BYTES_MIN: usize = 1 << 10;
/// How often deadlines of waiting KV calls are looked at.
pub const DEADLINE_SWEEP: Duration = Duration::from_millis(50);
/// Messages of one handed-over call that may wait to be drained by the control plane.
pub const CALL_MESSAGES_UNDRAINED_MAX: u32 = 64;
/// Bytes of one handed-over call that may wait to be drained by the control plane (one message always may).
pub const CALL_BYTES_UNDRAINED_MAX: usize = 4 << 20;
/// Bytes of all handed-over calls together that may wait to be drained by the control plane (one message of each call
/// that is being read at the moment may go beyond it).
pub const CALLS_BYTES_UNDRAINED_MAX: usize = 64 << 20;
/// Bytes queued for a client of a handed-over call before `call_send` returns false.
pub const CALL_SEND_BYTES_HIGH: usize = 1 << 20;
/// Bytes queued for a client of a handed-over call at which the call is ended: its server ignored `false`.
pub const CALL_SEND_BYTES_MAX: usize = 64 << 20;
/// Bytes queued for a client at or below which a caller that was told `false` is called back.
pub const CALL_SEND_BYTES_LOW: usize = 256 << 10;
/// Tokens of which the control plane is asked at once; calls with others are refused meanwhile.
pub const IDENTIFY_OPEN_MAX: usize = 1024;
/// Bytes of a token of which the control plane is asked; none of any use is longer.
pub const IDENTIFY_TOKEN_BYTES_MAX: usize = 16 << 10;
/// How often tokens whose time is over are forgotten, as in etcd.
pub const TOKEN_SWEEP: Duration = Duration::from_secs(1);
/// Handed-over calls and HTTP requests of one front; one more is refused.
pub const HANDED_OVER_MAX: usize = 100_000;
/// An HTTP request body may be this many times the gRPC message limit (JSON and base64 swell what they carry).
pub const HTTP_BODY_FACTOR: usize = 4;
/// Bytes of HTTP/1.1 headers (and hyper's read buffer).
pub const HTTP1_BUFFER_BYTES_MAX: usize = 1 << 20;
/// Headers of one HTTP/1.1 request; room for so many is set aside while it is parsed.
pub const HTTP1_HEADERS_MAX: usize = 4096;
/// Bytes of a body that no endpoint reads which are skipped so that the connection can be used again, as in Go.
pub const BODY_DISCARDED_BYTES_MAX: usize = 256 << 10;
/// Values of client-api-version that are counted by name; the rest counts as "other".
pub const API_VERSIONS_COUNTED_MAX: usize = 64;
/// Time that calls get when a front is dropped without a shutdown.
pub const DROP_GRACE: Duration = Duration::ZERO;
/// Pause after an accept that failed (out of file descriptors).
pub const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// A range without a limit, or with a larger one than this, is read on a reader thread.
pub const INLINE_RANGE_KEYS_MAX: i64 = 1000;
/// Bytes of records that one transport thread lets wait for the writer of the audit log; beyond that they are left out, or
/// requests wait, as the policy says. The writer holds as much again while it writes.
pub const AUDIT_QUEUE_BYTES_MAX: usize = 8 << 20;
/// How long the writer of the audit log gathers records before it writes them.
pub const AUDIT_GATHER: Duration = Duration::from_millis(10);
/// Bytes that are given to the audit log's file at once.
pub const AUDIT_WRITE_BYTES: usize = 256 << 10;
/// Bytes of one key, name or text in the audit log; of longer ones it has the beginning and the length.
pub const AUDIT_TEXT_BYTES_MAX: usize = 1 << 10;
/// Operations of one txn that are in the audit log; of more their number is.
pub const AUDIT_OPS_MAX: usize = 64;
/// URLs of one member in the audit log.
pub const AUDIT_URLS_MAX: usize = 16;
/// How often it is looked whether the audit log's file was moved away.
pub const AUDIT_REOPEN_CHECK: Duration = Duration::from_secs(1);
/// How long the audit log's file is in use at most where old ones are removed by their age.
pub const AUDIT_FILE_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Pause before what could not be written to the audit log is tried again.
pub const AUDIT_RETRY: Duration = Duration::from_millis(200);
/// Time for the rest of the audit log to be written when a front ends.
pub const AUDIT_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

const _: () = assert!(WORKERS_MAX <= 128);
const _: () = assert!(
    PEER_CONNECTIONS_KEPT + METRICS_CONNECTIONS_KEPT + WAL_SEGMENTS_OPEN_MAX + OTHER_DESCRIPTORS
        <= OWN_DESCRIPTORS
);
const _: () = assert!(
    CALL_SEND_BYTES_LOW < CALL_SEND_BYTES_HIGH && CALL_SEND_BYTES_HIGH < CALL_SEND_BYTES_MAX
);
// The lengths of texts have 16 bits in a record.
const _: () = assert!(AUDIT_TEXT_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(
    AUDIT_WRITE_BYTES < 1 << 20,
    "the smallest file is a megabyte"
);
const _: () = assert!(CALL_BYTES_UNDRAINED_MAX <= CALLS_BYTES_UNDRAINED_MAX);
const _: () = assert!(SLOTS_PER_WORKER_MAX <= u32::MAX as usize);
