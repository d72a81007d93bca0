//! Percent-encoding of grpc-message: everything outside printable ASCII, and '%' itself.

use http::HeaderValue;

fn plain(byte: u8) -> bool {
    (0x20..=0x7e).contains(&byte) && byte != b'%'
}

/// A status text as a header value.
pub(crate) fn encode(text: &str) -> HeaderValue {
    if text.bytes().all(plain)
        && let Ok(value) = HeaderValue::from_str(text)
    {
        return value;
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if plain(byte) {
            out.push(byte);
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.extend_from_slice(&[
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]);
        }
    }
    HeaderValue::from_bytes(&out).expect("printable ASCII is a header value")
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn encodes_what_a_header_cannot_carry() {
        assert_eq!(encode("etcdserver: no leader"), "etcdserver: no leader");
        assert_eq!(encode("50% \n ü"), "50%25 %0A %C3%BC");
        assert_eq!(encode(""), "");
        assert_eq!(encode("\u{7f}~"), "%7F~");
    }
}
