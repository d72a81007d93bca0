//! Links between members: one HTTP/2 stream from every member to every other, over which raft messages go with their
//! log entries straight from Rust memory. The control plane makes the messages and is told of those that come; entries
//! never pass through it.

mod accept;
mod address;
mod counters;
mod dial;
mod frame;
#[cfg(test)]
mod fuzz_test;
pub mod limits;
mod link;
mod metrics;
mod ports;
mod presence;
mod shared;
mod snapshot;
mod wire;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

pub use accept::PeerAcceptor;
pub use counters::PeerCounters;
pub use link::Payload;
pub use ports::{LinkState, PeerEvents, PeerLog, PeerStore, StoreCopy};
pub use shared::LinkTimeouts;
pub use wire::{Identity, Refusal};

use crate::tls::Tls;
use counters::add;
use link::{Link, Outgoing};
use shared::{Contact, Shared};
use snapshot::Transfer;

/// This side's end of the link to one peer.
struct Handle {
    queue: mpsc::Sender<Outgoing>,
    contact: Contact,
    /// The copy of the store that is on its way: dropped, it ends.
    sending: Option<oneshot::Sender<()>>,
}

/// What the links' thread does.
type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// All links of one member.
pub struct Peers {
    shared: Arc<Shared>,
    handles: Mutex<HashMap<u64, Handle>>,
    jobs: mpsc::UnboundedSender<Job>,
    thread: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl Peers {
    /// Starts the links' thread; no peer is known yet.
    pub fn start(
        identity: Identity,
        timeouts: LinkTimeouts,
        log: Arc<dyn PeerLog>,
        store: Arc<dyn PeerStore>,
        events: Arc<dyn PeerEvents>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (jobs, mut new_jobs) = mpsc::unbounded_channel::<Job>();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("netcd-peers".into())
            .spawn(move || {
                runtime.block_on(async move {
                    let spawn_all = async {
                        while let Some(job) = new_jobs.recv().await {
                            tokio::spawn(job);
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
            shared: Arc::new(Shared::new(identity, timeouts, log, store, events)),
            handles: Mutex::default(),
            jobs,
            thread: Mutex::new(Some((stop, thread))),
        })
    }

    /// Changes what this member says of itself on the next streams.
    pub fn set_identity(&self, identity: Identity) {
        self.shared.set_identity(identity);
    }

    /// What encrypted links are made with from now on; those that are open go on.
    pub fn set_tls(&self, tls: Arc<Tls>) {
        self.shared.set_tls(tls);
    }

    /// Adds a peer, or gives it other URLs.
    pub fn set_peer(&self, id: u64, urls: Vec<String>) {
        let mut handles = self.handles.lock();
        let contact = self.shared.admit(id);
        contact
            .addresses
            .send_modify(|known| known.configured = urls);
        if handles.contains_key(&id) {
            return;
        }
        let (queue, queued) = mpsc::channel(limits::QUEUE_MESSAGES_MAX);
        let link = Link {
            id,
            shared: Arc::clone(&self.shared),
            counters: Arc::clone(&contact.counters),
            addresses: contact.addresses.subscribe(),
            queue: queued,
        };
        // The receiver lives as long as the thread; after close nothing is sent any more.
        let _ = self.jobs.send(Box::pin(link.run()));
        let sending = None;
        let handle = Handle {
            queue,
            contact,
            sending,
        };
        handles.insert(id, handle);
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
        let counters = &handle.contact.counters;
        let queued = counters.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
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
            counters.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            add(&counters.sent_failures, 1);
        }
        sent
    }

    /// Sends a copy of the store behind this message; `PeerEvents::snapshot_sent` says how that ended. A copy that is
    /// still on its way to the same peer is given up, without a word.
    pub fn send_snapshot(&self, to: u64, header: Bytes) {
        let mut handles = self.handles.lock();
        let Some(handle) = handles.get_mut(&to) else {
            self.shared
                .events
                .snapshot_sent(to, Err("peer is not known".into()));
            return;
        };
        let (current, replaced) = oneshot::channel();
        handle.sending = Some(current);
        let transfer = Transfer {
            to,
            header,
            shared: Arc::clone(&self.shared),
            counters: Arc::clone(&handle.contact.counters),
            addresses: handle.contact.addresses.subscribe(),
        };
        // The receiver lives as long as the thread; after close nothing is sent any more.
        let _ = self.jobs.send(Box::pin(transfer.run(replaced)));
    }

    /// Serves the streams of peers that come in through a listener.
    pub fn acceptor(&self) -> PeerAcceptor {
        PeerAcceptor(Arc::clone(&self.shared))
    }

    /// The links' metrics in Prometheus text.
    pub fn metrics(&self) -> String {
        metrics::render(self.shared.identity().member_id, &self.counters())
    }

    /// Counters by peer id, ascending.
    pub fn counters(&self) -> Vec<(u64, Arc<PeerCounters>)> {
        self.shared.all_counters()
    }

    /// Asks all peers to send nothing more, and waits until what they have sent is here, for at most `LEAVE_MAX`. What
    /// they had still to send goes elsewhere. Blocks.
    pub fn leave(&self) {
        self.shared.leaving.send_replace(true);
        self.shared.incoming.await_none(limits::LEAVE_MAX);
    }

    /// Ends all links when what is queued has reached the peers, or after `FLUSH_MAX`, and waits for their thread.
    pub fn close(&self) {
        self.shared.leaving.send_replace(true);
        self.handles.lock().clear();
        self.shared.outgoing.await_none(limits::FLUSH_MAX);
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
