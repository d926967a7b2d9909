//! Where a stanza begins and ends, found by counting tags.
//!
//! No check of names, namespaces or characters: only quotes, `/` and depth. That is enough to cut a well-formed stream into stanzas, and cheap.

use std::ops::Range;

use memchr::{memchr, memchr3, memmem};

/// Cuts a growing buffer into the parts of a stream.
#[derive(Debug, Default)]
pub struct Scanner {
    /// The first byte not yet looked at; never inside a tag.
    position: usize,
    /// Where the stanza being scanned began.
    start: usize,
    depth: usize,
}

/// A part of a stream, as a range of the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The stream's opening tag.
    Header(Range<usize>),
    /// A child of the stream element, whole.
    Stanza(Range<usize>),
    /// The stream's closing tag.
    Close,
}

/// The bytes cannot be cut: a comment, a doctype, or a closing tag too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Garbled;

impl Scanner {
    /// A scanner for what comes after a stream header: the relay speaks without one.
    pub fn headless() -> Scanner {
        Scanner {
            depth: 1,
            ..Scanner::default()
        }
    }

    /// The next whole part of `buffer`, or `None` until more bytes come.
    pub fn next(&mut self, buffer: &[u8]) -> Result<Option<Part>, Garbled> {
        loop {
            let Some(open) = memchr(b'<', &buffer[self.position..]).map(|i| i + self.position)
            else {
                self.position = buffer.len();
                return Ok(None);
            };
            if self.depth <= 1 {
                self.start = open;
            }
            self.position = open;
            let Some(end) = tag_end(buffer, open) else {
                return Ok(None);
            };
            self.position = end;
            let closed = buffer[end - 2] == b'/';
            match buffer[open + 1] {
                b'?' if self.depth == 0 => continue,
                b'?' | b'!' => return Err(Garbled),
                b'/' if self.depth == 0 => return Err(Garbled),
                b'/' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok(Some(Part::Close));
                    }
                }
                _ if self.depth == 0 => {
                    self.depth = 1;
                    return Ok(Some(Part::Header(open..end)));
                }
                _ if closed => {}
                _ => self.depth += 1,
            }
            if self.depth == 1 {
                return Ok(Some(Part::Stanza(self.start..end)));
            }
        }
    }

    /// How many bytes at the front of the buffer are no longer needed.
    pub fn consumed(&self) -> usize {
        if self.depth <= 1 {
            self.position
        } else {
            self.start
        }
    }

    /// Tells the scanner that `count` bytes, at most [`Scanner::consumed`], were taken from the front of the buffer.
    pub fn shift(&mut self, count: usize) {
        self.position -= count;
        self.start = self.start.saturating_sub(count);
    }

    /// Expects a new stream header next, after STARTTLS or SASL.
    pub fn restart(&mut self) {
        self.depth = 0;
    }
}

/// The name of an element as written, with its prefix.
pub fn name(element: &[u8]) -> &[u8] {
    let rest = element.get(1..).unwrap_or_default();
    let end = rest
        .iter()
        .position(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b'/' | b'>'))
        .unwrap_or(rest.len());
    &rest[..end]
}

/// The raw value of an attribute of the outermost tag.
pub fn attribute<'a>(element: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    let tag = &element[..tag_end(element, 0)?];
    let mut at = 1 + name(element).len();
    loop {
        at += tag[at..].iter().position(|b| !b.is_ascii_whitespace())?;
        let equals = at + memchr(b'=', &tag[at..])?;
        let quote = equals
            + 1
            + tag[equals + 1..]
                .iter()
                .position(|b| !b.is_ascii_whitespace())?;
        let value = quote + 1;
        let end = value + memchr(tag[quote], tag.get(value..)?)?;
        if tag[at..equals].trim_ascii_end() == wanted.as_bytes() {
            return Some(&tag[value..end]);
        }
        at = end + 1;
    }
}

/// The raw content of the first descendant called `wanted` that has text in it.
pub fn text<'a>(element: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    let mut from = 0;
    loop {
        let open = from + memchr(b'<', &element[from..])?;
        let end = tag_end(element, open)?;
        if name(&element[open..]) == wanted.as_bytes() && element[end - 2] != b'/' {
            let length = memchr(b'<', &element[end..])?;
            return Some(&element[end..end + length]);
        }
        from = end;
    }
}

/// Whether `element` has `needle` anywhere in it.
pub fn contains(element: &[u8], needle: &str) -> bool {
    memmem::find(element, needle.as_bytes()).is_some()
}

/// The index behind the `>` that ends the tag at `open`, if it is there.
fn tag_end(buffer: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        at += memchr3(b'>', b'\'', b'"', buffer.get(at..)?)?;
        match buffer[at] {
            b'>' => return Some(at + 1),
            quote => at += 2 + memchr(quote, &buffer[at + 1..])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "<?xml version='1.0'?><stream:stream from='a' xmlns='jabber:client'>\
        <stream:features><mechanisms><mechanism>PLAIN</mechanism></mechanisms></stream:features>\n\
        <message to=\"a>b\" id='/>'><body>hi &gt; there</body><x/></message> <r/></stream:stream>";

    fn cut(pieces: &[&[u8]]) -> Vec<String> {
        let (mut scanner, mut buffer, mut parts) = (Scanner::default(), Vec::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while let Some(part) = scanner.next(&buffer).unwrap() {
                parts.push(match part {
                    Part::Header(range) | Part::Stanza(range) => {
                        String::from_utf8(buffer[range].to_vec()).unwrap()
                    }
                    Part::Close => "close".to_owned(),
                });
            }
            let consumed = scanner.consumed();
            buffer.drain(..consumed);
            scanner.shift(consumed);
        }
        parts
    }

    #[test]
    fn a_stream_is_cut_into_its_parts() {
        let parts = cut(&[STREAM.as_bytes()]);
        assert_eq!(parts.len(), 5, "{parts:?}");
        assert!(parts[0].starts_with("<stream:stream"));
        assert!(parts[1].ends_with("</stream:features>"));
        assert!(parts[2].starts_with("<message") && parts[2].ends_with("</message>"));
        assert_eq!(parts[3..], ["<r/>", "close"]);
    }

    #[test]
    fn where_the_bytes_are_split_does_not_matter() {
        let whole = cut(&[STREAM.as_bytes()]);
        let single: Vec<&[u8]> = STREAM.as_bytes().chunks(1).collect();
        assert_eq!(cut(&single), whole);
        for at in 0..STREAM.len() {
            let (left, right) = STREAM.as_bytes().split_at(at);
            assert_eq!(cut(&[left, right]), whole, "split at {at}");
        }
    }

    #[test]
    fn comments_and_stray_closing_tags_are_refused() {
        for bad in ["<s><!-- x -->", "</s>", "<s><?pi?>"] {
            let mut scanner = Scanner::default();
            let result = loop {
                match scanner.next(bad.as_bytes()) {
                    Ok(Some(_)) => {}
                    other => break other,
                }
            };
            assert_eq!(result, Err(Garbled), "{bad}");
        }
    }

    #[test]
    fn attributes_and_text_are_found_where_they_stand() {
        let stanza =
            b"<iq id = 'x' to=\"id='no'\" type='result'><bind><jid>a@b/c</jid></bind></iq>";
        assert_eq!(name(stanza), b"iq");
        assert_eq!(attribute(stanza, "id"), Some(&b"x"[..]));
        assert_eq!(attribute(stanza, "to"), Some(&b"id='no'"[..]));
        assert_eq!(attribute(stanza, "type"), Some(&b"result"[..]));
        assert_eq!(attribute(stanza, "from"), None);
        assert_eq!(text(stanza, "jid"), Some(&b"a@b/c"[..]));
        assert_eq!(text(stanza, "body"), None);
    }
}
