//! Callers' addresses against certificates, with a name server that is made up.

use std::collections::HashMap;
use std::sync::mpsc;

use parking_lot::Mutex;

use super::*;

#[derive(Default)]
struct Made {
    names: HashMap<IpAddr, Result<Vec<String>, String>>,
    addresses: HashMap<String, Result<Vec<IpAddr>, String>>,
    /// The reverse lookup answers when its other end is gone.
    silent: Option<Mutex<mpsc::Receiver<()>>>,
}

impl Resolver for Made {
    fn names(&self, address: IpAddr) -> Result<Vec<String>, String> {
        if let Some(silent) = &self.silent {
            // It never gets anything.
            let _ = silent.lock().recv();
        }
        let unknown = || Err(format!("lookup {address}: no such host"));
        self.names.get(&address).cloned().unwrap_or_else(unknown)
    }
    fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let unknown = || Err(format!("lookup {name}: no such host"));
        self.addresses.get(name).cloned().unwrap_or_else(unknown)
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn checked(made: Made, dns_names: &[&str], addresses: &[&str], remote: &str) -> Result<(), String> {
    checked_within(HOST_LOOKUP_TIMEOUT, made, dns_names, addresses, remote)
}

fn checked_within(
    limit: Duration,
    made: Made,
    dns_names: &[&str],
    addresses: &[&str],
    remote: &str,
) -> Result<(), String> {
    let certificate = certificate(dns_names, addresses);
    let resolver: Arc<dyn Resolver> = Arc::new(made);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("runtime");
    let outcome = check_within(limit, &certificate, ip(remote), &resolver);
    runtime.block_on(outcome).map_err(|refused| refused.0)
}

fn certificate(dns_names: &[&str], addresses: &[&str]) -> Certificate {
    let mut parameters = rcgen::CertificateParams::default();
    let name = |name: &&str| rcgen::SanType::DnsName((*name).try_into().expect("ASCII"));
    let names = dns_names.iter().map(name);
    let addresses = addresses
        .iter()
        .map(|each| rcgen::SanType::IpAddress(ip(each)));
    parameters.subject_alt_names = names.chain(addresses).collect();
    let key = rcgen::KeyPair::generate().expect("a key");
    let signed = parameters.self_signed(&key).expect("signed");
    Certificate::parse(signed.der().to_vec()).expect("a certificate")
}

/// The address is called so.
fn called(address: &str, names: &[&str]) -> Made {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    Made {
        names: [(ip(address), Ok(names))].into(),
        ..Made::default()
    }
}

/// The name has these addresses.
fn located(name: &str, addresses: &[&str]) -> Made {
    let addresses = addresses.iter().map(|each| ip(each)).collect();
    Made {
        addresses: [(name.to_owned(), Ok(addresses))].into(),
        ..Made::default()
    }
}

#[test]
fn a_certificate_for_nobody_or_for_the_address_may_come_from_there() {
    let none = Made::default;
    assert_eq!(checked(none(), &[], &[], "10.0.0.9"), Ok(()));
    assert_eq!(
        checked(none(), &[], &["10.0.0.1", "10.0.0.9"], "10.0.0.9"),
        Ok(())
    );
    assert_eq!(checked(none(), &["a"], &["10.0.0.9"], "10.0.0.9"), Ok(()));
    assert_eq!(checked(none(), &[], &["fd00::1"], "fd00::1"), Ok(()));
    // A socket for both kinds of addresses has the old ones in the new form.
    assert_eq!(
        checked(none(), &[], &["10.0.0.9"], "::ffff:10.0.0.9"),
        Ok(())
    );
    assert_eq!(
        checked(none(), &[], &["::ffff:10.0.0.9"], "10.0.0.9"),
        Ok(())
    );
}

#[test]
fn a_certificate_for_other_addresses_is_refused_in_the_words_of_etcd() {
    let refused = |addresses: &[&str], remote| {
        checked(Made::default(), &[], addresses, remote).expect_err("refused")
    };
    assert_eq!(
        refused(&["10.1.2.3"], "127.0.0.1"),
        "x509: certificate is valid for 10.1.2.3, not 127.0.0.1"
    );
    assert_eq!(
        refused(&["10.1.2.3", "fd00::1"], "::ffff:10.0.0.9"),
        "x509: certificate is valid for 10.1.2.3, fd00::1, not 10.0.0.9"
    );
}

#[test]
fn a_name_of_the_address_stands_in_the_certificate_or_goes_with_a_wildcard() {
    let good = |name, allowed: &[&str]| {
        checked(
            called("10.0.0.9", &["other.", name]),
            allowed,
            &[],
            "10.0.0.9",
        )
        .is_ok()
    };
    assert!(good("m1.example.", &["m1.example"]));
    assert!(good("m1.example", &["b", "m1.example"]));
    assert!(good("m1.etcd.default.svc.", &["*.etcd.default.svc"]));
    // Whatever goes before the dot, as in etcd.
    assert!(good("a.b.etcd.default.svc.", &["*.etcd.default.svc"]));
    assert!(!good("m2.example.", &["m1.example"]));
    assert!(!good("etcd.default.svc.", &["*.etcd.default.svc"]));
    assert!(!good("m1-etcd.default.svc.", &["*.etcd.default.svc"]));
    assert!(!good("M1.example.", &["m1.example"]), "bytes are compared");
    assert!(!good("", &["m1.example"]), "a name server answers anything");
    assert!(!good("m1.example.", &["m1.*"]), "no wildcard at the end");
}

#[test]
fn a_name_of_the_certificate_has_the_address() {
    let good = |name, allowed: &[&str]| {
        checked(
            located(name, &["10.0.0.1", "10.0.0.9"]),
            allowed,
            &[],
            "10.0.0.9",
        )
        .is_ok()
    };
    assert!(good("m1.example", &["m0.example", "m1.example"]));
    assert!(!good("m1.example", &["m0.example"]));
    assert!(
        !good("*.example", &["*.example"]),
        "a wildcard has no address"
    );
    // Addresses that are not the caller's leave names their chance.
    let made = located("m1.example", &["10.0.0.9"]);
    assert_eq!(
        checked(made, &["m1.example"], &["10.0.0.1"], "10.0.0.9"),
        Ok(())
    );
}

#[test]
fn a_name_that_does_not_match_is_refused_in_the_words_of_etcd() {
    let refused = |made, allowed: &[&str]| {
        checked(made, allowed, &["10.0.0.1"], "127.0.0.1").expect_err("refused")
    };
    assert_eq!(
        refused(Made::default(), &["a", "*.b"]),
        "tls: \"127.0.0.1\" does not match any of DNSNames [\"a\" \"*.b\"] (lookup a: no such host)"
    );
    assert_eq!(
        refused(Made::default(), &["*.b"]),
        "tls: \"127.0.0.1\" does not match any of DNSNames [\"*.b\"] (lookup 127.0.0.1: no such host)"
    );
    assert_eq!(
        refused(called("127.0.0.1", &["localhost"]), &["*.b"]),
        "tls: \"127.0.0.1\" does not match any of DNSNames [\"*.b\"]"
    );
}

#[test]
fn a_reverse_lookup_that_hangs_holds_up_nobody_whose_name_has_the_address() {
    let (hangs, silent) = mpsc::channel();
    let made = Made {
        silent: Some(Mutex::new(silent)),
        ..located("m1.example", &["10.0.0.9"])
    };
    assert_eq!(checked(made, &["m1.example"], &[], "10.0.0.9"), Ok(()));
    drop(hangs);
}

#[test]
fn lookups_that_hang_end_in_time() {
    let (hangs, silent) = mpsc::channel();
    let made = Made {
        silent: Some(Mutex::new(silent)),
        ..Made::default()
    };
    let refused = checked_within(Duration::from_millis(20), made, &["*.b"], &[], "10.0.0.9");
    assert_eq!(
        refused.expect_err("refused"),
        "tls: \"10.0.0.9\" does not match any of DNSNames [\"*.b\"] (lookup 10.0.0.9: i/o timeout)"
    );
    drop(hangs);
}
