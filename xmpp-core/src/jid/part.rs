//! The localpart (RFC 7622 §3.3), the resourcepart (§3.4), and the password that comes with an account (RFC 8265 §4).

use std::borrow::Cow;

use super::precis::{self, Violation};
use super::{JidError, PART_LEN_MAX, Part, RAW_PART_LEN_MAX};

/// The most octets of a password that are prepared.
const PASSWORD_LEN_MAX: usize = 1023;

/// Why a string is not a password.
#[derive(thiserror::Error, Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PasswordError {
    /// RFC 8265 §4.1: "A password MUST NOT be zero bytes in length."
    #[error("the password is empty")]
    Empty,
    /// More than 1023 octets: nobody's password, and work for the server.
    #[error("the password is longer than {PASSWORD_LEN_MAX} octets")]
    TooLong,
    /// A control character, or another that the profile OpaqueString does not allow.
    #[error("the password holds a character that is not allowed")]
    Disallowed,
}

/// Prepares a localpart: UsernameCaseMapped (RFC 8265 §3.3) without the characters of RFC 7622 §3.3.1.
///
/// Borrows if the string is prepared already.
pub fn prepare_local(raw: &str) -> Result<Cow<'_, str>, JidError> {
    check_raw(raw, Part::Local)?;
    let local = if !raw.is_ascii() {
        precis::username_case_mapped(raw).map_err(|Violation| JidError::Disallowed(Part::Local))?
    } else if raw.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(raw.to_ascii_lowercase())
    } else {
        Cow::Borrowed(raw)
    };
    // Looked for at the end, since width mapping makes ASCII of a fullwidth '＠'.
    if !local.bytes().all(is_local_byte) {
        return Err(JidError::Disallowed(Part::Local));
    }
    check_prepared(local, Part::Local)
}

/// Prepares a resourcepart: OpaqueString (RFC 8265 §4.2). Case and spaces are kept.
///
/// Borrows if the string is prepared already.
pub fn prepare_resource(raw: &str) -> Result<Cow<'_, str>, JidError> {
    check_raw(raw, Part::Resource)?;
    let resource = opaque(raw).map_err(|Violation| JidError::Disallowed(Part::Resource))?;
    check_prepared(resource, Part::Resource)
}

/// Prepares a password for SASL: OpaqueString (RFC 8265 §4.2), at most 1023 octets before and after.
///
/// Borrows if the string is prepared already. The result is as secret as its origin: wipe it after use.
pub fn prepare_password(raw: &str) -> Result<Cow<'_, str>, PasswordError> {
    match raw.len() {
        0 => return Err(PasswordError::Empty),
        1..=PASSWORD_LEN_MAX => {}
        _ => return Err(PasswordError::TooLong),
    }
    let password = opaque(raw).map_err(|Violation| PasswordError::Disallowed)?;
    if password.len() > PASSWORD_LEN_MAX {
        return Err(PasswordError::TooLong);
    }
    Ok(password)
}

/// The form in which nicknames are compared (RFC 8266 §2.4): two that differ at most in case, width and spaces have the same.
/// A nickname is shown as it was chosen.
///
/// Borrows if the string is in this form already.
pub fn nickname(raw: &str) -> Result<Cow<'_, str>, JidError> {
    check_raw(raw, Part::Resource)?;
    let key = precis::nickname(raw).map_err(|Violation| JidError::Disallowed(Part::Resource))?;
    check_prepared(key, Part::Resource)
}

/// Refuses, before any work, what could not come out well.
pub(super) fn check_raw(raw: &str, part: Part) -> Result<(), JidError> {
    match raw.len() {
        0 => Err(JidError::Empty(part)),
        1..=RAW_PART_LEN_MAX => Ok(()),
        _ => Err(JidError::TooLong(part)),
    }
}

/// RFC 7622 §3.3: "MUST NOT be zero octets in length and MUST NOT be more than 1023 octets in length. This rule is
/// to be enforced after any normalization and mapping of code points".
pub(super) fn check_prepared(text: Cow<'_, str>, part: Part) -> Result<Cow<'_, str>, JidError> {
    match text.len() {
        0 => Err(JidError::Empty(part)),
        1..=PART_LEN_MAX => Ok(text),
        _ => Err(JidError::TooLong(part)),
    }
}

fn opaque(raw: &str) -> Result<Cow<'_, str>, Violation> {
    if raw.bytes().all(|b| matches!(b, b' '..=b'~')) {
        Ok(Cow::Borrowed(raw))
    } else {
        precis::opaque_string(raw)
    }
}

/// Whether an octet may stand in a prepared localpart: the ASCII7 of the IdentifierClass, and what is not ASCII.
fn is_local_byte(b: u8) -> bool {
    // RFC 7622 §3.3.1: "the following characters are explicitly disallowed in XMPP localparts"
    const EXCLUDED: [u8; 8] = *b"\"&'/:<>@";
    !b.is_ascii() || b.is_ascii_graphic() && !EXCLUDED.contains(&b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prepared_ascii_is_borrowed() {
        let local = prepare_local("romeo.\\20-_!#").unwrap();
        assert!(matches!(local, Cow::Borrowed("romeo.\\20-_!#")));
        let resource = prepare_resource("Balcony 2/@<&").unwrap();
        assert!(matches!(resource, Cow::Borrowed("Balcony 2/@<&")));
        let password = prepare_password("Wherefore art 'thou'?").unwrap();
        assert!(matches!(password, Cow::Borrowed("Wherefore art 'thou'?")));
    }

    #[test]
    fn a_localpart_excludes_the_eight_characters_and_their_fullwidth_forms() {
        // RFC 7622 §3.3.1
        for c in "\"&'/:<>@＂＆＇／：＜＞＠".chars() {
            let raw = format!("a{c}b");
            assert_eq!(
                prepare_local(&raw),
                Err(JidError::Disallowed(Part::Local)),
                "{c}"
            );
        }
    }

    #[test]
    fn a_localpart_is_mapped_to_lower_case_and_to_normal_width() {
        assert_eq!(prepare_local("ROMEO").unwrap(), "romeo");
        assert_eq!(prepare_local("Ｒｏｍｅｏ").unwrap(), "romeo");
        assert_eq!(prepare_local("A\u{30a}NGSTRÖM").unwrap(), "ångström");
        assert_eq!(prepare_local("STRAßE").unwrap(), "straße");
    }

    #[test]
    fn a_part_is_measured_after_preparation() {
        // RFC 7622 §3.3: "to be enforced after any normalization and mapping"
        let wide = "Ａ".repeat(PART_LEN_MAX);
        assert_eq!(wide.len(), RAW_PART_LEN_MAX);
        assert_eq!(prepare_local(&wide).unwrap(), "a".repeat(PART_LEN_MAX));
        assert_eq!(
            prepare_local(&"a".repeat(PART_LEN_MAX + 1)),
            Err(JidError::TooLong(Part::Local))
        );
        // U+023A grows from two octets to three when it is mapped to lower case.
        assert_eq!(
            prepare_local(&"\u{23a}".repeat(400)),
            Err(JidError::TooLong(Part::Local))
        );
        assert_eq!(
            prepare_resource(&"é".repeat(512)),
            Err(JidError::TooLong(Part::Resource))
        );
        assert!(prepare_resource(&"e\u{301}".repeat(511)).is_ok());
    }

    #[test]
    fn an_oversized_part_is_refused_unread() {
        let huge = "\u{30fb}".repeat(1 << 20);
        assert_eq!(prepare_local(&huge), Err(JidError::TooLong(Part::Local)));
        assert_eq!(
            prepare_resource(&huge),
            Err(JidError::TooLong(Part::Resource))
        );
        assert_eq!(prepare_password(&huge), Err(PasswordError::TooLong));
    }

    #[test]
    fn a_password_is_an_opaque_string() {
        // RFC 8265 §4.3, the examples of legal passwords
        for legal in [
            "correct horse battery staple",
            "Correct Horse Battery Staple",
            "πßå",
            "Jack of ♦s",
        ] {
            assert_eq!(prepare_password(legal).unwrap(), legal);
        }
        assert_eq!(prepare_password("foo\u{1680}bar").unwrap(), "foo bar");
        // RFC 8265 §4.3, the strings that violate the rules
        assert_eq!(prepare_password(""), Err(PasswordError::Empty));
        assert_eq!(
            prepare_password("my cat is a \tby"),
            Err(PasswordError::Disallowed)
        );
    }

    #[test]
    fn a_user_name_follows_the_examples_of_its_profile() {
        // RFC 8265 §3.5
        for (raw, prepared) in [
            ("juliet", "juliet"),
            ("fussball", "fussball"),
            ("fußball", "fußball"),
            ("π", "π"),
            ("Σ", "σ"),
            ("σ", "σ"),
            ("ς", "ς"),
        ] {
            assert_eq!(prepare_local(raw).unwrap(), prepared);
        }
        for illegal in ["foo bar", "", "henryⅣ", "∞"] {
            assert!(prepare_local(illegal).is_err(), "{illegal}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_path_decides_ascii_as_precis_does(raw in "[\\x00-\\x7f]{1,20}") {
            let slow = precis::username_case_mapped(&raw).ok();
            let slow = slow.filter(|local| !local.contains(['"', '&', '\'', '/', ':', '<', '>', '@']));
            prop_assert_eq!(prepare_local(&raw).ok(), slow);
            prop_assert_eq!(prepare_resource(&raw).ok(), precis::opaque_string(&raw).ok());
        }
    }
}
