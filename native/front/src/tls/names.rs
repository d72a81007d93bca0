//! Whether a certificate is for a host, as Go decides it and with Go's texts.

use std::net::IpAddr;

use super::TlsError;
use super::certificate::Certificate;
use super::options::TlsOptions;

/// So many names are not listed.
const LISTED_MAX: usize = 100;

/// # Errors
/// The certificate is not for this host name or address. The common name never counts.
pub(crate) fn verify_hostname(certificate: &Certificate, host: &str) -> Result<(), TlsError> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_for = match bare.unwrap_or(host).parse::<IpAddr>() {
        Ok(address) => certificate.ip_addresses.contains(&address.to_canonical()),
        Err(_) => certificate.dns_names.iter().any(|name| matches(name, host)),
    };
    if is_for {
        Ok(())
    } else {
        Err(refusal(certificate, bare.unwrap_or(host)))
    }
}

/// What a certificate has to be for: one of these common names, or one of these hosts; empty lists ask for nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Allowed {
    pub(crate) common_names: Vec<String>,
    pub(crate) hostnames: Vec<String>,
}

impl Allowed {
    pub(crate) fn of(options: &TlsOptions) -> Self {
        Self {
            common_names: options.allowed_common_names.clone(),
            hostnames: options.allowed_hostnames.clone(),
        }
    }

    /// # Errors
    /// It is for none of them.
    pub(crate) fn check(&self, certificate: &Certificate) -> Result<(), TlsError> {
        let common_name = certificate.common_name.as_deref().unwrap_or_default();
        let named = self.common_names.is_empty()
            || self.common_names.iter().any(|name| name == common_name);
        let mut hosts = self.hostnames.iter();
        let hosted = self.hostnames.is_empty()
            || hosts.any(|host| verify_hostname(certificate, host).is_ok());
        if named && hosted {
            Ok(())
        } else {
            Err(TlsError::new("client certificate authentication failed"))
        }
    }
}

/// Whether one of a certificate's names stands for a host.
fn matches(name: &str, host: &str) -> bool {
    if !(is_valid(name, true) && is_valid(host, false)) {
        return !name.is_empty() && name != "." && name.eq_ignore_ascii_case(host);
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let (mut names, mut hosts) = (name.split('.'), host.split('.'));
    if name.split('.').count() != host.split('.').count() {
        return false;
    }
    let first = names.next().zip(hosts.next());
    first.is_some_and(|(name, host)| name == "*" || name.eq_ignore_ascii_case(host))
        && names
            .zip(hosts)
            .all(|(name, host)| name.eq_ignore_ascii_case(host))
}

/// Whether this looks like a host name; a pattern may have a star as its first label, and no dot at its end.
fn is_valid(host: &str, pattern: bool) -> bool {
    let host = if pattern {
        host
    } else {
        host.strip_suffix('.').unwrap_or(host)
    };
    let label = |(index, label): (usize, &str)| {
        if pattern && index == 0 && label == "*" {
            return true;
        }
        let byte = |(at, byte): (usize, u8)| {
            byte.is_ascii_alphanumeric() || byte == b'_' || (byte == b'-' && at != 0)
        };
        !label.is_empty() && label.bytes().enumerate().all(byte)
    };
    // A star alone stands for nothing.
    host != "*" && host.split('.').enumerate().all(label)
}

fn refusal(certificate: &Certificate, host: &str) -> TlsError {
    let common_name = certificate.common_name.as_deref().unwrap_or_default();
    if !certificate.has_alternative_names && matches(common_name, host) {
        return TlsError::new(
            "x509: certificate relies on legacy Common Name field, use SANs instead",
        );
    }
    let (names, kind): (Vec<String>, _) = if host.parse::<IpAddr>().is_ok() {
        let addresses = certificate.ip_addresses.iter().map(IpAddr::to_string);
        (addresses.collect(), "IP SANs")
    } else {
        (certificate.dns_names.clone(), "names")
    };
    TlsError(match names.len() {
        0 if kind == "IP SANs" => format!(
            "x509: cannot validate certificate for {host} because it doesn't contain any IP SANs"
        ),
        0 => {
            format!("x509: certificate is not valid for any names, but wanted to match {host}")
        }
        many if many >= LISTED_MAX => {
            format!("x509: certificate is valid for {many} {kind}, but none matched {host}")
        }
        _ => format!(
            "x509: certificate is valid for {}, not {host}",
            names.join(", ")
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(dns_names: &[&str], addresses: &[&str]) -> Certificate {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters
            .distinguished_name
            .push(rcgen::DnType::CommonName, "common.test");
        for name in dns_names {
            let name = rcgen::string::Ia5String::try_from(*name).unwrap();
            parameters
                .subject_alt_names
                .push(rcgen::SanType::DnsName(name));
        }
        for address in addresses {
            let address = address.parse().unwrap();
            parameters
                .subject_alt_names
                .push(rcgen::SanType::IpAddress(address));
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let signed = parameters.self_signed(&key).unwrap();
        Certificate::parse(signed.der().to_vec()).unwrap()
    }

    #[test]
    fn a_certificate_is_for_its_alternative_names() {
        let certificate = certificate(
            &["a.test", "*.wild.test", "odd name"],
            &["127.0.0.1", "::1", "::ffff:10.0.0.1"],
        );
        for host in [
            "a.test",
            "A.TEST",
            "a.test.",
            "x.wild.test",
            "odd name",
            "127.0.0.1",
            "::1",
            "[::1]",
            "10.0.0.1",
        ] {
            assert_eq!(verify_hostname(&certificate, host), Ok(()), "{host}");
        }
        for host in [
            "b.test",
            "wild.test",
            "x.y.wild.test",
            "xwild.test",
            "common.test",
            "",
            "*",
            "127.0.0.2",
            "::2",
        ] {
            assert!(verify_hostname(&certificate, host).is_err(), "{host}");
        }
    }

    #[test]
    fn refusals_have_the_texts_of_go() {
        let named = certificate(&["a.test", "b.test"], &["10.1.2.3"]);
        let addresses = certificate(&[], &["10.1.2.3"]);
        let none = certificate(&[], &[]);
        let names = certificate(&["a.test"], &[]);
        for (certificate, host, text) in [
            (
                &named,
                "c.test",
                "x509: certificate is valid for a.test, b.test, not c.test",
            ),
            (
                &named,
                "127.0.0.1",
                "x509: certificate is valid for 10.1.2.3, not 127.0.0.1",
            ),
            (
                &addresses,
                "c.test",
                "x509: certificate is not valid for any names, but wanted to match c.test",
            ),
            (
                &names,
                "127.0.0.1",
                "x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs",
            ),
            (
                &none,
                "common.test",
                "x509: certificate relies on legacy Common Name field, use SANs instead",
            ),
        ] {
            assert_eq!(verify_hostname(certificate, host), Err(TlsError::new(text)));
        }
    }
}
