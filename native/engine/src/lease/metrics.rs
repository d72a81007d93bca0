//! What the lease table counts, in Prometheus text.

use std::fmt::Write;

/// Upper bounds of the TTL histogram are the powers of two below this one.
const TTL_BUCKETS: usize = 24;

/// Counters since the process started.
#[derive(Default, Debug)]
pub(super) struct Counters {
    pub granted: u64,
    pub revoked: u64,
    pub renewed: u64,
    /// Grants by the first bucket that holds their TTL; the last is above all bounds.
    ttls: [u64; TTL_BUCKETS + 1],
    ttl_seconds: f64,
}

impl Counters {
    pub fn grant(&mut self, ttl_seconds: i64) {
        self.granted += 1;
        self.ttl_seconds += ttl_seconds as f64;
        let bucket = (0..TTL_BUCKETS)
            .position(|power| ttl_seconds <= 1 << power)
            .unwrap_or(TTL_BUCKETS);
        self.ttls[bucket] += 1;
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
            line(&mut out, format_args!("# HELP {name} {help}"));
            line(&mut out, format_args!("# TYPE {name} counter"));
            line(&mut out, format_args!("{name} {value}"));
        }
        self.render_ttls(&mut out);
        out
    }

    fn render_ttls(&self, out: &mut String) {
        let name = "etcd_debugging_lease_ttl_total";
        line(out, format_args!("# HELP {name} Granted TTLs in seconds."));
        line(out, format_args!("# TYPE {name} histogram"));
        let mut total = 0;
        for (power, count) in self.ttls[..TTL_BUCKETS].iter().enumerate() {
            total += count;
            line(
                out,
                format_args!("{name}_bucket{{le=\"{}\"}} {total}", bound(power)),
            );
        }
        line(
            out,
            format_args!("{name}_bucket{{le=\"+Inf\"}} {}", self.granted),
        );
        line(out, format_args!("{name}_sum {}", self.ttl_seconds));
        line(out, format_args!("{name}_count {}", self.granted));
    }
}

/// A bucket's bound as Go writes the number: from 2^20 on with an exponent.
fn bound(power: usize) -> String {
    let value = 1u64 << power;
    if power < 20 {
        return value.to_string();
    }
    let digits = value.to_string();
    format!(
        "{}.{}e+{:02}",
        &digits[..1],
        digits[1..].trim_end_matches('0'),
        digits.len() - 1
    )
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
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
