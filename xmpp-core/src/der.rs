//! Just enough of DER (X.690) to find things in a certificate. Nothing is copied, and
//! what is malformed is `None`.
#![cfg_attr(not(feature = "io"), allow(dead_code))] // TLS looks for more than SASL does

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const IA5_STRING: u8 = 0x16;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;

/// The tag of `[number]` around other values, or of an implicit `[number]` that is a
/// structure.
pub(crate) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// Splits one value with this tag off the front: its content, and what comes after.
pub(crate) fn take(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = value(input)?;
    (found == tag).then_some((content, rest))
}

/// What comes after a value with this tag, if there is one in front.
pub(crate) fn skip(input: &[u8], tag: u8) -> &[u8] {
    take(input, tag).map_or(input, |(_, rest)| rest)
}

/// Splits any value off the front: its tag, its content, and what comes after.
pub(crate) fn value(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = input else {
        return None;
    };
    let (length, rest) = match *length {
        short @ ..=0x7f => (usize::from(short), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (
            usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])),
            rest.get(2..)?,
        ),
        0x83 => (
            u32::from_be_bytes([0, *rest.first()?, *rest.get(1)?, *rest.get(2)?]) as usize,
            rest.get(3..)?,
        ),
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_split_off_with_short_and_long_lengths() {
        let short = [SEQUENCE, 2, 1, 2, 9];
        assert_eq!(take(&short, SEQUENCE), Some((&[1, 2][..], &[9][..])));
        assert_eq!(take(&short, OCTET_STRING), None);
        assert_eq!(skip(&short, SEQUENCE), [9]);
        assert_eq!(skip(&short, BOOLEAN), short);
        for (length, header) in [
            (0x80, &[0x81, 0x80][..]),
            (0xff, &[0x81, 0xff]),
            (0x100, &[0x82, 1, 0]),
            (0xffff, &[0x82, 0xff, 0xff]),
            (0x1_0000, &[0x83, 1, 0, 0]),
        ] {
            let mut long = [&[OCTET_STRING], header].concat();
            long.resize(long.len() + length, 7);
            let (content, rest) = take(&long, OCTET_STRING).unwrap();
            assert_eq!((content.len(), rest.len()), (length, 0));
        }
    }

    #[test]
    fn what_is_cut_short_is_nothing() {
        let whole = [SEQUENCE, 0x82, 0, 3, 1, 2, 3];
        for end in 0..whole.len() {
            assert_eq!(value(&whole[..end]), None, "{end}");
        }
        // Lengths of 2^24 and more, and the indefinite one, which DER does not know.
        assert_eq!(value(&[SEQUENCE, 0x84, 0, 0, 0, 1, 9]), None);
        assert_eq!(value(&[SEQUENCE, 0x80, 9, 0, 0]), None);
    }
}
