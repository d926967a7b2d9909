//! Which characters may stand where (XML 1.0 §2.2, §2.3), as tables and scans over bytes.

use std::ops::RangeInclusive;

const NAME_START: u8 = 1;
const NAME: u8 = 2;
const SPACE: u8 = 4;
/// A byte for which a name has to be looked at more closely.
const UNUSUAL: u8 = 8;

/// What an ASCII byte may be part of. Bytes of multi-byte characters count as parts of names until [`is_name`] looks
/// at the character.
static CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        if b.is_ascii_alphabetic() || b == b'_' || b == b':' || b >= 0x80 {
            class[i] |= NAME_START | NAME;
        }
        if b.is_ascii_digit() || b == b'-' || b == b'.' {
            class[i] |= NAME;
        }
        if matches!(b, b' ' | b'\t' | b'\n' | b'\r') {
            class[i] |= SPACE;
        }
        if b == b':' || b >= 0x80 {
            class[i] |= UNUSUAL;
        }
        i += 1;
    }
    class
};

pub(crate) fn is_space(b: u8) -> bool {
    CLASS[b as usize] & SPACE != 0
}

pub(crate) fn starts_name(b: u8) -> bool {
    CLASS[b as usize] & NAME_START != 0
}

pub(crate) fn continues_name(b: u8) -> bool {
    CLASS[b as usize] & NAME != 0
}

/// The first place at or after `from` that is no part of a name, or the end; and whether there is a colon or a character
/// beyond ASCII before it.
#[inline]
pub(crate) fn name_stop(bytes: &[u8], from: usize) -> (usize, bool) {
    let (mut at, mut seen) = (from, 0);
    while let Some(&b) = bytes.get(at) {
        let class = CLASS[b as usize];
        if class & NAME == 0 {
            break;
        }
        seen |= class;
        at += 1;
    }
    (at, seen & UNUSUAL != 0)
}

/// The `Char` production (XML 1.0 §2.2 \[2\]).
pub(crate) fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// The `NCName` production (Namespaces in XML 1.0 §3 \[4\]): a name without a colon.
pub(crate) fn is_ncname(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|c| is_name_start_char(c) && c != ':')
        && chars.all(|c| is_name_char(c) && c != ':')
}

/// `NameStartChar` (XML 1.0 §2.3 \[4\]).
pub(crate) fn is_name_start_char(c: char) -> bool {
    const BEYOND_ASCII: [RangeInclusive<char>; 12] = [
        '\u{C0}'..='\u{D6}',
        '\u{D8}'..='\u{F6}',
        '\u{F8}'..='\u{2FF}',
        '\u{370}'..='\u{37D}',
        '\u{37F}'..='\u{1FFF}',
        '\u{200C}'..='\u{200D}',
        '\u{2070}'..='\u{218F}',
        '\u{2C00}'..='\u{2FEF}',
        '\u{3001}'..='\u{D7FF}',
        '\u{F900}'..='\u{FDCF}',
        '\u{FDF0}'..='\u{FFFD}',
        '\u{10000}'..='\u{EFFFF}',
    ];
    if c.is_ascii() {
        starts_name(c as u8)
    } else {
        BEYOND_ASCII.iter().any(|range| range.contains(&c))
    }
}

/// `NameChar` (XML 1.0 §2.3 \[4a\]).
pub(crate) fn is_name_char(c: char) -> bool {
    if c.is_ascii() {
        continues_name(c as u8)
    } else {
        is_name_start_char(c)
            || matches!(c, '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
    }
}

/// Whether valid UTF-8 contains U+FFFE or U+FFFF, which are no `Char`s but which no byte gives away alone.
pub(crate) fn has_noncharacter(text: &[u8]) -> bool {
    memchr::memchr_iter(0xEF, text)
        .any(|at| matches!(text.get(at + 1..at + 3), Some([0xBF, 0xBE | 0xBF])))
}

/// The first place at or after `from` where text may not simply go on: `<`, `&`, `]`, or a control character (white
/// space among them); or the end.
#[inline]
pub(crate) fn text_stop(bytes: &[u8], from: usize) -> usize {
    stop(bytes, from, [b'<', b'&', b']'])
}

/// The first place at or after `from` where a value quoted by `quote` may not simply go on, or the end.
#[inline]
pub(crate) fn value_stop(bytes: &[u8], from: usize, quote: u8) -> usize {
    stop(bytes, from, [b'<', b'&', quote])
}

/// The first place at or after `from` with a control character or one of `stops`, or the end.
///
/// Long runs are looked at in blocks without a branch for each byte, which compiles to vector instructions; where a
/// block holds a stop, it is found eight bytes at a time.
#[inline]
pub(crate) fn stop<const N: usize>(bytes: &[u8], from: usize, stops: [u8; N]) -> usize {
    const BLOCK: usize = 16;
    const WORD: usize = size_of::<u64>();
    let is_stop = |b: u8| stops.iter().fold(b < 0x20, |any, &stop| any | (b == stop));
    let mut at = from;
    while let Some(block) = bytes.get(at..at + BLOCK) {
        if block.iter().fold(false, |any, &b| any | is_stop(b)) {
            break;
        }
        at += BLOCK;
    }
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<WORD>()) {
        let found = stops_in(u64::from_le_bytes(*word), stops);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += WORD;
    }
    at + bytes[at..].iter().take_while(|&&b| !is_stop(b)).count()
}

/// The high bit of the first byte in `word`, counted from the lowest, that is a control character or one of `stops`;
/// the bits above it mean nothing.
#[inline]
fn stops_in<const N: usize>(word: u64, stops: [u8; N]) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    const HIGH: u64 = ONES << 7;
    // Subtracting borrows into the high bit of a byte exactly if that byte is less, up to the first byte that is.
    let less = |word: u64, than: u64| word.wrapping_sub(ONES * than) & !word & HIGH;
    let control = less(word, 0x20);
    stops.iter().fold(control, |found, &stop| {
        found | less(word ^ (ONES * u64::from(stop)), 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_are_found_at_every_place_and_nowhere_else() {
        for length in 0..40 {
            let mut bytes = vec![b'x'; length];
            assert_eq!(text_stop(&bytes, 0), length);
            for at in 0..length {
                for b in 0..=255u8 {
                    bytes[at] = b;
                    let stops = b < 0x20 || b"<&]".contains(&b);
                    assert_eq!(
                        text_stop(&bytes, 0),
                        if stops { at } else { length },
                        "{b} at {at} of {length}"
                    );
                    assert_eq!(value_stop(&bytes, at, b), at);
                }
                bytes[at] = [0x80, 0xFF, 0x20, b'x'][at % 4];
            }
        }
    }
}
