//! PRECIS (RFC 8264): the profiles UsernameCaseMapped and OpaqueString of RFC 8265, for strings beyond ASCII.
//!
//! The tables of `precis-core` are IANA's registry, which stopped at Unicode 6.3; a string with a character assigned
//! since (most emoji) would be refused. RFC 8264 §1 means the classes to be agile: they are defined by an
//! algorithm over Unicode properties (§8). So the registry decides where it has an entry, and the algorithm,
//! over current properties, where the registry says "unassigned".

use std::borrow::Cow;

use icu_properties::props::{
    CanonicalCombiningClass, DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup,
    JoiningType, Script,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use precis_core::profile::Rules;
use precis_core::{DerivedPropertyValue, FreeformClass, IdentifierClass, StringClass};
use precis_profiles::{Nickname, OpaqueString, UsernameCaseMapped};

/// A string that its profile does not allow.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Violation;

/// How often the rules are applied again until the result is stable (the number of RFC 8266 §2.3).
const REAPPLY_MAX: usize = 3;

/// Enforces UsernameCaseMapped (RFC 8265 §3.3).
pub(super) fn username_case_mapped(raw: &str) -> Result<Cow<'_, str>, Violation> {
    fn rules(raw: &str) -> Result<Cow<'_, str>, Violation> {
        let profile = UsernameCaseMapped::new();
        let text = profile.width_mapping_rule(raw).map_err(violation)?;
        check(&IdentifierClass::default(), &text)?;
        let text = profile.case_mapping_rule(text).map_err(violation)?;
        let text = profile.normalization_rule(text).map_err(violation)?;
        profile.directionality_rule(text).map_err(violation)
    }
    until_stable(raw, rules)
}

/// Enforces OpaqueString (RFC 8265 §4.2).
pub(super) fn opaque_string(raw: &str) -> Result<Cow<'_, str>, Violation> {
    fn rules(raw: &str) -> Result<Cow<'_, str>, Violation> {
        let profile = OpaqueString::new();
        check(&FreeformClass::default(), raw)?;
        let text = profile.additional_mapping_rule(raw).map_err(violation)?;
        profile.normalization_rule(text).map_err(violation)
    }
    until_stable(raw, rules)
}

/// The form in which nicknames are compared (RFC 8266 §2.4): for two that differ at most in case, width and spaces it is the same.
pub(super) fn nickname(raw: &str) -> Result<Cow<'_, str>, Violation> {
    fn rules(raw: &str) -> Result<Cow<'_, str>, Violation> {
        let profile = Nickname::new();
        check(&FreeformClass::default(), raw)?;
        let text = profile.additional_mapping_rule(raw).map_err(violation)?;
        let text = profile.case_mapping_rule(text).map_err(violation)?;
        profile.normalization_rule(text).map_err(violation)
    }
    until_stable(raw, rules)
}

/// Whether a label that UTS #46 has mapped and checked is also a U-label of IDNA2008.
///
/// The IdentifierClass was made from RFC 5892, and for characters beyond ASCII that are in lower case and NFC it
/// differs only by the blocks of RFC 5892 §2.4.
pub(super) fn is_u_label(label: &str) -> bool {
    let in_ignorable_block = |c| matches!(c, '\u{20d0}'..='\u{20ff}' | '\u{1d100}'..='\u{1d1ff}' | '\u{1d200}'..='\u{1d24f}');
    !label.contains(in_ignorable_block) && check(&IdentifierClass::default(), label).is_ok()
}

/// Rules are not idempotent by nature, and an address must be: mapping can yield what is mapped again or not allowed.
fn until_stable<'a>(
    raw: &'a str,
    rules: fn(&str) -> Result<Cow<'_, str>, Violation>,
) -> Result<Cow<'a, str>, Violation> {
    let mut text = match rules(raw)? {
        Cow::Borrowed(same) => return Ok(Cow::Borrowed(same)),
        Cow::Owned(text) => text,
    };
    for _ in 0..REAPPLY_MAX {
        let again = rules(&text)?;
        if again == text {
            return Ok(Cow::Owned(text));
        }
        text = again.into_owned();
    }
    Err(Violation)
}

fn violation(_: precis_core::Error) -> Violation {
    Violation
}

/// Whether a class allows every character, in one pass.
fn check(class: &impl StringClass, text: &str) -> Result<(), Violation> {
    use DerivedPropertyValue as Value;

    let mut arabic = Digits::None;
    let mut katakana_dot = false;
    for (at, c) in text.char_indices() {
        let allowed = match class.get_value_from_char(c) {
            Value::PValid | Value::SpecClassPval => true,
            Value::Unassigned => is_allowed_since(class, c),
            Value::Disallowed | Value::SpecClassDis => false,
            Value::ContextJ | Value::ContextO => match c {
                '\u{660}'..='\u{669}' => arabic.admit(Digits::Arabic),
                '\u{6f0}'..='\u{6f9}' => arabic.admit(Digits::Extended),
                '\u{30fb}' => {
                    katakana_dot = true;
                    true
                }
                _ => fits_between(&text[..at], c, &text[at + c.len_utf8()..]),
            },
        };
        if !allowed {
            return Err(Violation);
        }
    }
    // RFC 5892 A.7: KATAKANA MIDDLE DOT needs one character of Japanese script somewhere.
    let is_japanese = |c| matches!(script(c), Script::Hiragana | Script::Katakana | Script::Han);
    if katakana_dot && !text.contains(is_japanese) {
        return Err(Violation);
    }
    Ok(())
}

/// RFC 8264 §8 for a character that the registry does not know yet.
///
/// Of the algorithm's branches only those are here in which characters were, or can be, added.
fn is_allowed_since(class: &impl StringClass, c: char) -> bool {
    if CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c) {
        return false;
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    let is_letter_digit = matches!(
        category,
        GeneralCategory::LowercaseLetter
            | GeneralCategory::UppercaseLetter
            | GeneralCategory::OtherLetter
            | GeneralCategory::DecimalNumber
            | GeneralCategory::ModifierLetter
            | GeneralCategory::NonspacingMark
            | GeneralCategory::SpacingMark
    );
    if is_letter_digit && !has_compat(c) {
        return true;
    }
    // The rest is FREE_PVAL or ID_DIS, as symbols are: U+265A tells which of the two this class makes of it.
    let free = GeneralCategoryGroup::Letter
        .union(GeneralCategoryGroup::Mark)
        .union(GeneralCategoryGroup::Number)
        .union(GeneralCategoryGroup::Symbol)
        .union(GeneralCategoryGroup::Punctuation)
        .union(GeneralCategory::SpaceSeparator.into());
    free.contains(category)
        && class.get_value_from_char('\u{265a}') == DerivedPropertyValue::SpecClassPval
}

/// HasCompat (RFC 8264 §9.17): whether NFKC, which is the Nickname profile's normal form, changes the character.
fn has_compat(c: char) -> bool {
    let mut buffer = [0; 4];
    let text: &str = c.encode_utf8(&mut buffer);
    Nickname::new().normalization_rule(text) != Ok(Cow::Borrowed(text))
}

/// Which of the two sets of Arabic digits a string has begun to use.
#[derive(Copy, Clone, PartialEq)]
enum Digits {
    None,
    Arabic,
    Extended,
}

impl Digits {
    /// RFC 5892 A.8, A.9: the sets are not mixed.
    fn admit(&mut self, set: Self) -> bool {
        let first = *self == Self::None;
        if first {
            *self = set;
        }
        *self == set
    }
}

/// The rules of RFC 5892 Appendix A that look at neighbours.
fn fits_between(before: &str, c: char, after: &str) -> bool {
    let previous = before.chars().next_back();
    let next = after.chars().next();
    match c {
        // A.1: ZERO WIDTH NON-JOINER
        '\u{200c}' => previous.is_some_and(is_virama) || breaks_cursive_joining(before, after),
        // A.2: ZERO WIDTH JOINER
        '\u{200d}' => previous.is_some_and(is_virama),
        // A.3: MIDDLE DOT
        '\u{b7}' => previous == Some('l') && next == Some('l'),
        // A.4: GREEK LOWER NUMERAL SIGN
        '\u{375}' => next.is_some_and(|c| script(c) == Script::Greek),
        // A.5, A.6: HEBREW PUNCTUATION GERESH and GERSHAYIM
        '\u{5f3}' | '\u{5f4}' => previous.is_some_and(|c| script(c) == Script::Hebrew),
        _ => false,
    }
}

/// `(Joining_Type:{L,D})(Joining_Type:T)* U+200C (Joining_Type:T)*(Joining_Type:{R,D})`
fn breaks_cursive_joining(before: &str, after: &str) -> bool {
    let joining = |c| CodePointMapData::<JoiningType>::new().get(c);
    let opaque = |kind: &JoiningType| *kind != JoiningType::Transparent;
    let left = before.chars().rev().map(joining).find(opaque);
    let right = after.chars().map(joining).find(opaque);
    matches!(
        left,
        Some(JoiningType::LeftJoining | JoiningType::DualJoining)
    ) && matches!(
        right,
        Some(JoiningType::RightJoining | JoiningType::DualJoining)
    )
}

fn is_virama(c: char) -> bool {
    CodePointMapData::<CanonicalCombiningClass>::new().get(c) == CanonicalCombiningClass::Virama
}

fn script(c: char) -> Script {
    CodePointMapData::<Script>::new().get(c)
}

#[cfg(test)]
mod tests {
    use precis_core::profile::PrecisFastInvocation;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn characters_newer_than_the_registry_are_judged_by_their_properties() {
        // Emoji of Unicode 8, 9, 12, 14 and 15, and a skin tone
        for symbol in ["🤖", "🤦", "🪐", "🫠", "🫨", "👍🏽"] {
            assert_eq!(opaque_string(symbol).unwrap(), symbol);
            assert_eq!(username_case_mapped(symbol), Err(Violation), "{symbol}");
        }
        // ADLAM CAPITAL and SMALL LETTER ALIF, Unicode 9, written from right to left
        assert_eq!(username_case_mapped("\u{1e900}").unwrap(), "\u{1e922}");
        // MODIFIER LETTER SMALL SCRIPT R of Unicode 14 has a compatibility mapping.
        assert_eq!(username_case_mapped("\u{107a5}"), Err(Violation));
        assert!(opaque_string("\u{107a5}").is_ok());
        // MONGOLIAN FREE VARIATION SELECTOR FOUR of Unicode 14 is ignorable.
        assert_eq!(opaque_string("a\u{180f}"), Err(Violation));
        // Never assigned, for private use, and no character
        for c in ['\u{378}', '\u{e000}', '\u{fdd0}', '\u{10ffff}'] {
            assert_eq!(opaque_string(&c.to_string()), Err(Violation), "{c:?}");
        }
    }

    #[test]
    fn ignorable_characters_and_controls_are_no_part_of_any_string() {
        for text in [
            "a\u{ad}b",
            "❤\u{fe0f}",
            "a\u{200b}",
            "a\u{7f}",
            "\u{85}",
            "\u{202e}a",
        ] {
            assert_eq!(opaque_string(text), Err(Violation), "{text:?}");
        }
    }

    #[test]
    fn contexts_are_those_of_rfc_5892() {
        for text in [
            "l·l",
            "͵α",
            "א׳",
            "א״ב",
            "ア・カ",
            "中・",
            "٠١",
            "۰۱",
            "क्\u{200d}ष",
            "क्\u{200c}ष",
            "نامه\u{200c}ای",
        ] {
            assert!(opaque_string(text).is_ok(), "{text:?}");
        }
        for text in [
            "·",
            "l·",
            "·l",
            "a·a",
            "α͵",
            "͵a",
            "׳",
            "a׳",
            "・",
            "a・b",
            "٠۰",
            "۰a٠",
            "\u{200d}",
            "a\u{200d}b",
            "👩\u{200d}💻",
            "\u{200c}",
            "ا\u{200c}ا",
            "ن\u{200c}",
        ] {
            assert_eq!(opaque_string(text), Err(Violation), "{text:?}");
        }
    }

    #[test]
    fn results_are_checked_again_until_they_are_stable() {
        // NFC makes of '<' and U+0338 a symbol that no identifier has.
        assert_eq!(username_case_mapped("a<\u{338}"), Err(Violation));
        // NFC makes of GREEK ANO TELEIA a MIDDLE DOT, which stands only between two 'l'.
        assert_eq!(opaque_string("\u{387}"), Err(Violation));
        assert_eq!(opaque_string("l\u{387}l").unwrap(), "l·l");
    }

    proptest! {
        #[test]
        fn what_the_reference_implementation_accepts_and_keeps_we_accept_alike(
            text in prop::collection::vec(prop_oneof![
                any::<char>(),
                prop::char::range('\u{80}', '\u{2fff}'),
                prop::sample::select("aAlIß·ςΣİ\u{307}\u{345}Ａ＠\u{3000}א׳1٠۰ア・中क्\u{200c}\u{200d}ن♚".chars().collect::<Vec<_>>()),
            ], 1..8)
        ) {
            let text = String::from_iter(text);
            if let Ok(reference) = OpaqueString::enforce(&text[..])
                && OpaqueString::enforce(&reference[..]) == Ok(reference.clone())
            {
                prop_assert_eq!(opaque_string(&text), Ok(reference));
            }
            if let Ok(reference) = UsernameCaseMapped::enforce(&text[..])
                && UsernameCaseMapped::enforce(&reference[..]) == Ok(reference.clone())
            {
                prop_assert_eq!(username_case_mapped(&text), Ok(reference));
            }
        }

        #[test]
        fn a_result_is_its_own_result(text in ".{1,12}") {
            for enforce in [username_case_mapped, opaque_string] {
                if let Ok(once) = enforce(&text) {
                    prop_assert_eq!(enforce(&once), Ok(once.clone()));
                }
            }
        }
    }
}
