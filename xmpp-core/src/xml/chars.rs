//! Which characters may stand where (XML 1.0 §2.2, §2.3), as tables and scans over bytes.

use std::ops::RangeInclusive;

const NAME_START: u8 = 1;
const NAME: u8 = 2;
const SPACE: u8 = 4;

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
/// space among them).
#[inline(always)]
pub(crate) fn text_stop(bytes: &[u8], from: usize) -> usize {
    stop(bytes, from, |b| {
        (b < 0x20) | (b == b'<') | (b == b'&') | (b == b']')
    })
}

/// The first place at or after `from` where a value quoted by `quote` may not simply go on.
#[inline(always)]
pub(crate) fn value_stop(bytes: &[u8], from: usize, quote: u8) -> usize {
    stop(bytes, from, |b| {
        (b < 0x20) | (b == b'<') | (b == b'&') | (b == quote)
    })
}

/// The first place at or after `from` where `stops`, or the end. Looks at a block of bytes at a time, without a branch
/// for each, which compiles to vector instructions.
#[inline(always)]
pub(crate) fn stop(bytes: &[u8], from: usize, stops: impl Fn(u8) -> bool) -> usize {
    const BLOCK: usize = 16;
    let mut at = from;
    while let Some(block) = bytes.get(at..at + BLOCK) {
        if block.iter().fold(false, |any, &b| any | stops(b)) {
            break;
        }
        at += BLOCK;
    }
    while at < bytes.len() && !stops(bytes[at]) {
        at += 1;
    }
    at
}
