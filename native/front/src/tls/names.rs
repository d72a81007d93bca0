//! For whom a certificate is, in Go's words.

use std::net::IpAddr;

/// Names in a message; of more there is only the number.
const NAMES_TOLD_MAX: usize = 100;

/// A certificate for these addresses is not for this one.
pub fn not_for_address(addresses: &[IpAddr], wanted: IpAddr) -> String {
    if addresses.is_empty() {
        return format!(
            "x509: cannot validate certificate for {wanted} because it doesn't contain any IP SANs"
        );
    }
    let addresses: Vec<_> = addresses
        .iter()
        .map(|each| each.to_canonical().to_string())
        .collect();
    not_among(&addresses, &wanted.to_string())
}

/// A certificate for these names is not for this one.
pub fn not_for_name(dns_names: &[String], wanted: &str) -> String {
    if dns_names.is_empty() {
        return format!(
            "x509: certificate is not valid for any names, but wanted to match {wanted}"
        );
    }
    not_among(dns_names, wanted)
}

fn not_among(names: &[String], wanted: &str) -> String {
    if names.len() >= NAMES_TOLD_MAX {
        let count = names.len();
        return format!("x509: certificate is valid for {count} names, but none matched {wanted}");
    }
    format!(
        "x509: certificate is valid for {}, not {wanted}",
        names.join(", ")
    )
}
