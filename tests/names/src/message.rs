//! Questions and answers on the wire (RFC 1035 §4).

use crate::zone::{Data, Found, Zone};

const HEADER: usize = 12;
const NAME_MAX: usize = 255;
const NO_ERROR: u8 = 0;
const FORMAT_ERROR: u8 = 1;
const SERVER_FAILURE: u8 = 2;
const NAME_ERROR: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;
const SOA: u16 = 6;
/// The name in the question, which comes first after the header (§4.1.4).
const POINTER: [u8; 2] = [0xc0, HEADER as u8];

/// The answer to a question; `None` if it gets none. One of more than `most` bytes is cut, and says so.
pub fn answer(message: &[u8], zone: &Zone, most: usize) -> Option<Vec<u8>> {
    let header = message.get(..HEADER)?;
    if header[2] & 0x80 != 0 {
        return None; // an answer itself
    }
    if header[2] & 0x78 != 0 {
        return Some(reply(header, NOT_IMPLEMENTED, &[]));
    }
    let Some(question) = Question::read(message) else {
        return Some(reply(header, FORMAT_ERROR, &[]));
    };
    let records = match zone.find(&question.name) {
        Found::Silence => return None,
        Found::ServFail => return Some(reply(header, SERVER_FAILURE, question.bytes)),
        Found::NoName => return Some(none(header, NAME_ERROR, question.bytes)),
        Found::Name(records) => records.into_iter().filter_map(|data| {
            let (kind, bytes) = wire(data)?;
            (kind == question.kind).then_some((kind, bytes))
        }),
    };
    let mut out = reply(header, NO_ERROR, question.bytes);
    let mut count = 0u16;
    for (kind, data) in records {
        push(&mut out, &POINTER, kind, &data);
        count += 1;
    }
    if count == 0 {
        return Some(none(header, NO_ERROR, question.bytes));
    }
    if out.len() > most {
        let mut cut = reply(header, NO_ERROR, question.bytes);
        cut[2] |= 0x02; // TC
        return Some(cut);
    }
    out[6..8].copy_from_slice(&count.to_be_bytes());
    Some(out)
}

struct Question<'a> {
    /// In lower case, without the root's dot.
    name: String,
    kind: u16,
    /// All of it, as it came.
    bytes: &'a [u8],
}

impl<'a> Question<'a> {
    /// The only question of a message. Names are not compressed there, since nothing comes before them.
    fn read(message: &'a [u8]) -> Option<Question<'a>> {
        if message.get(4..6)? != [0, 1] {
            return None;
        }
        let rest = &message[HEADER..];
        let (mut name, mut at) = (String::new(), 0);
        loop {
            let len = usize::from(*rest.get(at)?);
            at += 1;
            if len == 0 {
                break;
            }
            let label = rest.get(at..at + len)?;
            at += len;
            if len > 63 || at > NAME_MAX || !label.is_ascii() {
                return None;
            }
            if !name.is_empty() {
                name.push('.');
            }
            name.extend(label.iter().map(|b| char::from(b.to_ascii_lowercase())));
        }
        let &[kind_high, kind_low, 0, 1] = rest.get(at..at + 4)? else {
            return None; // not of the internet
        };
        Some(Question {
            name,
            kind: u16::from_be_bytes([kind_high, kind_low]),
            bytes: &rest[..at + 4],
        })
    }
}

/// A header that answers this one, and the question.
fn reply(header: &[u8], code: u8, question: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(&header[..2]);
    // An answer, with authority; recursion as it was desired, and to be had.
    out.extend_from_slice(&[0x84 | header[2] & 0x01, 0x80 | code]);
    out.extend_from_slice(&[0, u8::from(!question.is_empty()), 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(question);
    out
}

/// That there is nothing, and for how long: no time (RFC 2308 §2).
fn none(header: &[u8], code: u8, question: &[u8]) -> Vec<u8> {
    let mut out = reply(header, code, question);
    out[8..10].copy_from_slice(&[0, 1]);
    // Of the root: two names, serial, refresh, retry, expire, minimum.
    let mut data = vec![0; 2];
    for number in [1u32, 0, 0, 0, 0] {
        data.extend_from_slice(&number.to_be_bytes());
    }
    push(&mut out, &[0], SOA, &data);
    out
}

fn push(out: &mut Vec<u8>, name: &[u8], kind: u16, data: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&[0, 1, 0, 0, 0, 0]); // the internet; may be kept for 0 s
    let len = u16::try_from(data.len()).expect("a name is of 255 bytes at most");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(data);
}

fn wire(data: &Data) -> Option<(u16, Vec<u8>)> {
    Some(match data {
        Data::A(address) => (1, address.octets().into()),
        Data::Aaaa(address) => (28, address.octets().into()),
        Data::Srv(priority, weight, port, host) => {
            let numbers = [priority, weight, port].map(|n| n.to_be_bytes());
            let mut bytes = numbers.as_flattened().to_vec();
            for label in host.split('.').filter(|label| !label.is_empty()) {
                bytes.push(u8::try_from(label.len()).ok().filter(|len| *len < 64)?);
                bytes.extend_from_slice(label.as_bytes());
            }
            bytes.push(0);
            (33, bytes)
        }
        Data::ServFail | Data::Silence => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONE: &str = "a.test A 127.0.0.1\na.test AAAA ::1\n_s._tcp.b.test SRV 1 2 3 a.test\n\
                        broken.test SERVFAIL\ndead.test SILENCE";

    fn ask(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend_from_slice(label.as_bytes());
        }
        message.extend_from_slice(&[0, 0, kind as u8, 0, 1]);
        message
    }

    fn answered(message: &[u8]) -> Option<Vec<u8>> {
        answer(message, &Zone::read(ZONE).unwrap(), 512)
    }

    #[test]
    fn an_answer_has_the_question_as_it_came_and_the_data() {
        let question = ask("A.tEst", 1);
        let out = answered(&question).unwrap();
        assert_eq!(out[..4], [0xab, 0xcd, 0x85, 0x80]);
        assert_eq!(out[4..12], [0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(out[12..question.len()], question[12..]);
        assert_eq!(
            out[question.len()..],
            [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]
        );
        let out = answered(&ask("_s._tcp.b.test", 33)).unwrap();
        assert!(out.ends_with(b"\0\x0e\0\x01\0\x02\0\x03\x01a\x04test\0"));
    }

    #[test]
    fn what_is_not_there_fails_or_is_silent_is_told_apart() {
        let code = |name, kind| answered(&ask(name, kind)).map(|out| (out[3] & 15, out[9]));
        assert_eq!(code("c.test", 1), Some((NAME_ERROR, 1)));
        assert_eq!(code("b.test", 1), Some((NO_ERROR, 1)));
        assert_eq!(code("x.broken.test", 33), Some((SERVER_FAILURE, 0)));
        assert_eq!(code("dead.test", 1), None);
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        let zone = "a.test AAAA ::1\n".repeat(20);
        let out = answer(&ask("a.test", 28), &Zone::read(&zone).unwrap(), 512).unwrap();
        assert_eq!((out[2] & 2, &out[4..8]), (2, &[0, 1, 0, 0][..]));
        let out = answer(&ask("a.test", 28), &Zone::read(&zone).unwrap(), 65535).unwrap();
        assert_eq!((out[2] & 2, &out[4..8]), (0, &[0, 1, 0, 20][..]));
    }

    #[test]
    fn no_message_makes_it_panic() {
        let question = ask("a.test", 1);
        for end in 0..question.len() {
            let out = answered(&question[..end]);
            assert_eq!(
                out.map(|out| out[3] & 15),
                (end >= HEADER).then_some(FORMAT_ERROR)
            );
        }
        for at in 0..question.len() {
            for byte in 0..=255 {
                let mut message = question.clone();
                message[at] = byte;
                answered(&message);
            }
        }
        assert_eq!(
            answered(&[0; 512]).map(|out| out[3] & 15),
            Some(FORMAT_ERROR)
        );
        assert_eq!(answered(&[255; 512]), None);
    }
}
