use memchr::memmem;

use super::chars::{check_chars, continues_name, is_space};
use super::{Attr, Error, Limits, Scope, Sink, Span, Tag, ns, scan_start_tag};

/// The start tag that opens a stream (RFC 6120 §4.7), as it was sent: the stream machine decides what to make of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamHeader {
    /// The local name, which has to be `stream`.
    pub name: String,
    /// The prefix of the name, for streams whose header does not make [`ns::STREAM`] the default namespace.
    pub prefix: Option<String>,
    /// The namespace, which has to be [`ns::STREAM`] (§4.8.1: else `invalid-namespace`).
    pub ns: String,
    /// The content namespace (§4.8.2).
    pub content: Content,
    /// `to` (§4.7.2), not yet an address.
    pub to: Option<String>,
    /// `from` (§4.7.1), not yet an address.
    pub from: Option<String>,
    /// `id` (§4.7.3), which only the receiving entity sets.
    pub id: Option<String>,
    /// `xml:lang` (§4.7.4), the default for everything on the stream.
    pub lang: Option<String>,
    /// `version` (§4.7.5); none means 0.9.
    pub version: Option<Version>,
    /// Whether a prefix is bound to `jabber:server:dialback` (XEP-0220 §2.4.1): the other side does Server Dialback.
    pub dialback: bool,
}

/// A content namespace: the default namespace of a stream (RFC 6120 §4.8.2).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// [`ns::CLIENT`]
    Client,
    /// [`ns::SERVER`]
    Server,
    /// [`ns::COMPONENT`]
    Component,
    /// None was declared: every first-level element has to declare its own.
    Undeclared,
    /// Another one (§4.8.3: `invalid-namespace`).
    Other(String),
}

/// A version of XMPP, `major.minor`. Ordered as §4.7.5 has it: 1.10 comes after 1.9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Before the dot.
    pub major: u16,
    /// Behind it.
    pub minor: u16,
}

impl Version {
    /// Reads `major.minor`. What cannot be read is version 0.0, which is not supported.
    fn parse(text: &str) -> Version {
        let number = |digits: &str| -> Option<u16> {
            let plain = digits.bytes().all(|b| b.is_ascii_digit());
            // RFC 6120 §4.7.5: "Leading zeros [...] MUST be ignored by recipients".
            digits.parse().ok().filter(|_| plain)
        };
        let version = text
            .split_once('.')
            .and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
        let (major, minor) = version.unwrap_or((0, 0));
        Version { major, minor }
    }
}

/// What a header leaves behind for the elements of its stream.
pub(crate) struct Opened {
    pub(crate) header: StreamHeader,
    pub(crate) scope: Scope,
    /// The name that the end tag has to repeat.
    pub(crate) name: Box<str>,
    /// The stream was opened and closed by one tag.
    pub(crate) closed: bool,
}

/// Reads a stream header at the start of `input`, with the XML declaration before it, and says where it ends. `None`:
/// more bytes are needed.
pub(crate) fn parse_header(
    input: &[u8],
    limits: &Limits,
) -> Result<Option<(Opened, usize)>, Error> {
    let Some(mut at) = skip_declaration(input)? else {
        return Ok(None);
    };
    while input.get(at).copied().is_some_and(is_space) {
        at += 1;
    }
    match &input[at..] {
        [] | [b'<'] => return Ok(None),
        [b'<', b'!' | b'?', ..] => return Err(Error::RestrictedXml),
        [b'<', ..] => {}
        // RFC 6120 §11.6: U+FEFF is not to be taken for a byte order mark, so it is text like any other here.
        _ => return Err(Error::NotWellFormed),
    }
    let mut read = ReadHeader(None);
    let Some(end) = scan_start_tag(input, at, limits, &mut read)? else {
        return Ok(None);
    };
    Ok(read.0.map(|opened| (opened, end)))
}

struct ReadHeader(Option<Opened>);

impl Sink for ReadHeader {
    fn open(&mut self, tag: &Tag<'_>) -> Result<(), Error> {
        let seen = &tag.input[..tag.span.end as usize];
        let text = check_chars(seen)?;
        let value = |name: &str| {
            let of = |attr: &&Attr| attr.name.whole().text(text) == name;
            tag.attrs
                .iter()
                .find(of)
                .map(|attr| attr.value(text).into_owned())
        };
        let scope = Scope::declared(tag, text);
        let header = StreamHeader {
            name: tag.name.local().text(text).to_owned(),
            prefix: Some(tag.name.prefix().text(text).to_owned())
                .filter(|prefix| !prefix.is_empty()),
            ns: tag.namespace().namespace(text).into_owned(),
            content: match scope.default_ns() {
                ns::CLIENT => Content::Client,
                ns::SERVER => Content::Server,
                ns::COMPONENT => Content::Component,
                "" | ns::STREAM => Content::Undeclared,
                other => Content::Other(other.to_owned()),
            },
            to: value("to"),
            from: value("from"),
            id: value("id"),
            lang: value("xml:lang"),
            version: value("version").as_deref().map(Version::parse),
            dialback: scope.declares(crate::s2s::dialback::NS),
        };
        self.0 = Some(Opened {
            header,
            scope,
            name: tag.name.whole().text(text).into(),
            closed: tag.empty,
        });
        Ok(())
    }

    fn close(&mut self, _depth: usize, _start_of_end_tag: usize, _end: usize) {}
    fn text(&mut self, _raw: Span) {}
    fn cdata(&mut self, _raw: Span) {}
}

/// Where the XML declaration at the start of `input` ends; 0 if there is none (XML 1.0 §2.8).
fn skip_declaration(input: &[u8]) -> Result<Option<usize>, Error> {
    const START: &[u8] = b"<?xml";
    let known = input.len().min(START.len());
    if input[..known] != START[..known] {
        return match input {
            // RFC 6120 §11.1: processing instructions are prohibited.
            [b'<', b'?', ..] => Err(Error::RestrictedXml),
            _ => Ok(Some(0)),
        };
    }
    match input.get(START.len()) {
        None => return Ok(None),
        Some(&b) if is_space(b) => {}
        Some(&b) if continues_name(b) => return Err(Error::RestrictedXml),
        Some(_) => return Err(Error::NotWellFormed),
    }
    let Some(length) = memmem::find(input, b"?>") else {
        return Ok(None);
    };
    let text =
        std::str::from_utf8(&input[START.len()..length]).map_err(|_| Error::UnsupportedEncoding)?;
    check_declaration(text)?;
    Ok(Some(length + 2))
}

fn check_declaration(text: &str) -> Result<(), Error> {
    let (version, rest) = declared(text, "version")?.ok_or(Error::NotWellFormed)?;
    if version != "1.0" {
        return Err(Error::RestrictedXml);
    }
    let (encoding, rest) = declared(rest, "encoding")?.unwrap_or(("UTF-8", rest));
    // RFC 6120 §11.6: "Implementations MUST support the UTF-8 transformation [...] and MUST NOT attempt to use any
    // other encoding."
    if !encoding.eq_ignore_ascii_case("UTF-8") {
        return Err(Error::UnsupportedEncoding);
    }
    let (standalone, rest) = declared(rest, "standalone")?.unwrap_or(("yes", rest));
    let rest = rest.trim_start_matches(space);
    if matches!(standalone, "yes" | "no") && rest.is_empty() {
        Ok(())
    } else {
        Err(Error::NotWellFormed)
    }
}

/// Takes ` name = 'value'` from the front of `text`, if that is what comes next.
fn declared<'a>(text: &'a str, name: &str) -> Result<Option<(&'a str, &'a str)>, Error> {
    let trimmed = text.trim_start_matches(space);
    let Some(rest) = trimmed
        .strip_prefix(name)
        .filter(|_| trimmed.len() < text.len())
    else {
        return Ok(None);
    };
    let rest = rest
        .trim_start_matches(space)
        .strip_prefix('=')
        .ok_or(Error::NotWellFormed)?;
    let rest = rest.trim_start_matches(space);
    let quote = rest
        .chars()
        .next()
        .filter(|c| matches!(c, '\'' | '"'))
        .ok_or(Error::NotWellFormed)?;
    rest[1..]
        .split_once(quote)
        .map(Some)
        .ok_or(Error::NotWellFormed)
}

fn space(c: char) -> bool {
    c.is_ascii() && is_space(c as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<StreamHeader>, Error> {
        let parsed = parse_header(text.as_bytes(), &Limits::default())?;
        Ok(parsed.map(|(opened, _)| opened.header))
    }

    #[test]
    fn a_header_says_all_that_the_stream_needs() {
        let header = parse(
            "<?xml version='1.0' encoding=\"utf-8\" standalone='yes' ?>\n<stream:stream from='a@b' to='b' id='&#49;' \
             version='01.0' xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
        );
        let header = header.unwrap().unwrap();
        assert_eq!(
            (&*header.name, header.prefix.as_deref(), &*header.ns),
            ("stream", Some("stream"), ns::STREAM)
        );
        assert_eq!(
            (header.from.as_deref(), header.to.as_deref()),
            (Some("a@b"), Some("b"))
        );
        assert_eq!(
            (header.id.as_deref(), header.lang.as_deref()),
            (Some("1"), Some("en"))
        );
        assert_eq!(header.version, Some(Version { major: 1, minor: 0 }));
        assert_eq!(header.content, Content::Client);
    }

    #[test]
    fn a_header_need_not_use_prefixes() {
        let header = parse("<stream xmlns='http://etherx.jabber.org/streams' version='x'>")
            .unwrap()
            .unwrap();
        assert_eq!((header.prefix, header.content), (None, Content::Undeclared));
        assert_eq!(header.version, Some(Version { major: 0, minor: 0 }));
    }

    #[test]
    fn the_declaration_is_held_to_its_grammar() {
        for (start, error) in [
            ("<?xml version='1.1'?>", Error::RestrictedXml),
            (
                "<?xml version='1.0' encoding='UTF-16'?>",
                Error::UnsupportedEncoding,
            ),
            ("<?xml?>", Error::NotWellFormed),
            ("<?xml encoding='UTF-8'?>", Error::NotWellFormed),
            (
                "<?xml version='1.0' encoding='UTF-8'standalone='yes'?>",
                Error::NotWellFormed,
            ),
            (
                "<?xml version='1.0' standalone='yes' encoding='UTF-8'?>",
                Error::NotWellFormed,
            ),
            (
                "<?xml version='1.0' standalone='maybe'?>",
                Error::NotWellFormed,
            ),
            (
                "<?xml version='1.0'?><?xml version='1.0'?>",
                Error::RestrictedXml,
            ),
            (" <?xml version='1.0'?>", Error::RestrictedXml),
            ("<?php", Error::RestrictedXml),
            ("<!DOCTYPE", Error::RestrictedXml),
            ("\u{FEFF}<?xml version='1.0'?>", Error::NotWellFormed),
            ("text", Error::NotWellFormed),
            ("<stream:stream>", Error::BadNamespacePrefix),
            ("<stream to='\u{FFFE}'>", Error::NotWellFormed),
        ] {
            assert_eq!(parse(start), Err(error), "{start}");
        }
        assert_eq!(parse(" \n<s>").map(|h| h.is_some()), Ok(true));
    }
}
