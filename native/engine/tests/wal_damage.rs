//! A log that was damaged after it was written: every start refuses it, with file and offset.

mod wal_twin;

use netcd_engine::disk::{CrashLoss, Disk, SimDisk};
use netcd_engine::wal::WalError;
use wal_twin::{OPTIONS, Run, entry, open, segments};

/// Header, hard state and mark at the beginning of every segment.
const FIRST_FRAMES: [u64; 3] = [64, 64 + 56, 64 + 56 + 48];

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
