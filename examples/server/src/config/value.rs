//! Settings that are more than a number: text with a grammar, sizes, spans of time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Text that has to parse: an address, a mechanism.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<T>(pub T);

impl<'de, T> Deserialize<'de> for Text<T>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map(Text)
            .map_err(|error| de::Error::custom(format!("{text:?}: {error}")))
    }
}

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Text that may hold a password.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

/// Addresses of whatever kind: `mailto:`, `xmpp:`, `https:`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Uris(pub Vec<String>);

impl<'de> Deserialize<'de> for Uris {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Uris, D::Error> {
        let all = Vec::<String>::deserialize(deserializer)?;
        match all.iter().find(|text| !is_uri(text)) {
            Some(text) => Err(de::Error::custom(format!(
                "{text:?} is not a URI such as \"mailto:abuse@example.org\""
            ))),
            None => Ok(Uris(all)),
        }
    }
}

/// Whether a scheme, a colon, and characters of a URI (or an IRI) are there (RFC 3986 §3).
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let foreign = |c: char| c.is_whitespace() || c.is_control() || "<>\"{}|\\^`".contains(c);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        && !rest.is_empty()
        && !rest.contains(foreign)
}

impl From<Vec<String>> for Uris {
    fn from(all: Vec<String>) -> Uris {
        Uris(all)
    }
}

impl From<Uris> for Vec<String> {
    fn from(uris: Uris) -> Vec<String> {
        uris.0
    }
}

/// A number of bytes: `4096`, or `"4 KiB"` (also MiB and GiB).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub usize);

impl Size {
    const UNITS: [(&str, usize); 4] = [
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("B", 1),
    ];
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Size, Self::Err> {
        const EXPECTED: &str = "expected a number of bytes such as 4096, \"4 KiB\" or \"2 GiB\"";
        let (number, unit) = quantity(text).ok_or(EXPECTED)?;
        let (_, bytes) = Size::UNITS
            .iter()
            .find(|(name, _)| unit.is_empty() && *name == "B" || *name == unit)
            .ok_or(EXPECTED)?;
        usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_mul(*bytes))
            .map(Size)
            .ok_or("too large")
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, bytes) = Size::UNITS
            .into_iter()
            .find(|(_, bytes)| self.0 >= *bytes && self.0.is_multiple_of(*bytes))
            .unwrap_or(("B", 1));
        write!(f, "{} {unit}", self.0 / bytes)
    }
}

/// A span of time: `"500 ms"`, `"10 s"`, `"5 min"`, `"1 h"`, `"30 d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    const UNITS: [(&str, u64); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("min", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];

    /// Clocks can be reckoned with as far as this.
    const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);
}

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Span, Self::Err> {
        const EXPECTED: &str =
            "expected a span of time such as \"500 ms\", \"10 s\", \"5 min\", \"1 h\" or \"30 d\"";
        let (number, unit) = quantity(text).ok_or(EXPECTED)?;
        let (_, ms) = Span::UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or(EXPECTED)?;
        number
            .checked_mul(*ms)
            .map(|ms| Span(Duration::from_millis(ms)))
            .filter(|span| span.0 <= Span::LONGEST)
            .ok_or("longer than 10 years (\"3650 d\")")
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (unit, ms) = Span::UNITS
            .into_iter()
            .find(|(_, ms)| total >= *ms && total.is_multiple_of(*ms))
            .unwrap_or(("ms", 1));
        write!(f, "{} {unit}", total / ms)
    }
}

/// A span of time, or `"never"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionalSpan(pub Option<Duration>);

impl FromStr for OptionalSpan {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<OptionalSpan, Self::Err> {
        match text.trim() {
            "never" => Ok(OptionalSpan(None)),
            text => text.parse().map(|Span(span)| OptionalSpan(Some(span))),
        }
    }
}

impl fmt::Display for OptionalSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(span) => Span(span).fmt(f),
            None => f.write_str("never"),
        }
    }
}

/// A number and what follows it.
fn quantity(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes, or text such as \"4 KiB\"")
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                usize::try_from(bytes)
                    .map(Size)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Bytes)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

macro_rules! as_text {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(de::Error::custom)
            }
        }
    )*};
}

as_text!(Span, OptionalSpan);

impl From<usize> for Size {
    fn from(bytes: usize) -> Size {
        Size(bytes)
    }
}

impl From<Size> for usize {
    fn from(size: Size) -> usize {
        size.0
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Span {
        Span(duration)
    }
}

impl From<Option<Duration>> for OptionalSpan {
    fn from(duration: Option<Duration>) -> OptionalSpan {
        OptionalSpan(duration)
    }
}

impl From<OptionalSpan> for Option<Duration> {
    fn from(span: OptionalSpan) -> Option<Duration> {
        span.0
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Duration {
        span.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_read_back_as_they_are_written() {
        for bytes in [
            0,
            1,
            10_000,
            1024,
            1536,
            256 << 10,
            2 << 20,
            1 << 30,
            usize::MAX,
        ] {
            let text = Size(bytes).to_string();
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for ms in [0, 1, 100, 1000, 90_000, 300_000, 3_600_000, 86_400_000] {
            let span = Span(Duration::from_millis(ms));
            assert_eq!(span.to_string().parse(), Ok(span), "{span}");
        }
        assert_eq!("never".parse(), Ok(OptionalSpan(None)));
        assert_eq!(
            "1 h".parse(),
            Ok(OptionalSpan(Some(Duration::from_secs(3600))))
        );
        assert_eq!("10s".parse(), Ok(Span(Duration::from_secs(10))));
        assert_eq!("4096".parse(), Ok(Size(4096)));
    }

    #[test]
    fn a_contact_is_a_uri() {
        for text in [
            "mailto:abuse@example.org",
            "xmpp:admin@faß.example",
            "https://example.org/status?a=b#c",
            "tel:+49-30-1",
        ] {
            assert!(is_uri(text), "{text}");
        }
        for text in [
            "",
            "abuse@example.org",
            "mailto:",
            ":x",
            "1a:x",
            "mail to:x",
            "mailto:a b",
            "mailto:a\n",
            "https://<x>",
        ] {
            assert!(!is_uri(text), "{text}");
        }
    }

    #[test]
    fn a_quantity_without_sense_is_refused() {
        for text in [
            "",
            "KiB",
            "1 KB",
            "-1",
            "1.5 GiB",
            "99999999999999999999",
            "99999999999 GiB",
        ] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in [
            "",
            "10",
            "s",
            "10 sec",
            "-1 s",
            "99999999999999999999 s",
            "999999999999999999 d",
            "3651 d",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
