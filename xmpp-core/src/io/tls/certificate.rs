//! What a certificate says that rustls does not tell: whom it names in XMPP, and when
//! it expires (RFC 5280).

use crate::BareJid;
use crate::der::{
    self, BOOLEAN, GENERALIZED_TIME, IA5_STRING, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE,
    UTC_TIME, UTF8_STRING, context,
};
use crate::time::Timestamp;

/// Most addresses that are taken from one certificate.
const MAX_ADDRESSES: usize = 16;
/// Most addresses of servers in one certificate that a domain is looked for among.
const MAX_SERVER_ADDRESSES: usize = 100;

/// `TBSCertificate` (RFC 5280 §4.1.2), from `issuer` on.
struct Body<'a> {
    issuer: &'a [u8],
    validity: &'a [u8],
    after_validity: &'a [u8],
}

/// The accounts that a certificate names as `id-on-xmppAddr` (RFC 6120 §13.7.1.4). It
/// need not have been verified.
pub(super) fn xmpp_addresses(certificate: &[u8]) -> Vec<BareJid> {
    alternative_names(certificate)
        .map(addresses)
        .unwrap_or_default()
}

/// Whether a certificate is one of the server of this domain (RFC 6120 §13.7.2.1): it names it as `id-on-dnsSRV`
/// (`_xmpp-server.`), as `id-on-xmppAddr` or as `dNSName`. It need not have been verified.
pub(super) fn is_of_server(certificate: &[u8], domain: &BareJid) -> bool {
    // RFC 6125 §6.4.2: an internationalized name is compared in its ASCII form.
    let Ok(ascii) = idna::domain_to_ascii(domain.as_str()) else {
        return false;
    };
    let mut names = alternative_names(certificate).unwrap_or_default();
    let mut addresses = 0;
    while let Some((tag, name, rest)) = der::value(names) {
        names = rest;
        let matches = match tag {
            DNS_NAME => str::from_utf8(name).is_ok_and(|name| is_dns_name_of(name, &ascii)),
            OTHER_NAME => match other_name(name) {
                Some((XMPP_ADDRESS, text)) => {
                    addresses += 1;
                    addresses <= MAX_SERVER_ADDRESSES
                        && text.parse::<BareJid>().is_ok_and(|jid| jid == *domain)
                }
                // RFC 4985 §2: `_Service.Name`
                Some((DNS_SRV, text)) => text.split_once('.').is_some_and(|(service, name)| {
                    service.eq_ignore_ascii_case("_xmpp-server")
                        && name.eq_ignore_ascii_case(&ascii)
                }),
                _ => false,
            },
            _ => false,
        };
        if matches {
            return true;
        }
    }
    false
}

/// RFC 6125 §6.4.1, §6.4.3: "If the wildcard character is the only character of the left-most label in the presented
/// identifier, the client SHOULD NOT compare against anything but the left-most label of the reference identifier".
fn is_dns_name_of(name: &str, domain: &str) -> bool {
    match name.strip_prefix("*.") {
        None => name.eq_ignore_ascii_case(domain),
        Some(parent) => domain
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && parent.eq_ignore_ascii_case(rest)),
    }
}

/// Who has signed a certificate (`issuer`).
pub(super) fn issuer(certificate: &[u8]) -> Option<&[u8]> {
    Some(body(certificate)?.issuer)
}

/// Whose it is (`subject`).
pub(super) fn subject(certificate: &[u8]) -> Option<&[u8]> {
    let (subject, _) = der::take(body(certificate)?.after_validity, SEQUENCE)?;
    Some(subject)
}

/// When a certificate expires (`notAfter`).
pub(super) fn expires(certificate: &[u8]) -> Option<Timestamp> {
    let validity = body(certificate)?.validity;
    let (_, _, after) = der::value(validity)?;
    let (tag, text, _) = der::value(after)?;
    time(tag, text)
}

fn body(certificate: &[u8]) -> Option<Body<'_>> {
    let (certificate, _) = der::take(certificate, SEQUENCE)?;
    let (body, _) = der::take(certificate, SEQUENCE)?;
    let body = der::skip(body, context(0)); // version
    let (_serial, _, body) = der::value(body)?;
    let (_signature, body) = der::take(body, SEQUENCE)?;
    let (issuer, body) = der::take(body, SEQUENCE)?;
    let (validity, after_validity) = der::take(body, SEQUENCE)?;
    Some(Body {
        issuer,
        validity,
        after_validity,
    })
}

/// `GeneralNames` of the subject alternative name.
fn alternative_names(certificate: &[u8]) -> Option<&[u8]> {
    let rest = body(certificate)?.after_validity;
    let (_subject, rest) = der::take(rest, SEQUENCE)?;
    let (_key, mut rest) = der::take(rest, SEQUENCE)?;
    loop {
        let (tag, content, after) = der::value(rest)?;
        if tag == context(3) {
            let (extensions, _) = der::take(content, SEQUENCE)?;
            return subject_alternative_name(extensions);
        }
        rest = after; // unique identifiers
    }
}

fn subject_alternative_name(mut extensions: &[u8]) -> Option<&[u8]> {
    loop {
        let (extension, rest) = der::take(extensions, SEQUENCE)?;
        let (id, extension) = der::take(extension, OBJECT_IDENTIFIER)?;
        if id == SUBJECT_ALTERNATIVE_NAME {
            let value = der::skip(extension, BOOLEAN); // critical
            let (value, _) = der::take(value, OCTET_STRING)?;
            let (names, _) = der::take(value, SEQUENCE)?;
            return Some(names);
        }
        extensions = rest;
    }
}

/// The addresses among `GeneralNames`.
fn addresses(mut names: &[u8]) -> Vec<BareJid> {
    let mut found = Vec::new();
    while let Some((tag, name, rest)) = der::value(names) {
        names = rest;
        if tag != OTHER_NAME {
            continue;
        }
        if let Some((XMPP_ADDRESS, text)) = other_name(name) {
            found.extend(text.parse::<BareJid>());
        }
        if found.len() == MAX_ADDRESSES {
            break;
        }
    }
    found
}

/// `otherName [0] { type-id OBJECT IDENTIFIER, value [0] EXPLICIT ... }` of a type whose value is text.
fn other_name(name: &[u8]) -> Option<(&[u8], &str)> {
    let (id, value) = der::take(name, OBJECT_IDENTIFIER)?;
    let (value, _) = der::take(value, context(0))?;
    let tag = match id {
        XMPP_ADDRESS => UTF8_STRING,
        DNS_SRV => IA5_STRING,
        _ => return None,
    };
    let (text, _) = der::take(value, tag)?;
    Some((id, str::from_utf8(text).ok()?))
}

/// `UTCTime` and `GeneralizedTime` in the only forms that RFC 5280 §4.1.2.5 allows:
/// `YYMMDDHHMMSSZ`, `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let digits = text.strip_suffix(b"Z")?;
    let all = |digits: &[u8]| -> Option<i64> {
        let digits = digits.iter().all(u8::is_ascii_digit).then_some(digits)?;
        str::from_utf8(digits).ok()?.parse().ok()
    };
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let (year, rest) = digits.split_at(2);
            // §4.1.2.5.1: "Where YY is greater than or equal to 50, the year SHALL be
            // interpreted as 19YY"
            let year = all(year)?;
            (if year >= 50 { 1900 + year } else { 2000 + year }, rest)
        }
        (GENERALIZED_TIME, 14) => {
            let (year, rest) = digits.split_at(4);
            (all(year)?, rest)
        }
        _ => return None,
    };
    let mut fields = rest.chunks(2).map(all);
    let mut field = |range: std::ops::RangeInclusive<i64>| {
        let value = fields.next()??;
        range.contains(&value).then_some(value)
    };
    let (month, day) = (field(1..=12)?, field(1..=31)?);
    let (hour, minute, second) = (field(0..=23)?, field(0..=59)?, field(0..=60)?);
    let days = days(year, month, day);
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(Timestamp(seconds * 1000))
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar (Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", §days_from_civil).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let yoe = year.rem_euclid(400);
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

/// 2.5.29.17
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// 1.3.6.1.5.5.7.8.5
const XMPP_ADDRESS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 8, 5];
/// 1.3.6.1.5.5.7.8.7
const DNS_SRV: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 8, 7];
/// `otherName` in `GeneralName` (RFC 5280 §4.2.1.6)
const OTHER_NAME: u8 = context(0);
/// `dNSName` there, of which the type is implicit
const DNS_NAME: u8 = 0x82;

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn certificate(
        names: &[(&str, bool)],
        configure: impl FnOnce(&mut CertificateParams),
    ) -> Vec<u8> {
        let mut parameters = CertificateParams::new(vec!["example.org".into()]).unwrap();
        for (name, xmpp) in names {
            let last = if *xmpp { 5 } else { 7 };
            let id = vec![1, 3, 6, 1, 5, 5, 7, 8, last];
            let name = SanType::OtherName((id, (*name).into()));
            parameters.subject_alt_names.push(name);
        }
        configure(&mut parameters);
        let key = KeyPair::generate().unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn only_addresses_of_the_right_type_and_form_count() {
        let names = [
            ("juliet@example.org", true),
            ("_xmpp-client.example.org", false),
            ("not an address@", true),
            ("romeo@example.org/orchard", true),
            ("Nurse@EXAMPLE.org", true),
        ];
        let found = xmpp_addresses(&certificate(&names, |_| {}));
        let found: Vec<&str> = found.iter().map(BareJid::as_str).collect();
        assert_eq!(found, ["juliet@example.org", "nurse@example.org"]);
        assert!(xmpp_addresses(&certificate(&[], |_| {})).is_empty());
    }

    #[test]
    fn a_certificate_names_so_many_and_no_more() {
        let names: Vec<String> = (0..40).map(|i| format!("user{i}@example.org")).collect();
        let names: Vec<(&str, bool)> = names.iter().map(|name| (&**name, true)).collect();
        let found = xmpp_addresses(&certificate(&names, |_| {}));
        assert_eq!(found.len(), MAX_ADDRESSES);
    }

    /// RFC 6120 §13.7.2.1
    #[test]
    fn a_server_is_named_in_three_ways() {
        let named = |names: &[SanType], domain: &str| {
            let mut whole = certificate(&[], |parameters| {
                parameters.subject_alt_names = names.into()
            });
            // RFC 4985 §2: "SRVName ::= IA5String", which is a string too, and which rcgen has not.
            let service = whole
                .windows(2 + 6)
                .position(|w| w[0] == UTF8_STRING && w[2..] == *b"_xmpp-");
            if let Some(at) = service {
                whole[at] = IA5_STRING;
            }
            let domain = domain.parse().unwrap();
            // Each octet of it counts, and none does harm.
            (0..whole.len()).for_each(|end| assert!(!is_of_server(&whole[..end], &domain)));
            is_of_server(&whole, &domain)
        };
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let other = |last, value| SanType::OtherName((vec![1, 3, 6, 1, 5, 5, 7, 8, last], value));
        let address = |text: &str| other(5, text.into());
        let service = |text: &str| other(7, text.into());
        for (name, domain, expected) in [
            (dns("example.org"), "example.org", true),
            (dns("EXAMPLE.org"), "example.org", true),
            (dns("example.org"), "im.example.org", false),
            (dns("im.example.org"), "example.org", false),
            (dns("*.example.org"), "im.example.org", true),
            (dns("*.example.org"), "example.org", false),
            (dns("*.example.org"), "a.im.example.org", false),
            (dns("i*.example.org"), "im.example.org", false),
            (dns("*"), "org", false),
            (dns("xn--bcher-kva.example"), "bücher.example", true),
            (address("example.org"), "example.org", true),
            (address("bücher.example"), "bücher.example", true),
            (address("*.example.org"), "im.example.org", false),
            (address("juliet@example.org"), "example.org", false),
            (service("_xmpp-server.example.org"), "example.org", true),
            (
                service("_xmpp-server.xn--bcher-kva.example"),
                "bücher.example",
                true,
            ),
            (service("_xmpp-client.example.org"), "example.org", false),
            (
                service("_xmpp-server.*.example.org"),
                "im.example.org",
                false,
            ),
            (service("example.org"), "example.org", false),
        ] {
            assert_eq!(
                named(std::slice::from_ref(&name), domain),
                expected,
                "{name:?} {domain}"
            );
        }
        let two = [dns("other.example"), address("example.org")];
        assert!(named(&two, "example.org"));
        assert!(!named(&[], "example.org"));
    }

    /// Each has to be prepared to be compared, and the peer chooses how many there are.
    #[test]
    fn so_many_addresses_of_a_server_are_looked_at_and_no_more() {
        let names = |others: usize| {
            let others = (0..others).map(|n| format!("d{n}.example"));
            let whole = certificate(&[], |parameters| {
                let names = others.chain(["last.example".to_owned()]);
                let other = |name: String| {
                    SanType::OtherName((vec![1, 3, 6, 1, 5, 5, 7, 8, 5], name.as_str().into()))
                };
                parameters.subject_alt_names = names.map(other).collect();
            });
            is_of_server(&whole, &"last.example".parse().unwrap())
        };
        assert!(names(MAX_SERVER_ADDRESSES - 1));
        assert!(!names(MAX_SERVER_ADDRESSES));
    }

    #[test]
    fn issuer_and_subject_are_told_apart() {
        use rcgen::{DnType, Issuer};
        let named = |name: &str| {
            let mut parameters = CertificateParams::new(Vec::new()).unwrap();
            parameters.distinguished_name = rcgen::DistinguishedName::new();
            parameters
                .distinguished_name
                .push(DnType::OrganizationName, name);
            (parameters, KeyPair::generate().unwrap())
        };
        let has = |name: Option<&[u8]>, text: &str| {
            let mut windows = name.unwrap().windows(text.len());
            windows.any(|window| window == text.as_bytes())
        };
        let (parameters, key) = named("Verona");
        let itself = parameters.self_signed(&key).unwrap();
        assert_eq!(issuer(itself.der()), subject(itself.der()));
        assert!(has(issuer(itself.der()), "Verona"));
        let authority = Issuer::new(parameters, key);
        let (parameters, key) = named("Mantua");
        let signed = parameters.signed_by(&key, &authority).unwrap();
        assert!(has(issuer(signed.der()), "Verona") && !has(issuer(signed.der()), "Mantua"));
        assert!(has(subject(signed.der()), "Mantua") && !has(subject(signed.der()), "Verona"));
    }

    #[test]
    fn expiry_is_read_in_both_forms() {
        for (year, ms) in [(2049, 2_493_072_000_000), (2050, 2_524_608_000_000)] {
            let whole = certificate(&[], |parameters| {
                parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
            });
            assert_eq!(expires(&whole), Some(Timestamp(ms)), "{year}");
        }
        assert_eq!(time(UTC_TIME, b"700101000000Z"), Some(Timestamp(0)));
        let leap = Timestamp(951_827_696_000);
        assert_eq!(time(GENERALIZED_TIME, b"20000229123456Z"), Some(leap));
        for bad in [
            "",
            "Z",
            "7001010000Z",
            "70010100000xZ",
            "701301000000Z",
            "700101000000",
        ] {
            assert_eq!(time(UTC_TIME, bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn what_is_cut_or_garbled_does_no_harm() {
        let whole = certificate(&[("juliet@example.org", true)], |_| {});
        for end in 0..whole.len() {
            assert!(xmpp_addresses(&whole[..end]).is_empty());
        }
        for at in 0..whole.len() {
            let mut garbled = whole.clone();
            garbled[at] ^= 0xff;
            let _ = (xmpp_addresses(&garbled), expires(&garbled));
            let _ = (issuer(&garbled), subject(&garbled));
        }
    }
}
