//! A PostgreSQL server of the run's own, from the system's package.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};

const PORT: u16 = 5432;
/// It starts in a second; this machine may have other things to do.
const PATIENCE: u32 = 60;

/// It ends when this is dropped.
pub struct Postgres {
    folder: PathBuf,
    programs: PathBuf,
    owner: (u32, u32),
    server: Option<Child>,
}

impl Postgres {
    /// Makes one in this folder. It listens in the file system only, which all network namespaces share.
    pub fn start(folder: &Path) -> anyhow::Result<Postgres> {
        let mut postgres = Postgres {
            folder: folder.to_owned(),
            programs: programs()?,
            owner: owner()?,
            server: None,
        };
        fs::create_dir(folder)?;
        let (user, group) = postgres.owner;
        chown(folder, Some(user), Some(group))?;
        let made = postgres
            .command("initdb")
            .args([
                "--no-sync",
                "--username=xmpp",
                "--encoding=UTF8",
                "--locale=C",
            ])
            .args(["--auth-local=trust", "--auth-host=reject"])
            .output()?;
        ensure!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        postgres.run()?;
        Ok(postgres)
    }

    /// What the nodes are told.
    pub fn url(&self) -> String {
        let folder = self.folder.display();
        format!("host={folder} port={PORT} user=xmpp dbname=postgres")
    }

    /// Ends it as a crash would.
    pub fn crash(&mut self) -> anyhow::Result<()> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        let stopped = self
            .command("pg_ctl")
            .args(["stop", "--mode=immediate"])
            .output();
        if !stopped.is_ok_and(|stopped| stopped.status.success()) {
            server.kill()?;
        }
        server.wait()?;
        Ok(())
    }

    /// Starts it, also after a crash.
    pub fn run(&mut self) -> anyhow::Result<()> {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))?;
        let mut command = self.command("postgres");
        command
            .args(["-p", &PORT.to_string(), "-F", "-k"])
            .arg(&self.folder)
            .args(["-c", "listen_addresses="])
            .stdout(Stdio::null())
            .stderr(log);
        self.server = Some(command.spawn()?);
        for _ in 0..PATIENCE * 20 {
            let mut ready = self.command("pg_isready");
            ready
                .args(["-q", "-p", &PORT.to_string(), "-h"])
                .arg(&self.folder);
            if ready.status()?.success() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        anyhow::bail!(
            "PostgreSQL has not started: {}",
            self.folder.join("log").display()
        )
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        // It does not run as root.
        let (user, group) = self.owner;
        command
            .env("PGDATA", self.folder.join("data"))
            .env("LC_ALL", "C")
            .current_dir(&self.folder)
            .uid(user)
            .gid(group);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.crash();
    }
}

/// Where the newest version's programs are.
fn programs() -> anyhow::Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let version = |entry: std::io::Result<fs::DirEntry>| {
        entry.ok()?.file_name().to_str()?.parse::<u32>().ok()
    };
    let newest = versions.filter_map(version).max();
    let newest = newest.context("PostgreSQL is missing: apt-get install -y postgresql")?;
    Ok(PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin")))
}

/// The user of the package.
fn owner() -> anyhow::Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd")?;
    let user = users
        .lines()
        .find_map(|line| line.strip_prefix("postgres:"));
    let mut fields = user
        .context("there is no user postgres")?
        .split(':')
        .skip(1);
    let mut number = || fields.next()?.parse::<u32>().ok();
    number()
        .zip(number())
        .context("/etc/passwd: a line that cannot be read")
}
