//! What a scan reports: spans of its input, and what names in them mean.

use std::borrow::Cow;

use super::{Error, Scope, ns, unescape_attr};

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
    /// The name at `start..end` whose local part is at `local..end`.
    pub(super) fn new(start: usize, local: usize, end: usize) -> Name {
        Name {
            start: start as u32,
            local: local as u32,
            end: end as u32,
        }
    }

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
    /// Whether it declares a namespace.
    pub(crate) declares: bool,
}

impl Attr {
    /// The string that the value stands for.
    pub(crate) fn value(self, input: &str) -> Cow<'_, str> {
        unescape_attr(self.raw.text(input))
    }
}

/// A namespace declaration within the scanned element.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Binding {
    pub(super) prefix: Span,
    pub(crate) raw: Span,
    /// Whether the namespace is what stands there, without references to resolve or white space to normalise.
    pub(crate) plain: bool,
    /// Of the element that declares it.
    pub(crate) depth: u32,
}

impl Binding {
    pub(crate) fn prefix(self, input: &str) -> &str {
        self.prefix.text(input)
    }

    pub(crate) fn namespace(self, input: &str) -> Cow<'_, str> {
        let raw = self.raw.text(input);
        if self.plain {
            Cow::Borrowed(raw)
        } else {
            unescape_attr(raw)
        }
    }

    /// The same before the input is known to be text.
    pub(super) fn namespace_bytes(self, input: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
        let raw = self.raw.bytes(input);
        if self.plain {
            return Ok(Cow::Borrowed(raw));
        }
        let raw = std::str::from_utf8(raw).map_err(|_| Error::UnsupportedEncoding)?;
        Ok(Cow::Owned(unescape_attr(raw).into_owned().into_bytes()))
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
                let bound = binding.namespace_bytes(input);
                bound.is_ok_and(|bound| *bound == *namespace.as_bytes())
            }
        }
    }

    /// How deep the element that declares it is: 1 for the root, 0 outside.
    pub(super) fn depth(self) -> u32 {
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
    pub(super) bindings: &'a [Binding],
    pub(super) outer: &'a Scope,
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

/// What is bound to `prefix` where `bindings` are in scope within `outer`.
pub(super) fn resolve_prefix<'a>(
    prefix: &[u8],
    input: &[u8],
    bindings: &'a [Binding],
    outer: &'a Scope,
) -> Option<Bound<'a>> {
    let same = |binding: &&Binding| binding.prefix.bytes(input) == prefix;
    match bindings.iter().rev().find(same) {
        Some(&binding) => Some(Bound::Here(binding)),
        None if prefix == b"xml" => Some(Bound::Outer(ns::XML)),
        None => outer.resolve(prefix).map(Bound::Outer),
    }
}
