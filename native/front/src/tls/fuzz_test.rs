//! Certificates that nobody signed, from anybody who reaches a port: the verifier runs before it is known who calls.

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::certificate::Certificate;
use super::pem;
use super::rules::Rules;
use super::testing::Authority;
use super::trust::{self, Purpose, Trust};

fn der(pem: &str) -> Vec<u8> {
    let chain = pem::chain(pem.as_bytes());
    chain.expect("a chain").remove(0)
}

#[test]
fn no_certificate_breaks_who_looks_at_it() {
    let authority = Authority::new("CA");
    let pool = trust::pool(authority.pem().as_bytes()).expect("a pool");
    let algorithms = default_provider().signature_verification_algorithms;
    let trust = Trust::new(pool, algorithms);
    let leaf = authority.leaf("leaf", &["a.test", "127.0.0.1"], |_| {});
    // The library leaves this kind to netcd's own search for a way.
    let signer = authority.leaf("signer", &["a.test"], |parameters| {
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(1));
        parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let others = [der(&authority.pem()), der(&signer.certificate)].map(CertificateDer::from);
    let mut options = authority.options(&leaf);
    options.allowed_hostnames = vec!["a.test".into()];
    let rules = Rules::compile(&options).expect("rules");
    let seeds = [der(&leaf.certificate), der(&signer.certificate)];
    let now = UnixTime::now();
    for seed in &seeds {
        let leaf = Certificate::parse(seed.clone()).expect("a certificate");
        let verified = trust.verify(&leaf, &others, now, Purpose::Client);
        assert!(verified.is_ok(), "{verified:?}");
    }
    let target = |input: &[u8]| {
        let input = CertificateDer::from(input.to_vec());
        let checked = rules.check(std::slice::from_ref(&input), 0);
        let Ok(leaf) = Certificate::parse(input.to_vec()) else {
            assert!(checked.is_err());
            return vec!["no certificate"];
        };
        let with = [&others[..], std::slice::from_ref(&input)].concat();
        let mut found = vec!["certificate"];
        for purpose in [Purpose::Client, Purpose::Server] {
            match trust.verify(&leaf, &with, now, purpose) {
                Ok(()) => assert!(seeds.iter().any(|seed| **seed == *input)),
                Err(_) => found.push("not believed"),
            }
        }
        found
    };
    let outcome = netcd_fuzz::fuzz(env!("CARGO_MANIFEST_DIR"), "certificate", &seeds, target);
    assert!(outcome.found >= 2, "{outcome:?}");
}
