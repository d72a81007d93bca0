//! Why a connection was not taken: Go's texts, what is said of the certificate, and how often it is said.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible};

use super::TlsError;
use super::certificate::Certificate;
use super::hello::Hello;
use super::options::TlsSide;
use super::quoted;
use super::texts::{NOT_TLS, of_alert};
use crate::events::{FieldValue, FrontEvent, LogLevel};
use crate::limits::{TLS_NAME_LOGGED_BYTES_MAX, TLS_REFUSALS_LOGGED_PER_SECOND_MAX};

/// The kinds of reasons, as the metric has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// The client went before the end.
    Closed,
    /// It took too long.
    Timeout,
    /// There were too many others.
    Crowded,
    /// What came was not TLS.
    NotTls,
    /// Both sides have nothing in common, or one does not keep to the protocol.
    Protocol,
    /// The client refused, mostly this side's certificate.
    Client,
    /// The client showed no certificate.
    NoCertificate,
    /// Its certificate is not good.
    BadCertificate,
    /// It is good, but not one of those that are let in.
    NotAllowed,
    /// It was revoked, or nobody knows whether it was.
    Revoked,
}

impl Reason {
    /// Names by number.
    pub(crate) const NAMES: [&str; 10] = [
        "closed",
        "timeout",
        "crowded",
        "not_tls",
        "protocol",
        "client",
        "no_certificate",
        "bad_certificate",
        "not_allowed",
        "revoked",
    ];
}

/// A certificate that was refused, and why.
pub(crate) struct Refused {
    text: TlsError,
    certificate: Option<Certificate>,
}

impl Refused {
    pub(crate) fn unread(text: TlsError) -> Self {
        Self {
            text,
            certificate: None,
        }
    }

    pub(crate) fn read(text: TlsError, certificate: Certificate) -> Self {
        Self {
            text,
            certificate: Some(certificate),
        }
    }
}

thread_local! {
    /// The library's error has no room for it: a verifier runs inside a handshake's step, and whoever made the step
    /// takes this afterwards.
    static REFUSED: Cell<Option<Refused>> = const { Cell::new(None) };
}

/// Keeps what a verifier refuses on this thread.
pub(crate) fn note(refused: Refused) {
    REFUSED.set(Some(refused));
}

/// What the verifier refused in the step of a handshake that this thread has just made.
pub(crate) fn noted() -> Option<Refused> {
    REFUSED.take()
}

/// A connection that was not taken.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) text: String,
    /// What the client has shown.
    pub(crate) certificate: Option<Box<Certificate>>,
    /// The certificate was verified: its names are told.
    pub(crate) shaken: bool,
}

impl Failure {
    pub(crate) fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self {
            reason,
            text: text.into(),
            certificate: None,
            shaken: false,
        }
    }

    /// The handshake is done, but its client may not stay.
    pub(crate) fn of_certificate(
        reason: Reason,
        TlsError(text): TlsError,
        of: Certificate,
    ) -> Self {
        Self {
            reason,
            text,
            certificate: Some(Box::new(of)),
            shaken: true,
        }
    }

    /// Of a handshake that began with these bytes, and in which this was refused.
    pub(crate) fn of_handshake(
        problem: &io::Error,
        refused: Option<Refused>,
        first: &[u8],
    ) -> Self {
        let inner = problem.get_ref().and_then(|it| it.downcast_ref::<Error>());
        match inner {
            Some(Error::InvalidCertificate(error)) => match refused {
                // Who is good and not one of those that are let in has its names told, as in etcd.
                Some(Refused { text, certificate }) => Self {
                    certificate: certificate.map(Box::new),
                    shaken: reason_of(&text) == Reason::NotAllowed,
                    ..Self::new(reason_of(&text), text.0)
                },
                None => Self::new(Reason::BadCertificate, format!("tls: {error}")),
            },
            Some(error) => of_error(error, first),
            None => match problem.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionAborted => {
                    Self::new(Reason::Closed, "EOF")
                }
                io::ErrorKind::ConnectionReset => {
                    Self::new(Reason::Closed, "read: connection reset by peer")
                }
                io::ErrorKind::BrokenPipe => Self::new(Reason::Closed, "write: broken pipe"),
                _ => Self::new(Reason::Closed, problem.to_string()),
            },
        }
    }
}

fn reason_of(TlsError(text): &TlsError) -> Reason {
    if text == "client certificate authentication failed" {
        Reason::NotAllowed
    } else {
        Reason::BadCertificate
    }
}

fn is_about_versions(problem: &PeerIncompatible, first: &[u8]) -> bool {
    match problem {
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired => true,
        // The library misses it first in what clients of 1.0 and 1.1 say.
        PeerIncompatible::SignatureAlgorithmsExtensionRequired => Hello::read(first).is_too_old(),
        _ => false,
    }
}

/// In Go's words.
fn of_error(error: &Error, first: &[u8]) -> Failure {
    let hex = |numbers: &[u16]| {
        let numbers: Vec<_> = numbers.iter().map(|it| format!("{it:x}")).collect();
        format!("[{}]", numbers.join(" "))
    };
    let text = match error {
        Error::NoCertificatesPresented => {
            let text = "tls: client didn't provide a certificate";
            return Failure::new(Reason::NoCertificate, text);
        }
        Error::AlertReceived(AlertDescription::CloseNotify | AlertDescription::UserCanceled) => {
            return Failure::new(Reason::Closed, "EOF");
        }
        Error::AlertReceived(alert) => {
            let text = format!("remote error: tls: {}", of_alert(*alert));
            return Failure::new(Reason::Client, text);
        }
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => {
            return Failure::new(Reason::NotTls, NOT_TLS);
        }
        Error::NoApplicationProtocol => {
            let offered = quoted(&Hello::read(first).protocols);
            format!("tls: client requested unsupported application protocols ({offered})")
        }
        Error::PeerIncompatible(problem) if is_about_versions(problem, first) => format!(
            "tls: client offered only unsupported versions: {}",
            hex(&Hello::read(first).versions)
        ),
        Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon) => {
            "tls: no key exchanges supported by both client and server".to_owned()
        }
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => format!(
            "tls: no cipher suite supported by both client and server; client offered: {}",
            hex(&Hello::read(first).suites)
        ),
        other => format!("tls: {other}"),
    };
    Failure::new(Reason::Protocol, text)
}

/// How many lines there were in the second that began then, and how many were left out since the last one.
#[derive(Default)]
struct Said {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Said {
    /// How many lines were left out before this one; None: it is left out itself.
    fn may_say(&mut self, now: Instant) -> Option<u64> {
        let second = Duration::from_secs(1);
        let is_over = |since| now.saturating_duration_since(since) >= second;
        if self.since.is_none_or(is_over) {
            self.since = Some(now);
            self.lines = 0;
        }
        if self.lines >= TLS_REFUSALS_LOGGED_PER_SECOND_MAX {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// The lines about connections that were not taken: many at once are one sign, not many. Those of clients that went by
/// themselves, which few read, take no room from the others.
#[derive(Default)]
pub(crate) struct RefusalLog {
    warnings: Mutex<Said>,
    others: Mutex<Said>,
}

/// What a stranger's certificate says of itself, as far as a line has room for it.
fn shortened(mut text: String) -> String {
    if text.len() > TLS_NAME_LOGGED_BYTES_MAX {
        let mut fits = (0..=TLS_NAME_LOGGED_BYTES_MAX).rev();
        let end = fits.find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

impl RefusalLog {
    /// The line about a connection from `remote` that began with these bytes; None: it is left out.
    pub(crate) fn line(
        &self,
        side: TlsSide,
        remote: &str,
        first: &[u8],
        failure: Failure,
    ) -> Option<FrontEvent> {
        let (level, said) = match failure.reason {
            Reason::Closed => (LogLevel::Debug, &self.others),
            _ => (LogLevel::Warn, &self.warnings),
        };
        let left_out = said.lock().may_say(Instant::now())?;
        let endpoint = match side {
            TlsSide::Client => "client",
            TlsSide::Peer => "peer",
        };
        let mut fields: Vec<(String, FieldValue)> = Vec::new();
        let mut field = |name: &str, value: FieldValue| fields.push((name.to_owned(), value));
        field("remote-addr", remote.to_owned().into());
        field(
            "server-name",
            shortened(Hello::read(first).server_name).into(),
        );
        if let Some(certificate) = failure.certificate.as_ref().filter(|_| failure.shaken) {
            let addresses = certificate.ip_addresses.iter().map(ToString::to_string);
            field("ip-addresses", addresses.collect::<Vec<_>>().into());
            field("dns-names", certificate.dns_names.clone().into());
        }
        field("error", failure.text.into());
        if let Some(certificate) = failure.certificate {
            field("serial", shortened(certificate.serial_hex()).into());
            field("subject", shortened(certificate.subject).into());
            field("issuer", shortened(certificate.issuer).into());
        }
        if left_out > 0 {
            field("suppressed", left_out.to_string().into());
        }
        Some(FrontEvent::Log {
            level,
            message: format!("rejected connection on {endpoint} endpoint"),
            fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_a_few_lines() {
        let log = RefusalLog::default();
        let line = || log.line(TlsSide::Client, "r", b"", Failure::new(Reason::NotTls, "x"));
        let lines = (0..1000).filter_map(|_| line()).count();
        assert_eq!(lines, TLS_REFUSALS_LOGGED_PER_SECOND_MAX as usize);
        let later = Instant::now() + Duration::from_secs(2);
        let mut said = log.warnings.lock();
        assert_eq!(said.may_say(later), Some(1000 - lines as u64));
        assert_eq!(said.may_say(later), Some(0));
    }

    #[test]
    fn clients_that_go_by_themselves_hide_no_refusal() {
        let log = RefusalLog::default();
        let line = |reason| log.line(TlsSide::Peer, "r", b"", Failure::new(reason, "x"));
        let probes = (0..1000).filter_map(|_| line(Reason::Closed)).count();
        assert_eq!(probes, TLS_REFUSALS_LOGGED_PER_SECOND_MAX as usize);
        assert!(line(Reason::BadCertificate).is_some());
    }

    #[test]
    fn the_names_of_strangers_are_cut_in_a_line() {
        let long = "ä".repeat(TLS_NAME_LOGGED_BYTES_MAX);
        let cut = shortened(long);
        assert!(cut.len() <= TLS_NAME_LOGGED_BYTES_MAX + '…'.len_utf8());
        assert!(cut.ends_with("ä…"));
        assert_eq!(shortened("CN=a".into()), "CN=a");
    }

    #[test]
    fn every_reason_has_a_name() {
        assert_eq!(Reason::NAMES[Reason::Closed as usize], "closed");
        assert_eq!(Reason::NAMES[Reason::Protocol as usize], "protocol");
        assert_eq!(Reason::NAMES[Reason::Revoked as usize], "revoked");
        assert_eq!(Reason::NAMES.len(), Reason::Revoked as usize + 1);
    }
}
