//! The way from a certificate to one that is trusted, for leaves that the library refuses as such although etcd takes
//! them: those that might sign others themselves (CA:TRUE), and those of the first version of X.509.

use rustls::crypto::WebPkiSupportedAlgorithms;
use x509_parser::asn1_rs::{Any, BitString};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::certificate::Certificate;
use crate::limits::{TLS_PATH_CERTIFICATES_MAX, TLS_PATH_SIGNATURES_MAX};

/// One certificate as the search looks at it.
struct Link<'a> {
    parsed: X509Certificate<'a>,
    /// What is signed, how (an algorithm's identifier without its head), and the signature.
    signed: (&'a [u8], &'a [u8], &'a [u8]),
    /// How its own key signs.
    key_algorithm: &'a [u8],
    signs: bool,
}

impl<'a> Link<'a> {
    fn of(certificate: &'a Certificate) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(&certificate.der).ok()?;
        let (_, outer) = Any::from_der(&certificate.der).ok()?;
        let parts = outer.data;
        let (rest, _) = Any::from_der(parts).ok()?;
        let signed = &parts[..parts.len() - rest.len()];
        let (rest, algorithm) = Any::from_der(rest).ok()?;
        let (_, signature) = BitString::from_der(rest).ok()?;
        let signature_at = rest.len() - signature.data.len();
        let (_, key) = Any::from_der(parsed.tbs_certificate.subject_pki.raw).ok()?;
        let (_, key_algorithm) = Any::from_der(key.data).ok()?;
        // What a signer allows or forbids its certificates is left to the library, which does not get here.
        let is_free = parsed.name_constraints().is_ok_and(|it| it.is_none());
        Some(Self {
            signed: (signed, algorithm.data, &rest[signature_at..]),
            key_algorithm: key_algorithm.data,
            signs: certificate.is_signer && is_free && !certificate.has_unknown_critical,
            parsed,
        })
    }

    /// Whether this one may have so many others between it and the leaf.
    fn allows(&self, between: usize) -> bool {
        let constraints = self.parsed.basic_constraints().ok().flatten();
        let most = constraints.and_then(|it| it.value.path_len_constraint);
        most.is_none_or(|most| between <= most as usize)
    }
}

struct Search<'a> {
    anchors: &'a [Link<'a>],
    others: &'a [Link<'a>],
    algorithms: &'a WebPkiSupportedAlgorithms,
    signatures: usize,
}

/// Whether a leaf leads to one of the `anchors` by way of `others`. Dates and usages are looked at elsewhere.
pub(crate) fn leads_to(
    leaf: &Certificate,
    anchors: &[&Certificate],
    others: &[Certificate],
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    let anchors: Vec<_> = anchors.iter().filter_map(|it| Link::of(it)).collect();
    let others = others.iter().take(TLS_PATH_CERTIFICATES_MAX);
    let others: Vec<_> = others.filter_map(Link::of).collect();
    let mut search = Search {
        anchors: &anchors,
        others: &others,
        algorithms,
        signatures: 0,
    };
    Link::of(leaf).is_some_and(|leaf| search.climb(&leaf, 0))
}

impl Search<'_> {
    fn climb(&mut self, from: &Link<'_>, between: usize) -> bool {
        let (anchors, others) = (self.anchors, self.others);
        let trusted = anchors.iter().any(|it| self.is_issuer(it, from, between));
        trusted
            || between < TLS_PATH_CERTIFICATES_MAX
                && others.iter().any(|other| {
                    self.is_issuer(other, from, between) && self.climb(other, between + 1)
                })
    }

    fn is_issuer(&mut self, issuer: &Link<'_>, of: &Link<'_>, between: usize) -> bool {
        let named = issuer.parsed.subject().as_raw() == of.parsed.issuer().as_raw();
        if !(named && issuer.signs && issuer.allows(between)) {
            return false;
        }
        self.signatures += 1;
        if self.signatures > TLS_PATH_SIGNATURES_MAX {
            return false;
        }
        let (message, algorithm, signature) = of.signed;
        let key = &issuer.parsed.public_key().subject_public_key.data;
        self.algorithms.all.iter().any(|known| {
            *known.signature_alg_id() == *algorithm
                && *known.public_key_alg_id() == *issuer.key_algorithm
                && known.verify_signature(key, message, signature).is_ok()
        })
    }
}
