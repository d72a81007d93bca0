//! What the control plane chooses about the transport.

use std::time::Duration;

use crate::audit::AuditConfig;
use crate::limits;
use crate::tls::TlsSide;

/// Settings of a front; they do not change while it runs.
#[derive(Clone, Debug)]
pub struct FrontConfig {
    /// --max-request-bytes.
    pub max_request_bytes: usize,
    /// --max-txn-ops.
    pub max_txn_ops: usize,
    /// --max-concurrent-streams.
    pub max_concurrent_streams: u32,
    /// --grpc-keepalive-min-time: clients may ping this often.
    pub keepalive_min_time: Duration,
    /// --grpc-keepalive-interval: the server pings after so long without a byte from the client; zero = never.
    pub keepalive_interval: Duration,
    /// --grpc-keepalive-timeout: how long it waits then; zero = for ever.
    pub keepalive_timeout: Duration,
    /// How long a proposal or a read index may take (etcd: 5 s + 2 election timeouts).
    pub request_timeout: Duration,
    /// --watch-progress-notify-interval.
    pub watch_progress_interval: Duration,
    /// How long there may be no leader before watch streams that asked for one are ended (etcd: 3 election timeouts).
    pub leader_loss_timeout: Duration,
    /// Shortest TTL of a lease in seconds (etcd: one and a half election timeouts, rounded up).
    pub lease_ttl_seconds_min: i64,
    /// --metrics=extensive: measure how long calls take.
    pub extensive_metrics: bool,
    /// Connections of clients that are served at once; more wait.
    pub connections_max: usize,
    /// --warning-unary-request-duration: a unary call that takes longer is logged.
    pub slow_request: Duration,
    /// Every unary call is logged.
    pub log_requests: bool,
    /// What tokens look like.
    pub tokens: TokenKind,
    /// The audit log, if one is kept.
    pub audit: Option<AuditConfig>,
    /// Never anything but the default outside tests, which cannot wait for minutes.
    pub patience: Patience,
}

/// What tokens look like (--auth-token), which says where one may be known that is not known here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenKind {
    /// Random letters and the index of the entry that made the token: known everywhere when that is applied.
    Simple,
    /// Signed: the control plane can tell.
    Jwt,
    /// There are none.
    None,
}

/// How long clients that do nothing are waited for; the defaults are the limits of the same names.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the first bytes of a connection, and for the headers of an HTTP/1.1 request.
    pub read_header: Duration,
    /// For the first bytes of a connection to a peer listener.
    pub peer_first_bytes: Duration,
    /// For a TLS handshake.
    pub tls_handshake: Duration,
    /// For the end of the HTTP/2 handshake.
    pub handshake: Duration,
    /// For a connection to take some of the bytes that wait for it.
    pub write_stall: Duration,
    /// For a window for a streamed answer.
    pub stream_stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            read_header: limits::READ_HEADER_TIMEOUT,
            peer_first_bytes: limits::PEER_FIRST_BYTES_TIMEOUT,
            tls_handshake: limits::TLS_HANDSHAKE_TIMEOUT,
            handshake: limits::HANDSHAKE_TIMEOUT,
            write_stall: limits::WRITE_STALL_MAX,
            stream_stall: limits::STREAM_STALL_MAX,
        }
    }
}

impl Default for FrontConfig {
    fn default() -> Self {
        Self {
            max_request_bytes: 1_572_864,
            max_txn_ops: 128,
            max_concurrent_streams: u32::MAX,
            keepalive_min_time: Duration::from_secs(5),
            keepalive_interval: Duration::from_secs(2 * 60 * 60),
            keepalive_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(7),
            watch_progress_interval: Duration::from_secs(10 * 60),
            leader_loss_timeout: Duration::from_secs(3),
            lease_ttl_seconds_min: 2,
            extensive_metrics: false,
            connections_max: limits::CONNECTIONS_MAX,
            slow_request: Duration::from_millis(300),
            log_requests: false,
            tokens: TokenKind::Simple,
            audit: None,
            patience: Patience::default(),
        }
    }
}

impl FrontConfig {
    /// Largest gRPC message that is accepted.
    pub(crate) fn message_bytes_max(&self) -> usize {
        self.max_request_bytes + limits::GRPC_OVERHEAD_BYTES
    }

    /// Bytes of the body of an HTTP request that are accepted.
    pub(crate) fn body_bytes_max(&self) -> usize {
        self.message_bytes_max() * limits::HTTP_BODY_FACTOR
    }
}

/// One address to listen on.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// Names the listener in events: "client", "metrics", "peer".
    pub role: String,
    /// `host:port`, or a path when `unix` is set.
    pub address: String,
    /// Listen on a unix socket.
    pub unix: bool,
    /// Serve gRPC here.
    pub grpc: bool,
    /// Serve HTTP requests here.
    pub http: bool,
    /// Serve connections without TLS; with both the first byte of a connection decides.
    pub plain: bool,
    /// Serve those with TLS: that of members for the role "peer", else that of clients.
    pub tls: bool,
    /// Connections wait, not accepted, until `Front::release`.
    pub held: bool,
}

/// What a connection knows of the listener that accepted it.
#[derive(Debug)]
pub(crate) struct ListenerInfo {
    pub(crate) role: String,
    pub(crate) grpc: bool,
    pub(crate) http: bool,
    pub(crate) plain: bool,
    pub(crate) tls: bool,
}

impl ListenerInfo {
    /// Whose TLS is spoken here.
    pub(crate) fn tls_side(&self) -> TlsSide {
        if self.is_for_peers() {
            TlsSide::Peer
        } else {
            TlsSide::Client
        }
    }

    /// How long a connection may take to say something.
    pub(crate) fn patience(&self, patience: &Patience) -> Duration {
        if self.is_for_peers() {
            patience.peer_first_bytes
        } else {
            patience.read_header
        }
    }

    /// Whether a client's certificate is to be for the address that it calls from.
    pub(crate) fn checks_addresses(&self) -> bool {
        self.is_for_peers() || self.role == "metrics"
    }

    /// Other members come in here, not clients.
    pub(crate) fn is_for_peers(&self) -> bool {
        self.role == "peer"
    }
}

/// What front must know to refuse calls early, as etcd's interceptors do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ServingState {
    /// A leader is known.
    pub has_leader: bool,
    /// This member is a learner.
    pub is_learner: bool,
}

impl ServingState {
    pub(crate) fn to_bits(self) -> u8 {
        u8::from(self.has_leader) | u8::from(self.is_learner) << 1
    }

    pub(crate) fn from_bits(bits: u8) -> Self {
        Self {
            has_leader: bits & 1 != 0,
            is_learner: bits & 2 != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ServingState;

    #[test]
    fn serving_state_survives_its_bits() {
        for bits in 0..4 {
            assert_eq!(ServingState::from_bits(bits).to_bits(), bits);
        }
    }
}
