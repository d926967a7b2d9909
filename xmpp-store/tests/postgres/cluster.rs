//! A PostgreSQL server of its own for each test, from the system's package.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

pub const PASSWORD: &str = "s3cret/of@tests";

/// A running server, which ends and leaves nothing when this is dropped.
pub struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    owner: Option<(u32, u32)>,
    port: u16,
    server: Option<Child>,
}

impl Cluster {
    /// Makes and starts one, for TLS with these files in PEM if there are any.
    pub fn start(tls: Option<(&str, &str)>) -> Cluster {
        let programs = programs();
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let owner = owner();
        let mut cluster = Cluster {
            folder,
            programs,
            owner,
            port,
            server: None,
        };
        cluster.write("password", PASSWORD);
        if let Some((certificate, key)) = tls {
            cluster.write("tls.crt", certificate);
            cluster.write("tls.key", key);
        }
        cluster.chown(cluster.folder.path());
        let password = format!("--pwfile={}", cluster.path("password").display());
        let made = cluster
            .command("initdb")
            .args([
                "--no-sync",
                "--username=xmpp",
                "--encoding=UTF8",
                "--locale=C",
            ])
            .args(["--auth-local=trust", "--auth-host=scram-sha-256", &password])
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {made:?}");
        cluster.run(tls.is_some());
        cluster
    }

    /// For connections through the file system, without a password.
    pub fn local(&self) -> String {
        let folder = self.folder.path().display();
        format!("host={folder} port={} user=xmpp dbname=postgres", self.port)
    }

    /// For connections over TCP, with a password.
    pub fn tcp(&self, host: &str) -> String {
        let (port, password) = (self.port, PASSWORD);
        format!("host={host} port={port} user=xmpp password={password} dbname=postgres")
    }

    /// Stops the server as a crash would.
    pub fn crash(&mut self) {
        if let Some(mut server) = self.server.take() {
            let stop = ["stop", "--mode=immediate"];
            let stopped = self.command("pg_ctl").args(stop).output().unwrap();
            if !stopped.status.success() {
                let _ = server.kill();
            }
            server.wait().unwrap();
        }
    }

    /// Starts it again.
    pub fn restart(&mut self, tls: bool) {
        self.crash();
        self.run(tls);
    }

    fn run(&mut self, tls: bool) {
        let folder = self.folder.path().to_owned();
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let mut command = self.command("postgres");
        command
            .args(["-p", &self.port.to_string(), "-F", "-k"])
            .arg(&folder)
            .args(["-c", "listen_addresses=127.0.0.1"])
            .stdout(Stdio::null())
            .stderr(log);
        if tls {
            let files = [("ssl_cert_file", "tls.crt"), ("ssl_key_file", "tls.key")];
            for (setting, file) in files {
                command.arg("-c");
                command.arg(format!("{setting}={}", self.path(file).display()));
            }
            command.args(["-c", "ssl=on"]);
        }
        self.server = Some(command.spawn().unwrap());
        for _ in 0..600 {
            let mut ready = self.command("pg_isready");
            ready
                .args(["-q", "-p", &self.port.to_string(), "-h"])
                .arg(&folder);
            if ready.status().unwrap().success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.path("log")).unwrap();
        panic!("PostgreSQL has not started:\n{log}");
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .env("PGDATA", self.path("data"))
            .env("LC_ALL", "C")
            .current_dir(self.folder.path());
        // PostgreSQL does not run as root.
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;

        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        self.chown(&path);
    }

    fn chown(&self, path: &Path) {
        if let Some((user, group)) = self.owner {
            std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.crash();
    }
}

/// Where the newest version's programs are.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut versions: Vec<u32> = versions
        .filter_map(|version| version.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable();
    let debian = versions
        .last()
        .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    debian
        .into_iter()
        .chain(std::env::split_paths(&path))
        .find(|folder| folder.join("initdb").exists())
        .unwrap_or_else(|| panic!("PostgreSQL is missing: apt-get install -y postgresql"))
}

/// Who the server runs as: the user `postgres` if this is root.
fn owner() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = users
        .lines()
        .find_map(|line| line.strip_prefix("postgres:"));
    let user = user.expect("the user of the package: apt-get install -y postgresql");
    let mut fields = user.split(':').skip(1).map(|field| field.parse().unwrap());
    Some((fields.next().unwrap(), fields.next().unwrap()))
}
