//! netcd's transport: listeners, HTTP/2 and HTTP/1.1, gRPC framing, the hot KV calls, and the hand-over of every other
//! call and request to the control plane.
//!
//! N worker threads run one single-threaded tokio runtime each; a connection lives on one worker and shares nothing
//! with the others. KV calls are decoded, checked and answered here; answers come back from the pipeline as one batch
//! per worker (`FrontCompletions`). Everything else goes out as `FrontEvent`s and is answered through `Front`.

mod admission;
mod audit;
mod audited;
mod backend;
mod calendar;
mod call;
mod caller;
mod completions;
mod config;
mod conn;
mod connection;
mod dispatch;
mod events;
mod front;
mod grpc;
mod handover;
mod handshake;
mod hot;
mod http;
mod lease;
pub mod limits;
mod listener;
mod metrics;
mod outbound;
pub mod peer;
mod prefixed;
mod probes;
mod read_ahead;
mod readers;
mod reads;
mod send;
mod shared;
mod slots;
mod stats;
mod stop;
pub mod tls;
mod unix_socket;
mod waker;
mod watch;
mod worker;

pub use crate::http::header_map;
pub use admission::{connections_max, descriptor_limit};
pub use audit::{AuditConfig, AuditResult, AuditRule};
pub use backend::{Backend, Chunks, RangeAnswer, ReadBarrier, ReadKind, SlowRead};
pub use completions::FrontCompletions;
pub use config::{FrontConfig, ListenerConfig, Patience, ServingState, TokenKind};
pub use events::{FieldValue, FrontEvent, FrontEvents, LogLevel, MetadataValue, RequestStats};
pub use front::{Front, FrontCounts, ListenError};
pub use grpc::deframe::{DeframeError, Deframer};
pub use grpc::methods::{METHODS, Method, MethodKind};
pub use probes::{Probe, ProbeCounts, ProbeKind};
