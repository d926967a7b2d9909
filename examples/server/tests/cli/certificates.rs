//! Certificates and client authorities: made, renewed, read again.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};

use super::harness::{self, Site};

#[test]
fn a_hangup_brings_the_new_certificate_and_a_bad_one_is_refused() {
    let site = Site::new();
    site.run(&["gen-cert", "localhost", "--out", "certificates"])
        .succeeds("localhost.crt.pem");
    let certificate = site.path("certificates/localhost.crt.pem");
    let mut server = site.start(&[]);
    let first = server.certificate();
    assert_ne!(first, harness::leaf(&certificate));

    let ours = site.path("data/localhost.crt.pem");
    std::fs::copy(&certificate, &ours).unwrap();
    server.signal("HUP");
    server.log_says("certificates not reloaded");
    assert_eq!(server.certificate(), first, "the key is another's");

    std::fs::copy(
        site.path("certificates/localhost.key.pem"),
        site.path("data/localhost.key.pem"),
    )
    .unwrap();
    server.signal("HUP");
    server.log_says("certificates reloaded");
    assert_eq!(server.certificate(), harness::leaf(&ours));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_hangup_brings_the_new_client_authorities_and_bad_ones_are_refused() {
    let site = Site::new();
    let (old, new) = (Authority::new(), Authority::new());
    let file = site.path("people.pem");
    std::fs::write(&file, &old.pem).unwrap();
    site.set("tls__client_authorities", file.to_str().unwrap());
    let mut server = site.start(&[]);
    let knows = |server: &harness::Running, authority: &Authority| {
        let (certificate, key) = authority.vouch("juliet@localhost");
        server
            .features_with(&certificate, &key)
            .contains("<mechanism>EXTERNAL</mechanism>")
    };
    assert!(knows(&server, &old) && !knows(&server, &new));

    std::fs::write(&file, "no PEM").unwrap();
    server.signal("HUP");
    server.log_says("certificates not reloaded");
    assert!(knows(&server, &old) && !knows(&server, &new));

    std::fs::write(&file, &new.pem).unwrap();
    server.signal("HUP");
    server.log_says("certificates reloaded");
    assert!(!knows(&server, &old) && knows(&server, &new));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_certificate_is_overwritten_only_by_force() {
    let site = Site::new();
    let make = |options: &[&str]| site.run(&[&["gen-cert", "localhost"], options].concat());
    let read = || {
        let read = |name| std::fs::read(site.path(name)).unwrap();
        (read("localhost.crt.pem"), read("localhost.key.pem"))
    };
    make(&[]).succeeds("localhost.key.pem");
    assert_eq!(site.mode("localhost.key.pem"), 0o600);
    let first = read();
    make(&[]).fails("localhost.crt.pem is there already");
    std::fs::remove_file(site.path("localhost.crt.pem")).unwrap();
    make(&[]).fails("localhost.key.pem is there already");
    std::fs::write(site.path("localhost.crt.pem"), &first.0).unwrap();
    assert_eq!(read(), first);
    make(&["--force"]).succeeds("localhost.key.pem");
    let second = read();
    assert!(second.0 != first.0 && second.1 != first.1);
    assert_eq!(site.mode("localhost.key.pem"), 0o600);
}

#[test]
fn a_certificate_is_for_domains_and_for_a_time_that_has_an_end() {
    let site = Site::new();
    for (arguments, reason) in [
        (&["localhost", "--days", "4000000"][..], "4000000 is not in"),
        (&[""], "DOMAIN"),
        (&["juliet@localhost"], "not a domain"),
        (&["../oops"], "DOMAIN"),
    ] {
        site.run(&[&["gen-cert"], arguments].concat())
            .is_misused(reason);
    }
    site.run(&[
        "gen-cert",
        "example.org",
        "*.example.org",
        "--days",
        "36500",
    ])
    .succeeds("example.org.key.pem");
}

#[test]
fn a_certificate_of_our_own_is_renewed_at_start_when_its_time_is_up() {
    let site = Site::new();
    let make = |days| {
        let made = [
            "gen-cert",
            "localhost",
            "--out",
            "data",
            "--force",
            "--days",
        ];
        site.run(&[&made[..], &[days]].concat()).succeeds("data");
        harness::leaf(&site.path("data/localhost.crt.pem"))
    };
    for (days, renewed) in [("10", true), ("0", true), ("90", false)] {
        let made = make(days);
        let mut server = site.start(&[]);
        let served = server.certificate();
        assert_eq!(served != made, renewed, "{days}");
        assert_eq!(served, harness::leaf(&site.path("data/localhost.crt.pem")));
        server.signal("TERM");
        server.wait();
        assert_eq!(server.log().contains("renewed the certificate"), renewed);
    }
}

/// Who vouches for clients.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Authority {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(parameters, key);
        Authority { issuer, pem }
    }

    /// A certificate for an address, and its key.
    fn vouch(&self, address: &str) -> (String, String) {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        // id-on-xmppAddr (RFC 6120 §13.7.1.4)
        let id = vec![1, 3, 6, 1, 5, 5, 7, 8, 5];
        let name = SanType::OtherName((id, address.into()));
        parameters.subject_alt_names.push(name);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}
