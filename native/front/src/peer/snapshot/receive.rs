//! The receiver: writes what comes into a file of its own and hands the whole file over. The transport's thread never
//! waits for the disk; what the disk has not taken keeps the sender's window closed.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use netcd_engine::snapshot::SnapshotInfo;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{PartFile, decode_head};
use crate::http2::Body;
use crate::peer::limits;
use crate::peer::shared::{PeerCounters, Shared, add};

/// Receives one copy. An error says why it is not here; nothing is left of it then.
pub async fn receive_snapshot(
    shared: &Arc<Shared>,
    from: u64,
    counters: &PeerCounters,
    body: Body,
) -> Result<(), String> {
    let replaced = shared.begin_receiving(from);
    let running = counters.copies_in.begin();
    let outcome = tokio::select! {
        _ = replaced => Err("another snapshot came".into()),
        outcome = receive(shared, from, counters, body) => outcome,
    };
    if outcome.is_ok() {
        running.arrived();
    }
    outcome
}

async fn receive(
    shared: &Arc<Shared>,
    from: u64,
    counters: &PeerCounters,
    body: Body,
) -> Result<(), String> {
    let started = Instant::now();
    let mut stream = Incoming { body, counters };
    let (message, info, start) = stream.head().await?;
    let mut writer = Writer::start(PartFile::new(shared.store.directory(), "receive", from));
    let mut bytes = start.len() as u64;
    writer.take(start).await?;
    while let Some(piece) = stream.piece().await? {
        bytes += piece.len() as u64;
        if bytes > info.bytes {
            return Err(format!("more than the {} bytes announced came", info.bytes));
        }
        let length = piece.len();
        writer.take(piece).await?;
        stream.taken(length);
        if shared.is_removed(from) {
            return Err("removed member".into());
        }
    }
    if bytes != info.bytes {
        return Err(format!("{bytes} of {} bytes came", info.bytes));
    }
    let file = writer.finish().await?;
    hand_over(shared, from, message, file, info, started).await
}

async fn hand_over(
    shared: &Arc<Shared>,
    from: u64,
    message: Bytes,
    file: PartFile,
    info: SnapshotInfo,
    started: Instant,
) -> Result<(), String> {
    let store = Arc::clone(&shared.store);
    let taken = tokio::task::spawn_blocking(move || {
        let path = file.finish().map_err(|error| error.to_string())?;
        store.received(from, message, path, info, started)
    });
    taken.await.map_err(|error| error.to_string())?
}

struct Incoming<'a> {
    body: Body,
    counters: &'a PeerCounters,
}

impl Incoming<'_> {
    /// Message, info and the first bytes of the file.
    async fn head(&mut self) -> Result<(Bytes, SnapshotInfo, Bytes), String> {
        let mut buffer = BytesMut::new();
        loop {
            if let Some((message, info)) = decode_head(&mut buffer)? {
                return Ok((message, info, buffer.freeze()));
            }
            let piece = self.piece().await?.ok_or("no snapshot came")?;
            self.taken(piece.len());
            buffer.extend_from_slice(&piece);
        }
    }

    /// The next piece; None at the end.
    async fn piece(&mut self) -> Result<Option<Bytes>, String> {
        let piece = timeout(limits::SILENCE_MAX, self.body.data()).await;
        let piece = piece.map_err(|_| "the sender fell silent".to_owned())?;
        let piece = piece.transpose().map_err(|error| error.to_string())?;
        if let Some(piece) = &piece {
            add(&self.counters.received_bytes, piece.len() as u64);
        }
        Ok(piece)
    }

    /// A piece is on its way to the disk: the sender may send as much again.
    fn taken(&mut self, bytes: usize) {
        self.body.release(bytes);
    }
}

/// Writes the file on a thread that may block.
struct Writer {
    pieces: mpsc::Sender<Bytes>,
    thread: JoinHandle<io::Result<PartFile>>,
}

impl Writer {
    fn start(file: PartFile) -> Self {
        let (pieces, mut queued) = mpsc::channel::<Bytes>(limits::SNAPSHOT_PIECES_QUEUED_MAX);
        let thread = tokio::task::spawn_blocking(move || {
            let mut target = File::options()
                .write(true)
                .create_new(true)
                .open(&file.path)?;
            while let Some(piece) = queued.blocking_recv() {
                target.write_all(&piece)?;
            }
            Ok(file)
        });
        Self { pieces, thread }
    }

    async fn take(&mut self, piece: Bytes) -> Result<(), String> {
        if self.pieces.send(piece).await.is_ok() {
            return Ok(());
        }
        // The thread ends early only with an error.
        match (&mut self.thread).await {
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(_)) => Err("the file was closed".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The whole file, when all of it is written.
    async fn finish(self) -> Result<PartFile, String> {
        drop(self.pieces);
        let written = self.thread.await.map_err(|error| error.to_string())?;
        written.map_err(|error| error.to_string())
    }
}
