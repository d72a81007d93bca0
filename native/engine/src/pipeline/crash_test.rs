//! The pipeline over the real WAL on a disk that loses its power at every sync point: after each restart every
//! acknowledged request is there exactly once and in order.

use std::collections::HashMap;
use std::sync::Arc;

use super::testing::{Clients, Inbox, RecordingStore, Rig, config};
use super::*;
use crate::auth::Caller;
use crate::disk::{CrashLoss, SimDisk};
use crate::error::NO_SPACE;
use crate::types::{Completions, Identity, LogMark, Token};
use crate::wal::WalOptions;

pub const IDENTITY: Identity = Identity {
    cluster_id: 7,
    member_id: 1,
};
const SEGMENT_BYTES: u64 = 8192;
const TOKENS: u64 = 120;

fn open(
    disk: &SimDisk,
    applied: LogMark,
) -> Result<(Rig<RecordingStore>, LogRecovered), PipelineOpenError> {
    open_installed(disk, applied, LogMark::default())
}

/// A pipeline over a store that was received at `installed` and stands at `applied`.
pub fn open_installed(
    disk: &SimDisk,
    applied: LogMark,
    installed: LogMark,
) -> Result<(Rig<RecordingStore>, LogRecovered), PipelineOpenError> {
    let store = Arc::new(RecordingStore::default());
    let inbox = Arc::new(Inbox::default());
    let clients = Arc::new(Clients::default());
    let place = LogPlace {
        disk: disk.handle(),
        identity: IDENTITY,
        options: WalOptions {
            segment_bytes: SEGMENT_BYTES,
            prepare_ahead: false,
        },
    };
    let (pipeline, recovered) = Pipeline::open(
        config(),
        place.open()?,
        (Arc::clone(&store), applied, installed),
        Arc::clone(&inbox) as Arc<dyn PipelineEvents>,
        Arc::clone(&clients) as Arc<dyn Completions>,
    )?;
    let rig = Rig {
        pipeline,
        store,
        inbox,
        clients,
    };
    Ok((rig, recovered))
}

/// Writes until the power is cut; returns the tokens that were acknowledged.
fn life(disk: &SimDisk, granted: bool) -> Vec<u64> {
    let Ok((rig, recovered)) = open(disk, LogMark::default()) else {
        return Vec::new();
    };
    let driver = rig.drive(1, recovered.replay.last.index, granted);
    let taken: Vec<u64> = (1..=TOKENS)
        .filter(|token| {
            // Some in bursts, some one by one, so that batches of all sizes are cut.
            let taken = rig.submit(*token).is_ok();
            if taken && token % 7 == 0 {
                rig.clients.wait([*token]);
            }
            taken
        })
        .collect();
    let answers = rig.clients.wait(taken.iter().copied());
    rig.finish(driver);
    let acknowledged = taken.into_iter().zip(answers);
    acknowledged
        .filter_map(|(token, answer)| answer.ok().map(|_| token))
        .collect()
}

/// Starts again and lets raft commit everything that the log has; returns what is applied.
fn next_life(disk: &SimDisk) -> Vec<u64> {
    let (rig, recovered) = open(disk, LogMark::default()).expect("a torn log opens");
    let last = recovered.replay.last;
    let driver = rig.drive(last.term + 1, last.index, true);
    rig.put(1_000_000);
    assert!(rig.clients.wait([1_000_000])[0].is_ok());
    assert_eq!(rig.finish(driver), None);
    let requests = rig.store.requests();
    assert_eq!(
        rig.clients.order(),
        [1_000_000],
        "nobody waits for requests of the life before"
    );
    let numbers = requests
        .iter()
        .map(|r| std::str::from_utf8(r).unwrap().parse().unwrap());
    numbers.collect()
}

fn check_cut(halt_at: u64, granted: bool, loss: CrashLoss) -> bool {
    let disk = SimDisk::new();
    disk.halt_at_sync(halt_at);
    let acknowledged = life(&disk, granted);
    let done = disk.syncs() < halt_at;
    let applied = next_life(&disk.crash(loss));
    let mut times: HashMap<u64, u32> = HashMap::new();
    applied
        .iter()
        .for_each(|token| *times.entry(*token).or_default() += 1);
    let case = format!("cut at sync {halt_at}, granted {granted}, {loss:?}");
    assert!(
        times.values().all(|times| *times == 1),
        "{case}: applied twice"
    );
    assert!(applied.is_sorted(), "{case}: order");
    for token in acknowledged {
        assert!(times.contains_key(&token), "{case}: {token} is lost");
    }
    done
}

#[test]
fn every_acknowledged_request_survives_a_cut_at_every_sync_point() {
    for granted in [true, false] {
        let mut cuts = 0;
        for halt_at in 1.. {
            let loss = match halt_at % 3 {
                0 => CrashLoss::Everything,
                1 => CrashLoss::Nothing,
                _ => CrashLoss::Sectors {
                    seed: halt_at,
                    sector_bytes: 512,
                },
            };
            if check_cut(halt_at, granted, loss) {
                break;
            }
            cuts += 1;
        }
        assert!(cuts > 20, "the life is long enough to be cut {cuts} times");
    }
}

#[test]
fn a_full_disk_is_survived_with_the_real_log() {
    let disk = SimDisk::new();
    let (rig, _) = open(&disk, LogMark::default()).unwrap();
    let driver = rig.drive(1, 0, true);
    disk.set_capacity(Some(disk.used()));
    let mut token = 1;
    let mut acknowledged = Vec::new();
    while rig.submit(token).is_ok() {
        match &rig.clients.wait([token])[0] {
            Ok(_) => acknowledged.push(token),
            Err(error) => assert_eq!(*error, NO_SPACE),
        }
        token += 1;
    }
    assert_eq!(rig.submit(token), Err(NO_SPACE));
    disk.set_capacity(None);
    while rig.submit(token).is_err() {
        std::thread::yield_now();
    }
    assert!(rig.clients.wait([token])[0].is_ok());
    acknowledged.push(token);
    assert_eq!(rig.finish(driver), None);
    drop(rig);
    assert_eq!(next_life(&disk)[..acknowledged.len()], acknowledged);
}

#[test]
fn a_compacted_log_starts_where_the_store_ends_and_a_lost_one_is_refused() {
    let disk = SimDisk::new();
    let (rig, _) = open(&disk, LogMark::default()).unwrap();
    let driver = rig.drive(1, 0, true);
    for token in 1..=TOKENS {
        rig.put(token);
        rig.clients.wait([token]);
    }
    let applied = LogMark {
        index: rig.pipeline.applied_index(),
        term: 1,
    };
    rig.pipeline.compact_log(LogMark {
        index: applied.index - 10,
        term: 1,
    });
    assert_eq!(rig.finish(driver), None);
    drop(rig);
    let (rig, recovered) = open(&disk, applied).unwrap();
    assert_eq!(recovered.replay.compacted.index, applied.index - 10);
    assert_eq!(recovered.entries.len(), 10);
    rig.pipeline.close();
    let beyond = LogMark {
        index: applied.index + 1,
        term: 1,
    };
    assert!(matches!(
        open(&disk, beyond),
        Err(PipelineOpenError::LogLost { .. })
    ));
    let empty = open(&disk, LogMark::default());
    assert!(matches!(empty, Err(PipelineOpenError::StoreLost { .. })));
    let other = LogMark {
        index: applied.index,
        term: 9,
    };
    assert!(matches!(
        open(&disk, other),
        Err(PipelineOpenError::Differ { .. })
    ));
}

#[test]
fn entries_that_memory_no_longer_holds_are_read_back() {
    let disk = SimDisk::new();
    assert_eq!(life(&disk, true).len() as u64, TOKENS);
    let (rig, recovered) = open(&disk, LogMark::default()).unwrap();
    let last = recovered.replay.last.index;
    let entries = rig.pipeline.read_entries(1, last, usize::MAX).unwrap();
    let metas: Vec<_> = entries.iter().map(LogEntry::meta).collect();
    assert_eq!(metas, recovered.entries);
    rig.pipeline.close();
    assert_eq!(
        rig.pipeline
            .submit(crate::types::OpKind::Put, b"", Token(1), &Caller::Nobody),
        Err(crate::error::STOPPED)
    );
}
