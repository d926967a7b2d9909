//! The domainpart (RFC 7622 §3.2): a host name of LDH and U-labels, or an IP literal.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

use super::part::{check_prepared, check_raw};
use super::{JidError, Part, precis};

/// The most octets of a label, and of a whole name without its root dot (RFC 1034 §3.1).
const LABEL_LEN_MAX: usize = 63;
const NAME_LEN_MAX: usize = 253;

const DISALLOWED: JidError = JidError::Disallowed(Part::Domain);

/// Prepares a domainpart.
///
/// Names come out in lower case, A-labels as U-labels; IPv6 literals as RFC 5952 writes them. What is no host name
/// is refused: empty labels, underscores, labels that IDNA2008 does not know, names beyond the limits of DNS, and
/// names that end in a number but are no IPv4 address. Borrows if the string is prepared already.
pub fn prepare_domain(raw: &str) -> Result<Cow<'_, str>, JidError> {
    check_raw(raw, Part::Domain)?;
    // RFC 7622 §3.2: "If the domainpart includes a final character considered to be a label separator (dot) [...]
    // such a character MUST be stripped before any other canonicalization steps are taken."
    let raw = raw.strip_suffix('.').unwrap_or(raw);
    let domain = if let Some(literal) = raw.strip_prefix('[') {
        ipv6(raw, literal)?
    } else if is_ascii_domain(raw) {
        Cow::Borrowed(raw)
    } else {
        internationalized(raw)?
    };
    check_prepared(domain, Part::Domain)
}

/// `IP-literal` of RFC 3986. Of its two kinds only IPv6 exists, and zones mean nothing to another host.
fn ipv6<'a>(raw: &'a str, literal: &str) -> Result<Cow<'a, str>, JidError> {
    let address: Ipv6Addr = literal
        .strip_suffix(']')
        .and_then(|address| address.parse().ok())
        .ok_or(DISALLOWED)?;
    let canonical = format!("[{address}]");
    Ok(if canonical == raw {
        Cow::Borrowed(raw)
    } else {
        Cow::Owned(canonical)
    })
}

/// Whether `text` is a prepared name of ASCII labels, or an IPv4 address.
fn is_ascii_domain(text: &str) -> bool {
    text.len() <= NAME_LEN_MAX
        && if ends_in_number(text) {
            text.parse::<Ipv4Addr>().is_ok()
        } else {
            text.split('.').all(is_nr_ldh_label)
        }
}

/// RFC 5890 §2.3.1: letters, digits and inner hyphens, and none of the labels with hyphens in third and fourth
/// place, which are reserved. Prepared, hence of lower case.
fn is_nr_ldh_label(label: &str) -> bool {
    let label = label.as_bytes();
    (1..=LABEL_LEN_MAX).contains(&label.len())
        && label
            .iter()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && label.first() != Some(&b'-')
        && label.last() != Some(&b'-')
        && label.get(2..4) != Some(b"--")
}

/// Names of several labels whose last is a number are left to IPv4 (RFC 1123 §2.1).
fn ends_in_number(text: &str) -> bool {
    text.rsplit_once('.')
        .is_some_and(|(_, last)| !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()))
}

/// RFC 7622 §3.2.1: "MUST ensure that the string consists only of Unicode code points that are allowed in NR-LDH
/// labels or U-labels [...] each A-label MUST be converted to a U-label".
///
/// UTS #46 maps (case, width, normal form, dots), converts, and checks hyphens, joiners, directions and lengths. It
/// lets pass symbols that IDNA2008 does not, so the labels that come out are held against RFC 5892.
fn internationalized(raw: &str) -> Result<Cow<'_, str>, JidError> {
    const STD3: AsciiDenyList = AsciiDenyList::STD3;
    let uts46 = Uts46::new();
    uts46
        .to_ascii(raw.as_bytes(), STD3, Hyphens::Check, DnsLength::Verify)
        .map_err(|_| DISALLOWED)?;
    let (domain, checked) = uts46.to_unicode(raw.as_bytes(), STD3, Hyphens::Check);
    let legal = checked.is_ok()
        && if domain.is_ascii() {
            is_ascii_domain(&domain)
        } else {
            !ends_in_number(&domain)
                && domain
                    .split('.')
                    .all(|label| is_nr_ldh_label(label) || precis::is_u_label(label))
        };
    if legal { Ok(domain) } else { Err(DISALLOWED) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jid::{PART_LEN_MAX, RAW_PART_LEN_MAX};

    #[test]
    fn prepared_ascii_is_borrowed() {
        for domain in [
            "example.com",
            "localhost",
            "xn.example",
            "a-b.3com.example",
            "127.0.0.1",
            "[::1]",
        ] {
            let prepared = prepare_domain(domain);
            assert!(matches!(prepared, Ok(Cow::Borrowed(_))), "{domain}");
        }
    }

    #[test]
    fn a_final_dot_is_stripped_before_anything_else() {
        // RFC 7622 §3.2
        assert_eq!(prepare_domain("example.com.").unwrap(), "example.com");
        assert_eq!(prepare_domain("Bücher.example.").unwrap(), "bücher.example");
        assert_eq!(prepare_domain("127.0.0.1.").unwrap(), "127.0.0.1");
        for domain in [
            ".",
            "..",
            "example.com..",
            "example.com。",
            "a.example.com。.",
        ] {
            assert!(prepare_domain(domain).is_err(), "{domain}");
        }
    }

    #[test]
    fn names_are_mapped_and_a_labels_become_u_labels() {
        // RFC 7622 §3.2.1, §3.2.2
        for (raw, prepared) in [
            ("EXAMPLE.Com", "example.com"),
            ("xn--fa-hia.de", "faß.de"),
            ("XN--FA-HIA.DE", "faß.de"),
            ("FAß.de", "faß.de"),
            ("BU\u{308}CHER.example", "bücher.example"),
            ("ｅｘａｍｐｌｅ。com", "example.com"),
            ("ExAmPlE.ΣΊΣΥΦΟΣ", "example.σίσυφοσ"),
            ("१.0.0.1.example", "१.0.0.1.example"),
            ("１２７.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(prepare_domain(raw).unwrap(), prepared, "{raw}");
        }
    }

    #[test]
    fn sharp_s_stays_apart_from_ss() {
        assert_eq!(prepare_domain("faß.de").unwrap(), "faß.de");
        assert_eq!(prepare_domain("fass.de").unwrap(), "fass.de");
    }

    #[test]
    fn what_is_no_host_name_is_refused() {
        for domain in [
            "",
            "a..b",
            ".example.com",
            "ex_ample.org",
            "ex ample.org",
            "example.com:5222",
            "-a.example",
            "a-.example",
            "ab--cd.example",
            "xn--.example",
            "xn--a.example",
            "xn--fass-.example",
            "a@b",
            "a/b",
            "a\u{0}b",
            "℀.example",
            "♚.example",
            "i❤.example",
            "xn--i-7iq.example",
            "\u{301}a.example",
            "a\u{20d0}.example",
            "a\u{200d}b.example",
            "אa.example",
            "ᄀ.example",
        ] {
            assert!(prepare_domain(domain).is_err(), "{domain}");
        }
    }

    #[test]
    fn the_limits_of_dns_apply() {
        // RFC 7622 §3.2: "Naturally, the length limits of [RFC1034] apply"
        let label = "a".repeat(63);
        assert!(prepare_domain(&label).is_ok());
        assert!(prepare_domain(&"a".repeat(64)).is_err());
        let name = [&label[..], &label, &label, &"a".repeat(61)].join(".");
        assert_eq!(name.len(), 253);
        assert!(prepare_domain(&name).is_ok());
        assert!(prepare_domain(&format!("{name}a")).is_err());
        // An A-label of 64 octets
        assert!(prepare_domain(&"ü".repeat(56)).is_ok());
        assert!(prepare_domain(&"ü".repeat(80)).is_err());
        assert_eq!(prepare_domain(&"ü.".repeat(PART_LEN_MAX)), Err(DISALLOWED));
        assert_eq!(
            prepare_domain(&"a".repeat(RAW_PART_LEN_MAX + 1)),
            Err(JidError::TooLong(Part::Domain))
        );
    }

    #[test]
    fn ip_literals_are_validated_and_written_one_way() {
        for (raw, prepared) in [
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8:0:0::1]", "[2001:db8::1]"),
            ("[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]"),
            ("[0:0:0:0:0:0:0:0]", "[::]"),
        ] {
            assert_eq!(prepare_domain(raw).unwrap(), prepared);
        }
        for domain in [
            "::1",
            "[::1",
            "::1]",
            "[]",
            "[127.0.0.1]",
            "[::1%25eth0]",
            "[fe80::1%eth0]",
            "[v1.a]",
            "[::1].example",
            "[::g]",
            "127.0.0.256",
            "127.0.1",
            "127.0.0.0.1",
            "127.0.0.01",
            "example.1",
            "bücher.1",
        ] {
            assert_eq!(prepare_domain(domain), Err(DISALLOWED), "{domain}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_path_decides_as_the_slow_one(raw in "[a-z0-9.-]{1,12}") {
            let fast = is_ascii_domain(&raw);
            let slow = internationalized(&raw);
            prop_assert_eq!(fast, slow.is_ok_and(|domain| domain == raw));
        }

        #[test]
        fn a_name_survives_the_way_to_dns_and_back(
            raw in "[a-zA-Zäöüßéλσςбж中あのأب0-9१.-]{1,12}"
        ) {
            if let Ok(domain) = prepare_domain(&raw) {
                let ascii = idna::domain_to_ascii_strict(&domain).unwrap();
                prop_assert_eq!(prepare_domain(&ascii).unwrap(), domain);
            }
        }
    }
}
