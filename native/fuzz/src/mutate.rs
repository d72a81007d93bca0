//! Changes of inputs: of single bits and bytes, of numbers that may be lengths, and of pieces.

use rand::Rng;

use crate::limits::{CHANGES_MAX, INPUT_BYTES_MAX, PIECE_BYTES_MAX};

/// Bytes and numbers at which parsers change their minds.
const EDGES: [u32; 16] = [
    0,
    1,
    2,
    4,
    7,
    8,
    9,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    u32::MAX,
];

/// One of `pool`, changed a few times.
pub(crate) fn changed(pool: &[Vec<u8>], rng: &mut impl Rng) -> Vec<u8> {
    let mut input = one_of(pool, rng).to_vec();
    for _ in 0..rng.random_range(1..=CHANGES_MAX) {
        change(&mut input, pool, rng);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn one_of<'a>(pool: &'a [Vec<u8>], rng: &mut impl Rng) -> &'a [u8] {
    &pool[rng.random_range(0..pool.len())]
}

fn change(input: &mut Vec<u8>, pool: &[Vec<u8>], rng: &mut impl Rng) {
    if input.is_empty() {
        return input.push(rng.random());
    }
    let at = rng.random_range(0..input.len());
    match rng.random_range(0..9) {
        0 => input[at] ^= 1 << rng.random_range(0..8),
        1 => input[at] = rng.random(),
        2 => input[at] = edge(rng) as u8,
        3 => input[at] = input[at].wrapping_add(rng.random_range(-4_i8..=4) as u8),
        4 => number(&mut input[at..], rng),
        5 => {
            let piece = piece(input.len() - at, rng);
            input.drain(at..at + piece);
        }
        6 => {
            let again = input[at..at + piece(input.len() - at, rng)].to_vec();
            insert(input, &again, rng);
        }
        7 => {
            let other = one_of(pool, rng);
            let from = rng.random_range(0..=other.len());
            let to = from + piece(other.len() - from, rng);
            insert(input, &other[from..to], rng);
        }
        _ => {
            let other = one_of(pool, rng);
            input.truncate(at);
            input.extend_from_slice(&other[rng.random_range(0..=other.len())..]);
        }
    }
}

fn edge(rng: &mut impl Rng) -> u32 {
    EDGES[rng.random_range(0..EDGES.len())]
}

/// Bytes of a piece, at most `rest`.
fn piece(rest: usize, rng: &mut impl Rng) -> usize {
    rng.random_range(0..=PIECE_BYTES_MAX).min(rest)
}

fn insert(input: &mut Vec<u8>, piece: &[u8], rng: &mut impl Rng) {
    let at = rng.random_range(0..=input.len());
    input.splice(at..at, piece.iter().copied());
}

/// Writes an edge as a number of up to four bytes, of either order.
fn number(place: &mut [u8], rng: &mut impl Rng) {
    let bytes = rng.random_range(1..=4);
    let value = edge(rng);
    let coded = if rng.random() {
        value.to_be_bytes()[4 - bytes..].to_vec()
    } else {
        value.to_le_bytes()[..bytes].to_vec()
    };
    for (to, from) in place.iter_mut().zip(coded) {
        *to = from;
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn changes_reach_every_length_up_to_the_limit_and_are_repeatable() {
        let pool = vec![vec![], b"abc".to_vec(), vec![7; INPUT_BYTES_MAX]];
        let made = |seed| {
            let mut rng = SmallRng::seed_from_u64(seed);
            (0..5000)
                .map(|_| changed(&pool, &mut rng))
                .collect::<Vec<_>>()
        };
        let inputs = made(1);
        assert!(inputs.iter().all(|input| input.len() <= INPUT_BYTES_MAX));
        assert!(inputs.iter().any(Vec::is_empty));
        assert!(inputs.iter().any(|input| input.len() == INPUT_BYTES_MAX));
        assert!(inputs.iter().filter(|input| !pool.contains(input)).count() > 4000);
        assert_eq!(inputs, made(1));
        assert_ne!(inputs, made(2));
    }
}
