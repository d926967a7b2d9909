//! A release to come, version 2: what it adds to what this one writes, and what it sends besides.

use prost::bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};

use super::super::{Frame, Parcel};
use crate::node::Versions;
use bytes::Bytes;

/// What that release reads.
pub(crate) const VERSIONS: Versions = Versions {
    oldest: 1,
    newest: 2,
};

/// The tag of all that it adds: fields, a kind of frame, a kind of parcel.
const NEW: u32 = 90;

const DATA: u32 = 4;
const PARCELS: u32 = 3;

/// A frame as that release writes it: with a field more in itself, its sender, its body, and in each parcel and what that has.
pub(crate) fn written(frame: &Bytes) -> Bytes {
    let mut bytes = rewritten(frame, &mut |tag, body| match tag {
        DATA => {
            let mut data = rewritten(body, &mut |tag, parcel| match tag {
                PARCELS => with_more(rewritten(parcel, &mut known)),
                _ => more(parcel),
            });
            add(NEW, b"more", &mut data);
            data
        }
        _ => known(tag, body),
    });
    add(NEW + 1, b"more", &mut bytes);
    bytes.into()
}

/// A frame of a kind that only that release knows.
pub(crate) fn novelty(frame: &Frame) -> Bytes {
    let kinds = [1, 2];
    let mut bytes = Vec::new();
    each(&frame.encode(), &mut |tag, body| {
        if kinds.contains(&tag) {
            add(tag, body, &mut bytes);
        }
    });
    add(NEW, b"news", &mut bytes);
    bytes.into()
}

/// A parcel of a kind that only that release knows.
pub(crate) fn parcel(text: &str) -> Bytes {
    let mut bytes = Vec::new();
    add(NEW, text.as_bytes(), &mut bytes);
    bytes.into()
}

/// What of a frame only that release understands: news, and the texts of its own parcels.
pub(crate) fn read(frame: &Bytes) -> Vec<String> {
    let mut texts = Vec::new();
    let mut text = |body: &[u8]| texts.push(String::from_utf8_lossy(body).into_owned());
    each(frame, &mut |tag, body| match tag {
        NEW => text(body),
        DATA => each(body, &mut |tag, parcel| {
            if tag == PARCELS
                && Parcel::decode(Bytes::copy_from_slice(parcel)) == Ok(Parcel::Unknown)
            {
                each(parcel, &mut |tag, body| {
                    if tag == NEW {
                        text(body);
                    }
                });
            }
        }),
        _ => {}
    });
    texts
}

/// A message with a field more in it and in each message within, as far as `same` finds nothing different about it: a text or bytes would be others.
/// And how many fields that made.
pub(super) fn everywhere(message: &[u8], same: &dyn Fn(&[u8]) -> bool) -> (Vec<u8>, usize) {
    let mut fields = Vec::new();
    each(message, &mut |_, body| fields.push(body.to_vec()));
    let mut whole = message.to_vec();
    let mut made = 0;
    for (at, field) in fields.iter().enumerate() {
        let put = |body: &[u8]| {
            let mut n = 0;
            rewritten(&whole, &mut |_, old| {
                n += 1;
                if n == at + 1 {
                    body.to_vec()
                } else {
                    old.to_vec()
                }
            })
        };
        if !same(&put(&more(field))) {
            continue;
        }
        let (body, within) = everywhere(field, &|body| same(&put(body)));
        made += within;
        whole = put(&body);
    }
    (more(&whole), made + 1)
}

/// A message with a field more, if it is one that this release knows.
fn known(tag: u32, body: &[u8]) -> Vec<u8> {
    match tag {
        NEW.. => body.to_vec(),
        _ => more(body),
    }
}

fn more(message: &[u8]) -> Vec<u8> {
    with_more(message.to_vec())
}

fn with_more(mut message: Vec<u8>) -> Vec<u8> {
    add(NEW + 1, b"more", &mut message);
    message
}

fn add(tag: u32, body: &[u8], to: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, to);
    encode_varint(body.len() as u64, to);
    to.extend_from_slice(body);
}

/// Every field that has a length.
fn each(message: &[u8], of: &mut dyn FnMut(u32, &[u8])) {
    rewritten(message, &mut |tag, body| {
        of(tag, body);
        Vec::new()
    });
}

/// The message with other contents of the fields that have a length.
fn rewritten(mut message: &[u8], change: &mut dyn FnMut(u32, &[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut into = Vec::new();
    while message.has_remaining() {
        let (tag, kind) = decode_key(&mut message).unwrap();
        let length = match kind {
            WireType::LengthDelimited => {
                let length = decode_varint(&mut message).unwrap() as usize;
                add(tag, &change(tag, &message[..length]), &mut into);
                message.advance(length);
                continue;
            }
            WireType::Varint => {
                let rest = message.len();
                let mut ahead = message;
                decode_varint(&mut ahead).unwrap();
                rest - ahead.len()
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            kind => panic!("nobody writes {kind:?}"),
        };
        encode_key(tag, kind, &mut into);
        into.extend_from_slice(&message[..length]);
        message.advance(length);
    }
    into
}
