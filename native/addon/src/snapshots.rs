//! Copies of the store between members: begun for a peer that is too far behind, and waiting behind handles when they
//! came from one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use netcd_engine::mvcc::Store;
use netcd_engine::snapshot::{self, Outgoing, Received, SnapshotInfo};
use netcd_front::peer::{PeerStore, StoreCopy};
use parking_lot::Mutex;

use crate::event::{Event, PeerEvent};
use crate::limits::SNAPSHOTS_RECEIVED_MAX;
use crate::queue::EventQueue;

/// See the file's head.
pub struct Snapshots {
    store: Arc<Store>,
    queue: Arc<EventQueue>,
    directory: PathBuf,
    no_fsync: bool,
    received: Mutex<HashMap<u64, Received>>,
    last_handle: AtomicU64,
}

impl Snapshots {
    /// Of the store in this member directory.
    pub fn new(
        store: Arc<Store>,
        queue: Arc<EventQueue>,
        member_dir: &Path,
        no_fsync: bool,
    ) -> Self {
        Self {
            store,
            queue,
            directory: member_dir.join(snapshot::DIRECTORY),
            no_fsync,
            received: Mutex::default(),
            last_handle: AtomicU64::new(0),
        }
    }

    /// The store behind a handle, which is not valid any more.
    pub fn take(&self, handle: u64) -> Option<Received> {
        self.received.lock().remove(&handle)
    }

    fn log(&self, message: &str, fields: Vec<(&str, String)>) {
        let fields = fields.into_iter();
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        self.queue.log("info", message.to_owned(), fields.collect());
    }
}

impl PeerStore for Snapshots {
    fn directory(&self) -> &Path {
        &self.directory
    }

    fn copy(&self, to: u64) -> Result<Box<dyn StoreCopy>, String> {
        let copy = Outgoing::begin(&self.store).map_err(|error| error.to_string())?;
        let start = copy.start();
        let fields = vec![
            ("snapshot-index", start.applied.index.to_string()),
            ("remote-peer-id", format!("{to:x}")),
            ("bytes", start.bytes_max.to_string()),
        ];
        self.log("sending database snapshot", fields);
        Ok(Box::new(copy))
    }

    fn received(
        &self,
        from: u64,
        header: Bytes,
        path: PathBuf,
        info: SnapshotInfo,
        started: Instant,
    ) -> Result<(), String> {
        let received = Received::open(&path, &info, self.no_fsync);
        let received = received.map_err(|error| error.to_string())?;
        received.arrived(&self.store, started.elapsed());
        let handle = self.last_handle.fetch_add(1, Ordering::Relaxed) + 1;
        let (applied, meta) = (received.applied(), received.meta().to_vec());
        {
            let mut waiting = self.received.lock();
            if waiting.len() >= SNAPSHOTS_RECEIVED_MAX {
                return Err("other snapshots wait to be installed".into());
            }
            waiting.insert(handle, received);
        }
        let fields = vec![
            ("remote-peer-id", format!("{from:x}")),
            ("incoming-snapshot-index", applied.index.to_string()),
            ("bytes", info.bytes.to_string()),
        ];
        self.log("received and saved database snapshot", fields);
        self.queue.push(Event::Peer(PeerEvent::Snapshot {
            from,
            header,
            snapshot: handle,
            applied,
            meta,
        }));
        Ok(())
    }
}
