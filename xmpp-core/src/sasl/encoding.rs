//! Base64 as RFC 6120 §6.4 wants it: RFC 4648 §4, padded, no white space, no stray bits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::MAX_MESSAGE;
use super::failure::{Condition, Failure};

/// Reads the character data of `<auth/>`: `None` when there is no initial response.
///
/// RFC 6120 §6.4.2: a zero-length initial response is sent as `=`, so that it differs from none.
///
/// # Errors
/// `incorrect-encoding` for what is not strict base64, `malformed-request` for more than [`MAX_MESSAGE`] bytes.
pub fn decode_initial(text: &str) -> Result<Option<Vec<u8>>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    decode(text).map(Some)
}

/// Reads the character data of `<response/>`, or of `<challenge/>`. An empty element and `=` both mean no bytes.
///
/// # Errors
/// As [`decode_initial`].
pub fn decode(text: &str) -> Result<Vec<u8>, Failure> {
    if text == "=" {
        return Ok(Vec::new());
    }
    if text.len() > MAX_MESSAGE.div_ceil(3) * 4 {
        return Err(Condition::MalformedRequest.into());
    }
    decode_strict(text).ok_or(Condition::IncorrectEncoding.into())
}

/// Reads base64 as it stands inside a message, where a lone `=` has no meaning.
pub(super) fn decode_strict(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Writes the character data of `<challenge/>` or `<response/>`; no bytes give an empty element.
pub fn encode(message: &[u8]) -> String {
    STANDARD.encode(message)
}

/// Writes the character data of `<auth/>` or `<success/>`, where no message and an empty one differ.
pub fn encode_optional(message: Option<&[u8]>) -> String {
    match message {
        None => String::new(),
        Some([]) => "=".to_owned(),
        Some(message) => encode(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_initial_response_and_an_empty_one_differ() {
        assert_eq!(decode_initial(""), Ok(None));
        // RFC 6120 §6.4.2: "=" is the zero-length initial response.
        assert_eq!(decode_initial("="), Ok(Some(Vec::new())));
        assert_eq!(
            decode_initial("AGp1bGlldAByMG0zMG15cjBtMzA="),
            Ok(Some(b"\0juliet\0r0m30myr0m30".to_vec()))
        );
        for message in [None, Some(&b""[..]), Some(b"a"), Some(b"\0\xff")] {
            let text = encode_optional(message);
            assert_eq!(decode_initial(&text), Ok(message.map(<[u8]>::to_vec)));
        }
    }

    #[test]
    fn what_is_not_strict_base64_is_an_incorrect_encoding() {
        for text in [
            " ", " YQ==", "YQ==\n", "Y Q==", "YQ", "YQ=", "YQ===", "YR==", "====", "==", "Y",
            "Y-_=", "\u{e9}", "YQ==YQ==",
        ] {
            let expected = Failure::from(Condition::IncorrectEncoding);
            assert_eq!(decode(text), Err(expected), "{text:?}");
            assert_eq!(decode_initial(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn a_message_beyond_the_bound_is_refused_before_it_is_decoded() {
        let most = encode(&vec![0; MAX_MESSAGE]);
        assert!(decode(&most).is_ok());
        let more = encode(&vec![0; MAX_MESSAGE + 3]);
        assert_eq!(decode(&more), Err(Condition::MalformedRequest.into()));
    }
}
