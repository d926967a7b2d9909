//! Which characters may stand where (XML 1.0 §2.2, §2.3), as tables and scans over bytes.

use std::ops::RangeInclusive;

use super::Error;

const NAME_START: u8 = 1;
const NAME: u8 = 2;
const SPACE: u8 = 4;
/// A part of a name that needs no closer look.
const ORDINARY: u8 = 8;

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
        if class[i] & NAME != 0 && b != b':' && b < 0x80 {
            class[i] |= ORDINARY;
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
    let skip = |from: usize, class: u8| {
        let rest = bytes[from..].iter();
        from + rest
            .take_while(|&&b| CLASS[b as usize] & class != 0)
            .count()
    };
    let ordinary = skip(from, ORDINARY);
    match bytes.get(ordinary) {
        Some(&b) if continues_name(b) => (skip(ordinary, NAME), true),
        _ => (ordinary, false),
    }
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

/// The frame as text, if all its characters may stand in XML. The scan leaves that to be done at once, for a whole
/// frame, because it is quicker so.
pub(crate) fn check_chars(frame: &[u8]) -> Result<&str, Error> {
    // RFC 6120 §4.9.3.22: <unsupported-encoding/> is also for violations of the rules of UTF-8.
    let text = std::str::from_utf8(frame).map_err(|_| Error::UnsupportedEncoding)?;
    let control = |b: u8| (b < 0x20) & (b != b'\t') & (b != b'\n') & (b != b'\r');
    // U+FFFE and U+FFFF are EF BF BE and EF BF BF.
    let noncharacter = |at: usize| matches!(frame.get(at + 1..at + 3), Some([0xBF, 0xBE | 0xBF]));
    // Without a branch for each byte, which compiles to vector instructions.
    let controls = frame.iter().fold(false, |any, &b| any | control(b));
    if controls || memchr::memchr_iter(0xEF, frame).any(noncharacter) {
        return Err(Error::NotWellFormed);
    }
    Ok(text)
}

/// Whether an attribute value or character data stands for itself: no references, no white space to normalise.
pub(crate) fn is_plain(raw: &[u8]) -> bool {
    !raw.iter()
        .fold(false, |any, &b| any | (b < 0x20) | (b == b'&'))
}

/// The first place at or after `from` with a control character (white space among them) or one of `stops`, or the end.
pub(crate) fn stop<const N: usize>(bytes: &[u8], from: usize, stops: [u8; N]) -> usize {
    const BLOCK: usize = 16;
    let is_stop = |b: u8| stops.iter().fold(b < 0x20, |any, &stop| any | (b == stop));
    let mut at = from;
    // Long runs are looked at in blocks, without a branch for each byte.
    while let Some(block) = bytes.get(at..at + BLOCK) {
        if block.iter().fold(false, |any, &b| any | is_stop(b)) {
            break;
        }
        at += BLOCK;
    }
    at + bytes[at..].iter().take_while(|&&b| !is_stop(b)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_are_found_at_every_place_and_nowhere_else() {
        for length in 0..40 {
            let mut bytes = vec![b'x'; length];
            assert_eq!(stop(&bytes, 0, *b"<&]"), length);
            for at in 0..length {
                for b in 0..=255u8 {
                    bytes[at] = b;
                    let stops = b < 0x20 || b"<&]".contains(&b);
                    assert_eq!(
                        stop(&bytes, 0, *b"<&]"),
                        if stops { at } else { length },
                        "{b} at {at} of {length}"
                    );
                }
                bytes[at] = [0x80, 0xFF, 0x20, b'x'][at % 4];
            }
        }
    }

    #[test]
    fn characters_that_are_none_are_found_anywhere() {
        for (text, error) in [
            ("\u{0}", Some(Error::NotWellFormed)),
            ("\u{1F}", Some(Error::NotWellFormed)),
            ("\u{FFFE}", Some(Error::NotWellFormed)),
            ("\u{FFFF}", Some(Error::NotWellFormed)),
            ("\t\n\r \u{7F}\u{80}\u{FEFF}\u{FFFD}\u{1FFFE}", None),
        ] {
            for before in 0..40 {
                let text = ["x".repeat(before).as_str(), text, "x"].concat();
                assert_eq!(check_chars(text.as_bytes()).err(), error, "{text:?}");
            }
        }
        assert_eq!(check_chars(b"a\xC0\x80"), Err(Error::UnsupportedEncoding));
    }
}
