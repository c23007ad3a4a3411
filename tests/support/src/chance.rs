//! Changes by chance, of the kinds that break parsers.

/// A generator of numbers with a seed of its own, other than 0: a failure can be had again.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}

/// One change of a kind that breaks parsers: bits, bytes, pieces left out or doubled, an early end.
pub fn mutate(chance: &mut Chance, bytes: &mut Vec<u8>) {
    let (one, other) = (chance.below(bytes.len()), chance.below(bytes.len()));
    let (from, to) = (one.min(other), one.max(other).min(one.min(other) + 200));
    match chance.below(7) {
        0 => bytes[one] ^= 1 << chance.below(8),
        1 => bytes[one] = b"\"{}[]:,\\\0\x1b\xff"[chance.below(11)],
        2 => drop(bytes.drain(from..to)),
        3 => {
            let piece = bytes[from..to].to_vec();
            bytes.splice(one..one, piece);
        }
        4 => bytes.truncate(one),
        5 => drop(bytes.splice(one..one, b"null".iter().copied())),
        _ => drop(bytes.splice(one..one, b"\\u0000".iter().copied())),
    }
    if bytes.is_empty() {
        bytes.push(b' ');
    }
}
