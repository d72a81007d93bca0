//! What is asked of a caller's certificate after the handshake, also of a session that was resumed: the handshake of such
//! a one is short, and its certificate was looked at when the session began.

use std::collections::HashSet;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::TlsError;
use super::certificate::{Certificate, shortest};
use super::names::Allowed;
use super::options::TlsOptions;
use super::pem;
use super::refusal::{Failure, Reason};

/// The rules of one side.
pub(crate) struct Rules {
    /// Serials of all lists. As in etcd whoever issued a list does not matter, nor how old it is.
    revoked: HashSet<Vec<u8>>,
    problem: Option<String>,
    allowed: Allowed,
    /// A common name is a user.
    pub(crate) names_user: bool,
    /// A member's certificate is to be for the address that it calls from.
    pub(crate) checks_addresses: bool,
}

impl Rules {
    /// # Errors
    /// The revocation lists cannot be read.
    pub(crate) fn compile(options: &TlsOptions) -> Result<Self, TlsError> {
        let malformed = || TlsError::new("x509: malformed crl");
        let mut revoked = HashSet::new();
        let lists = options
            .crl
            .as_deref()
            .map(pem::revocation_lists)
            .transpose()?;
        for list in lists.iter().flatten() {
            let parsed = CertificateRevocationList::from_der(list);
            let (rest, parsed) = parsed.map_err(|_| malformed())?;
            if !rest.is_empty() {
                return Err(malformed());
            }
            let serials = parsed.iter_revoked_certificates();
            revoked.extend(serials.map(|one| shortest(one.raw_serial()).to_vec()));
        }
        Ok(Self {
            revoked,
            problem: options.crl_problem.clone(),
            allowed: Allowed::of(options),
            names_user: options.common_name_is_user,
            checks_addresses: !options.skips_san_verification,
        })
    }

    /// The certificate that a client has shown, if it is good; None: it has shown none.
    pub(crate) fn check(
        &self,
        chain: &[CertificateDer<'_>],
        now_ms: i64,
    ) -> Result<Option<Certificate>, Failure> {
        let Some(leaf) = chain.first() else {
            return Ok(None);
        };
        let parsed = Certificate::parse(leaf.to_vec());
        let leaf = parsed.map_err(|TlsError(text)| Failure::new(Reason::BadCertificate, text))?;
        match self.refusal(&leaf, &chain[1..], now_ms) {
            Some((reason, text)) => Err(Failure::of_certificate(reason, text, leaf)),
            None => Ok(Some(leaf)),
        }
    }

    fn refusal(
        &self,
        leaf: &Certificate,
        others: &[CertificateDer<'_>],
        now_ms: i64,
    ) -> Option<(Reason, TlsError)> {
        if let Err(text) = leaf.check_dates(now_ms) {
            return Some((Reason::BadCertificate, text));
        }
        if let Err(text) = self.allowed.check(leaf) {
            return Some((Reason::NotAllowed, text));
        }
        if let Some(problem) = &self.problem {
            return Some((Reason::Revoked, TlsError::new(problem)));
        }
        if self.revoked.is_empty() {
            return None;
        }
        // One that cannot be read might be the one that was revoked.
        let others = match Certificate::parse_all(others.iter().map(|it| it.to_vec()).collect()) {
            Ok(others) => others,
            Err(text) => return Some((Reason::BadCertificate, text)),
        };
        let mut all = [leaf].into_iter().chain(&others);
        let revoked = all.find(|it| self.revoked.contains(&it.serial))?;
        let serial = revoked.serial_hex();
        let text = format!("transport: certificate serial {serial} revoked");
        Some((Reason::Revoked, TlsError(text)))
    }
}
