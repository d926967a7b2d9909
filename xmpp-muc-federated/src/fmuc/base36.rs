//! Numbers as they stand in our extension: few characters, and no random ones.

/// The most digits of a number.
const DIGITS_MAX: usize = 13;

/// In lower case, without leading zeros.
pub(super) fn write(mut number: u64) -> String {
    let mut digits = [0; DIGITS_MAX];
    let mut at = DIGITS_MAX;
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize];
        number /= 36;
        if number == 0 {
            break;
        }
    }
    digits[at..]
        .iter()
        .map(|&digit| char::from(digit))
        .collect()
}

/// What [`write`] has written; nothing else.
pub(super) fn read(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = text
        .bytes()
        .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    (canonical && digits && text.len() <= DIGITS_MAX)
        .then(|| u64::from_str_radix(text, 36).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn there_is_one_way_to_write_a_number() {
        assert_eq!(write(0), "0");
        assert_eq!(write(0x117), "7r");
        assert_eq!(write(u64::MAX), "3w5e11264sgsf");
        for wrong in [
            "",
            "00",
            "01",
            "A",
            "+1",
            "-1",
            "1.",
            "3w5e11264sgsg",
            "10000000000000",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number: u64) {
            prop_assert_eq!(read(&write(number)), Some(number));
        }
    }
}
