//! Serves KV from a fake engine in memory, so that the transport's own CPU per request can be measured, for instance
//! with h2load. Prints requests and CPU microseconds per request of every two seconds in which there were any.
//!
//! `cargo run --release -p netcd-front --example echo -- 127.0.0.1:21000 1`

#[path = "../tests/common/fake.rs"]
#[allow(dead_code, missing_docs)]
mod fake;

use std::sync::Arc;
use std::time::Duration;

use netcd_front::{
    Front, FrontCompletions, FrontConfig, FrontEvent, FrontEvents, ListenerConfig, ServingState,
};

struct Silent;

impl FrontEvents for Silent {
    fn emit(&self, event: FrontEvent) {
        if let FrontEvent::Log { message, .. } = event {
            eprintln!("{message}");
        }
    }
}

/// User and system time of this process in microseconds.
fn cpu_us() -> u64 {
    // SAFETY: getrusage writes a whole rusage to a pointer that is valid for it; all zeros is a valid rusage.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &raw mut usage), 0);
        usage
    };
    let us = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    us(usage.ru_utime) + us(usage.ru_stime)
}

fn requests(front: &Front) -> u64 {
    let text = front.metrics();
    let counts = text
        .lines()
        .filter(|line| line.starts_with("grpc_server_handled_total"));
    counts
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let threads = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let completions = FrontCompletions::new(Front::threads(threads));
    let backend = fake::Fake::new(&completions);
    let front = Front::start(
        FrontConfig::default(),
        backend,
        Arc::new(Silent),
        &completions,
    )
    .expect("front starts");
    front.set_serving(ServingState {
        has_leader: true,
        is_learner: false,
        capable: true,
    });
    let listener = ListenerConfig {
        role: "client".into(),
        address,
        unix: false,
        grpc: true,
        http: true,
    };
    println!(
        "listening on {}",
        front
            .listen(&[listener])
            .expect("the address is free")
            .join(", ")
    );
    let mut last = (requests(&front), cpu_us());
    loop {
        std::thread::sleep(Duration::from_secs(2));
        let now = (requests(&front), cpu_us());
        let n = now.0 - last.0;
        if n > 0 {
            println!(
                "{n} requests, {:.2} us CPU each",
                (now.1 - last.1) as f64 / n as f64
            );
        }
        last = now;
    }
}
