//! Old grpc-go clients (etcdctl 3.4 with a URL as endpoint) name a whole URL as `:authority`. A Go server takes that; the
//! h2 crate resets the stream, as no authority has a slash in it. So in the first header block of a connection the
//! three characters `://` are replaced, before h2 sees them, by three that an authority may have. Their Huffman codes
//! are as long, so neither lengths nor the sizes in HPACK's table change; later blocks refer to that table.

/// `:authority` as a literal that is added to the table, before the length.
const LITERAL_AUTHORITY: u8 = 0x41;
/// Set in the length when the string is Huffman coded, as Go's encoder always does here.
const HUFFMAN: u8 = 0x80;
/// `http://` in Huffman code is 41 bits: five bytes, and a zero bit that is the same in the replacement.
const URL: [u8; 5] = [0x9d, 0x29, 0xae, 0xe3, 0x0c];
/// `httpB--`
const REPLACED: [u8; 5] = [0x9d, 0x29, 0xae, 0xea, 0xcb];

/// Repairs a header block, or as much of it as one read brought: one that is cut inside the authority stays as it is.
pub(super) fn repair(block: &mut [u8]) {
    let found = block.windows(2 + URL.len() + 1).position(|window| {
        window[0] == LITERAL_AUTHORITY
            && window[1] & HUFFMAN != 0
            && window[2..2 + URL.len()] == URL
            && window[2 + URL.len()] & HUFFMAN == 0
    });
    if let Some(at) = found {
        block[at + 2..at + 2 + URL.len()].copy_from_slice(&REPLACED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `:authority: http://127.0.0.1:21398` as etcdctl 3.4 sends it, between two other fields.
    const SENT: &[u8] = &[
        0x83, 0x86, 0x41, 0x90, 0x9d, 0x29, 0xae, 0xe3, 0x0c, 0x04, 0x4e, 0xae, 0x05, 0xc0, 0xb8,
        0x6e, 0x08, 0x2c, 0xbe, 0xf7, 0x5f,
    ];

    #[test]
    fn only_the_three_characters_change() {
        let mut block = SENT.to_vec();
        repair(&mut block);
        assert_eq!(block[4..9], REPLACED);
        assert_eq!(block[..4], SENT[..4]);
        assert_eq!(block[9..], SENT[9..]);
    }

    #[test]
    fn a_right_authority_and_a_cut_one_stay() {
        let mut right = SENT.to_vec();
        right[7] = 0xe4;
        let mut cut = SENT[..8].to_vec();
        let before = (right.clone(), cut.clone());
        repair(&mut right);
        repair(&mut cut);
        assert_eq!((right, cut), before);
    }
}
