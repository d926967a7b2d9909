//! The five predefined entities and character references, both ways (XML 1.0 §2.11, §3.3.3, §4.1).

use std::borrow::Cow;

use super::chars::{is_char, is_plain, stop};

/// Writes `text` as character data. A character that XML 1.0 cannot carry at all becomes U+FFFD.
pub fn escape_text(text: &str, out: &mut Vec<u8>) {
    escape(text, out, [b'&', b'<', b'>', EF], |b| match b {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        // Only "]]>" would have to be escaped (XML 1.0 §2.4), and it may be put together from several texts.
        b'>' => Some("&gt;"),
        // A reader would turn a bare one into a line feed (XML 1.0 §2.11).
        b'\r' => Some("&#13;"),
        _ => None,
    });
}

/// Writes `value` as an attribute value, for either kind of quote. A character that XML 1.0 cannot carry at all
/// becomes U+FFFD.
pub fn escape_attr(value: &str, out: &mut Vec<u8>) {
    escape(value, out, [b'&', b'<', b'\'', b'"', EF], |b| match b {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'\'' => Some("&apos;"),
        b'"' => Some("&quot;"),
        // A reader would turn bare ones into spaces (XML 1.0 §3.3.3).
        b'\t' => Some("&#9;"),
        b'\n' => Some("&#10;"),
        b'\r' => Some("&#13;"),
        _ => None,
    });
}

/// The string that an attribute value stands for.
pub(crate) fn unescape_attr(raw: &str) -> Cow<'_, str> {
    unescape(raw, " ", |b| matches!(b, b'&' | b'\t' | b'\n' | b'\r'))
}

/// The string that character data stands for.
pub(crate) fn unescape_text(raw: &str) -> Cow<'_, str> {
    unescape(raw, "\n", |b| matches!(b, b'&' | b'\r'))
}

/// The string that the content of a CDATA section stands for: only line ends differ.
pub(crate) fn unescape_cdata(raw: &str) -> Cow<'_, str> {
    unescape(raw, "\n", |b| b == b'\r')
}

/// The character of a reference, given what stands between `&` and `;`.
pub(crate) fn resolve(reference: &[u8]) -> Option<char> {
    match reference {
        b"amp" => return Some('&'),
        b"lt" => return Some('<'),
        b"gt" => return Some('>'),
        b"apos" => return Some('\''),
        b"quot" => return Some('"'),
        _ => {}
    }
    let (digits, radix) = match reference {
        [b'#', b'x', hex @ ..] => (hex, 16),
        [b'#', decimal @ ..] => (decimal, 10),
        _ => return None,
    };
    // `from_str_radix` would take a sign.
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let number = u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()?;
    // XML 1.0 §4.1: "Characters referred to using character references MUST match the production for Char."
    char::from_u32(number).filter(|&c| is_char(c))
}

/// The first byte of U+FFFE and U+FFFF, which are no characters, and of others, which are.
const EF: u8 = 0xEF;

fn escape<const N: usize>(
    text: &str,
    out: &mut Vec<u8>,
    special: [u8; N],
    entity: impl Fn(u8) -> Option<&'static str>,
) {
    let bytes = text.as_bytes();
    let mut from = 0;
    loop {
        let at = stop(bytes, from, special);
        out.extend_from_slice(&bytes[from..at]);
        let Some(&b) = bytes.get(at) else { return };
        from = at + 1;
        match entity(b) {
            Some(entity) => out.extend_from_slice(entity.as_bytes()),
            None if b < 0x20 && !is_char(b as char) => out.extend_from_slice("\u{FFFD}".as_bytes()),
            None if matches!(bytes[at..], [0xEF, 0xBF, 0xBE | 0xBF, ..]) => {
                out.extend_from_slice("\u{FFFD}".as_bytes());
                from = at + 3;
            }
            None => out.push(b),
        }
    }
}

fn unescape<'a>(raw: &'a str, line_end: &str, special: impl Fn(u8) -> bool) -> Cow<'a, str> {
    let bytes = raw.as_bytes();
    if is_plain(bytes) {
        return Cow::Borrowed(raw);
    }
    let (mut out, mut from) = (String::new(), 0);
    while let Some(length) = bytes[from..].iter().position(|&b| special(b)) {
        let at = from + length;
        out.reserve(raw.len() - from);
        out.push_str(&raw[from..at]);
        from = at + 1;
        if bytes[at] == b'&' {
            // The scan has checked every reference; one that cannot be resolved would stay as it is.
            let length = raw[from..].find(';').unwrap_or(0);
            match resolve(&bytes[from..from + length]) {
                Some(c) => {
                    out.push(c);
                    from += length + 1;
                }
                None => out.push('&'),
            }
        } else {
            out.push_str(line_end);
            if bytes[at] == b'\r' && bytes.get(from) == Some(&b'\n') {
                from += 1;
            }
        }
    }
    if from == 0 {
        return Cow::Borrowed(raw);
    }
    out.push_str(&raw[from..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(text: &str, escape: fn(&str, &mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        escape(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_xml_cannot_carry_becomes_the_replacement_character() {
        assert_eq!(
            escaped("a\0b\u{FFFE}c\u{FFFF}\u{FFFD}\u{E000}", escape_text),
            "a\u{FFFD}b\u{FFFD}c\u{FFFD}\u{FFFD}\u{E000}"
        );
        assert_eq!(escaped("\u{1f}\u{FFFE}", escape_attr), "\u{FFFD}\u{FFFD}");
    }

    #[test]
    fn line_ends_are_normalised_but_references_to_them_are_not() {
        assert_eq!(unescape_text("a\r\nb\rc\nd&#13;e"), "a\nb\nc\nd\re");
        assert_eq!(
            unescape_attr("a\r\nb\rc\nd\te&#10;f&#x9;g"),
            "a b c d e\nf\tg"
        );
        assert_eq!(unescape_cdata("a\r\n&amp;"), "a\n&amp;");
    }

    proptest! {
        #[test]
        fn unescaping_undoes_escaping(text in any::<String>()) {
            let expected: String = text.chars().map(|c| if is_char(c) { c } else { '\u{FFFD}' }).collect();
            let (as_text, as_attr) = (escaped(&text, escape_text), escaped(&text, escape_attr));
            prop_assert_eq!(unescape_text(&as_text), &*expected);
            prop_assert_eq!(unescape_attr(&as_attr), &*expected);
        }
    }
}
