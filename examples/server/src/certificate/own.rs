//! Certificates that the server makes itself: they sign themselves, so that clients trust
//! them only when they are told to.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use xmpp_core::io::Identity;
use xmpp_core::time::Timestamp;

use super::{Files, Name, read};
use crate::config::{Config, Domain};
use crate::folder;

/// Days that one is valid.
pub const DAYS: u32 = 365;
/// Most days that one can be: a hundred years.
pub const MAX_DAYS: i64 = 36_500;

const DAY: Duration = Duration::from_secs(86_400);
/// What is left of its time when it is made anew.
const RENEWAL: Duration = Duration::from_secs(30 * 86_400);
/// The organization that it names as issuer and as subject.
const MARK: &str = "self-signed by example-server";

/// A certificate and its key, in PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Pair {
    /// One with a new P-256 key: what clients verify fastest.
    pub fn new(names: &[Name], days: u32, now: SystemTime) -> anyhow::Result<Pair> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).context("no key")?;
        Pair::of(names, days, now, &key)
    }

    /// One for a domain and its rooms, with the key that is there, or a new one.
    pub fn for_domain(
        config: &Config,
        domain: &Domain,
        files: &Files,
        now: SystemTime,
    ) -> anyhow::Result<Pair> {
        let rooms = config.rooms_of(domain).map_err(anyhow::Error::msg)?;
        let names = [&domain.name.0].into_iter().chain(&rooms);
        let names = names.map(|name| name.as_str().parse().map_err(anyhow::Error::msg));
        let names = names.collect::<anyhow::Result<Vec<Name>>>()?;
        let Files { certificate, key } = files;
        // It may be the operator's, and the key on its way.
        ensure!(
            key.exists() || !certificate.exists(),
            "{} is there without its key {}; without both, a certificate is made",
            certificate.display(),
            key.display()
        );
        match key.exists() {
            true => Pair::of(&names, DAYS, now, &files.read_key()?),
            false => Pair::new(&names, DAYS, now),
        }
    }

    fn of(names: &[Name], days: u32, now: SystemTime, key: &KeyPair) -> anyhow::Result<Pair> {
        let hosts: Vec<String> = names.iter().map(Name::host).collect();
        let mut parameters = CertificateParams::new(hosts).context("not a domain")?;
        let name = names.first().context("no domain")?.as_str();
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, MARK);
        subject.push(DnType::CommonName, name);
        parameters.distinguished_name = subject;
        if name == "localhost" {
            let loopback = [
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            ];
            let names = &mut parameters.subject_alt_names;
            names.extend(loopback.map(SanType::IpAddress));
        }
        // A client's clock may be slow.
        parameters.not_before = (now - Duration::from_secs(3600)).into();
        parameters.not_after = (now + DAY * days).into();
        let certificate = parameters.self_signed(key).context("not signed")?;
        Ok(Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// Writes both, the key for its owner only; what is there is replaced.
    pub fn write(&self, files: &Files) -> anyhow::Result<()> {
        folder::write_new(&files.key, self.key.as_bytes(), 0o600)?;
        folder::write_new(&files.certificate, self.certificate.as_bytes(), 0o644)
    }
}

/// Makes the certificates that the settings do not name and that are not there yet.
pub fn make_missing(config: &Config, now: SystemTime) -> anyhow::Result<()> {
    for (domain, files) in own(config) {
        if files.are_there() {
            continue;
        }
        Pair::for_domain(config, domain, &files, now)?.write(&files)?;
        tracing::info!(
            domain = %domain.name.0,
            path = %files.certificate.display(),
            "made a certificate; clients will not trust it unless they are told to"
        );
    }
    Ok(())
}

/// Renews, under the same keys, those of our own making that have expired or will within 30
/// days; whether there was any. One that cannot be renewed goes on being served.
pub fn renew(config: &Config, now: SystemTime) -> bool {
    let mut any = false;
    for (domain, files) in own(config) {
        let renewed = renew_one(config, domain, &files, now);
        let domain = domain.name.0.as_str();
        match renewed {
            Ok(false) => {}
            Ok(true) => {
                any = true;
                let path = files.certificate.display();
                tracing::info!(domain, %path, "renewed the certificate that we had made");
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(
                    domain,
                    error,
                    "the certificate that we had made is not renewed"
                );
            }
        }
    }
    any
}

/// Renews them once a day, and when there was any, has them served: `serve` says whether that
/// went well, and if not is called again the next day.
pub async fn renew_daily(config: &Config, serve: impl Fn() -> bool) -> Infallible {
    let mut due = false;
    loop {
        tokio::time::sleep(DAY).await;
        due |= renew(config, SystemTime::now());
        due = due && !serve();
    }
}

fn renew_one(
    config: &Config,
    domain: &Domain,
    files: &Files,
    now: SystemTime,
) -> anyhow::Result<bool> {
    let identity = files.read()?;
    let is_due = |expiry| expiry < Timestamp::from(now + RENEWAL);
    if !is_ours(&identity) || !identity.expires().is_some_and(is_due) {
        return Ok(false);
    }
    let pair = Pair::for_domain(config, domain, files, now)?;
    folder::write_new(&files.certificate, pair.certificate.as_bytes(), 0o644)?;
    Ok(true)
}

/// The domains without a certificate of the operator's, and where ours are.
fn own(config: &Config) -> impl Iterator<Item = (&Domain, Files)> {
    let domains = config.domains.iter().filter(|d| d.certificate.is_none());
    domains.map(|domain| (domain, Files::own(&config.data, domain.name.0.as_str())))
}

impl Files {
    fn read_key(&self) -> anyhow::Result<KeyPair> {
        let what = || self.key.display().to_string();
        let text = String::from_utf8(read(&self.key)?).with_context(what)?;
        KeyPair::from_pem(&text).with_context(what)
    }
}

/// Whether it signs itself in the name of this program. An operator may have put another
/// one into its place.
fn is_ours(identity: &Identity) -> bool {
    // UTF8String (X.690 §8.23)
    let mut mark = vec![0x0c, MARK.len() as u8];
    mark.extend(MARK.as_bytes());
    identity.issuer() == identity.subject()
        && identity
            .issuer()
            .is_some_and(|issuer| issuer.windows(mark.len()).any(|part| part == mark))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    use std::cell::Cell;
    use std::fs;

    struct Place {
        folder: tempfile::TempDir,
        config: Config,
    }

    /// A data folder with a certificate for so many days.
    fn place(days: u32) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            data: folder.path().to_owned(),
            ..Config::default()
        };
        let place = Place { folder, config };
        pair(days).write(&place.files()).unwrap();
        place
    }

    fn pair(days: u32) -> Pair {
        Pair::new(&["localhost".parse().unwrap()], days, SystemTime::now()).unwrap()
    }

    impl Place {
        fn files(&self) -> Files {
            Files::own(self.folder.path(), "localhost")
        }

        fn bytes(&self) -> (Vec<u8>, Vec<u8>) {
            let files = self.files();
            let read = |path| fs::read(path).unwrap();
            (read(&files.certificate), read(&files.key))
        }

        fn days_left(&self) -> i64 {
            let expiry = self.files().read().unwrap().expires().unwrap();
            (expiry.0 - Timestamp::from(SystemTime::now()).0) / 86_400_000
        }
    }

    #[test]
    fn a_domain_of_any_kind_is_named_as_clients_look_for_it() {
        let dns = |name: &str| [&[0x82, name.len() as u8], name.as_bytes()].concat();
        let ip = |bytes: &[u8]| [&[0x87, bytes.len() as u8], bytes].concat();
        let mut loopback = [0; 16];
        loopback[15] = 1;
        // GeneralName (RFC 5280 §4.2.1.6): dNSName [2], iPAddress [7]
        for (domain, name) in [
            ("example.org", dns("example.org")),
            ("faß.example", dns("xn--fa-hia.example")),
            ("192.0.2.7", ip(&[192, 0, 2, 7])),
            ("[::1]", ip(&loopback)),
            ("localhost", ip(&loopback)),
            ("*.faß.example", dns("*.xn--fa-hia.example")),
        ] {
            let pair = Pair::new(&[domain.parse().unwrap()], 1, SystemTime::now()).unwrap();
            let der = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
            let named = der.windows(name.len()).any(|part| part == name);
            assert!(named, "{domain}");
        }
    }

    #[test]
    fn it_names_the_rooms_of_the_domain() {
        let place = place(365);
        fs::remove_file(place.files().certificate).unwrap();
        make_missing(&place.config, SystemTime::now()).unwrap();
        let der = CertificateDer::from_pem_slice(&place.bytes().0).unwrap();
        let rooms = b"rooms.localhost";
        assert!(der.windows(rooms.len()).any(|part| part == rooms));
    }

    #[test]
    fn a_key_that_is_there_is_never_replaced() {
        let place = place(10);
        let before = place.bytes();
        fs::remove_file(place.files().certificate).unwrap();
        make_missing(&place.config, SystemTime::now()).unwrap();
        let after = place.bytes();
        assert!(after.1 == before.1 && after.0 != before.0);
        assert!(place.days_left() > 360);

        fs::write(place.files().key, "of another kind").unwrap();
        fs::remove_file(place.files().certificate).unwrap();
        let error = make_missing(&place.config, SystemTime::now()).unwrap_err();
        assert!(
            format!("{error:#}").contains("localhost.key.pem"),
            "{error:#}"
        );
        assert_eq!(fs::read(place.files().key).unwrap(), b"of another kind");
    }

    #[test]
    fn a_certificate_without_its_key_is_never_replaced() {
        let place = place(365);
        let before = place.bytes().0;
        fs::remove_file(place.files().key).unwrap();
        let error = make_missing(&place.config, SystemTime::now()).unwrap_err();
        assert!(error.to_string().contains("without its key"), "{error}");
        assert_eq!(fs::read(place.files().certificate).unwrap(), before);
        assert!(!place.files().key.exists());
    }

    #[test]
    fn ours_is_renewed_under_its_key_when_it_has_expired_or_soon_will() {
        for (days, due) in [(0, true), (29, true), (31, false), (365, false)] {
            let place = place(days);
            let before = place.bytes();
            assert_eq!(renew(&place.config, SystemTime::now()), due, "{days}");
            let after = place.bytes();
            assert_eq!(after.1, before.1, "{days}");
            assert_eq!(after.0 != before.0, due, "{days}");
            if due {
                assert!((363..=365).contains(&place.days_left()));
                assert!(!renew(&place.config, SystemTime::now()));
            }
        }
    }

    #[test]
    fn what_the_operator_put_in_its_place_is_left_alone() {
        let place = place(365);
        let key = KeyPair::generate().unwrap();
        for organization in [
            None,
            Some("Capulet"),
            Some("not self-signed by example-server"),
        ] {
            let mut parameters = CertificateParams::new(vec!["localhost".into()]).unwrap();
            parameters.not_after = rcgen::date_time_ymd(2020, 1, 1);
            if let Some(name) = organization {
                let subject = &mut parameters.distinguished_name;
                subject.push(DnType::OrganizationName, name);
            }
            let certificate = parameters.self_signed(&key).unwrap().pem();
            let key = key.serialize_pem();
            Pair { certificate, key }.write(&place.files()).unwrap();
            assert!(!renew(&place.config, SystemTime::now()), "{organization:?}");
        }
        // Signed by somebody else, for whom it happens to name us.
        let mut parameters = CertificateParams::new(vec!["localhost".into()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let subject = &mut parameters.distinguished_name;
        subject.push(DnType::OrganizationName, MARK);
        let authority = CertificateParams::new(Vec::new()).unwrap();
        let issuer = rcgen::Issuer::new(authority, KeyPair::generate().unwrap());
        let certificate = parameters.signed_by(&key, &issuer).unwrap().pem();
        let key = key.serialize_pem();
        Pair { certificate, key }.write(&place.files()).unwrap();
        assert!(!renew(&place.config, SystemTime::now()));
    }

    #[test]
    fn one_that_the_settings_name_is_the_operators_whoever_made_it() {
        let mut place = place(10);
        let files = place.files();
        let domain = &mut place.config.domains[0];
        domain.certificate = Some(files.certificate);
        domain.key = Some(files.key);
        assert!(!renew(&place.config, SystemTime::now()));
    }

    #[test]
    fn one_that_cannot_be_renewed_does_no_harm() {
        let place = place(10);
        fs::write(place.files().key, "no key").unwrap();
        let before = place.bytes();
        assert!(!renew(&place.config, SystemTime::now()));
        assert_eq!(place.bytes(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_runs_on_and_on_renews_it_once_a_day() {
        let place = place(10);
        let (renewals, works) = (Cell::new(0), Cell::new(true));
        let daily = renew_daily(&place.config, || {
            renewals.set(renewals.get() + 1);
            works.get()
        });
        let mut daily = std::pin::pin!(daily);
        let mut within = async |hours: u64| {
            let hours = Duration::from_secs(hours * 3600);
            let over = tokio::time::timeout(hours, &mut daily).await;
            assert!(over.is_err(), "it does not end");
            renewals.get()
        };
        assert_eq!(within(23).await, 0);
        assert_eq!(within(2).await, 1);
        assert!(place.days_left() > 360);
        assert_eq!(within(48).await, 1, "there was nothing to do");
        pair(10).write(&place.files()).unwrap();
        works.set(false);
        assert_eq!(within(48).await, 3, "it is tried again");
        works.set(true);
        assert_eq!(within(72).await, 4, "until it is served");
    }
}
