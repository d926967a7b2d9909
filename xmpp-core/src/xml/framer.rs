use memchr::{memchr, memchr3};

use super::chars::starts_name;
use super::{Error, Limit};

/// Finds where a first-level element, an end tag or a stream header ends, in bytes that come in pieces. It understands
/// no more than it needs for that, so that each byte is looked at once however small the pieces are; the checked pass
/// comes when the frame is whole.
pub(crate) struct Framer {
    state: State,
    depth: usize,
    deepest: usize,
    header: bool,
}

#[derive(Clone, Copy)]
enum State {
    Text,
    /// Behind `<`.
    Open,
    /// In a start tag; whether the last byte was `/`.
    Start {
        slash: bool,
    },
    Quote(u8),
    End,
    /// Behind `<!` and that many bytes of `[CDATA[`.
    Bang(usize),
    /// In a CDATA section, behind that many `]`.
    Cdata(u8),
    /// In an XML declaration; whether the last byte was `?`.
    Declaration {
        mark: bool,
    },
}

impl Framer {
    /// Frames of a stream: a first-level element with at most `deepest` levels, or the end tag of the stream.
    pub(crate) fn element(deepest: usize) -> Framer {
        Framer {
            state: State::Text,
            depth: 0,
            deepest,
            header: false,
        }
    }

    /// A stream header, perhaps behind an XML declaration.
    pub(crate) fn header() -> Framer {
        Framer {
            header: true,
            ..Framer::element(1)
        }
    }

    /// Looks at the next bytes of the frame. Returns how many of them still belong to it, once it is whole.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, Error> {
        let mut at = 0;
        while let Some(&b) = bytes.get(at) {
            match self.state {
                State::Text => {
                    let Some(next) = memchr(b'<', &bytes[at..]) else {
                        return Ok(None);
                    };
                    at += next + 1;
                    self.state = State::Open;
                    continue;
                }
                State::Open => self.state = self.open(b)?,
                State::Start { slash } => {
                    if b != b'>' && b != b'\'' && b != b'"' {
                        let next =
                            memchr3(b'>', b'\'', b'"', &bytes[at..]).unwrap_or(bytes.len() - at);
                        at += next;
                        self.state = State::Start {
                            slash: bytes[at - 1] == b'/',
                        };
                        continue;
                    }
                    if b != b'>' {
                        self.state = State::Quote(b);
                    } else {
                        self.depth -= usize::from(slash);
                        self.state = State::Text;
                        if self.depth == 0 || self.header {
                            return Ok(Some(at + 1));
                        }
                    }
                }
                State::Quote(quote) => {
                    let Some(next) = memchr(quote, &bytes[at..]) else {
                        return Ok(None);
                    };
                    at += next;
                    self.state = State::Start { slash: false };
                }
                State::End => {
                    let Some(next) = memchr(b'>', &bytes[at..]) else {
                        return Ok(None);
                    };
                    at += next;
                    self.depth = self.depth.saturating_sub(1);
                    self.state = State::Text;
                    if self.depth == 0 {
                        return Ok(Some(at + 1));
                    }
                }
                State::Bang(known) => {
                    const CDATA: &[u8] = b"[CDATA[";
                    if b != CDATA[known] {
                        return Err(Error::RestrictedXml);
                    }
                    self.state = if known + 1 == CDATA.len() {
                        State::Cdata(0)
                    } else {
                        State::Bang(known + 1)
                    };
                }
                State::Cdata(0) => {
                    let Some(next) = memchr(b']', &bytes[at..]) else {
                        return Ok(None);
                    };
                    at += next;
                    self.state = State::Cdata(1);
                }
                State::Cdata(brackets) => {
                    self.state = match b {
                        b'>' if brackets == 2 => State::Text,
                        b']' => State::Cdata(2),
                        _ => State::Cdata(0),
                    };
                }
                State::Declaration { mark } => {
                    self.state = if mark && b == b'>' {
                        State::Text
                    } else {
                        State::Declaration { mark: b == b'?' }
                    };
                }
            }
            at += 1;
        }
        Ok(None)
    }

    fn open(&mut self, b: u8) -> Result<State, Error> {
        match b {
            b'/' => Ok(State::End),
            b'?' if self.header => Ok(State::Declaration { mark: false }),
            b'?' => Err(Error::RestrictedXml),
            b'!' if self.depth == 0 => Err(Error::RestrictedXml),
            b'!' => Ok(State::Bang(0)),
            _ if !starts_name(b) => Err(Error::NotWellFormed),
            _ if self.depth == self.deepest => Err(Error::PolicyViolation(Limit::Depth)),
            _ => {
                self.depth += 1;
                Ok(State::Start { slash: false })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_ends_where_its_element_ends_however_it_is_cut() {
        for frame in [
            "<a/>",
            "<a></a>",
            "</stream:stream>",
            "<a b='/>'><c d=\"</a>\"/>></a>",
            "<a><![CDATA[</a>]]]><b/>]>]]></a>",
            "<a>]]<b\n/></a >",
            "<a b='1'/>",
        ] {
            let bytes = [frame, "<next/>"].concat();
            for cut in 0..frame.len() {
                let mut framer = Framer::element(8);
                assert_eq!(
                    framer.feed(&bytes.as_bytes()[..cut]),
                    Ok(None),
                    "{frame} cut at {cut}"
                );
                assert_eq!(
                    framer.feed(&bytes.as_bytes()[cut..]),
                    Ok(Some(frame.len() - cut)),
                    "{frame} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn a_header_ends_with_its_start_tag() {
        let header = "<?xml version='1.0' ?>\n<stream:stream a='>'>";
        let bytes = [header, "<a/>"].concat();
        for cut in 0..header.len() {
            let mut framer = Framer::header();
            assert_eq!(framer.feed(&bytes.as_bytes()[..cut]), Ok(None));
            assert_eq!(
                framer.feed(&bytes.as_bytes()[cut..]),
                Ok(Some(header.len() - cut))
            );
        }
    }

    #[test]
    fn what_is_forbidden_is_refused_at_its_first_bytes() {
        for (start, error) in [
            ("<a><!-", Error::RestrictedXml),
            ("<!", Error::RestrictedXml),
            ("<a><>", Error::NotWellFormed),
            ("<a><?", Error::RestrictedXml),
            ("<a><b><c><d", Error::PolicyViolation(Limit::Depth)),
        ] {
            let bytes = start.as_bytes();
            assert_eq!(Framer::element(3).feed(&bytes[..bytes.len() - 1]), Ok(None));
            assert_eq!(Framer::element(3).feed(bytes), Err(error));
        }
    }
}
