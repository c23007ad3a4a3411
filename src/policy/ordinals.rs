//! A part of a StatefulSet, written as `0-2`, `3-`, or `0,4-6`.

use std::str::FromStr;

/// Ranges of ordinals, inclusive, as in a Job's `succeededIndexes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordinals(Vec<(u32, u32)>);

impl Ordinals {
    /// Whether this ordinal is in the part.
    #[must_use]
    pub fn contain(&self, ordinal: u32) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&ordinal))
    }

    /// How many ordinals of `count` from `first` on are in the part.
    #[must_use]
    pub fn within(&self, first: u32, count: u32) -> u64 {
        let end = u64::from(first) + u64::from(count);
        let mut ranges: Vec<(u64, u64)> =
            self.0.iter().map(|(first, last)| (u64::from(*first), u64::from(*last) + 1)).collect();
        ranges.sort_unstable();
        let (mut from, mut number) = (u64::from(first), 0);
        // Ranges may overlap: each ordinal counts once.
        for (begin, stop) in ranges {
            let begin = begin.max(from);
            let stop = stop.min(end);
            number += stop.saturating_sub(begin);
            from = from.max(stop);
        }
        number
    }

    /// Whether some ordinal is in both parts.
    #[must_use]
    pub fn meet(&self, other: &Ordinals) -> bool {
        self.0.iter().any(|(first, last)| {
            other.0.iter().any(|(other_first, other_last)| first <= other_last && other_first <= last)
        })
    }
}

/// A text that is no range of ordinals.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no range of ordinals: write 0-2, 3- or 0,4-6")]
pub struct NoRange(String);

impl FromStr for Ordinals {
    type Err = NoRange;

    fn from_str(text: &str) -> Result<Self, NoRange> {
        text.split(',').map(|range| parse_range(range.trim())).collect::<Result<_, _>>().map(Ordinals)
    }
}

fn parse_range(range: &str) -> Result<(u32, u32), NoRange> {
    let wrong = || NoRange(range.to_owned());
    let number = |text: &str| text.parse::<u32>().map_err(|_| wrong());
    let (first, last) = match range.split_once('-') {
        None => (number(range)?, number(range)?),
        Some((first, "")) => (number(first)?, u32::MAX),
        Some((first, last)) => (number(first)?, number(last)?),
    };
    if first > last { Err(wrong()) } else { Ok((first, last)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_ranges_inclusively_and_open_ends() {
        let part: Ordinals = "0-2, 5,8-".parse().unwrap();
        let inside: Vec<u32> = (0..11).filter(|ordinal| part.contain(*ordinal)).collect();
        assert_eq!(inside, [0, 1, 2, 5, 8, 9, 10]);
    }

    #[test]
    fn counts_ordinals_without_listing_them() {
        let within = |part: &str, first, count| part.parse::<Ordinals>().unwrap().within(first, count);
        assert_eq!(within("0-2", 0, 5), 3);
        assert_eq!(within("1-", 0, 2_000_000_000), 1_999_999_999);
        assert_eq!(within("0-2,1-3", 0, 10), 4);
        assert_eq!(within("0-2", 5, 3), 0);
        assert_eq!(within("4-6", 5, 10), 2);
    }

    #[test]
    fn refuses_what_is_no_range_and_says_so() {
        for wrong in ["", "a", "2-1", "-3", "1-2-3", "0,,1"] {
            assert!(wrong.parse::<Ordinals>().unwrap_err().to_string().contains("no range of ordinals"), "{wrong}");
        }
    }
}
