//! What PEM files hold, read as Go reads them and refused with its texts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::TlsError;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// One block: what it says it is, and the bytes.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Block {
    pub(crate) label: String,
    pub(crate) der: Vec<u8>,
}

impl Block {
    fn is_key(&self) -> bool {
        self.label == "PRIVATE KEY" || self.label.ends_with(" PRIVATE KEY")
    }
}

/// All blocks of a file. What is between them is passed over, and so is a block that is broken.
pub(crate) fn blocks(mut text: &[u8]) -> Vec<Block> {
    let mut blocks = Vec::new();
    while let Some(at) = line_that_begins(text, BEGIN) {
        let inside = &text[at + BEGIN.len()..];
        match block(inside) {
            Some((block, rest)) => {
                blocks.push(block);
                text = rest;
            }
            None => text = inside,
        }
    }
    blocks
}

/// Where a line begins with this.
fn line_that_begins(text: &[u8], with: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        if text[at..].starts_with(with) {
            return Some(at);
        }
        at += text[at..].iter().position(|byte| *byte == b'\n')? + 1;
    }
}

/// The block behind its first dashes, and what follows it.
fn block(text: &[u8]) -> Option<(Block, &[u8])> {
    let (first, mut rest) = line(text);
    let label = first.strip_suffix(DASHES)?;
    // Headers, which only say how a key is encrypted.
    while let (header, after) = line(rest)
        && header.contains(&b':')
    {
        rest = after;
    }
    let end = line_that_begins(rest, END)?;
    let (last, after) = line(&rest[end + END.len()..]);
    if last.strip_suffix(DASHES)? != label {
        return None;
    }
    let blanks = |byte: &u8| byte.is_ascii_whitespace();
    let encoded: Vec<u8> = rest[..end]
        .iter()
        .copied()
        .filter(|it| !blanks(it))
        .collect();
    let block = Block {
        label: String::from_utf8_lossy(label).into_owned(),
        der: STANDARD.decode(encoded).ok()?,
    };
    Some((block, after))
}

/// The first line without blanks at its end, and what follows it.
fn line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| *byte == b'\n');
    let (line, rest) = match end {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &text[text.len()..]),
    };
    (line.trim_ascii_end(), rest)
}

/// The certificates of a chain, at least one.
pub(crate) fn chain(text: &[u8]) -> Result<Vec<Vec<u8>>, TlsError> {
    let (chain, others): (Vec<_>, Vec<_>) = blocks(text)
        .into_iter()
        .partition(|block| block.label == "CERTIFICATE");
    if !chain.is_empty() {
        return Ok(chain.into_iter().map(|block| block.der).collect());
    }
    Err(match &others[..] {
        [] => TlsError::new("tls: failed to find any PEM data in certificate input"),
        [key] if key.label.ends_with("PRIVATE KEY") => TlsError::new(
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched",
        ),
        others => TlsError(format!(
            "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: {}",
            labels(others)
        )),
    })
}

/// The first key of a file, in whatever form: the bytes say which it is.
pub(crate) fn key(text: &[u8]) -> Result<Vec<u8>, TlsError> {
    let mut others = Vec::new();
    for block in blocks(text) {
        if block.is_key() {
            return Ok(block.der);
        }
        others.push(block);
    }
    Err(match &others[..] {
        [] => TlsError::new("tls: failed to find any PEM data in key input"),
        [one] if one.label == "CERTIFICATE" => TlsError::new(
            "tls: found a certificate rather than a key in the PEM for the private key",
        ),
        others => TlsError(format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: {}",
            labels(others)
        )),
    })
}

fn labels(blocks: &[Block]) -> String {
    let labels: Vec<_> = blocks.iter().map(|block| block.label.as_str()).collect();
    format!("[{}]", labels.join(" "))
}

/// The lists of a file that is one (DER) or holds several (PEM).
pub(crate) fn revocation_lists(file: &[u8]) -> Result<Vec<Vec<u8>>, TlsError> {
    // What DER begins with.
    const SEQUENCE: u8 = 0x30;
    if file.first() == Some(&SEQUENCE) {
        return Ok(vec![file.to_vec()]);
    }
    let blocks = blocks(file);
    if blocks.is_empty() || blocks.iter().any(|block| block.label != "X509 CRL") {
        return Err(TlsError::new("x509: malformed crl"));
    }
    Ok(blocks.into_iter().map(|block| block.der).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn blocks_are_found_whatever_is_around_them() {
        let text = format!(
            "subject=CN = a\n{}noise -----BEGIN X-----\n-----BEGIN BROKEN-----\n***\n-----END BROKEN-----\n{}",
            pem("CERTIFICATE", "AQID\r\nBA=="),
            pem(
                "RSA PRIVATE KEY",
                "Proc-Type: 4,ENCRYPTED\nDEK-Info: x,y\n\n BQ =="
            ),
        );
        let found = blocks(text.as_bytes());
        let of = |label: &str, der: &[u8]| Block {
            label: label.to_owned(),
            der: der.to_vec(),
        };
        let expected = [
            of("CERTIFICATE", &[1, 2, 3, 4]),
            of("RSA PRIVATE KEY", &[5]),
        ];
        assert_eq!(found, expected);
        for no_block in [
            "",
            "\n",
            "-----BEGIN ",
            "-----BEGIN A-----\nAQ==\n-----END B-----\n",
        ] {
            assert_eq!(blocks(no_block.as_bytes()), [], "{no_block:?}");
        }
        // Without an end of its last line, and with the ends of lines of another system.
        for whole in [
            "-----BEGIN A-----\r\nAQ==\r\n-----END A-----\r\n",
            "-----BEGIN A-----\n-----END A-----",
        ] {
            assert_eq!(blocks(whole.as_bytes()).len(), 1, "{whole:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_said_as_go_says_it() {
        let certificate = pem("CERTIFICATE", "AQ==");
        let key_block = pem("EC PRIVATE KEY", "AQ==");
        let parameters = pem("EC PARAMETERS", "AQ==");
        let texts = [
            (
                chain(b"nothing"),
                "tls: failed to find any PEM data in certificate input",
            ),
            (
                chain(key_block.as_bytes()),
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched",
            ),
            (
                chain((parameters.clone() + &key_block).as_bytes()),
                "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [EC PARAMETERS EC PRIVATE KEY]",
            ),
            (
                key(b"nothing").map(|key| vec![key]),
                "tls: failed to find any PEM data in key input",
            ),
            (
                key(certificate.as_bytes()).map(|key| vec![key]),
                "tls: found a certificate rather than a key in the PEM for the private key",
            ),
            (revocation_lists(b"nothing"), "x509: malformed crl"),
            (
                revocation_lists(certificate.as_bytes()),
                "x509: malformed crl",
            ),
        ];
        for (refused, text) in texts {
            assert_eq!(refused, Err(TlsError::new(text)));
        }
        assert_eq!(chain(certificate.as_bytes()), Ok(vec![vec![1]]));
        assert_eq!(key((parameters + &key_block).as_bytes()), Ok(vec![1]));
    }

    #[test]
    fn lists_are_der_or_pem() {
        let list = pem("X509 CRL", "MAA=");
        assert_eq!(revocation_lists(&[0x30, 0]), Ok(vec![vec![0x30, 0]]));
        let two = revocation_lists((list.clone() + &list).as_bytes());
        assert_eq!(two, Ok(vec![vec![0x30, 0]; 2]));
    }

    #[test]
    fn no_input_breaks_the_reader() {
        let seed = pem("CERTIFICATE", "AQID") + &pem("PRIVATE KEY", "BQYH");
        let outcome = netcd_fuzz::fuzz(
            env!("CARGO_MANIFEST_DIR"),
            "pem",
            &[seed.into_bytes()],
            |input| {
                let blocks = blocks(input);
                let bytes: usize = blocks.iter().map(|block| block.der.len()).sum();
                assert!(bytes <= input.len());
                [blocks.len().min(8)]
            },
        );
        assert!(outcome.found >= 2, "{outcome:?}");
    }
}
