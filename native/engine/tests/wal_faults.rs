//! The WAL on a disk that tears, flips bits, fills up and fails.

mod wal_twin;

use std::sync::Arc;

use netcd_engine::disk::{CrashLoss, Disk, SimDisk};
use netcd_engine::types::EntryKind;
use netcd_engine::wal::{HardState, Wal, WalError};
use wal_twin::{IDENTITY, OPTIONS, Owned, Run, Twin, open};

/// Header, hard state and mark at the beginning of every segment.
const FIRST_FRAMES: [u64; 3] = [64, 64 + 56, 64 + 56 + 48];

fn entry(index: u64, size: usize) -> Owned {
    let payload: Arc<[u8]> = (0..size).map(|b| (b as u8) | 1).collect();
    Owned::Entry(index, 1, EntryKind::Batch, payload)
}

fn segments(sim: &SimDisk) -> Vec<String> {
    let mut names = sim.list().unwrap();
    names.retain(|name| name.ends_with(".wal"));
    names
}

/// Twelve synced entries in three segments, and the offset of every frame per segment, the end included.
fn filled() -> (Run, Vec<(String, Vec<u64>)>) {
    let mut run = Run::new(SimDisk::new()).unwrap();
    let mut frames: Vec<Vec<u64>> = Vec::new();
    for index in 1..=12 {
        let known = segments(&run.sim).len();
        if frames.len() < known {
            frames.push(FIRST_FRAMES.to_vec());
        }
        let record = entry(index, 700);
        run.append(std::slice::from_ref(&record)).unwrap();
        run.sync().unwrap();
        if segments(&run.sim).len() > known {
            frames.push(FIRST_FRAMES.to_vec());
        }
        let offsets = frames.last_mut().unwrap();
        offsets.push(offsets[offsets.len() - 1] + record.record().frame_bytes() as u64);
    }
    let frames: Vec<_> = segments(&run.sim).into_iter().zip(frames).collect();
    assert_eq!(frames.len(), 3);
    (run, frames)
}

fn refused(sim: &SimDisk, at: (u64, u8)) -> (String, u64) {
    match open(sim) {
        Err(WalError::Damaged { file, offset, .. }) => (file, offset),
        Err(other) => panic!("bit {at:?}: {other}"),
        Ok((_, replay, _)) => panic!("bit {at:?} was accepted: {replay:?}"),
    }
}

#[test]
fn a_flipped_bit_before_the_tail_is_refused_with_file_and_offset() {
    let (run, frames) = filled();
    let mut flips = 0;
    for (name, offsets) in &frames {
        let end = offsets[offsets.len() - 1];
        for at in 0..end {
            let bit = (at % 8) as u8;
            let sim = run.sim.crash(CrashLoss::Nothing);
            sim.flip_bit(name, at, bit);
            let (file, offset) = refused(&sim, (at, bit));
            assert_eq!(file, format!("sim/{name}"));
            let frame = offsets.iter().rev().find(|o| **o <= at);
            match frame {
                Some(frame) => assert_eq!(offset, *frame, "bit {at}"),
                None => assert!(offset < 64, "bit {at} of the header"),
            }
            flips += 1;
        }
    }
    assert!(flips > 9_000, "{flips} flips");
}

#[test]
fn a_flipped_bit_in_unused_space_is_harmless_in_the_last_segment_and_damage_before_it() {
    let (run, frames) = filled();
    for (number, (name, offsets)) in frames.iter().enumerate() {
        let end = offsets[offsets.len() - 1];
        for at in end..OPTIONS.segment_bytes {
            let sim = run.sim.crash(CrashLoss::Nothing);
            sim.flip_bit(name, at, 3);
            if number + 1 < frames.len() {
                assert_eq!(refused(&sim, (at, 3)), (format!("sim/{name}"), end));
            } else {
                let (_, replay, found) = open(&sim).unwrap();
                assert_eq!(&found, run.now());
                assert_eq!(replay.torn_bytes, at + 1 - end);
                assert_eq!(replay.torn_at, Some((format!("sim/{name}"), end)));
                let again = open(&sim).unwrap().1;
                assert_eq!(again.torn_bytes, 0, "the first start wiped it");
            }
        }
    }
}

#[test]
fn wiped_records_before_the_tail_are_refused() {
    let (run, frames) = filled();
    for (name, offsets) in &frames[..2] {
        for (number, at) in offsets[..offsets.len() - 1].iter().enumerate() {
            let sim = run.sim.crash(CrashLoss::Nothing);
            let bytes = (offsets[offsets.len() - 1] - at) as usize;
            let file = sim.open(name).unwrap();
            file.write_at(&vec![0; bytes], *at).unwrap();
            let (_, offset) = refused(&sim, (*at, number as u8));
            assert_eq!(offset, *at);
        }
    }
}

#[test]
fn a_synced_record_that_reads_as_never_written_is_refused_when_a_later_one_knows_better() {
    let (run, frames) = filled();
    let (name, offsets) = &frames[2];
    // The last record has no later one that knows it was synced: its loss cannot be told from a cut write.
    for pair in offsets[..offsets.len() - 1].windows(2) {
        let sim = run.sim.crash(CrashLoss::Nothing);
        let file = sim.open(name).unwrap();
        let zeroes = vec![0; (pair[1] - pair[0]) as usize];
        file.write_at(&zeroes, pair[0]).unwrap();
        assert_eq!(
            refused(&sim, (pair[0], 0)),
            (format!("sim/{name}"), pair[0])
        );
    }
}

#[test]
fn missing_segments_are_refused() {
    let (run, frames) = filled();
    for (gone, expected) in [(0, 1), (1, 2)] {
        let sim = run.sim.crash(CrashLoss::Nothing);
        sim.remove(&frames[gone].0).unwrap();
        let (file, _) = refused(&sim, (gone as u64, 0));
        assert_eq!(file, format!("sim/{}", frames[expected].0));
    }
    let sim = run.sim.crash(CrashLoss::Nothing);
    sim.rename(&frames[2].0, "0000000000000002-0000000000000001.wal")
        .unwrap();
    assert_eq!(refused(&sim, (2, 0)).1, 16);
}

/// A synced log, then two unsynced appends of several records; also the bytes and the twin after each of them.
fn with_unsynced_tail() -> (Run, Vec<u64>) {
    let mut run = Run::new(SimDisk::new()).unwrap();
    run.append(&[entry(1, 100), entry(2, 333)]).unwrap();
    run.sync().unwrap();
    let state = HardState {
        term: 1,
        vote: 9,
        commit: 2,
    };
    let first = [entry(3, 0), entry(4, 900), Owned::State(state)];
    let second = [entry(5, 600), entry(6, 7), entry(5, 11)];
    let mut ends = vec![0];
    for record in first.iter().chain(&second) {
        ends.push(ends[ends.len() - 1] + record.record().frame_bytes() as u64);
    }
    run.append(&first).unwrap();
    run.append(&second).unwrap();
    assert_eq!(run.sim.unsynced_bytes(), ends[ends.len() - 1]);
    (run, ends)
}

#[test]
fn a_tail_cut_at_every_byte_recovers_the_whole_records_before_the_cut() {
    let (run, ends) = with_unsynced_tail();
    for bytes in 0..=ends[ends.len() - 1] {
        let sim = run.sim.crash(CrashLoss::AllButFirstBytes(bytes));
        let (mut wal, replay, found) = open(&sim).unwrap();
        let whole = ends.iter().rposition(|end| *end <= bytes).unwrap();
        assert_eq!(found, run.states[whole], "cut at byte {bytes}");
        let torn = bytes - ends[whole];
        // Zeroes at the end of what was kept cannot be told from the zeroes behind it.
        assert!(replay.torn_bytes <= torn && (torn == 0 || replay.torn_bytes > 0));
        assert_eq!(replay.torn_at.is_some(), replay.torn_bytes > 0);
        goes_on(&sim, &mut wal, found);
    }
}

#[test]
fn a_file_cut_at_every_byte_of_the_tail_recovers_too() {
    let (run, ends) = with_unsynced_tail();
    let name = &segments(&run.sim)[0];
    let used = run.sim.content(name).iter().rposition(|b| *b != 0).unwrap() as u64 + 1;
    let start = used - ends[ends.len() - 1];
    for bytes in 0..=used - start {
        let sim = run.sim.crash(CrashLoss::Nothing);
        sim.open(name).unwrap().truncate(start + bytes).unwrap();
        let (mut wal, _, found) = open(&sim).unwrap();
        let whole = ends.iter().rposition(|end| *end <= bytes).unwrap();
        assert_eq!(found, run.states[whole], "cut at byte {bytes}");
        goes_on(&sim, &mut wal, found);
    }
}

#[test]
fn a_torn_tail_recovers_a_prefix_and_the_log_goes_on() {
    let (run, _) = with_unsynced_tail();
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..600 {
        let sector_bytes = [512, 4096][seed as usize % 2];
        let sim = run.sim.crash(CrashLoss::Sectors { seed, sector_bytes });
        let (mut wal, _, found) = open(&sim).unwrap();
        let at = run.states.iter().position(|state| *state == found);
        lengths.insert(at.unwrap_or_else(|| panic!("seed {seed}: {found:?}")));
        goes_on(&sim, &mut wal, found);
    }
    assert!(lengths.len() >= 4, "{lengths:?}");
}

/// Appends to a recovered log and restarts: nothing of the torn tail may come back.
fn goes_on(sim: &SimDisk, wal: &mut Wal, mut twin: Twin) {
    let next = entry(twin.last().index + 1, 40);
    wal.append(&[next.record()]).unwrap();
    wal.sync().unwrap();
    twin.apply(&next);
    let (_, replay, found) = open(&sim.crash(CrashLoss::Everything)).unwrap();
    assert_eq!(found, twin);
    assert_eq!(replay.torn_bytes, 0);
}

#[test]
fn a_full_disk_refuses_a_batch_before_any_of_it_is_written_and_room_mends_it() {
    let mut run = Run::new(SimDisk::new()).unwrap();
    run.sim.set_capacity(Some(2 * OPTIONS.segment_bytes + 100));
    let mut index = 1;
    let refused = loop {
        // Each batch ends in another segment than it begins in.
        let batch: Vec<_> = (index..index + 3).map(|i| entry(i, 1000)).collect();
        let before: Vec<_> = sim_contents(&run.sim);
        match run.append(&batch) {
            Ok(()) => run.sync().unwrap(),
            Err(error) => {
                assert_eq!(sim_contents(&run.sim), before, "nothing was written");
                break error;
            }
        }
        index += 3;
    };
    assert!(matches!(refused, WalError::NoSpace(_)) && refused.is_recoverable());
    assert!(index > 3, "the first batch found room");
    run.append(&[entry(index, 10)]).unwrap();
    run.sync().unwrap();
    run.check();
    run.sim.set_capacity(None);
    let batch: Vec<_> = (index + 1..index + 8).map(|i| entry(i, 1000)).collect();
    run.append(&batch).unwrap();
    run.sync().unwrap();
    run.restart(CrashLoss::Everything);
    assert_eq!(run.now().last().index, index + 7);
}

fn sim_contents(sim: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let names = segments(sim).into_iter();
    names.map(|n| (n.clone(), sim.content(&n))).collect()
}

#[test]
fn a_full_disk_fails_the_creation_and_room_mends_it() {
    let sim = SimDisk::new();
    sim.set_capacity(Some(1000));
    let refused = Wal::create(sim.handle(), IDENTITY, OPTIONS).err().unwrap();
    assert!(matches!(refused, WalError::NoSpace(_)), "{refused}");
    assert!(!Wal::exists(&sim).unwrap());
    sim.set_capacity(None);
    assert!(Wal::create(sim.handle(), IDENTITY, OPTIONS).is_ok());
}

#[test]
fn a_power_cut_during_the_creation_leaves_no_log_or_an_empty_one() {
    let (mut none, mut empty) = (0, 0);
    for at in 1.. {
        let sim = SimDisk::new();
        sim.halt_at_sync(at);
        if Wal::create(sim.handle(), IDENTITY, OPTIONS).is_ok() {
            break;
        }
        for seed in 0..20 {
            let sector_bytes = 512;
            let sim = sim.crash(CrashLoss::Sectors { seed, sector_bytes });
            if Wal::exists(&sim).unwrap() {
                assert_eq!(open(&sim).unwrap().2, Twin::default());
                empty += 1;
            } else {
                assert!(Wal::create(sim.handle(), IDENTITY, OPTIONS).is_ok());
                none += 1;
            }
        }
    }
    assert!(
        none > 0 && empty > 0,
        "{none} without a log, {empty} with an empty one"
    );
}

#[test]
fn a_record_that_no_segment_holds_is_refused_whole() {
    let mut run = Run::new(SimDisk::new()).unwrap();
    let limit = OPTIONS.payload_bytes_max();
    let before = sim_contents(&run.sim);
    let refused = run.append(&[entry(1, 1), entry(2, limit + 1)]).unwrap_err();
    assert!(matches!(refused, WalError::TooLarge { .. }) && refused.is_recoverable());
    assert_eq!(sim_contents(&run.sim), before);
    run.append(&[entry(1, 1), entry(2, limit)]).unwrap();
    run.sync().unwrap();
    run.restart(CrashLoss::Everything);
}

#[test]
fn a_failed_sync_ends_the_wal_for_good() {
    let mut run = Run::new(SimDisk::new()).unwrap();
    run.append(&[entry(1, 100)]).unwrap();
    run.sim.fail_sync(run.sim.syncs() + 1);
    let failed = run.wal.sync().unwrap_err();
    assert!(matches!(
        failed,
        WalError::Failed {
            operation: "sync",
            ..
        }
    ));
    assert!(!failed.is_recoverable());
    let text = failed.to_string();
    assert!(
        text.contains("sim/0000000000000000-0000000000000001.wal"),
        "{text}"
    );
    let syncs = run.sim.syncs();
    // The disk would accept all of this by now.
    assert_eq!(run.wal.sync().unwrap_err().to_string(), text);
    assert_eq!(run.append(&[entry(2, 1)]).unwrap_err().to_string(), text);
    assert_eq!(run.wal.purge().unwrap_err().to_string(), text);
    assert_eq!(run.sim.syncs(), syncs);
}

#[test]
fn every_failing_sync_of_a_roll_ends_the_wal_and_loses_nothing_synced() {
    for number in 1.. {
        let mut run = Run::new(SimDisk::new()).unwrap();
        run.append(&[entry(1, 3000)]).unwrap();
        run.sync().unwrap();
        run.sim.fail_sync(run.sim.syncs() + number);
        let outcome = run
            .append(&[entry(2, 500), entry(3, 3000)])
            .and_then(|()| run.sync());
        match outcome {
            Ok(()) => {
                assert!(number > 4, "a roll has several sync points");
                return;
            }
            Err(error) => assert!(matches!(error, WalError::Failed { .. }), "{error}"),
        }
        assert!(run.wal.sync().is_err());
        for loss in [CrashLoss::Everything, CrashLoss::Nothing] {
            let found = open(&run.sim.crash(loss)).unwrap().2;
            assert!(run.states.contains(&found), "sync {number}, {loss:?}");
        }
    }
}

#[test]
fn a_failed_write_ends_the_wal_and_its_half_is_a_torn_tail() {
    let mut run = Run::new(SimDisk::new()).unwrap();
    run.append(&[entry(1, 100)]).unwrap();
    run.sync().unwrap();
    run.sim.fail_write(0);
    let failed = run.append(&[entry(2, 600), entry(3, 700)]).unwrap_err();
    assert!(matches!(
        failed,
        WalError::Failed {
            operation: "write",
            ..
        }
    ));
    assert!(run.wal.sync().is_err());
    assert_eq!(run.wal.reader().last().index, 1, "readers do not see it");
    let (_, replay, found) = open(&run.sim.crash(CrashLoss::Nothing)).unwrap();
    assert!(run.states.contains(&found));
    assert!(replay.torn_bytes > 0);
}

#[test]
fn a_reader_notices_damage_under_it() {
    let (run, frames) = filled();
    let reader = run.wal.reader();
    run.sim.flip_bit(&frames[0].0, frames[0].1[2] + 100, 0);
    let error = reader.read(1, 12, usize::MAX).unwrap_err();
    let WalError::Damaged { file, offset, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(
        (file, offset),
        (format!("sim/{}", frames[0].0), frames[0].1[2])
    );
    assert_eq!(reader.read(2, 12, usize::MAX).unwrap().len(), 11);
    let past = reader.read(13, 14, 1).unwrap_err();
    assert!(matches!(past, WalError::Unavailable { last: 12 }));
}

#[test]
#[should_panic(expected = "entry 3 does not fit a log of 1 to 1")]
fn a_gap_is_a_programmer_error_and_stays_off_the_disk() {
    let mut run = Run::new(SimDisk::new()).unwrap();
    run.append(&[entry(1, 1)]).unwrap();
    let before = sim_contents(&run.sim);
    let records = [entry(3, 1)];
    let appended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run.wal.append(&[records[0].record()])
    }));
    assert_eq!(sim_contents(&run.sim), before);
    if let Err(panic) = appended {
        std::panic::resume_unwind(panic);
    }
}
