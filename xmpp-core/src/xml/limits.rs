/// What a peer may make the reader hold or work on. Each is checked while bytes arrive; exceeding one is
/// [`Error::PolicyViolation`](super::Error::PolicyViolation) with the [`Limit`](super::Limit) of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one first-level element, tags included. Default 256 KiB; the smallest that RFC 6120 §13.12 allows for
    /// stanzas is 10 000.
    pub stanza_bytes: usize,
    /// Bytes of the XML declaration and the stream header together. Default 8 KiB: two addresses of 3071 bytes, and
    /// as much again for the rest.
    pub header_bytes: usize,
    /// Open elements, the first-level one included, the stream itself not. Default 64.
    pub depth: usize,
    /// Attributes of one element, namespace declarations included. Default 64.
    pub attributes: usize,
    /// Namespace declarations in scope at once, those of the stream header included. Default 32.
    pub bindings: usize,
    /// Children of one stanza. Default 1024.
    pub children: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            stanza_bytes: 256 * 1024,
            header_bytes: 8 * 1024,
            depth: 64,
            attributes: 64,
            bindings: 32,
            children: 1024,
        }
    }
}

impl Limits {
    /// For what this server has checked or written itself.
    pub(crate) const NONE: Limits = Limits {
        stanza_bytes: u32::MAX as usize,
        header_bytes: u32::MAX as usize,
        depth: usize::MAX,
        attributes: usize::MAX,
        bindings: usize::MAX,
        children: usize::MAX,
    };

    /// Limits for a peer that has not proved who it is: the default, with stanzas of 10 000 bytes at most.
    pub fn before_login() -> Limits {
        // RFC 6120 §13.12: "A deployed server's maximum stanza size MUST NOT be smaller than 10000 bytes".
        Limits {
            stanza_bytes: 10_000,
            ..Limits::default()
        }
    }
}
