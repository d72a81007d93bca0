//! The receiver: writes what comes into a file of its own and hands the whole file over. The transport's thread never
//! waits for the disk; what the disk has not taken keeps the sender's window closed.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use netcd_engine::snapshot::{SnapshotInfo, SnapshotStart};
use netcd_http2::Body;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{END_BYTES, PartFile, decode_end, decode_head};
use crate::peer::counters::{PeerCounters, add};
use crate::peer::limits;
use crate::peer::shared::Shared;

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
    let mut stream = Incoming {
        body,
        counters,
        unreleased: 0,
    };
    let (message, start, first) = stream.head().await?;
    let mut writer = Writer::start(PartFile::new(shared.store.directory(), from));
    let mut end = HeldBack::default();
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(piece) = next {
        for part in end
            .exchange(piece)
            .into_iter()
            .filter(|part| !part.is_empty())
        {
            bytes += part.len() as u64;
            if bytes > start.bytes_max {
                return Err(format!("more than {} bytes came", start.bytes_max));
            }
            writer.take(part).await?;
        }
        if shared.is_removed(from) {
            return Err("removed member".into());
        }
        next = stream.piece().await?;
    }
    let info = end.info(&start, bytes)?;
    let file = writer.finish().await?;
    hand_over(shared, from, message, file, info, started).await
}

/// The last bytes that came: they may be what goes after the file.
#[derive(Default)]
struct HeldBack(BytesMut);

impl HeldBack {
    /// Takes what came, in order, and gives what is surely of the file.
    fn exchange(&mut self, mut piece: Bytes) -> [Bytes; 2] {
        let surely = piece.len().saturating_sub(END_BYTES);
        let whole = piece.split_to(surely);
        self.0.extend_from_slice(&piece);
        let surplus = self.0.len().saturating_sub(END_BYTES);
        let held = self.0.split_to(surplus).freeze();
        [held, whole]
    }

    /// What the sender says that it sent, of which so many bytes came.
    fn info(self, start: &SnapshotStart, came: u64) -> Result<SnapshotInfo, String> {
        let (bytes, checksum) = decode_end(self.0.freeze()).ok_or("the snapshot has no end")?;
        if bytes != came {
            return Err(format!("{came} of {bytes} bytes came"));
        }
        Ok(start.whole(bytes, checksum))
    }
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
    /// Bytes of the newest piece, which the sender may not send as many of again yet.
    unreleased: usize,
}

impl Incoming<'_> {
    /// Message, start and the first bytes of the file.
    async fn head(&mut self) -> Result<(Bytes, SnapshotStart, Bytes), String> {
        let mut buffer = BytesMut::new();
        loop {
            if let Some((message, start)) = decode_head(&mut buffer)? {
                return Ok((message, start, buffer.freeze()));
            }
            let piece = self.piece().await?.ok_or("no snapshot came")?;
            buffer.extend_from_slice(&piece);
        }
    }

    /// The next piece; None at the end. The one before is on its way to the disk, and the sender may send as much again.
    async fn piece(&mut self) -> Result<Option<Bytes>, String> {
        self.body.release(std::mem::take(&mut self.unreleased));
        let piece = timeout(limits::SNAPSHOT_STALL_MAX, self.body.data()).await;
        let piece = piece.map_err(|_| "the sender fell silent".to_owned())?;
        let piece = piece.transpose().map_err(|error| error.to_string())?;
        if let Some(piece) = &piece {
            add(&self.counters.received_bytes, piece.len() as u64);
            self.unreleased = piece.len();
        }
        Ok(piece)
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
            let target = File::options()
                .write(true)
                .create_new(true)
                .open(&file.path)?;
            let mut target = BufWriter::with_capacity(limits::SNAPSHOT_CHUNK_BYTES, target);
            while let Some(piece) = queued.blocking_recv() {
                target.write_all(&piece)?;
            }
            target.flush()?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use netcd_engine::types::LogMark;

    const START: SnapshotStart = SnapshotStart {
        applied: LogMark { index: 7, term: 3 },
        revision: 99,
        bytes_max: 1 << 20,
    };

    proptest! {
        #[test]
        fn the_end_is_told_from_the_file_however_the_bytes_come(
            file in prop::collection::vec(any::<u8>(), 0..100),
            cuts in prop::collection::vec(0usize..112, 0..12),
        ) {
            let sent = START.whole(file.len() as u64, 5);
            let all = [&file[..], &super::super::encode_end(&sent)].concat();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(all.len())).collect();
            cuts.extend([0, all.len()]);
            cuts.sort_unstable();
            let mut end = HeldBack::default();
            let mut came = Vec::new();
            for cut in cuts.windows(2) {
                for part in end.exchange(Bytes::copy_from_slice(&all[cut[0]..cut[1]])) {
                    came.extend_from_slice(&part);
                }
            }
            prop_assert_eq!(&came, &file);
            prop_assert_eq!(end.info(&START, came.len() as u64), Ok(sent));
        }
    }

    #[test]
    fn a_snapshot_that_broke_off_or_lost_bytes_is_none() {
        let sent = START.whole(3, 5);
        let mut short = HeldBack::default();
        short.exchange(super::super::encode_end(&sent).slice(2..));
        assert!(short.info(&START, 0).is_err());
        let mut whole = HeldBack::default();
        whole.exchange(super::super::encode_end(&sent));
        assert_eq!(whole.info(&START, 2), Err("2 of 3 bytes came".into()));
    }
}
