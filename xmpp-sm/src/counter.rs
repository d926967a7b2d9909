//! Counting stanzas, modulo 2³².

use std::fmt;

/// How many stanzas have gone one way, as `h` tells it.
///
/// XEP-0198 §4: "In the unlikely case that the number of stanzas handled during a stream management session exceeds the
/// number of digits that can be represented by the unsignedInt datatype …, the value of 'h' SHALL be reset from 2³²-1
/// back to zero". Which of two counts is the later one is therefore decided by serial number arithmetic (RFC 1982): it
/// is the one that is less than 2³¹ ahead.
///
/// ```
/// use xmpp_sm::Counter;
///
/// let last = Counter(u32::MAX);
/// assert_eq!(last.plus(1), Counter(0));
/// assert_eq!(Counter(3).since(last), Some(4));
/// assert_eq!(last.since(Counter(3)), None, "it is the earlier one");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counter(pub u32);

impl Counter {
    /// The count after `n` more.
    pub fn plus(self, n: u32) -> Counter {
        Counter(self.0.wrapping_add(n))
    }

    /// How many were counted since `earlier`; `None` if that is the later one.
    pub fn since(self, earlier: Counter) -> Option<u32> {
        let distance = self.0.wrapping_sub(earlier.0);
        (distance < 1 << 31).then_some(distance)
    }

    /// Reads the value of an `h` attribute, an `xs:unsignedInt`.
    pub fn parse(h: &str) -> Option<Counter> {
        // The lexical space allows white space around it, a plus sign and leading zeros.
        h.trim_matches([' ', '\t', '\r', '\n'])
            .parse()
            .ok()
            .map(Counter)
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_count_is_less_than_half_the_circle_ahead() {
        let counts = [0, 1, 2, (1 << 31) - 1, 1 << 31, u32::MAX - 1, u32::MAX];
        for a in counts {
            for n in [0, 1, 1000, (1 << 31) - 1] {
                let later = Counter(a).plus(n);
                assert_eq!(later.since(Counter(a)), Some(n), "{a} + {n}");
                assert_eq!(Counter(a).since(later).is_some(), n == 0, "{a} + {n}");
            }
        }
    }

    #[test]
    fn only_an_unsigned_int_is_a_count() {
        for (h, count) in [
            ("0", Some(0)),
            (" 7\n", Some(7)),
            ("+8", Some(8)),
            ("007", Some(7)),
        ] {
            assert_eq!(Counter::parse(h), count.map(Counter), "{h}");
        }
        assert_eq!(Counter::parse("4294967295"), Some(Counter(u32::MAX)));
        for h in ["", "-1", "4294967296", "1.0", "0x1", "one", "1 2"] {
            assert_eq!(Counter::parse(h), None, "{h}");
        }
    }
}
