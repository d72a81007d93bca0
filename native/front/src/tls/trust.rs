//! Whose signatures are believed, and whether a certificate is good by them, as Go decides it.

use rustls::CertificateError;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};

use super::TlsError;
use super::certificate::Certificate;
use super::path;
use super::pem;

/// The certificates of a CA file: every block is one, or the file is refused. There may be none.
///
/// # Errors
/// A block is no certificate.
pub(crate) fn pool(file: &[u8]) -> Result<Vec<Certificate>, TlsError> {
    let all = pem::blocks(file).into_iter().map(|block| block.der);
    Certificate::parse_all(all.collect())
}

/// The certificates that the system believes; what of them cannot be read is left out.
pub(crate) fn system() -> Vec<Certificate> {
    let found = rustls_native_certs::load_native_certs();
    let ders = found.certs.into_iter().map(|der| der.to_vec());
    ders.filter_map(|der| Certificate::parse(der).ok())
        .collect()
}

/// What the owner of a certificate does with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// It calls.
    Client,
    /// It is called.
    Server,
}

impl Purpose {
    fn is_of(self, certificate: &Certificate) -> bool {
        match self {
            Self::Client => certificate.is_for_clients(),
            Self::Server => certificate.is_for_servers(),
        }
    }
}

/// As Go reads extended key usages: a certificate that names none is for everything, and so is one that says that it is
/// for any, which the library's own rule does not know.
impl webpki::ExtendedKeyUsageValidator for Purpose {
    fn validate(&self, named: webpki::KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let own = match self {
            Self::Client => CLIENT_AUTH,
            Self::Server => SERVER_AUTH,
        };
        let mut is_empty = true;
        for id in named {
            let id = id?;
            if id == webpki::KeyPurposeId::new(own) || id == webpki::KeyPurposeId::new(ANY_USAGE) {
                return Ok(());
            }
            is_empty = false;
        }
        if is_empty {
            Ok(())
        } else {
            Err(webpki::Error::RequiredEkuNotFoundContext(
                webpki::RequiredEkuNotFoundContext {
                    required: webpki::KeyUsage::required(own),
                    present: Vec::new(),
                },
            ))
        }
    }
}

/// Why a certificate is not good: what its owner is told, and what the log says.
#[derive(Debug)]
pub(crate) struct Problem(pub(crate) CertificateError, pub(crate) TlsError);

/// The text is that of Go's x509.
pub(crate) fn not_verified(error: CertificateError, text: &str) -> Problem {
    let text = format!("tls: failed to verify certificate: {text}");
    Problem(error, TlsError(text))
}

/// Object identifiers (DER) of extended key usages: serverAuth, clientAuth, and any.
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
const ANY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0];

const UNKNOWN_AUTHORITY: &str = "x509: certificate signed by unknown authority";
const WRONG_USAGE: &str = "x509: certificate specifies an incompatible key usage";

/// One that is trusted to sign others.
struct Anchor {
    /// Where in the pool it is.
    at: usize,
    anchor: TrustAnchor<'static>,
}

/// Those whose signatures are believed.
pub(crate) struct Trust {
    pool: Vec<Certificate>,
    anchors: Vec<Anchor>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    pub(crate) fn new(pool: Vec<Certificate>, algorithms: WebPkiSupportedAlgorithms) -> Self {
        let anchor = |(at, certificate): (usize, &Certificate)| {
            let der = CertificateDer::from(certificate.der.as_slice());
            // A certificate of which the library can make no anchor may still be the other side's own.
            let anchor = webpki::anchor_from_trusted_cert(&der).ok()?.to_owned();
            Some(Anchor { at, anchor })
        };
        let signers = pool.iter().enumerate().filter(|(_, it)| it.is_signer);
        let anchors = signers.filter_map(anchor).collect();
        Self {
            pool,
            anchors,
            algorithms,
        }
    }

    /// Whether the leaf is good at this time: one of the pool, or one that leads there by way of `others`.
    pub(crate) fn verify(
        &self,
        leaf: &Certificate,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        purpose: Purpose,
    ) -> Result<(), Problem> {
        let now_ms = milliseconds(now);
        leaf.check_dates(now_ms)
            .map_err(|TlsError(text)| not_verified(CertificateError::Expired, &text))?;
        if self.pool.iter().any(|one| one.der == leaf.der) {
            if leaf.has_unknown_critical {
                let error = CertificateError::UnhandledCriticalExtension;
                return Err(not_verified(error, "x509: unhandled critical extension"));
            }
        } else {
            self.verify_path(leaf, others, now, purpose)?;
        }
        if purpose.is_of(leaf) {
            Ok(())
        } else {
            Err(not_verified(CertificateError::InvalidPurpose, WRONG_USAGE))
        }
    }

    /// Whether the leaf leads to one of the pool that is good itself at this time.
    fn verify_path(
        &self,
        leaf: &Certificate,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        purpose: Purpose,
    ) -> Result<(), Problem> {
        let now_ms = milliseconds(now);
        let is_good = |it: &Certificate| purpose.is_of(it) && it.check_dates(now_ms).is_ok();
        let anchors = self.anchors.iter();
        let good: Vec<_> = anchors.filter(|it| is_good(&self.pool[it.at])).collect();
        let anchors: Vec<_> = good.iter().map(|it| it.anchor.clone()).collect();
        let der = CertificateDer::from(leaf.der.as_slice());
        let known = self.algorithms.all;
        let verified = webpki::EndEntityCert::try_from(&der).and_then(|certificate| {
            let path =
                certificate.verify_for_usage(known, &anchors, others, now, purpose, None, None);
            path.map(|_| ())
        });
        let unknown = CertificateError::UnknownIssuer;
        match verified {
            Ok(()) => Ok(()),
            Err(webpki::Error::CaUsedAsEndEntity | webpki::Error::UnsupportedCertVersion) => {
                let signers: Vec<_> = good.iter().map(|it| &self.pool[it.at]).collect();
                let parsed = others.iter().map(|it| Certificate::parse(it.to_vec()).ok());
                let others: Vec<_> = parsed.flatten().filter(is_good).collect();
                if !leaf.has_unknown_critical
                    && path::leads_to(leaf, &signers, &others, &self.algorithms)
                {
                    return Ok(());
                }
                Err(not_verified(unknown, UNKNOWN_AUTHORITY))
            }
            Err(webpki::Error::RequiredEkuNotFoundContext(_)) => {
                Err(not_verified(CertificateError::InvalidPurpose, WRONG_USAGE))
            }
            Err(webpki::Error::UnknownIssuer) => Err(not_verified(unknown, UNKNOWN_AUTHORITY)),
            Err(other) => {
                let text = format!("{UNKNOWN_AUTHORITY} (possibly because of {other:?})");
                Err(not_verified(unknown, &text))
            }
        }
    }
}

fn milliseconds(now: UnixTime) -> i64 {
    i64::try_from(now.as_secs()).map_or(i64::MAX, |seconds| seconds.saturating_mul(1000))
}
