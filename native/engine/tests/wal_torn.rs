//! A log whose last writes were cut: a start finds the whole records before the cut, and the log goes on.

mod wal_twin;

use netcd_engine::disk::{CrashLoss, Disk, SimDisk};
use netcd_engine::wal::{HardState, Wal};
use wal_twin::{Owned, Run, Twin, entry, open, segments};

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
