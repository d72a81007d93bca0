//! What the lease table counts, in Prometheus text.

use crate::metrics::{Histogram, head, scalar};

/// Counters since the process started.
#[derive(Debug)]
pub(super) struct Counters {
    granted: u64,
    pub revoked: u64,
    pub renewed: u64,
    /// The TTLs granted, in seconds.
    ttls: Histogram,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            granted: 0,
            revoked: 0,
            renewed: 0,
            ttls: Histogram::doubling(1.0, 24),
        }
    }
}

impl Counters {
    pub fn grant(&mut self, ttl_seconds: i64) {
        self.granted += 1;
        self.ttls.observe(ttl_seconds as f64);
    }

    pub fn render(&self) -> String {
        let mut out = String::new();
        for (what, help, value) in [
            ("granted", "Leases granted.", self.granted),
            (
                "renewed",
                "Renewals of leases by this leader.",
                self.renewed,
            ),
            ("revoked", "Leases revoked.", self.revoked),
        ] {
            let name = format!("etcd_debugging_lease_{what}_total");
            scalar(&mut out, &name, "counter", help, value);
        }
        let name = "etcd_debugging_lease_ttl_total";
        head(&mut out, name, "histogram", "Granted TTLs in seconds.");
        self.ttls.render(&mut out, name, "");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttls_fall_into_powers_of_two() {
        let mut counters = Counters::default();
        for ttl in [1, 2, 3, 60, 9_000_000_000] {
            counters.grant(ttl);
        }
        let text = counters.render();
        for expected in [
            "etcd_debugging_lease_granted_total 5\n",
            "_bucket{le=\"1\"} 1\n",
            "_bucket{le=\"2\"} 2\n",
            "_bucket{le=\"4\"} 3\n",
            "_bucket{le=\"64\"} 4\n",
            "_bucket{le=\"1.048576e+06\"} 4\n",
            "_bucket{le=\"8.388608e+06\"} 4\n",
            "_bucket{le=\"+Inf\"} 5\n",
            "_sum 9000000066\n",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }
}
