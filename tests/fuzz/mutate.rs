//! Blind mutations of inputs that are right.

use crate::common::Random;

/// What parsers care about, between spaces.
const PIECES: &str =
    r#"" \ { } [ ] , : null -1 1e999 18446744073709551616 \u0000 \uD800 {"a": [[[[ (?<=a) * {9999} | Ġ é 中"#;

fn piece(random: &mut Random) -> Vec<u8> {
    let others = [&b"\xFF"[..], b"\xE4\xB8", b"\0", b"\n"];
    let pieces: Vec<&[u8]> = PIECES.split(' ').map(str::as_bytes).chain(others).collect();
    random.pick(&pieces).to_vec()
}

/// A seed that was changed in some places.
pub fn mutated(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.pick(seeds).clone();
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(40)).min(bytes.len());
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].repeat(1 + random.below(50));
                bytes.splice(at..at, part);
            }
            4 => {
                let other = random.pick(seeds);
                let start = random.below(other.len() + 1);
                let part = other[start..(start + random.below(80)).min(other.len())].to_vec();
                bytes.splice(at..end, part);
            }
            5 => drop(bytes.splice(at..end, random.bytes(9, b"0123456789"))),
            _ => drop(bytes.splice(at..at, piece(random))),
        }
    }
    bytes
}
