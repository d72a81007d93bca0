//! What a certificate says, read once.

use std::fmt::Write;
use std::net::IpAddr;

use x509_parser::asn1_rs::Tag;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_X509_EXT_EXTENDED_KEY_USAGE;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Version};

use super::TlsError;
use crate::calendar;

/// A certificate and what is asked of it. Times are milliseconds since 1970.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Certificate {
    pub(crate) der: Vec<u8>,
    /// The last one of the subject, as in Go.
    pub(crate) common_name: Option<String>,
    pub(crate) dns_names: Vec<String>,
    pub(crate) ip_addresses: Vec<IpAddr>,
    /// Of whatever kind.
    pub(crate) has_alternative_names: bool,
    pub(crate) subject: String,
    pub(crate) issuer: String,
    /// Big-endian, as short as it can be.
    pub(crate) serial: Vec<u8>,
    pub(crate) begin_ms: i64,
    pub(crate) end_ms: i64,
    usage: Usage,
    /// It may sign others.
    pub(crate) is_signer: bool,
    /// A part of it that nobody knows here must not be passed over.
    pub(crate) has_unknown_critical: bool,
    /// The bits of the public key, without their algorithm.
    pub(crate) public_key: Vec<u8>,
}

/// For what a certificate may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Usage {
    client: bool,
    server: bool,
}

impl Certificate {
    /// # Errors
    /// This is no certificate.
    pub(crate) fn parse(der: Vec<u8>) -> Result<Self, TlsError> {
        let malformed = || TlsError::new("x509: malformed certificate");
        let (rest, parsed) = X509Certificate::from_der(&der).map_err(|_| malformed())?;
        if !rest.is_empty() {
            return Err(TlsError::new("x509: trailing data"));
        }
        let (mut dns_names, mut ip_addresses) = (Vec::new(), Vec::new());
        let mut has_alternative_names = false;
        let mut usage = Usage {
            client: true,
            server: true,
        };
        // A certificate of the first version says nothing of what it is for.
        let mut is_signer = parsed.version() != X509Version::V3;
        let (mut signs, mut has_unknown_critical) = (true, false);
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    has_alternative_names = true;
                    for name in &names.general_names {
                        match name {
                            GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
                            GeneralName::IPAddress(bytes) => {
                                ip_addresses.push(ip_address(bytes).ok_or_else(malformed)?);
                            }
                            _ => {}
                        }
                    }
                }
                ParsedExtension::ExtendedKeyUsage(named) => {
                    usage = Usage {
                        client: named.any || named.client_auth,
                        server: named.any || named.server_auth,
                    };
                }
                ParsedExtension::ParseError { .. }
                    if extension.oid == OID_X509_EXT_EXTENDED_KEY_USAGE =>
                {
                    return Err(malformed());
                }
                ParsedExtension::BasicConstraints(constraints) => is_signer = constraints.ca,
                ParsedExtension::KeyUsage(usage) => signs = usage.key_cert_sign(),
                ParsedExtension::UnsupportedExtension { .. }
                | ParsedExtension::ParseError { .. } => {
                    has_unknown_critical |= extension.critical;
                }
                _ => {}
            }
        }
        let ms = |time: &x509_parser::time::ASN1Time| time.timestamp().saturating_mul(1000);
        Ok(Self {
            common_name: parsed.subject().iter_common_name().last().map(text),
            dns_names,
            ip_addresses,
            has_alternative_names,
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            serial: shortest(parsed.raw_serial()).to_vec(),
            begin_ms: ms(&parsed.validity().not_before),
            end_ms: ms(&parsed.validity().not_after),
            usage,
            is_signer: is_signer && signs,
            has_unknown_critical,
            public_key: parsed.public_key().subject_public_key.data.to_vec(),
            der,
        })
    }

    /// The first one of a chain is the one that is meant.
    ///
    /// # Errors
    /// One of them is no certificate.
    pub(crate) fn parse_all(all: Vec<Vec<u8>>) -> Result<Vec<Self>, TlsError> {
        all.into_iter().map(Self::parse).collect()
    }

    /// Whether a client may show it.
    pub(crate) fn is_for_clients(&self) -> bool {
        self.usage.client
    }

    /// Whether a server may.
    pub(crate) fn is_for_servers(&self) -> bool {
        self.usage.server
    }

    /// The serial number as etcd prints it: every byte with two digits, and none for zero.
    pub(crate) fn serial_hex(&self) -> String {
        serial_hex(&self.serial)
    }

    /// # Errors
    /// It is not yet or no longer valid at this time.
    pub(crate) fn check_dates(&self, now_ms: i64) -> Result<(), TlsError> {
        let (relation, limit) = match now_ms {
            early if early < self.begin_ms => ("before", self.begin_ms),
            // A certificate ends with its last second.
            late if late / 1000 > self.end_ms / 1000 => ("after", self.end_ms),
            _ => return Ok(()),
        };
        Err(TlsError(format!(
            "x509: certificate has expired or is not yet valid: current time {} is {relation} {}",
            rfc3339(now_ms),
            rfc3339(limit)
        )))
    }
}

/// A serial number as short as it can be.
pub(crate) fn shortest(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[zeros..]
}

fn serial_hex(serial: &[u8]) -> String {
    let mut hex = String::new();
    for byte in serial {
        // A string takes all.
        let _infallible = write!(hex, "{byte:02x}");
    }
    hex
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let sixteen = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| sixteen()).ok().map(|it| it.to_canonical())
}

/// A part of a name in whatever alphabet it is written.
fn text(value: &AttributeTypeAndValue<'_>) -> String {
    if let Ok(text) = value.as_str() {
        return text.to_owned();
    }
    let bytes = value.as_slice();
    if value.attr_value().tag() == Tag::BmpString {
        let units = bytes.chunks_exact(2);
        let units: Vec<u16> = units.map(|it| u16::from_be_bytes([it[0], it[1]])).collect();
        return String::from_utf16_lossy(&units);
    }
    String::from_utf8_lossy(bytes).into_owned()
}

/// A moment to the second, as Go prints it; one before 1970 is shown as then.
pub(crate) fn rfc3339(ms: i64) -> String {
    let seconds = u64::try_from(ms).unwrap_or_default() / 1000;
    calendar::seconds(seconds, *b"--T::") + "Z"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(change: impl FnOnce(&mut rcgen::CertificateParams)) -> Certificate {
        let mut parameters = rcgen::CertificateParams::default();
        change(&mut parameters);
        let key = rcgen::KeyPair::generate().unwrap();
        let signed = parameters.self_signed(&key).unwrap();
        Certificate::parse(signed.der().to_vec()).unwrap()
    }

    #[test]
    fn what_a_certificate_says_is_read() {
        let certificate = signed(|parameters| {
            let mut name = rcgen::DistinguishedName::new();
            name.push(rcgen::DnType::OrganizationName, "etcd");
            name.push(rcgen::DnType::CommonName, "alice");
            parameters.distinguished_name = name;
            parameters.serial_number = Some(rcgen::SerialNumber::from(vec![0, 0x0a, 0xff]));
            parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(2024, 2, 29);
            parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        });
        assert_eq!(certificate.common_name.as_deref(), Some("alice"));
        assert_eq!(certificate.subject, "O=etcd, CN=alice");
        assert_eq!(certificate.serial_hex(), "0aff");
        assert!(certificate.is_for_servers() && !certificate.is_for_clients());
        assert!(!certificate.has_alternative_names);
        assert_eq!(rfc3339(certificate.begin_ms), "2020-01-01T00:00:00Z");
        assert_eq!(certificate.check_dates(certificate.end_ms), Ok(()));
        let late = certificate.check_dates(certificate.end_ms + 1000);
        let text = "x509: certificate has expired or is not yet valid: current time 2024-02-29T00:00:01Z is after 2024-02-29T00:00:00Z";
        assert_eq!(late, Err(TlsError::new(text)));
        let early = certificate.check_dates(certificate.begin_ms - 1);
        assert!(early.unwrap_err().0.contains(" is before "));
    }

    #[test]
    fn a_certificate_without_usages_is_for_all_and_may_be_without_a_name() {
        let certificate = signed(|parameters| {
            parameters.distinguished_name = rcgen::DistinguishedName::new();
        });
        assert!(certificate.is_for_servers() && certificate.is_for_clients());
        assert_eq!(certificate.common_name, None);
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let der = signed(|_| {}).der;
        let malformed = Err(TlsError::new("x509: malformed certificate"));
        assert_eq!(Certificate::parse(b"abc".to_vec()), malformed);
        assert_eq!(Certificate::parse(der[..der.len() - 1].to_vec()), malformed);
        let longer = [&der[..], &[0]].concat();
        assert_eq!(
            Certificate::parse(longer),
            Err(TlsError::new("x509: trailing data"))
        );
    }

    #[test]
    fn serials_are_printed_byte_by_byte() {
        for (serial, hex) in [(&[][..], ""), (&[0, 0], ""), (&[0, 0x0a, 0], "0a00")] {
            assert_eq!(serial_hex(shortest(serial)), hex);
        }
    }
}
