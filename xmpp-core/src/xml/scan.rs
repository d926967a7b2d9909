//! The one pass that decides what is XML: well-formed (XML 1.0), namespace-well-formed (Namespaces in XML 1.0), within
//! the restrictions of RFC 6120 §11.1 and within [`Limits`]. It works on spans, allocates nothing for ordinary
//! elements, and tells a [`Sink`] what it sees.
//!
//! Whether all bytes make characters that may stand in XML is left to [`check_chars`](super::check_chars), once, over
//! the whole: until then spans are spans of bytes.

use std::borrow::Cow;

use memchr::{memchr, memchr3, memmem};

use super::chars::{continues_name, is_ncname, is_plain, is_space, name_stop, starts_name};
use super::escape::resolve;
use super::tag::{Attr, Binding, Bound, Name, Span, Tag, resolve_prefix};
use super::{Error, Inline, Limit, Limits, Scope, ns};

/// Scans one whole element at the start of `input`, in the scope of `outer`. `None`: more bytes are needed.
pub(crate) fn scan_element<S: Sink>(
    input: &[u8],
    outer: &Scope,
    limits: &Limits,
    sink: &mut S,
) -> Result<Option<Scanned>, Error> {
    let mut scanner = Scanner::new(input, 0, outer, limits);
    match scanner.element(sink) {
        Ok(()) => Ok(Some(Scanned {
            end: scanner.at,
            borrows: scanner.borrows,
        })),
        Err(Stop::Incomplete) => Ok(None),
        // RFC 6120 §11.3: namespace errors within the stream are <not-well-formed/>.
        Err(Stop::Error(Error::BadNamespacePrefix)) => Err(Error::NotWellFormed),
        Err(Stop::Error(error)) => Err(error),
    }
}

/// Scans one start tag at `at`, with nothing in scope, and hands it to `sink`. Returns where it ends. `None`: more
/// bytes are needed.
pub(crate) fn scan_start_tag<S: Sink>(
    input: &[u8],
    at: usize,
    limits: &Limits,
    sink: &mut S,
) -> Result<Option<usize>, Error> {
    let outer = Scope::new("");
    let mut scanner = Scanner::new(input, at, &outer, limits);
    match scanner.start_tag(sink) {
        Ok(()) => Ok(Some(scanner.at)),
        Err(Stop::Incomplete) => Ok(None),
        Err(Stop::Error(error)) => Err(error),
    }
}

/// What a scan of a whole element found out.
pub(crate) struct Scanned {
    /// Where the element ends.
    pub(crate) end: usize,
    /// Whether something below the root uses a prefix that was declared on the root or outside; or may use the default
    /// namespace from there within an element that does not, where it would not change with the stream it is relayed to.
    pub(crate) borrows: bool,
}

/// Who wants to know what the scan sees. The depth of the root is 1.
pub(crate) trait Sink {
    /// A start tag or empty-element tag, checked.
    fn open(&mut self, tag: &Tag<'_>) -> Result<(), Error>;
    /// The element at this depth has ended; `end` is just behind its last byte.
    fn close(&mut self, depth: usize, start_of_end_tag: usize, end: usize);
    /// Character data.
    fn text(&mut self, raw: Span);
    /// The content of a CDATA section.
    fn cdata(&mut self, raw: Span);
}

/// Why a scan ends early.
enum Stop {
    Incomplete,
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Error(error)
    }
}

/// An element whose end tag has not come.
#[derive(Clone, Copy, Default)]
struct Open {
    name: Span,
    /// How many bindings were in scope around it.
    bindings: u32,
}

struct Scanner<'a> {
    input: &'a [u8],
    at: usize,
    outer: &'a Scope,
    limits: &'a Limits,
    open: Inline<Open, 12>,
    attrs: Inline<Attr, 12>,
    bindings: Inline<Binding, 6>,
    /// The current tag declares a namespace.
    declares: bool,
    /// It has an attribute with a prefix that needs a declaration.
    prefixed: bool,
    borrows: bool,
}

impl<'a> Scanner<'a> {
    fn new(input: &'a [u8], at: usize, outer: &'a Scope, limits: &'a Limits) -> Self {
        Scanner {
            input,
            at,
            outer,
            limits,
            open: Inline::new(),
            attrs: Inline::new(),
            bindings: Inline::new(),
            declares: false,
            prefixed: false,
            borrows: false,
        }
    }

    fn element<S: Sink>(&mut self, sink: &mut S) -> Result<(), Stop> {
        match (self.peek(0)?, self.peek(1)?) {
            (b'<', next) if starts_name(next) => self.start_tag(sink)?,
            (b'<', b'!' | b'?') => return Err(Error::RestrictedXml.into()),
            _ => return Err(Error::NotWellFormed.into()),
        }
        while self.open.len() > 0 {
            self.text(sink)?;
            match self.peek(1)? {
                b'/' => self.end_tag(sink)?,
                b'!' => self.cdata(sink)?,
                // RFC 6120 §11.1: processing instructions are among the prohibited features.
                b'?' => return Err(Error::RestrictedXml.into()),
                next if starts_name(next) => self.start_tag(sink)?,
                _ => return Err(Error::NotWellFormed.into()),
            }
        }
        Ok(())
    }

    /// Character data up to the next `<`.
    fn text<S: Sink>(&mut self, sink: &mut S) -> Result<(), Stop> {
        let start = self.at;
        loop {
            self.skip_to(b'<', b'&', b']')?;
            match self.input[self.at] {
                b'<' => break,
                b'&' => self.reference()?,
                // XML 1.0 §2.4: the right angle bracket "MUST, for compatibility, be escaped [...] when it appears in
                // the string ']]>' in content".
                _ if self.input[self.at..].starts_with(b"]]>") => {
                    return Err(Error::NotWellFormed.into());
                }
                _ => self.at += 1,
            }
        }
        if self.at > start {
            sink.text(Span::new(start, self.at));
        }
        Ok(())
    }

    fn cdata<S: Sink>(&mut self, sink: &mut S) -> Result<(), Stop> {
        const START: &[u8] = b"<![CDATA[";
        const END: &[u8] = b"]]>";
        let rest = &self.input[self.at..];
        if !rest.starts_with(START) {
            // RFC 6120 §11.1: a comment or a document type declaration.
            return Err(if START.starts_with(rest) {
                Stop::Incomplete
            } else {
                Error::RestrictedXml.into()
            });
        }
        let start = self.at + START.len();
        let length = memmem::find(&self.input[start..], END).ok_or(Stop::Incomplete)?;
        sink.cdata(Span::new(start, start + length));
        self.at = start + length + END.len();
        Ok(())
    }

    fn end_tag<S: Sink>(&mut self, sink: &mut S) -> Result<(), Stop> {
        let start = self.at;
        let open = self
            .open
            .pop()
            .expect("an end tag is looked for only while an element is open");
        let name = open.name.bytes(self.input);
        self.at += 2;
        if self.input[self.at..].starts_with(name) {
            self.at += name.len();
        } else {
            // XML 1.0 §3: "The Name in an element's end-tag MUST match the element type in the start-tag."
            return Err(if name.starts_with(&self.input[self.at..]) {
                Stop::Incomplete
            } else {
                Error::NotWellFormed.into()
            });
        }
        self.space()?;
        if self.peek(0)? != b'>' {
            return Err(Error::NotWellFormed.into());
        }
        self.at += 1;
        self.bindings.truncate(open.bindings as usize);
        sink.close(self.open.len() + 1, start, self.at);
        Ok(())
    }

    fn start_tag<S: Sink>(&mut self, sink: &mut S) -> Result<(), Stop> {
        let start = self.at;
        self.at += 1;
        let depth = self.open.len() + 1;
        if depth > self.limits.depth {
            return Err(Error::PolicyViolation(Limit::Depth).into());
        }
        let name = self.name()?;
        self.attrs.truncate(0);
        (self.declares, self.prefixed) = (false, false);
        let empty = loop {
            let spaced = self.space()?;
            match self.peek(0)? {
                b'>' => {
                    self.at += 1;
                    break false;
                }
                b'/' => {
                    if self.peek(1)? != b'>' {
                        return Err(Error::NotWellFormed.into());
                    }
                    self.at += 2;
                    break true;
                }
                _ if spaced => self.attribute()?,
                _ => return Err(Error::NotWellFormed.into()),
            }
        };
        let outside = self.bindings.len();
        if self.declares {
            self.declare(depth)?;
        }
        if self.prefixed || name.has_prefix() {
            self.check_prefixes(name, depth, empty)?;
        }
        sink.open(&Tag {
            input: self.input,
            span: Span::new(start, self.at),
            name,
            attrs: self.attrs.as_slice(),
            depth,
            empty,
            bindings: self.bindings.as_slice(),
            outer: self.outer,
        })?;
        if empty {
            self.bindings.truncate(outside);
            sink.close(depth, self.at, self.at);
        } else {
            self.open.push(Open {
                name: name.whole(),
                bindings: outside as u32,
            });
        }
        Ok(())
    }

    fn attribute(&mut self) -> Result<(), Stop> {
        if self.attrs.len() >= self.limits.attributes {
            return Err(Error::PolicyViolation(Limit::Attributes).into());
        }
        let name = self.name()?;
        let quote = self.equals()?;
        let start = self.at;
        loop {
            self.skip_to(quote, b'<', b'&')?;
            match self.input[self.at] {
                b'&' => self.reference()?,
                // XML 1.0 §3.1: "No < in Attribute Values".
                b'<' => return Err(Error::NotWellFormed.into()),
                _ => break,
            }
        }
        let raw = Span::new(start, self.at);
        self.at += 1;
        // XML 1.0 §3.1: "An attribute name MUST NOT appear more than once in the same start-tag".
        let bytes = name.whole().bytes(self.input);
        let same = |other: &Attr| other.name.whole().bytes(self.input) == bytes;
        if self.attrs.as_slice().iter().any(same) {
            return Err(Error::NotWellFormed.into());
        }
        let declares = bytes == b"xmlns" || name.has_prefix() && bytes.starts_with(b"xmlns:");
        self.declares |= declares;
        // The prefix xml needs no declaration, and no other is bound to its namespace.
        self.prefixed |= name.has_prefix() && !declares && !bytes.starts_with(b"xml:");
        self.attrs.push(Attr {
            name,
            raw,
            declares,
        });
        Ok(())
    }

    /// The equals sign and the quote that opens a value.
    #[inline]
    fn equals(&mut self) -> Result<u8, Stop> {
        if let Some(&[b'=', quote @ (b'\'' | b'"')]) = self.input.get(self.at..self.at + 2) {
            self.at += 2;
            return Ok(quote);
        }
        self.space()?;
        if self.peek(0)? != b'=' {
            return Err(Error::NotWellFormed.into());
        }
        self.at += 1;
        self.space()?;
        let quote = self.peek(0)?;
        self.at += 1;
        match quote {
            b'\'' | b'"' => Ok(quote),
            _ => Err(Error::NotWellFormed.into()),
        }
    }

    /// A qualified name (Namespaces in XML 1.0 §4).
    #[inline]
    fn name(&mut self) -> Result<Name, Stop> {
        let start = self.at;
        let (end, unusual) = name_stop(self.input, start);
        self.at = end;
        // A name that may go on.
        self.peek(0)?;
        if !starts_name(self.input[start]) {
            return Err(Error::NotWellFormed.into());
        }
        let local = if unusual {
            start + qualified(&self.input[start..end])?
        } else {
            start
        };
        Ok(Name::new(start, local, end))
    }

    /// A reference to a character or a predefined entity, checked.
    fn reference(&mut self) -> Result<(), Stop> {
        /// As many as `&#x0010FFFF;` has between its first and last.
        const LONGEST: usize = 10;
        let start = self.at + 1;
        self.at = start;
        while self.at - start <= LONGEST {
            let b = self.peek(0)?;
            if b == b';' {
                let reference = &self.input[start..self.at];
                self.at += 1;
                return match reference.first() {
                    _ if resolve(reference).is_some() => Ok(()),
                    // RFC 6120 §11.1: entity references other than to predefined entities are prohibited.
                    Some(&first) if starts_name(first) => Err(Error::RestrictedXml.into()),
                    _ => Err(Error::NotWellFormed.into()),
                };
            }
            if !(continues_name(b) || b == b'#' && self.at == start) {
                return Err(Error::NotWellFormed.into());
            }
            self.at += 1;
        }
        Err(Error::RestrictedXml.into())
    }

    /// Skips white space; whether there was any.
    fn space(&mut self) -> Result<bool, Stop> {
        let start = self.at;
        while is_space(self.peek(0)?) {
            self.at += 1;
        }
        Ok(self.at > start)
    }

    /// Goes on to the next of the given bytes.
    fn skip_to(&mut self, a: u8, b: u8, c: u8) -> Result<(), Stop> {
        let length = memchr3(a, b, c, &self.input[self.at..]).ok_or(Stop::Incomplete)?;
        self.at += length;
        Ok(())
    }

    fn peek(&self, ahead: usize) -> Result<u8, Stop> {
        self.input
            .get(self.at + ahead)
            .copied()
            .ok_or(Stop::Incomplete)
    }

    /// Takes the namespace declarations of the current tag into scope (Namespaces in XML 1.0 §3, §5).
    fn declare(&mut self, depth: usize) -> Result<(), Error> {
        for i in 0..self.attrs.len() {
            let attr = self.attrs.as_slice()[i];
            if !attr.declares {
                continue;
            }
            let prefix = if attr.name.has_prefix() {
                attr.name.local()
            } else {
                Span::default()
            };
            let binding = Binding {
                prefix,
                raw: attr.raw,
                plain: is_plain(attr.raw.bytes(self.input)),
                depth: depth as u32,
            };
            let value = binding.namespace_bytes(self.input)?;
            // §3: "The prefix xml [...] MUST NOT be bound to any other namespace name. Other prefixes MUST NOT be bound
            // to this namespace name, and it MUST NOT be declared as the default namespace"; xmlns "MUST NOT be
            // declared", nor its namespace. §5: prefixes cannot be undeclared.
            match (prefix.bytes(self.input), &*value) {
                (b"xml", uri) if uri == ns::XML.as_bytes() => continue,
                (b"xml" | b"xmlns", _) => return Err(Error::NotWellFormed),
                (_, uri) if uri == ns::XML.as_bytes() || uri == ns::XMLNS.as_bytes() => {
                    return Err(Error::NotWellFormed);
                }
                ([_, ..], b"") => return Err(Error::NotWellFormed),
                _ => {}
            }
            if self.outer.len() + self.bindings.len() >= self.limits.bindings {
                return Err(Error::PolicyViolation(Limit::Bindings));
            }
            self.bindings.push(binding);
        }
        Ok(())
    }

    /// Namespaces in XML 1.0 §5 "Prefix Declared", §6.3 "Uniqueness of Attributes".
    fn check_prefixes(&mut self, name: Name, depth: usize, empty: bool) -> Result<(), Error> {
        if name.has_prefix() {
            let bound = self
                .resolve(name.prefix())
                .ok_or(Error::BadNamespacePrefix)?;
            let default = self.resolve(Span::default()).filter(|_| !empty);
            let borrows = self.is_borrowed(bound) || default.is_some_and(|d| self.is_borrowed(d));
            self.borrows |= depth > 1 && borrows;
        }
        let attrs = self.attrs.as_slice();
        let mut borrows = false;
        for (i, attr) in attrs.iter().enumerate() {
            if !attr.name.has_prefix() || attr.declares {
                continue;
            }
            let bound = self
                .resolve(attr.name.prefix())
                .ok_or(Error::NotWellFormed)?;
            borrows |= depth > 1 && self.is_borrowed(bound);
            for other in &attrs[..i] {
                if other.name.has_prefix()
                    && !other.declares
                    && other.name.local().bytes(self.input) == attr.name.local().bytes(self.input)
                    && self.same(
                        self.resolve(other.name.prefix())
                            .ok_or(Error::NotWellFormed)?,
                        bound,
                    )?
                {
                    return Err(Error::NotWellFormed);
                }
            }
        }
        self.borrows |= borrows;
        Ok(())
    }

    fn resolve(&self, prefix: Span) -> Option<Bound<'_>> {
        let prefix = prefix.bytes(self.input);
        resolve_prefix(prefix, self.input, self.bindings.as_slice(), self.outer)
    }

    /// Whether something is bound by the root or outside, which what stands below the root may not rely on.
    fn is_borrowed(&self, bound: Bound<'_>) -> bool {
        bound.depth() <= 1 && !bound.is(ns::XML, self.input)
    }

    /// Whether two bindings are of the same namespace, references resolved.
    fn same(&self, a: Bound<'_>, b: Bound<'_>) -> Result<bool, Error> {
        let value = |bound| match bound {
            Bound::Outer(namespace) => Ok(Cow::Borrowed(namespace.as_bytes())),
            Bound::Here(binding) => binding.namespace_bytes(self.input),
        };
        let (a, b): (Cow<'_, [u8]>, Cow<'_, [u8]>) = (value(a)?, value(b)?);
        Ok(a == b)
    }
}

/// Checks a name with a colon or characters beyond ASCII, and returns where its local part begins (Namespaces in XML 1.0
/// §4).
fn qualified(name: &[u8]) -> Result<usize, Error> {
    let local = memchr(b':', name).map_or(0, |colon| colon + 1);
    let (prefix, rest) = (&name[..local.saturating_sub(1)], &name[local..]);
    let well = if name.is_ascii() {
        // Of what continues a name nothing but another colon may not stand in one that has none.
        let well =
            |part: &[u8]| part.first().is_some_and(|&b| starts_name(b)) && !part.contains(&b':');
        well(rest) && (local == 0 || well(prefix))
    } else {
        let text = |part| std::str::from_utf8(part).map_err(|_| Error::UnsupportedEncoding);
        is_ncname(text(rest)?) && (local == 0 || is_ncname(text(prefix)?))
    };
    if well {
        Ok(local)
    } else {
        Err(Error::NotWellFormed)
    }
}
