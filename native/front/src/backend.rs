//! What the hot calls need from the engine: the seam between transport and pipeline, and where tests put a fake.

use bytes::Bytes;
use netcd_engine::error::EtcdError;
pub use netcd_engine::pipeline::ReadBarrier;
use netcd_engine::proto::etcdserverpb::{RangeRequest, TxnRequest};
use netcd_engine::types::{OpKind, OpResult, Token};

/// Chunks of a streamed answer; each `next` may read from disk, so it is called on reader threads only.
pub type ChunkIter = Box<dyn Iterator<Item = Result<Bytes, EtcdError>> + Send>;

/// The answer of a range.
pub enum RangeAnswer {
    /// The encoded RangeResponse.
    Whole(Bytes),
    /// A large RangeResponse, encoded as it is sent.
    Chunked {
        /// Length of the whole message.
        bytes: u64,
        /// Its parts in order; together exactly `bytes` long.
        chunks: ChunkIter,
    },
}

/// The engine as front sees it.
pub trait Backend: Send + Sync + 'static {
    /// Queue a checked write; answered by `Completions::ops_done`.
    fn submit(&self, kind: OpKind, request: &[u8], token: Token) -> Result<(), EtcdError>;
    /// Ask whether a linearizable read may be served now.
    fn read_barrier(&self, token: Token) -> Result<ReadBarrier, EtcdError>;
    /// Serve a range from the current state.
    fn range(&self, request: &RangeRequest) -> Result<RangeAnswer, EtcdError>;
    /// Serve a range as a stream: each chunk is one encoded RangeStreamResponse.
    fn range_stream(&self, request: &RangeRequest) -> Result<ChunkIter, EtcdError>;
    /// Serve a txn of ranges only.
    fn read_txn(&self, request: &TxnRequest) -> OpResult;
}
