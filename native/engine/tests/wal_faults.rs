//! The WAL on a disk that fills up and fails under it.

mod wal_twin;

use netcd_engine::disk::{CrashLoss, SimDisk};
use netcd_engine::limits::WAL_SEGMENTS_OPEN_MAX;
use netcd_engine::types::LogMark;
use netcd_engine::wal::{Wal, WalError, WalOptions};
use wal_twin::{IDENTITY, OPTIONS, Owned, Run, Twin, entry, open, segments};

fn sim_contents(sim: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let names = segments(sim).into_iter();
    names.map(|n| (n.clone(), sim.content(&n))).collect()
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
    assert!(matches!(refused, WalError::NoSegment(_)));
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

#[test]
fn without_descriptors_the_current_segment_serves_and_the_next_one_waits_for_them() {
    let ahead = WalOptions {
        prepare_ahead: true,
        ..OPTIONS
    };
    let sim = SimDisk::new();
    let mut wal = Wal::create(sim.handle(), IDENTITY, ahead).unwrap();
    sim.set_no_descriptors(true);
    // The second of these orders a spare segment, which cannot be made: that is no reason to end.
    for index in 1..=3 {
        wal.append(&[entry(index, 1000).record()]).unwrap();
        wal.sync().unwrap();
    }
    for _ in 0..2 {
        let refused = wal.append(&[entry(4, 1000).record()]).unwrap_err();
        assert!(matches!(refused, WalError::NoSegment(_)), "{refused}");
        let text = refused.to_string();
        assert!(text.contains("Too many open files"), "{text}");
    }
    wal.append(&[entry(4, 10).record()]).unwrap();
    wal.sync().unwrap();
    sim.set_no_descriptors(false);
    wal.append(&[entry(5, 1000).record()]).unwrap();
    wal.sync().unwrap();
    assert_eq!(segments(&sim).len(), 2);
    drop(wal);
    let (_, replay, _) = open(&sim.crash(CrashLoss::Everything)).unwrap();
    assert_eq!(replay.last.index, 5);
}

#[test]
fn a_long_log_keeps_few_files_open_and_all_of_it_readable() {
    let mut run = Run::new(SimDisk::new()).unwrap();
    let entries = 4 * WAL_SEGMENTS_OPEN_MAX as u64;
    for index in 1..=entries {
        run.append(&[entry(index, 3000)]).unwrap();
        run.sync().unwrap();
        assert!(run.sim.open_files() <= WAL_SEGMENTS_OPEN_MAX);
    }
    assert_eq!(segments(&run.sim).len() as u64, entries);
    run.check();
    assert!(run.sim.open_files() <= WAL_SEGMENTS_OPEN_MAX);
    // A restart reads all of it, and keeps as few.
    run.restart(CrashLoss::Everything);
    assert!(run.sim.open_files() <= WAL_SEGMENTS_OPEN_MAX);
    run.check();
    // Who wants to read what is compacted and gone is told so, whether its file was open or not.
    let reader = run.wal.reader();
    run.append(&[Owned::Mark(LogMark {
        index: entries - 1,
        term: 1,
    })])
    .unwrap();
    run.sync().unwrap();
    assert!(run.wal.purge().unwrap() > WAL_SEGMENTS_OPEN_MAX);
    let gone = reader.read(1, 1, 1).unwrap_err();
    assert!(matches!(gone, WalError::Compacted { .. }), "{gone}");
}

#[test]
fn a_full_disk_fails_the_creation_and_room_mends_it() {
    let sim = SimDisk::new();
    sim.set_capacity(Some(1000));
    let refused = Wal::create(sim.handle(), IDENTITY, OPTIONS).err().unwrap();
    assert!(matches!(refused, WalError::NoSegment(_)), "{refused}");
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
    assert!(matches!(refused, WalError::TooLarge { .. }));
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
