//! Runs a parser on inputs that nobody wrote, in the process of a test and on stable Rust.
//!
//! A target is a function of bytes that asserts what must hold of any bytes, and returns what they led to, as
//! a list of findings (a kind of error, the number of fields up to eight). Inputs are the seeds that the test makes,
//! those of the corpus in the repository, and changes of both; one with a new finding is changed further, so that the
//! run finds its way into the parser without knowing its code.
//!
//! | variable | what it does |
//! | --- | --- |
//! | `NETCD_FUZZ_SECONDS` | how long each target runs: 1 second without it, 20 with `NETCD_TEST_DEPTH=full` |
//! | `NETCD_FUZZ_SEED` | the same changes as the run that said this seed; 1 without it, drawn where a time is asked for |
//! | `NETCD_FUZZ_KEEP=1` | inputs with a new finding are added to the corpus |

mod limits;
mod mutate;

use std::collections::HashSet;
use std::fs;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;

use limits::{FULL_SECONDS, POOL_INPUTS_MAX, QUICK_SECONDS};

/// What a run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How often the target ran.
    pub runs: usize,
    /// Different findings.
    pub found: usize,
}

/// How to run, mostly from the environment.
struct Options {
    time: Duration,
    seed: u64,
    /// Where inputs are added, if they are.
    keep: bool,
}

impl Options {
    fn from_environment() -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
        };
        let full = std::env::var("NETCD_TEST_DEPTH").is_ok_and(|depth| depth == "full");
        let seconds = if full { FULL_SECONDS } else { QUICK_SECONDS };
        let asked = number("NETCD_FUZZ_SECONDS");
        // A test run tries the same each time, so that what fails is news of a change; who asks for a time looks for more.
        let usual = || asked.map_or(1, |_| rand::random());
        Self {
            time: Duration::from_secs(asked.unwrap_or(seconds)),
            seed: number("NETCD_FUZZ_SEED").unwrap_or_else(usual),
            keep: std::env::var_os("NETCD_FUZZ_KEEP").is_some(),
        }
    }
}

/// Runs `target` on `seeds`, on the corpus `corpus/NAME` of the crate in `folder` (its `CARGO_MANIFEST_DIR`), and then on
/// changes of both until its time is up.
///
/// # Panics
/// When the target does. The input is written to target/fuzz, which the output says.
pub fn fuzz<F: IntoIterator<Item: Hash>>(
    folder: &str,
    name: &str,
    seeds: &[Vec<u8>],
    target: impl Fn(&[u8]) -> F,
) -> Outcome {
    run(
        Path::new(folder),
        name,
        seeds,
        &target,
        &Options::from_environment(),
    )
}

fn run<F: IntoIterator<Item: Hash>>(
    folder: &Path,
    name: &str,
    seeds: &[Vec<u8>],
    target: &dyn Fn(&[u8]) -> F,
    options: &Options,
) -> Outcome {
    let corpus = folder.join("corpus").join(name);
    let broken = folder.join("../../target/fuzz").join(name);
    let mut found = HashSet::new();
    let mut runs = 0;
    // Whether an input has a finding that none had before.
    let mut is_new = |input: &[u8]| {
        runs += 1;
        match catch_unwind(AssertUnwindSafe(|| target(input))) {
            Ok(findings) => {
                findings
                    .into_iter()
                    .filter(|finding| found.insert(hash(finding)))
                    .count()
                    > 0
            }
            Err(panic) => {
                let path = write(&broken, input);
                eprintln!(
                    "{name}: run {runs} of NETCD_FUZZ_SEED={} failed with {}\n\
                     Once it is mended, keep that file in {}.",
                    options.seed,
                    path.display(),
                    corpus.display()
                );
                resume_unwind(panic)
            }
        }
    };
    let mut pool = read(&corpus);
    assert!(!pool.is_empty(), "{} has no inputs", corpus.display());
    for input in &pool {
        is_new(input);
    }
    for seed in seeds {
        if is_new(seed) && options.keep {
            write(&corpus, seed);
        }
    }
    pool.extend_from_slice(seeds);
    let mut rng = SmallRng::seed_from_u64(options.seed);
    let begun = Instant::now();
    while begun.elapsed() < options.time {
        let input = mutate::changed(&pool, &mut rng);
        if is_new(&input) && pool.len() < POOL_INPUTS_MAX {
            if options.keep {
                write(&corpus, &input);
            }
            pool.push(input);
        }
    }
    let found = found.len();
    println!("{name}: {runs} inputs, {found} findings");
    Outcome { runs, found }
}

fn hash(value: &impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

/// The inputs of a corpus, in the order of their names.
fn read(corpus: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(corpus) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a corpus can be read").path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read(path).expect("a corpus can be read"))
        .collect()
}

/// Writes an input under a name of its own.
fn write(folder: &Path, input: &[u8]) -> PathBuf {
    fs::create_dir_all(folder).expect("a folder for inputs");
    let path = folder.join(format!("{:016x}", hash(&input)));
    fs::write(&path, input).expect("room for an input");
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(keep: bool) -> Options {
        Options {
            time: Duration::from_millis(200),
            seed: 1,
            keep,
        }
    }

    /// A crate with one input in the corpus `x`.
    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        write(&dir.path().join("a/b/corpus/x"), b"seed");
        dir
    }

    /// Each byte of the word is only looked at when those before it are right.
    fn steps(input: &[u8]) -> usize {
        let word = b"\x00\xff\x7f\x80";
        input.iter().zip(word).take_while(|(a, b)| a == b).count()
    }

    #[test]
    fn a_run_finds_its_way_step_by_step_and_keeps_what_it_found() {
        let dir = folder();
        let folder = dir.path().join("a/b");
        let target = |input: &[u8]| [steps(input)];
        let outcome = run(&folder, "x", &[], &target, &options(true));
        assert!(outcome.runs > outcome.found);
        assert_eq!(outcome.found, 5, "after {} runs", outcome.runs);
        // What was kept says all of it without any change.
        let no_time = Options {
            time: Duration::ZERO,
            ..options(false)
        };
        let again = run(&folder, "x", &[], &target, &no_time);
        assert_eq!(again, Outcome { runs: 5, found: 5 });
    }

    #[test]
    fn what_failed_is_written_down() {
        let dir = folder();
        let folder = dir.path().join("a/b");
        let failed = catch_unwind(|| {
            run(
                &folder,
                "x",
                &[],
                &|input| [assert!(steps(input) < 2, "two steps")],
                &options(false),
            )
        });
        assert!(failed.is_err());
        let written = read(&dir.path().join("target/fuzz/x"));
        assert_eq!(written.len(), 1);
        assert!(steps(&written[0]) >= 2);
    }

    #[test]
    fn a_corpus_without_inputs_is_a_mistake() {
        let dir = folder();
        let empty = catch_unwind(|| run(dir.path(), "y", &[], &|_| [()], &options(false)));
        assert!(empty.is_err());
    }
}
