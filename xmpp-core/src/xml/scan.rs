//! The one pass that decides what is XML: well-formed (XML 1.0), namespace-well-formed (Namespaces in XML 1.0), within
//! the restrictions of RFC 6120 §11.1 and within [`Limits`]. It works on spans, allocates nothing for ordinary
//! elements, and tells a [`Sink`] what it sees.
//!
//! UTF-8 is checked by the caller, once, over the whole: until then spans are spans of bytes.

use std::borrow::Cow;

use super::chars::{
    continues_name, is_name_char, is_name_start_char, is_space, starts_name, text_stop, value_stop,
};
use super::escape::resolve;
use super::{Error, Inline, Limit, Limits, Scope, ns, unescape_attr};

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
    /// Whether something below the root uses a prefix that was declared on the root or outside.
    pub(crate) borrows: bool,
}

/// Who wants to know what the scan sees. The depth of the root is 1.
pub(crate) trait Sink {
    /// A start tag or empty-element tag, checked.
    fn open(&mut self, tag: &Tag<'_>) -> Result<(), Error>;
    /// The element at this depth has ended; `end` is just behind its last byte.
    fn close(&mut self, depth: usize, start_of_end_tag: usize, end: usize);
    /// Character data; `plain` if it stands for itself.
    fn text(&mut self, raw: Span, plain: bool);
    /// The content of a CDATA section.
    fn cdata(&mut self, raw: Span);
}

/// A range of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Span {
        // Inputs are shorter: `Limits` are clamped to `u32::MAX`.
        Span {
            start: start as u32,
            end: end as u32,
        }
    }

    pub(crate) fn bytes(self, input: &[u8]) -> &[u8] {
        &input[self.start as usize..self.end as usize]
    }

    pub(crate) fn text(self, input: &str) -> &str {
        &input[self.start as usize..self.end as usize]
    }

    /// The same range of an input that lacks the first `by` bytes.
    pub(crate) fn back(self, by: usize) -> Span {
        Span::new(self.start as usize - by, self.end as usize - by)
    }
}

/// A qualified name: `local`, or `prefix:local`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Name {
    start: u32,
    local: u32,
    end: u32,
}

impl Name {
    pub(crate) fn whole(self) -> Span {
        Span {
            start: self.start,
            end: self.end,
        }
    }

    pub(crate) fn local(self) -> Span {
        Span {
            start: self.local,
            end: self.end,
        }
    }

    /// Empty if there is none.
    pub(crate) fn prefix(self) -> Span {
        Span {
            start: self.start,
            end: if self.has_prefix() {
                self.local - 1
            } else {
                self.start
            },
        }
    }

    pub(crate) fn has_prefix(self) -> bool {
        self.local != self.start
    }
}

/// An attribute, namespace declarations included.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Attr {
    pub(crate) name: Name,
    pub(crate) raw: Span,
    /// Whether the value stands for itself: no references, no white space to normalise.
    pub(crate) plain: bool,
}

impl Attr {
    pub(crate) fn value(self, input: &str) -> Cow<'_, str> {
        let raw = self.raw.text(input);
        if self.plain {
            Cow::Borrowed(raw)
        } else {
            unescape_attr(raw)
        }
    }

    pub(crate) fn is_declaration(self, input: &[u8]) -> bool {
        let name = if self.name.has_prefix() {
            self.name.prefix()
        } else {
            self.name.whole()
        };
        name.bytes(input) == b"xmlns"
    }
}

/// A namespace declaration within the scanned element.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Binding {
    prefix: Span,
    pub(crate) attr: Attr,
    /// Of the element that declares it.
    pub(crate) depth: u32,
}

impl Binding {
    pub(crate) fn prefix(self, input: &str) -> &str {
        self.prefix.text(input)
    }

    pub(crate) fn namespace(self, input: &str) -> Cow<'_, str> {
        self.attr.value(input)
    }
}

/// What a prefix, or the lack of one, is bound to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound<'a> {
    /// Outside of the scanned element.
    Outer(&'a str),
    /// Within it.
    Here(Binding),
}

impl<'a> Bound<'a> {
    pub(crate) fn namespace<'t: 'a>(self, input: &'t str) -> Cow<'a, str> {
        match self {
            Bound::Outer(namespace) => Cow::Borrowed(namespace),
            Bound::Here(binding) => binding.namespace(input),
        }
    }

    /// Whether it is `namespace`.
    pub(crate) fn is(self, namespace: &str, input: &[u8]) -> bool {
        match self {
            Bound::Outer(bound) => bound == namespace,
            Bound::Here(binding) => {
                let raw = binding.attr.raw.bytes(input);
                if binding.attr.plain {
                    raw == namespace.as_bytes()
                } else {
                    unescaped(raw).is_ok_and(|bound| *bound == *namespace.as_bytes())
                }
            }
        }
    }

    fn depth(self) -> u32 {
        match self {
            Bound::Outer(_) => 0,
            Bound::Here(binding) => binding.depth,
        }
    }
}

/// A start tag or empty-element tag.
pub(crate) struct Tag<'a> {
    pub(crate) input: &'a [u8],
    pub(crate) span: Span,
    pub(crate) name: Name,
    pub(crate) attrs: &'a [Attr],
    pub(crate) depth: usize,
    pub(crate) empty: bool,
    bindings: &'a [Binding],
    outer: &'a Scope,
}

impl<'a> Tag<'a> {
    /// The namespace of the element itself.
    pub(crate) fn namespace(&self) -> Bound<'a> {
        self.resolve(self.name.prefix().bytes(self.input))
            .expect("the scan has resolved the prefix of every element it reports")
    }

    /// What is bound to `prefix`; to the empty one always something.
    pub(crate) fn resolve(&self, prefix: &[u8]) -> Option<Bound<'a>> {
        resolve_prefix(prefix, self.input, self.bindings, self.outer)
    }

    /// The default namespace around the scanned element.
    pub(crate) fn outer_default(&self) -> &'a str {
        self.outer.default_ns()
    }

    /// The declarations within the scanned element that are in scope.
    pub(crate) fn bindings(&self) -> &'a [Binding] {
        self.bindings
    }
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
        let (start, mut plain) = (self.at, true);
        loop {
            self.at = text_stop(self.input, self.at);
            match self.peek(0)? {
                b'<' => break,
                b'&' => {
                    self.reference()?;
                    plain = false;
                }
                // XML 1.0 §2.4: the right angle bracket "MUST, for compatibility, be escaped [...] when it appears in
                // the string ']]>' in content".
                b']' if self.input[self.at..].starts_with(b"]]>") => {
                    return Err(Error::NotWellFormed.into());
                }
                b'\r' => {
                    self.at += 1;
                    plain = false;
                }
                b'\t' | b'\n' | b']' => self.at += 1,
                _ => return Err(Error::NotWellFormed.into()),
            }
        }
        if self.at > start {
            sink.text(Span::new(start, self.at), plain);
        }
        Ok(())
    }

    fn cdata<S: Sink>(&mut self, sink: &mut S) -> Result<(), Stop> {
        const START: &[u8] = b"<![CDATA[";
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
        self.at = start;
        loop {
            self.at = text_stop(self.input, self.at);
            match self.peek(0)? {
                b']' if self.input[self.at..].starts_with(b"]]>") => break,
                b'<' | b'&' | b']' | b'\t' | b'\n' | b'\r' => self.at += 1,
                _ => return Err(Error::NotWellFormed.into()),
            }
        }
        sink.cdata(Span::new(start, self.at));
        self.at += 3;
        Ok(())
    }

    fn end_tag<S: Sink>(&mut self, sink: &mut S) -> Result<(), Stop> {
        let start = self.at;
        let open = self
            .open
            .pop()
            .expect("an end tag is looked for only while an element is open");
        self.at += 2;
        let from = self.at;
        while continues_name(self.peek(0)?) {
            self.at += 1;
        }
        // XML 1.0 §3: "The Name in an element's end-tag MUST match the element type in the start-tag."
        if self.input[from..self.at] != *open.name.bytes(self.input) {
            return Err(Error::NotWellFormed.into());
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
        self.declare(depth)?;
        self.check_prefixes(name, depth)?;
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
        if self.attrs.len() == self.limits.attributes {
            return Err(Error::PolicyViolation(Limit::Attributes).into());
        }
        let name = self.name()?;
        self.space()?;
        if self.peek(0)? != b'=' {
            return Err(Error::NotWellFormed.into());
        }
        self.at += 1;
        self.space()?;
        let quote = self.peek(0)?;
        if quote != b'\'' && quote != b'"' {
            return Err(Error::NotWellFormed.into());
        }
        self.at += 1;
        let (start, mut plain) = (self.at, true);
        loop {
            self.at = value_stop(self.input, self.at, quote);
            match self.peek(0)? {
                b if b == quote => break,
                b'&' => {
                    self.reference()?;
                    plain = false;
                }
                b'\t' | b'\n' | b'\r' => {
                    self.at += 1;
                    plain = false;
                }
                // XML 1.0 §3.1: no '<' in attribute values, and only `Char`s.
                _ => return Err(Error::NotWellFormed.into()),
            }
        }
        let raw = Span::new(start, self.at);
        self.at += 1;
        // XML 1.0 §3.1: "An attribute name MUST NOT appear more than once in the same start-tag".
        let bytes = name.whole().bytes(self.input);
        if self
            .attrs
            .as_slice()
            .iter()
            .any(|other| other.name.whole().bytes(self.input) == bytes)
        {
            return Err(Error::NotWellFormed.into());
        }
        self.attrs.push(Attr { name, raw, plain });
        Ok(())
    }

    /// A qualified name (Namespaces in XML 1.0 §4).
    #[inline]
    fn name(&mut self) -> Result<Name, Stop> {
        let start = self.at;
        let (mut colon, mut ascii) = (None, true);
        loop {
            let b = self.peek(0)?;
            if !continues_name(b) {
                break;
            }
            if b == b':' && colon.replace(self.at).is_some() {
                return Err(Error::NotWellFormed.into());
            }
            ascii &= b.is_ascii();
            self.at += 1;
        }
        let local = colon.map_or(start, |at| at + 1);
        if !ascii {
            self.check_name(start, local)?;
        } else if !starts_name(self.input[local])
            || self.input[start] == b':'
            || !starts_name(self.input[start])
        {
            return Err(Error::NotWellFormed.into());
        }
        Ok(Name {
            start: start as u32,
            local: local as u32,
            end: self.at as u32,
        })
    }

    /// A name with characters beyond ASCII.
    fn check_name(&self, start: usize, local: usize) -> Result<(), Error> {
        let parse = |bytes| std::str::from_utf8(bytes).map_err(|_| Error::UnsupportedEncoding);
        let starts_well = |name: &str| {
            name.chars()
                .next()
                .is_some_and(|c| c != ':' && is_name_start_char(c))
        };
        let name = parse(&self.input[start..self.at])?;
        if starts_well(name)
            && starts_well(parse(&self.input[local..self.at])?)
            && name.chars().all(is_name_char)
        {
            Ok(())
        } else {
            Err(Error::NotWellFormed)
        }
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
            if !continues_name(b) && !(b == b'#' && self.at == start) {
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
            if !attr.is_declaration(self.input) {
                continue;
            }
            let value = attr.raw.bytes(self.input);
            let value = if attr.plain {
                Cow::Borrowed(value)
            } else {
                unescaped(value)?
            };
            let prefix = if attr.name.has_prefix() {
                attr.name.local()
            } else {
                Span::default()
            };
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
            if self.outer.len() + self.bindings.len() == self.limits.bindings {
                return Err(Error::PolicyViolation(Limit::Bindings));
            }
            self.bindings.push(Binding {
                prefix,
                attr,
                depth: depth as u32,
            });
        }
        Ok(())
    }

    /// Namespaces in XML 1.0 §5 "Prefix Declared", §6.3 "Uniqueness of Attributes".
    fn check_prefixes(&mut self, name: Name, depth: usize) -> Result<(), Error> {
        if name.has_prefix() {
            let bound = self.resolve(name).ok_or(Error::BadNamespacePrefix)?;
            self.borrows |= depth > 1 && bound.depth() <= 1 && !bound.is(ns::XML, self.input);
        }
        let attrs = self.attrs.as_slice();
        let mut borrows = false;
        for (i, attr) in attrs.iter().enumerate() {
            if !attr.name.has_prefix() || attr.is_declaration(self.input) {
                continue;
            }
            let bound = self.resolve(attr.name).ok_or(Error::NotWellFormed)?;
            borrows |= depth > 1 && bound.depth() <= 1 && !bound.is(ns::XML, self.input);
            for other in &attrs[..i] {
                if other.name.has_prefix()
                    && !other.is_declaration(self.input)
                    && other.name.local().bytes(self.input) == attr.name.local().bytes(self.input)
                    && self.same(self.resolve(other.name).ok_or(Error::NotWellFormed)?, bound)?
                {
                    return Err(Error::NotWellFormed);
                }
            }
        }
        self.borrows |= borrows;
        Ok(())
    }

    fn resolve(&self, name: Name) -> Option<Bound<'_>> {
        let prefix = name.prefix().bytes(self.input);
        resolve_prefix(prefix, self.input, self.bindings.as_slice(), self.outer)
    }

    /// Whether two bindings are of the same namespace, references resolved.
    fn same(&self, a: Bound<'_>, b: Bound<'_>) -> Result<bool, Error> {
        let value = |bound| match bound {
            Bound::Outer(namespace) => Ok(Cow::Borrowed(namespace.as_bytes())),
            Bound::Here(binding) => unescaped(binding.attr.raw.bytes(self.input)),
        };
        let (a, b): (Cow<'_, [u8]>, Cow<'_, [u8]>) = (value(a)?, value(b)?);
        Ok(a == b)
    }
}

fn resolve_prefix<'a>(
    prefix: &[u8],
    input: &[u8],
    bindings: &'a [Binding],
    outer: &'a Scope,
) -> Option<Bound<'a>> {
    if prefix == b"xml" {
        return Some(Bound::Outer(ns::XML));
    }
    match bindings
        .iter()
        .rev()
        .find(|binding| binding.prefix.bytes(input) == prefix)
    {
        Some(&binding) => Some(Bound::Here(binding)),
        None => outer.resolve(prefix).map(Bound::Outer),
    }
}

fn unescaped(raw: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    let raw = std::str::from_utf8(raw).map_err(|_| Error::UnsupportedEncoding)?;
    Ok(match unescape_attr(raw) {
        Cow::Borrowed(value) => Cow::Borrowed(value.as_bytes()),
        Cow::Owned(value) => Cow::Owned(value.into_bytes()),
    })
}
