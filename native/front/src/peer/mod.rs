//! Links between members: one HTTP/2 stream from every member to every other, over which raft messages go with their
//! log entries straight from Rust memory. The control plane makes the messages and is told of those that come; entries
//! never pass through it.

mod accept;
mod frame;
pub mod limits;
mod link;
mod ports;
mod shared;
mod wire;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

pub use accept::PeerAcceptor;
pub use link::Payload;
pub use ports::{LinkState, PeerEvents, PeerLog};
pub use shared::PeerCounters;
pub use wire::{Identity, Refusal};

use link::{Link, Outgoing};
use shared::{Shared, add};

/// This side's end of the link to one peer.
struct Handle {
    queue: mpsc::Sender<Outgoing>,
    urls: watch::Sender<Vec<String>>,
    counters: Arc<PeerCounters>,
}

/// All links of one member.
pub struct Peers {
    shared: Arc<Shared>,
    handles: Mutex<HashMap<u64, Handle>>,
    links: mpsc::UnboundedSender<Link>,
    thread: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl Peers {
    /// Starts the links' thread; no peer is known yet.
    pub fn start(
        identity: Identity,
        log: Arc<dyn PeerLog>,
        events: Arc<dyn PeerEvents>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (links, mut new_links) = mpsc::unbounded_channel::<Link>();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("netcd-peers".into())
            .spawn(move || {
                runtime.block_on(async move {
                    let spawn_all = async {
                        while let Some(link) = new_links.recv().await {
                            tokio::spawn(link.run());
                        }
                    };
                    tokio::select! {
                        () = spawn_all => {}
                        _ = stopped => {}
                    }
                });
                // A read of old entries may still hold a blocking thread; it needs nobody to wait for it.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            shared: Arc::new(Shared::new(identity, log, events)),
            handles: Mutex::default(),
            links,
            thread: Mutex::new(Some((stop, thread))),
        })
    }

    /// Changes what this member says of itself on the next streams.
    pub fn set_identity(&self, identity: Identity) {
        self.shared.set_identity(identity);
    }

    /// Adds a peer, or gives it other URLs.
    pub fn set_peer(&self, id: u64, urls: Vec<String>) {
        let mut handles = self.handles.lock();
        if let Some(handle) = handles.get(&id) {
            handle.urls.send_replace(urls);
            return;
        }
        let counters = self.shared.admit(id);
        let (queue, queued) = mpsc::channel(limits::QUEUE_MESSAGES_MAX);
        let (urls, urls_seen) = watch::channel(urls);
        let link = Link {
            id,
            shared: Arc::clone(&self.shared),
            counters: Arc::clone(&counters),
            urls: urls_seen,
            queue: queued,
        };
        // The receiver lives as long as the thread; after close nothing is sent any more.
        let _ = self.links.send(link);
        handles.insert(
            id,
            Handle {
                queue,
                urls,
                counters,
            },
        );
    }

    /// Ends the link to a peer.
    pub fn remove_peer(&self, id: u64) {
        self.handles.lock().remove(&id);
        self.shared.forget(id);
    }

    /// Members that were removed from the cluster for good: their streams are refused.
    pub fn set_removed(&self, ids: impl IntoIterator<Item = u64>) {
        self.shared.set_removed(ids);
    }

    /// Queues a message; `payload_bytes` is the size of its entries. False: it was dropped, the peer does not keep up.
    pub fn send(&self, to: u64, header: Bytes, payload: Payload, payload_bytes: usize) -> bool {
        let handles = self.handles.lock();
        let Some(handle) = handles.get(&to) else {
            return false;
        };
        let bytes = header.len() + payload_bytes;
        let queued = handle
            .counters
            .queued_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        let fits = queued == 0 || queued + bytes <= limits::QUEUE_BYTES_MAX;
        let sent = fits
            && handle
                .queue
                .try_send(Outgoing {
                    header,
                    payload,
                    bytes,
                })
                .is_ok();
        if !sent {
            handle
                .counters
                .queued_bytes
                .fetch_sub(bytes, Ordering::Relaxed);
            add(&handle.counters.sent_failures, 1);
        }
        sent
    }

    /// Serves the streams of peers that come in through a listener.
    pub fn acceptor(&self) -> PeerAcceptor {
        PeerAcceptor(Arc::clone(&self.shared))
    }

    /// Counters by peer id, ascending.
    pub fn counters(&self) -> Vec<(u64, Arc<PeerCounters>)> {
        self.shared.all_counters()
    }

    /// Ends all links and waits for their thread.
    pub fn close(&self) {
        self.handles.lock().clear();
        if let Some((stop, thread)) = self.thread.lock().take() {
            // The thread may have ended by itself.
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
