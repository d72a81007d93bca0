//! Serves KV from a fake engine in memory, so that the transport's own CPU per request can be measured, for instance
//! with h2load. Prints requests and CPU microseconds per request of every two seconds in which there were any.
//!
//! `cargo run --release -p netcd-front --example echo -- 127.0.0.1:21000 1`

#[path = "../tests/common/fake.rs"]
#[allow(dead_code, missing_docs)]
mod fake;

mod common;

use std::sync::Arc;

use netcd_front::{Front, FrontCompletions, FrontConfig};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let threads = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let completions = FrontCompletions::new(Front::threads(threads));
    let backend = fake::Fake::new(&completions);
    let front = Front::start(
        FrontConfig::default(),
        backend,
        Arc::new(common::Silent),
        &completions,
    )
    .expect("front starts");
    common::serve(&front, address);
}
