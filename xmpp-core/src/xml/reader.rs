use super::chars::{check_chars, is_space};
use super::framer::Framer;
use super::header::parse_header;
use super::{Element, Error, Limit, Limits, Scope, StreamHeader, element, scan_element};
use crate::stanza::{Indexer, Malformed, Stanza};

/// Reads one XML stream, from bytes that come in pieces of any size.
///
/// A piece that holds a whole element is checked where it lies; only the piece of an element that is not yet whole is
/// kept, within [`Limits`]. Between elements the reader owns nothing but the namespaces of the stream header.
///
/// The result is the same however the bytes are cut, but for [`Received::Whitespace`]. After an error the reader
/// repeats it.
///
/// ```
/// use xmpp_core::xml::{Limits, Reader, Received};
///
/// let mut reader = Reader::new(Limits::before_login());
/// let mut input: &[u8] = b"<?xml version='1.0'?><stream:stream to='example.org' version='1.0' \
///     xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><mess";
/// let Some(Received::Header(header)) = reader.next(&mut input).unwrap() else { panic!() };
/// assert_eq!(header.to.as_deref(), Some("example.org"));
/// assert!(reader.next(&mut input).unwrap().is_none());
///
/// let mut input: &[u8] = b"age to='juliet@example.org'><body>Hi!</body></message>";
/// let Some(Received::Stanza(stanza)) = reader.next(&mut input).unwrap() else { panic!() };
/// assert!(stanza.payload().has("body", "jabber:client"));
/// ```
pub struct Reader {
    limits: Limits,
    state: State,
    scope: Scope,
    /// What the end tag of the stream has to repeat.
    name: Box<str>,
    partial: Option<Box<Partial>>,
}

/// Something that a [`Reader`] has read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Received {
    /// The stream was opened.
    Header(StreamHeader),
    /// A `<message/>`, `<presence/>` or `<iq/>` of the content namespace.
    Stanza(Stanza),
    /// A stanza with an address, type or number of children that the specification forbids. It is answered with a
    /// stanza error, and the stream goes on.
    Malformed(Malformed),
    /// Another first-level element.
    Element(Element),
    /// The bytes ended in white space between elements: a keep-alive (RFC 6120 §4.6.1). White space before an element
    /// is not reported.
    Whitespace,
    /// The stream was closed.
    Close,
}

enum State {
    /// Before the stream header.
    Start,
    /// As at the start, but for white space that the old stream left behind.
    Restarted,
    /// Within the stream.
    Open,
    /// The header was closed by its own tag, which has yet to be reported.
    Closing,
    Closed,
    Failed(Error),
}

/// The bytes of a frame that is not whole.
struct Partial {
    framer: Framer,
    bytes: Vec<u8>,
}

impl Reader {
    /// A reader that expects a stream header.
    pub fn new(limits: Limits) -> Reader {
        Reader {
            limits: clamped(limits),
            state: State::Start,
            scope: Scope::new(""),
            name: Box::default(),
            partial: None,
        }
    }

    /// Applies other limits, from the next element on, or to the bytes to come of one that is not yet whole.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = clamped(limits);
    }

    /// Takes the next thing from the front of `input`. `None`: all of `input` was taken, and more is needed.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Received>, Error> {
        let read = self.read(input);
        if let Err(error) = read {
            self.state = State::Failed(error);
            self.partial = None;
        }
        read
    }

    /// Whether nothing is pending: the last byte taken was the last of a header or element, or white space behind it.
    /// To be asked, beside whether input is left, before TLS is started or a stream is restarted.
    pub fn is_at_boundary(&self) -> bool {
        self.partial.is_none()
    }

    /// Bytes of memory that are held for an element or header that is not yet whole; otherwise 0.
    pub fn held(&self) -> usize {
        let partial = self.partial.as_ref();
        partial.map_or(0, |partial| size_of::<Partial>() + partial.bytes.capacity())
    }

    /// Expects a new stream header, as after SASL (RFC 6120 §6.4.6). Nothing of the old stream stays.
    /// White space behind the element that led to it still belongs to the old one: some clients end their elements with
    /// a line break.
    pub fn restart(&mut self) {
        self.state = State::Restarted;
        self.scope = Scope::new("");
        self.name = Box::default();
        self.partial = None;
    }

    fn read(&mut self, input: &mut &[u8]) -> Result<Option<Received>, Error> {
        match self.state {
            State::Failed(error) => return Err(error),
            State::Restarted => {
                *input = input.trim_ascii_start();
                if input.is_empty() {
                    return Ok(None);
                }
                self.state = State::Start;
            }
            State::Closing => {
                self.state = State::Closed;
                return Ok(Some(Received::Close));
            }
            State::Open | State::Closed if self.partial.is_none() => {
                let spaces = input.iter().take_while(|&&b| is_space(b)).count();
                *input = &input[spaces..];
                match (input.first(), &self.state) {
                    (None, _) => return Ok((spaces > 0).then_some(Received::Whitespace)),
                    (Some(b'<'), State::Open) => {}
                    (Some(_), State::Open) => return Err(Error::BadFormat),
                    // XML 1.0 §2.1: nothing but white space may follow the root element.
                    _ => return Err(Error::NotWellFormed),
                }
            }
            _ => {}
        }
        if input.is_empty() {
            return Ok(None);
        }
        match self.partial.take() {
            None => self.read_whole(input),
            Some(partial) => self.read_part(partial, input),
        }
    }

    /// Reads at the start of a frame, in the hope that all of it is there.
    fn read_whole(&mut self, input: &mut &[u8]) -> Result<Option<Received>, Error> {
        let (most, limit) = self.most();
        let window = &input[..input.len().min(most)];
        if let Some((received, end)) = self.check(window)? {
            *input = &input[end..];
            return Ok(Some(received));
        }
        if input.len() > most {
            return Err(Error::PolicyViolation(limit));
        }
        let framer = match self.state {
            State::Start => Framer::header(),
            _ => Framer::element(self.limits.depth),
        };
        let bytes = Vec::new();
        self.read_part(Box::new(Partial { framer, bytes }), input)
    }

    /// Reads on in a frame.
    fn read_part(
        &mut self,
        mut partial: Box<Partial>,
        input: &mut &[u8],
    ) -> Result<Option<Received>, Error> {
        let (most, limit) = self.most();
        let room = most.saturating_sub(partial.bytes.len());
        let piece = &input[..input.len().min(room)];
        let framed = partial.framer.feed(piece);
        let taken = framed.unwrap_or_default().unwrap_or(piece.len());
        partial.bytes.extend_from_slice(&piece[..taken]);
        *input = &input[taken..];
        match framed {
            Ok(Some(_)) => match self.check(&partial.bytes)? {
                Some((received, end)) if end == partial.bytes.len() => Ok(Some(received)),
                _ => Err(Error::NotWellFormed),
            },
            Ok(None) if input.is_empty() => {
                self.partial = Some(partial);
                Ok(None)
            }
            // What is wrong first is what counts, and the framer does not see everything.
            refused => {
                self.check(&partial.bytes)?;
                Err(refused.err().unwrap_or(Error::PolicyViolation(limit)))
            }
        }
    }

    fn most(&self) -> (usize, Limit) {
        match self.state {
            State::Start => (self.limits.header_bytes, Limit::HeaderBytes),
            _ => (self.limits.stanza_bytes, Limit::StanzaBytes),
        }
    }

    /// The checked pass over the frame at the start of `bytes`. Returns what it holds and where it ends.
    fn check(&mut self, bytes: &[u8]) -> Result<Option<(Received, usize)>, Error> {
        match (&self.state, bytes) {
            (State::Start, _) => self.check_header(bytes),
            (_, [b'<', b'/', ..]) => self.check_end(bytes),
            _ => self.check_element(bytes),
        }
    }

    fn check_header(&mut self, bytes: &[u8]) -> Result<Option<(Received, usize)>, Error> {
        let Some((opened, end)) = parse_header(bytes, &self.limits)? else {
            return Ok(None);
        };
        self.state = if opened.closed {
            State::Closing
        } else {
            State::Open
        };
        self.scope = opened.scope;
        self.name = opened.name;
        Ok(Some((Received::Header(opened.header), end)))
    }

    fn check_element(&mut self, bytes: &[u8]) -> Result<Option<(Received, usize)>, Error> {
        let mut indexer = Indexer::new(self.limits.children);
        let Some(scanned) = scan_element(bytes, &self.scope, &self.limits, &mut indexer)? else {
            return Ok(None);
        };
        let text = check_chars(&bytes[..scanned.end])?;
        let received = match indexer.finish(text, &scanned, &self.scope)? {
            Some(Ok(stanza)) => Received::Stanza(stanza),
            Some(Err(malformed)) => Received::Malformed(malformed),
            None => {
                let built = element::build(text, &self.scope, &self.limits)?;
                Received::Element(built.ok_or(Error::NotWellFormed)?.0)
            }
        };
        Ok(Some((received, scanned.end)))
    }

    /// The end tag of the stream.
    fn check_end(&mut self, bytes: &[u8]) -> Result<Option<(Received, usize)>, Error> {
        let (name, rest) = (self.name.as_bytes(), &bytes[2..]);
        let known = rest.len().min(name.len());
        if rest[..known] != name[..known] {
            return Err(Error::NotWellFormed);
        }
        let spaces = rest[known..].iter().take_while(|&&b| is_space(b)).count();
        match rest.get(name.len() + spaces) {
            None => Ok(None),
            Some(b'>') => {
                self.state = State::Closed;
                Ok(Some((Received::Close, 2 + name.len() + spaces + 1)))
            }
            Some(_) => Err(Error::NotWellFormed),
        }
    }
}

/// Positions within a frame are kept as `u32`.
fn clamped(limits: Limits) -> Limits {
    Limits {
        stanza_bytes: limits.stanza_bytes.min(Limits::NONE.stanza_bytes),
        header_bytes: limits.header_bytes.min(Limits::NONE.header_bytes),
        ..limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::{Content, ns};

    const HEADER: &str =
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

    fn opened(limits: Limits) -> Reader {
        let mut reader = Reader::new(limits);
        let header = reader.next(&mut HEADER.as_bytes());
        assert!(matches!(header, Ok(Some(Received::Header(_)))));
        reader
    }

    fn one(bytes: &str) -> Result<Option<Received>, Error> {
        opened(Limits::default()).next(&mut bytes.as_bytes())
    }

    /// Sends `start` and then `more` without end. Returns the error, and the most bytes that were kept meanwhile.
    fn flooded(reader: &mut Reader, start: &str, more: &str) -> (Error, usize) {
        let (mut piece, mut kept) = (start.to_owned(), 0);
        loop {
            if let Err(error) = reader.next(&mut piece.as_bytes()) {
                return (error, kept);
            }
            let partial = reader.partial.as_ref();
            let bytes = partial.map_or(0, |partial| partial.bytes.len());
            assert!(reader.held() >= bytes);
            kept = kept.max(bytes);
            piece = more.repeat(100);
        }
    }

    #[test]
    fn every_limit_is_enforced_while_bytes_arrive() {
        let limits = Limits {
            stanza_bytes: 20_000,
            header_bytes: 5_000,
            ..Limits::default()
        };
        for (start, more, limit, most) in [
            ("<message><body>", "a", Limit::StanzaBytes, 20_000),
            ("<message a='", "a", Limit::StanzaBytes, 20_000),
            ("<message><![CDATA[", "]", Limit::StanzaBytes, 20_000),
            ("<message ", " ", Limit::StanzaBytes, 20_000),
            ("<message", "e", Limit::StanzaBytes, 20_000),
            ("<m", "><a", Limit::Depth, 400),
            ("<message>", "<a>", Limit::Depth, 400),
            ("</stream:stream", " ", Limit::StanzaBytes, 20_000),
        ] {
            let (error, kept) = flooded(&mut opened(limits.clone()), start, more);
            assert_eq!(error, Error::PolicyViolation(limit), "{start}{more}...");
            assert!(kept <= most, "{start}{more}... kept {kept} bytes");
        }
        for (start, more) in [
            ("<stream to='", "a"),
            ("<?xml version='1.0'", " "),
            (" ", "\n"),
        ] {
            let (error, kept) = flooded(&mut Reader::new(limits.clone()), start, more);
            assert_eq!(error, Error::PolicyViolation(Limit::HeaderBytes));
            assert!(kept <= 5_000);
        }
    }

    #[test]
    fn every_count_has_its_limit() {
        let numbered = |n: usize, f: fn(usize) -> String| (0..n).map(f).collect::<String>();
        let attributes = |n| format!("<message{}/>", numbered(n, |i| format!(" a{i}=''")));
        let bindings = |n| {
            format!(
                "<message{}/>",
                numbered(n, |i| format!(" xmlns:a{i}='urn:x'"))
            )
        };
        let children = |n| format!("<message>{}</message>", "<a/>".repeat(n));
        let nested = |n| format!("<message>{}{}</message>", "<a>".repeat(n), "</a>".repeat(n));
        for (limit, most, over) in [
            (Limit::Attributes, attributes(64), attributes(65)),
            // Two are on the header.
            (Limit::Bindings, bindings(30), bindings(31)),
            (Limit::Children, children(1024), children(1025)),
            (Limit::Depth, nested(63), nested(64)),
        ] {
            assert!(
                matches!(one(&most), Ok(Some(Received::Stanza(_)))),
                "{limit:?}"
            );
            assert_eq!(one(&over).err(), Some(Error::PolicyViolation(limit)));
        }
    }

    #[test]
    fn entities_cannot_be_declared_and_so_not_expanded() {
        let laughs =
            "<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY lol 'lol'><!ENTITY lol2 '&lol;&lol;'>]>";
        let mut reader = Reader::new(Limits::default());
        assert_eq!(
            reader.next(&mut laughs.as_bytes()).err(),
            Some(Error::RestrictedXml)
        );
        assert_eq!(
            one("<message><body>&lol2;").err(),
            Some(Error::RestrictedXml)
        );
    }

    #[test]
    fn an_error_is_final() {
        let mut reader = opened(Limits::default());
        assert_eq!(
            reader.next(&mut &b"<a></b>"[..]).err(),
            Some(Error::NotWellFormed)
        );
        assert_eq!(
            reader.next(&mut &b"<a/>"[..]).err(),
            Some(Error::NotWellFormed)
        );
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_an_encoding_error() {
        // RFC 6120 §4.9.3.22: unsupported-encoding is also for violations of the rules of UTF-8.
        for bytes in [
            &b"<a>\xC3\x28</a>"[..],
            b"<a b='\xFF'/>",
            b"<\xC3\x28/>",
            b"<a>\xED\xA0\x80</a>",
        ] {
            let read = opened(Limits::default()).next(&mut &*bytes);
            assert_eq!(read.err(), Some(Error::UnsupportedEncoding));
        }
    }

    #[test]
    fn white_space_is_reported_where_it_ends_the_bytes() {
        let mut reader = opened(Limits::default());
        assert!(matches!(
            reader.next(&mut &b" \n"[..]),
            Ok(Some(Received::Whitespace))
        ));
        let mut input = &b"\n<r xmlns='urn:xmpp:sm:3'/>\n"[..];
        assert!(matches!(
            reader.next(&mut input),
            Ok(Some(Received::Element(_)))
        ));
        assert!(reader.is_at_boundary());
        assert!(matches!(
            reader.next(&mut input),
            Ok(Some(Received::Whitespace))
        ));
        assert!(matches!(reader.next(&mut input), Ok(None)));
        assert_eq!(one("&#32;").err(), Some(Error::BadFormat));
    }

    #[test]
    fn the_stream_ends_with_the_tag_that_opened_it() {
        let mut reader = opened(Limits::default());
        assert!(matches!(
            reader.next(&mut &b"</stream:stream\t>"[..]),
            Ok(Some(Received::Close))
        ));
        assert!(matches!(
            reader.next(&mut &b"\n"[..]),
            Ok(Some(Received::Whitespace))
        ));
        assert_eq!(
            reader.next(&mut &b"<a/>"[..]).err(),
            Some(Error::NotWellFormed)
        );
        for end in [
            "</stream>",
            "</stream:streams>",
            "</stream:stream/>",
            "</ stream:stream>",
        ] {
            assert_eq!(one(end).err(), Some(Error::NotWellFormed), "{end}");
        }
    }

    #[test]
    fn a_header_may_close_its_stream_itself() {
        let mut reader = Reader::new(Limits::default());
        let mut input = &b"<stream xmlns='http://etherx.jabber.org/streams'/>"[..];
        assert!(matches!(
            reader.next(&mut input),
            Ok(Some(Received::Header(_)))
        ));
        assert!(matches!(reader.next(&mut input), Ok(Some(Received::Close))));
        assert!(matches!(reader.next(&mut input), Ok(None)));
    }

    #[test]
    fn a_restart_forgets_the_old_stream() {
        let mut reader = opened(Limits::default());
        assert!(matches!(reader.next(&mut &b"<a"[..]), Ok(None)));
        assert!(!reader.is_at_boundary());
        reader.restart();
        assert!(reader.is_at_boundary());
        let mut input = &b"<?xml version='1.0'?><s xmlns='urn:x'><stream:a/>"[..];
        assert!(matches!(
            reader.next(&mut input),
            Ok(Some(Received::Header(_)))
        ));
        assert_eq!(reader.next(&mut input).err(), Some(Error::NotWellFormed));
    }

    #[test]
    fn stanzas_are_those_of_the_content_namespace() {
        let kinds = |header: &str, element: &str| {
            let mut reader = Reader::new(Limits::default());
            let Ok(Some(Received::Header(header))) = reader.next(&mut header.as_bytes()) else {
                panic!()
            };
            let read = reader.next(&mut element.as_bytes()).unwrap();
            (header.content, matches!(read, Some(Received::Stanza(_))))
        };
        let undeclared = "<stream xmlns='http://etherx.jabber.org/streams'>";
        let server =
            "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>";
        assert_eq!(kinds(HEADER, "<message/>"), (Content::Client, true));
        assert_eq!(
            kinds(HEADER, "<message xmlns='jabber:client'/>"),
            (Content::Client, true)
        );
        assert_eq!(
            kinds(HEADER, "<c:message xmlns:c='jabber:&#99;lient'/>"),
            (Content::Client, true)
        );
        assert_eq!(
            kinds(HEADER, "<message xmlns='jabber:server'/>"),
            (Content::Client, false)
        );
        assert_eq!(
            kinds(HEADER, "<message xmlns='urn:x'/>"),
            (Content::Client, false)
        );
        assert_eq!(kinds(HEADER, "<stream:message/>"), (Content::Client, false));
        assert_eq!(kinds(server, "<message/>"), (Content::Server, true));
        // RFC 6120 §4.8.2: the content namespace may be declared on each first-level element instead.
        assert_eq!(
            kinds(undeclared, "<message xmlns='jabber:client'/>"),
            (Content::Undeclared, true)
        );
        assert_eq!(
            kinds(undeclared, "<message/>"),
            (Content::Undeclared, false)
        );
    }

    #[test]
    fn elements_of_a_server_stream_are_spelt_as_those_of_a_client_stream() {
        let mut reader = Reader::new(Limits::default());
        let mut input = &b"<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>\
            <message><body>a</body><x xmlns='urn:x'/><body xmlns='jabber:server'>b</body></message>"[..];
        reader.next(&mut input).unwrap();
        let Ok(Some(Received::Stanza(stanza))) = reader.next(&mut input) else {
            panic!()
        };
        let bodies: Vec<_> = stanza
            .payload()
            .children()
            .filter(|child| child.is("body", ns::CLIENT))
            .collect();
        assert_eq!(bodies.len(), 2);
        assert_eq!(bodies[1].raw(), "<body>b</body>");
    }
}
