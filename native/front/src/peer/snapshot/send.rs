//! The sender: streams a copy of the store at a bounded rate, while it is made.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use netcd_engine::snapshot::SnapshotInfo;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::{encode_end, encode_head};
use crate::peer::address::Addresses;
use crate::peer::counters::{PeerCounters, add};
use crate::peer::dial::{self, Channel, DialError, write};
use crate::peer::limits;
use crate::peer::ports::StoreCopy;
use crate::peer::shared::Shared;
use crate::peer::wire;

/// One copy for one peer.
pub struct Transfer {
    /// The peer.
    pub to: u64,
    /// The message that goes before the copy.
    pub header: Bytes,
    /// What all links share.
    pub shared: Arc<Shared>,
    /// Of the peer.
    pub counters: Arc<PeerCounters>,
    /// Of the peer.
    pub addresses: watch::Receiver<Addresses>,
}

impl Transfer {
    /// Sends, and says how it ended, unless another transfer replaces this one.
    pub async fn run(self, replaced: oneshot::Receiver<()>) {
        let running = self.counters.copies_out.begin();
        let outcome = tokio::select! {
            _ = replaced => return,
            outcome = self.send() => outcome,
        };
        match outcome {
            Ok(_) => running.arrived(),
            Err(_) => {
                drop(running);
                add(&self.counters.sent_failures, 1);
            }
        }
        self.shared.events.snapshot_sent(self.to, outcome);
    }

    async fn send(&self) -> Result<SnapshotInfo, String> {
        // First the peer: without one, no copy is begun. It does not wait while what is applied goes into the tree.
        drop(self.dial().await?);
        let copy = self.copy().await?;
        let mut channel = self.dial().await?;
        let info = self.stream(&mut channel, copy).await?;
        let verdict = timeout(limits::SNAPSHOT_CHECK_MAX, channel.words()).await;
        match verdict {
            Ok(words) if words == wire::STORED => Ok(info),
            Ok(words) if words.is_empty() => Err("the connection was lost".into()),
            Ok(words) => Err(words),
            Err(_) => Err("the peer did not say whether the copy arrived".into()),
        }
    }

    /// The copy's beginning, on a thread that may block.
    async fn copy(&self) -> Result<Box<dyn StoreCopy>, String> {
        let (store, to) = (Arc::clone(&self.shared.store), self.to);
        let copy = tokio::task::spawn_blocking(move || store.copy(to));
        copy.await.map_err(|error| error.to_string())?
    }

    async fn dial(&self) -> Result<Channel, String> {
        let addresses = self.addresses.borrow().clone();
        let mut reason = "peer has no URL".to_owned();
        for url in addresses.all() {
            let opened = dial::open(&self.shared, self.to, url, wire::SNAPSHOT_PATH);
            reason = match timeout(limits::CONNECT_TIMEOUT, opened).await {
                Ok(Ok(channel)) => return Ok(channel),
                Ok(Err(DialError::Failed(reason) | DialError::NobodyListens(reason))) => reason,
                Ok(Err(DialError::Refused(status, text))) => format!("{url}: {status}: {text}"),
                Err(_) => format!("{url}: not connected in {:?}", limits::CONNECT_TIMEOUT),
            };
        }
        Err(reason)
    }

    async fn stream(
        &self,
        channel: &mut Channel,
        mut copy: Box<dyn StoreCopy>,
    ) -> Result<SnapshotInfo, String> {
        let head = encode_head(&self.header, &copy.start());
        self.write(channel, head).await?;
        let mut pace = Pace::new(limits::SNAPSHOT_BYTES_PER_SECOND);
        loop {
            let read = tokio::task::spawn_blocking(move || {
                let mut chunk = vec![0; limits::SNAPSHOT_CHUNK_BYTES];
                let read = copy.read(&mut chunk)?;
                chunk.truncate(read);
                Ok::<_, String>((copy, chunk))
            });
            let (back, chunk) = read.await.map_err(|error| error.to_string())??;
            copy = back;
            let bytes = chunk.len();
            self.write(channel, chunk.into()).await?;
            if bytes < limits::SNAPSHOT_CHUNK_BYTES {
                break;
            }
            sleep_until(pace.sent(bytes as u64)).await;
        }
        let info = copy.info();
        self.write(channel, encode_end(&info)).await?;
        let ended = channel.stream.send_data(Bytes::new(), true);
        ended.map_err(|error| error.to_string())?;
        Ok(info)
    }

    async fn write(&self, channel: &mut Channel, bytes: Bytes) -> Result<(), String> {
        add(&self.counters.sent_bytes, bytes.len() as u64);
        match write(&mut channel.stream, bytes, limits::SNAPSHOT_STALL_MAX).await {
            Ok(()) => Ok(()),
            // A receiver that ended the stream may have said why.
            Err(reason) => match timeout(limits::CONNECT_TIMEOUT, channel.words()).await {
                Ok(words) if !words.is_empty() => Err(words),
                Ok(_) | Err(_) => Err(reason),
            },
        }
    }
}

/// Spreads bytes over time.
struct Pace {
    bytes_per_second: u64,
    start: Instant,
    bytes: u64,
}

impl Pace {
    fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second,
            start: Instant::now(),
            bytes: 0,
        }
    }

    /// So many more were sent; when to send on.
    fn sent(&mut self, bytes: u64) -> Instant {
        self.bytes += bytes;
        let due = Duration::from_secs_f64(self.bytes as f64 / self.bytes_per_second as f64);
        self.start + due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_spreads_bytes_evenly() {
        let mut pace = Pace::new(1000);
        let first = pace.sent(500);
        assert_eq!(first - pace.start, Duration::from_millis(500));
        assert_eq!(pace.sent(1000) - first, Duration::from_secs(1));
    }
}
