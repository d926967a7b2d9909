//! Runs the binary in a folder of its own, and speaks to it.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, DigitallySignedStruct, SignatureScheme,
    StreamOwned,
};
use xmpp_core::BareJid;
use xmpp_core::sasl::client::{self as sasl, Scram};
use xmpp_core::sasl::{Credentials, Hash, NONCE_LEN, Nonce};
use xmpp_core::store::Accounts as _;
use xmpp_store::Sqlite;

/// Nothing here takes so long, on a machine that does many other things too.
const PATIENCE: Duration = Duration::from_secs(60);
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const PAUSE: Duration = Duration::from_millis(5);

/// A working directory, and the environment that the binary sees in it.
pub struct Site {
    folder: tempfile::TempDir,
    environment: RefCell<Vec<(OsString, OsString)>>,
}

/// What a command that has ended had to say.
pub struct Output {
    stdout: String,
    stderr: String,
    status: ExitStatus,
}

impl Site {
    pub fn new() -> Site {
        let site = Site {
            folder: tempfile::tempdir().unwrap(),
            environment: RefCell::default(),
        };
        site.set("listen__starttls", r#"["127.0.0.1:0"]"#);
        site.set("listen__direct_tls", r#"["127.0.0.1:0"]"#);
        site.set("s2s__listen", r#"["127.0.0.1:0"]"#);
        site
    }

    /// Sets one of the settings.
    pub fn set(&self, key: &str, value: &str) {
        self.export(&format!("XMPP__{key}"), value);
    }

    pub fn export(&self, name: &str, value: impl AsRef<OsStr>) {
        let pair = (name.into(), value.as_ref().to_owned());
        self.environment.borrow_mut().push(pair);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn mode(&self, name: &str) -> u32 {
        let metadata = std::fs::metadata(self.path(name)).unwrap();
        metadata.permissions().mode() & 0o777
    }

    /// Puts accounts into the store; nobody can log in with them.
    pub fn seed(&self, accounts: &[BareJid]) {
        let with = |jid: &BareJid| (jid.clone(), Credentials::default());
        let accounts: Vec<_> = accounts.iter().map(with).collect();
        let store = Sqlite::open(self.path("data/xmpp.sqlite3")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime
            .block_on(store.create_many(&accounts))
            .expect("the store takes them");
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with_input(arguments, "")
    }

    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self.spawn(arguments);
        let mut stdin = child.0.stdin.take().unwrap();
        // A command that does not read it has closed it.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let stdout = read(child.0.stdout.take().unwrap());
        let stderr = read(child.0.stderr.take().unwrap());
        let status = child.wait(arguments);
        Output {
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
            status,
        }
    }

    /// Starts a server, and returns when it says that it listens.
    pub fn start(&self, options: &[&str]) -> Running {
        let mut child = self.spawn(options);
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.0.stderr.take().unwrap());
        let reader = thread::spawn({
            let log = log.clone();
            move || {
                for line in stderr.lines() {
                    let mut log = log.lock().unwrap();
                    *log += &line.unwrap();
                    log.push('\n');
                }
            }
        });
        let (tell, told) = mpsc::channel();
        let mut stdout = BufReader::new(child.0.stdout.take().unwrap());
        thread::spawn(move || {
            let mut greeting = String::new();
            while !greeting.contains("add an account") {
                if stdout.read_line(&mut greeting).unwrap() == 0 {
                    return;
                }
            }
            // Whoever waited may have lost patience.
            let _ = tell.send(greeting);
        });
        let greeting = told.recv_timeout(PATIENCE);
        let greeting = greeting.unwrap_or_else(|_| panic!("no start: {}", log.lock().unwrap()));
        Running {
            child,
            greeting,
            log,
            reader: Some(reader),
        }
    }

    fn spawn(&self, arguments: &[&str]) -> Guarded {
        let mut command = Command::new(env!("CARGO_BIN_EXE_example-server"));
        // What the tests are run with is not for the program.
        for (name, _) in std::env::vars_os() {
            if name == "NOTIFY_SOCKET" || name.as_encoded_bytes().starts_with(b"XMPP__") {
                command.env_remove(name);
            }
        }
        let spawned = command
            .args(arguments)
            .current_dir(self.folder.path())
            .envs(self.environment.borrow().iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Guarded(spawned.unwrap())
    }
}

/// A process that does not outlive its test.
struct Guarded(Child);

impl Guarded {
    /// Its end, which must be soon.
    fn wait(&mut self, what: &[&str]) -> ExitStatus {
        soon(&format!("{what:?} did not end"), || {
            self.0.try_wait().unwrap()
        })
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads all there will be, on a thread.
fn read(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    })
}

impl Output {
    #[track_caller]
    pub fn succeeds(&self, saying: &str) {
        assert!(self.status.success(), "{}", self.stderr);
        assert!(self.stdout.contains(saying), "{}", self.stdout);
    }

    #[track_caller]
    pub fn fails(&self, saying: &str) {
        assert_eq!(self.status.code(), Some(1), "{}", self.stdout);
        assert!(self.stderr.contains(saying), "{}", self.stderr);
    }

    #[track_caller]
    pub fn is_misused(&self, saying: &str) {
        assert_eq!(self.status.code(), Some(2), "{}", self.stdout);
        assert!(self.stderr.contains(saying), "{}", self.stderr);
    }

    #[track_caller]
    pub fn warns(&self, saying: &str) {
        assert!(self.stderr.contains("WARN"), "{}", self.stderr);
        assert!(self.stderr.contains(saying), "{}", self.stderr);
    }

    /// What it has said.
    pub fn stdout(&self) -> &str {
        &self.stdout
    }

    /// Whether it has said nothing.
    pub fn is_empty(&self) -> bool {
        self.stdout.is_empty()
    }

    #[track_caller]
    pub fn is(&self, stdout: &str) {
        self.succeeds("");
        assert_eq!(self.stdout, stdout);
    }
}

/// A server. It is killed when this is dropped.
pub struct Running {
    child: Guarded,
    pub greeting: String,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Running {
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.child.0.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait(&["the server"]);
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }

    /// All of the log so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log says this.
    pub fn log_says(&self, text: &str) {
        soon(text, || self.log().contains(text).then_some(()));
    }

    pub fn connect(&self, kind: &str) -> Client {
        let stream = TcpStream::connect(self.address(kind)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { stream }
    }

    /// Whether a login by PLAIN succeeds.
    pub fn login(&self, user: &str, password: &str) -> bool {
        self.connect("starttls").login(user, password)
    }

    /// A client with a resource.
    pub fn bind(&self, user: &str, password: &str) -> Client {
        self.bind_at("localhost", user, password)
    }

    /// The same, at another domain.
    pub fn bind_at(&self, domain: &str, user: &str, password: &str) -> Client {
        let mut client = self.connect("starttls");
        assert!(client.login_at(domain, user, password));
        client.open(domain);
        client.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
        let bound = client.read_until(&["</iq>"]);
        assert!(bound.contains("<jid>"), "{bound}");
        client
    }

    /// The certificate that is served.
    pub fn certificate(&self) -> CertificateDer<'static> {
        let mut stream = TcpStream::connect(self.address("direct_tls")).unwrap();
        let config = client().with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).unwrap();
        }
        tls.peer_certificates().unwrap()[0].clone().into_owned()
    }

    /// The features that a client with a certificate (PEM, and its key) is offered.
    pub fn features_with(&self, certificate: &str, key: &str) -> String {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config = client().with_client_auth_cert(vec![certificate], key);
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(config.unwrap()), name).unwrap();
        let stream = TcpStream::connect(self.address("direct_tls")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let stream = StreamOwned::new(tls, stream);
        Client { stream }.open("localhost")
    }

    /// Status and body.
    pub fn http(&self, request: &str) -> (u16, String) {
        let mut client = self.connect("monitoring");
        client.send(&format!("{request} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let response = client.read_to_end();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    fn address(&self, kind: &str) -> SocketAddr {
        let kind = format!("({kind})");
        let mut lines = self.greeting.lines();
        let line = lines
            .find(|line| line.ends_with(&kind))
            .expect("it listens");
        line.split(' ').nth(2).unwrap().parse().unwrap()
    }
}

/// A connection, most often without TLS.
pub struct Client<S = TcpStream> {
    stream: S,
}

impl<S: Read + Write> Client<S> {
    pub fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// A new stream; returns everything up to the features.
    pub fn open(&mut self, domain: &str) -> String {
        self.send(&format!(
            "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' \
             xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        ));
        self.read_until(&["</stream:features>"])
    }

    fn login(&mut self, user: &str, password: &str) -> bool {
        self.login_at("localhost", user, password)
    }

    /// Logs in by PLAIN; whether that succeeds.
    pub fn login_at(&mut self, domain: &str, user: &str, password: &str) -> bool {
        self.open(domain);
        let message = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
        self.send(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{message}</auth>"
        ));
        let answer = self.read_until(&[
            "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
            "</failure>",
        ]);
        answer.contains("<success")
    }

    /// Logs in by SCRAM-SHA-256, on an open stream.
    pub fn login_by_scram(&mut self, user: &str, password: &str) {
        const END: &str = "</challenge>";
        let nonce = Nonce::from([1; NONCE_LEN]);
        let mut sasl = sasl::Client::scram(Scram::new(Hash::Sha256, user, password, nonce));
        let initial = BASE64_STANDARD.encode(sasl.initial());
        self.send(&format!(
            "<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{initial}</auth>"
        ));
        let challenge = content(&self.read_until(&[END, "</failure>"]), "challenge");
        let response = BASE64_STANDARD.encode(sasl.challenge(&challenge).unwrap());
        self.send(&format!("<response xmlns='{SASL}'>{response}</response>"));
        let success = content(&self.read_until(&["</success>", "</failure>"]), "success");
        sasl.success(Some(&success)).unwrap();
    }

    pub fn read_until(&mut self, ends: &[&str]) -> String {
        let mut read = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&read);
            if ends.iter().any(|end| text.contains(end)) {
                return text.into_owned();
            }
            let length = self.stream.read(&mut chunk).unwrap();
            assert!(length > 0, "the connection ended after {text:?}");
            read.extend_from_slice(&chunk[..length]);
        }
    }

    pub fn read_to_end(&mut self) -> String {
        let mut text = String::new();
        self.stream.read_to_string(&mut text).unwrap();
        text
    }
}

/// What an element holds, not as base64.
fn content(text: &str, name: &str) -> Vec<u8> {
    let (_, text) = text
        .split_once(&format!("<{name} xmlns='{SASL}'>"))
        .unwrap_or_else(|| panic!("no {name}: {text}"));
    let (text, _) = text.split_once("</").unwrap();
    BASE64_STANDARD.decode(text).unwrap()
}

/// The first certificate of a file.
pub fn leaf(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

fn client() -> ConfigBuilder<ClientConfig, WantsClientCert> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
}

/// An address on loopback that is free now, for a server that another one has to know before it starts, or that has to be found there
/// again. No system gives its port to whoever asks for any, so nobody takes it meanwhile.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const PORTS: std::ops::Range<u16> = 20_000..30_000;
    // Other processes of this suite begin elsewhere.
    let first = (std::process::id() as u16).wrapping_mul(251);
    loop {
        let n = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + n % PORTS.len() as u16;
        if let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap();
        }
    }
}

/// Asks again until there is an answer.
pub fn soon<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::sleep(PAUSE);
    }
}

/// Whoever it is: the test looks at the certificate itself.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
