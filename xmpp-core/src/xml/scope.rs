use std::borrow::Cow;

use super::{Tag, ns};
use crate::s2s::dialback;

/// The namespaces that a first-level element inherits from the stream header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    default: Cow<'static, str>,
    prefixes: Vec<(Cow<'static, str>, Cow<'static, str>)>,
}

impl Scope {
    /// No prefix is bound, and `default` is the default namespace.
    pub(crate) fn new(default: impl Into<Cow<'static, str>>) -> Scope {
        Scope {
            default: default.into(),
            prefixes: Vec::new(),
        }
    }

    /// What the given start tag of a whole document declares.
    pub(crate) fn declared(tag: &Tag<'_>, text: &str) -> Scope {
        let mut scope = Scope::new("");
        for binding in tag.bindings() {
            let namespace = known(&binding.namespace(text));
            match binding.prefix(text) {
                "" => scope.default = namespace,
                "stream" => scope.prefixes.push(("stream".into(), namespace)),
                prefix => scope.prefixes.push((prefix.to_owned().into(), namespace)),
            }
        }
        scope.prefixes.shrink_to_fit();
        scope
    }

    /// The default namespace; empty if there is none.
    pub(crate) fn default_ns(&self) -> &str {
        &self.default
    }

    /// The namespace that a prefix is bound to; for the empty one the default namespace.
    pub(crate) fn resolve(&self, prefix: &[u8]) -> Option<&str> {
        if prefix.is_empty() {
            return Some(&self.default);
        }
        let (_, namespace) = self.prefixes.iter().find(|(p, _)| p.as_bytes() == prefix)?;
        Some(namespace)
    }

    /// Whether a prefix is bound to the namespace.
    pub(crate) fn declares(&self, namespace: &str) -> bool {
        self.prefixes.iter().any(|(_, bound)| bound == namespace)
    }

    pub(crate) fn len(&self) -> usize {
        self.prefixes.len() + usize::from(!self.default.is_empty())
    }
}

/// Spares an idle stream the copies of names that nearly all streams declare.
fn known(namespace: &str) -> Cow<'static, str> {
    match namespace {
        ns::CLIENT => Cow::Borrowed(ns::CLIENT),
        ns::SERVER => Cow::Borrowed(ns::SERVER),
        ns::COMPONENT => Cow::Borrowed(ns::COMPONENT),
        ns::STREAM => Cow::Borrowed(ns::STREAM),
        dialback::NS => Cow::Borrowed(dialback::NS),
        other => Cow::Owned(other.to_owned()),
    }
}
