//! The WAL against its slow twin over random steps and crashes, and over a power cut at every sync point.

mod wal_twin;

use netcd_engine::disk::{CrashLoss, SimDisk};
use proptest::prelude::*;
use wal_twin::{Run, Step, open};

fn loss() -> impl Strategy<Value = CrashLoss> {
    prop_oneof![
        Just(CrashLoss::Nothing),
        Just(CrashLoss::Everything),
        (0..5000u64).prop_map(CrashLoss::AllButFirstBytes),
        (any::<u64>(), prop_oneof![Just(512), Just(4096)])
            .prop_map(|(seed, sector_bytes)| CrashLoss::Sectors { seed, sector_bytes }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let sizes = prop_oneof![
        4 => prop::collection::vec(0..200usize, 1..6),
        2 => prop::collection::vec(0..1500usize, 1..4),
        1 => prop::collection::vec(2000..3800usize, 1..4),
    ];
    let back = prop_oneof![6 => Just(0u64), 1 => 1..8u64];
    prop_oneof![
        8 => (back, sizes, any::<u8>())
            .prop_map(|(back, sizes, fill)| Step::Append { back, sizes, fill }),
        2 => Just(Step::State),
        2 => (0..12u64).prop_map(|back| Step::Compact { back }),
        1 => (0..5u64).prop_map(|ahead| Step::Snapshot { ahead }),
        6 => Just(Step::Sync),
        2 => Just(Step::Purge),
        2 => loss().prop_map(Step::Crash),
    ]
}

/// PROPTEST_CASES asks for more.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: default.cases.max(400),
        ..default
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_wal_is_its_twin(steps in prop::collection::vec(step(), 1..60), last in loss()) {
        let mut run = Run::new(SimDisk::new()).unwrap();
        for step in &steps {
            run.step(step).unwrap();
            run.check();
        }
        run.restart(last);
        run.check();
    }

    #[test]
    fn a_power_cut_during_any_sync_and_another_during_the_start_lose_nothing_synced(
        steps in prop::collection::vec(step(), 1..25),
        losses in prop::collection::vec(loss(), 2),
        at in any::<prop::sample::Index>(),
        again in 1..3u64,
    ) {
        let whole = run_until_halt(&steps, u64::MAX);
        let syncs = whole.sim.syncs();
        prop_assume!(syncs > 0);
        let run = run_until_halt(&steps, 1 + at.index(syncs as usize) as u64);
        let sim = run.sim.crash(losses[0]);
        let found = match open_halted(&sim, again) {
            Some(found) => found,
            None => {
                let sim = sim.crash(losses[1]);
                open(&sim).unwrap().2
            }
        };
        prop_assert!(run.states.contains(&found), "{:?}", found);
    }
}

/// Runs the steps on a disk that loses power before the given sync point (counted after the creation).
fn run_until_halt(steps: &[Step], at: u64) -> Run {
    let mut run = Run::new(SimDisk::new()).unwrap();
    // Crash steps would replace the disk whose sync points are counted.
    let steps = steps.iter().filter(|s| !matches!(s, Step::Crash(_)));
    let created = run.sim.syncs();
    if at != u64::MAX {
        run.sim.halt_at_sync(created + at);
    }
    for step in steps {
        if let Err(error) = run.step(step) {
            assert!(error.to_string().contains("power is off"), "{error}");
            break;
        }
    }
    run
}

/// Starts on a disk that loses power at a sync point; `None` if it did before the log was open.
fn open_halted(sim: &SimDisk, at: u64) -> Option<wal_twin::Twin> {
    sim.halt_at_sync(at);
    match open(sim) {
        Ok((_, _, found)) => Some(found),
        Err(error) => {
            assert!(error.to_string().contains("power is off"), "{error}");
            None
        }
    }
}

#[test]
fn a_power_cut_at_every_sync_point_leaves_a_state_that_may_be() {
    let append = |back, sizes: &[usize], fill| Step::Append {
        back,
        sizes: sizes.to_vec(),
        fill,
    };
    let steps = [
        append(0, &[100, 700, 20], 1),
        Step::State,
        Step::Sync,
        append(0, &[1500, 1500, 1500, 1500], 2),
        append(0, &[10], 3),
        Step::Sync,
        append(3, &[900, 900, 3000], 4),
        Step::State,
        Step::Sync,
        Step::Compact { back: 1 },
        append(0, &[3000, 3000], 5),
        Step::Sync,
        Step::Purge,
        append(0, &[50, 600], 6),
        Step::Sync,
        Step::Snapshot { ahead: 3 },
        append(0, &[50, 3900 - 500], 7),
        Step::Sync,
        Step::Purge,
        append(0, &[700], 8),
    ];
    let syncs = run_until_halt(&steps, u64::MAX).sim.syncs();
    let mut checked = 0;
    for at in 1..=syncs {
        let run = run_until_halt(&steps, at);
        let mut losses = vec![CrashLoss::Nothing, CrashLoss::Everything];
        losses.extend((0..40).map(|seed| CrashLoss::Sectors {
            seed,
            sector_bytes: [512, 4096][seed as usize % 2],
        }));
        for loss in losses {
            let (_, _, found) = open(&run.sim.crash(loss)).unwrap();
            assert!(run.states.contains(&found), "sync {at}, {loss:?}");
            checked += 1;
        }
    }
    assert!(checked > 500, "{checked} power cuts");
}
