//! What the examples share: one listener whose events nobody serves, and the CPU that a request cost.

use std::time::Duration;

use netcd_front::{Front, FrontEvent, FrontEvents, ListenerConfig, ServingState};

/// Prints log lines and leaves every handed-over call unanswered.
pub struct Silent;

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

/// Serves clients at the address and reports what it costs, for ever.
pub fn serve(front: &Front, address: String) -> ! {
    front.set_serving(ServingState {
        has_leader: true,
        is_learner: false,
    });
    let listener = ListenerConfig {
        role: "client".into(),
        address,
        unix: false,
        grpc: true,
        http: true,
        plain: true,
        tls: false,
        held: false,
    };
    let addresses = front.listen(&[listener]).expect("the address is free");
    println!("listening on {}", addresses.join(", "));
    report(front);
}

/// Prints, for ever, requests and CPU microseconds per request of every two seconds in which there were any.
fn report(front: &Front) -> ! {
    let mut last = (requests(front), cpu_us());
    loop {
        std::thread::sleep(Duration::from_secs(2));
        let now = (requests(front), cpu_us());
        let n = now.0 - last.0;
        if n > 0 {
            let us = (now.1 - last.1) as f64 / n as f64;
            println!("{n} requests, {us:.2} us CPU each");
        }
        last = now;
    }
}
