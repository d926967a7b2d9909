//! The accounts of a bench, and how each server keeps them on disk: ten thousand of them must be there in a second.
//!
//! All share one password and, where the file format lets us choose, one salt. That is bad practice and good measurement: SCRAM costs a server the
//! same, and the generator derives its keys once.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use clap::ValueEnum;

use crate::scram::{Hash, Keys};

/// The password of every account.
pub const PASSWORD: &str = "loadgen-secret";
const SALT: &str = "loadgen-salt-16b";
const ROUNDS: u32 = 10_000;

/// In whose format accounts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line `user@domain password` each.
    List,
    /// Prosody's internal storage: a folder to be used as `data_path`.
    Prosody,
    /// A Mnesia text file for `mnesia:load_textfile/1`.
    Ejabberd,
}

/// The local part of account `index`.
pub fn user(index: usize) -> String {
    format!("u{index}")
}

/// Writes accounts 0 to `count` of `domain` to `path`: a file, or Prosody's data folder.
pub fn write(format: Format, domain: &str, count: usize, path: &Path) -> io::Result<()> {
    let keys = Keys::derive(Hash::Sha1, PASSWORD.as_bytes(), SALT.as_bytes(), ROUNDS);
    match format {
        Format::List => fs::write(path, list(domain, count)),
        Format::Ejabberd => fs::write(path, mnesia(domain, count, &keys)),
        Format::Prosody => {
            let folder: PathBuf = path.join(escaped(domain)).join("accounts");
            fs::create_dir_all(&folder)?;
            let account = datastore(&keys);
            (0..count).try_for_each(|i| fs::write(folder.join(user(i) + ".dat"), &account))
        }
    }
}

fn list(domain: &str, count: usize) -> String {
    (0..count).fold(String::new(), |mut out, i| {
        let _ = writeln!(out, "{}@{domain} {PASSWORD}", user(i));
        out
    })
}

fn datastore(keys: &Keys) -> String {
    format!(
        "return {{\n\t[\"iteration_count\"] = {ROUNDS};\n\t[\"salt\"] = \"{SALT}\";\n\t[\"stored_key\"] = \"{}\";\n\t[\"server_key\"] = \"{}\";\n}};\n",
        hex(&keys.stored),
        hex(&keys.server)
    )
}

fn mnesia(domain: &str, count: usize, keys: &Keys) -> String {
    let scram = format!(
        "{{scram,<<\"{}\">>,<<\"{}\">>,<<\"{}\">>,sha,{ROUNDS}}}",
        BASE64.encode(&keys.stored),
        BASE64.encode(&keys.server),
        BASE64.encode(SALT)
    );
    let head = "{tables,[{passwd,[{record_name,passwd},{attributes,[us,password]}]}]}.\n";
    (0..count).fold(head.to_owned(), |mut out, i| {
        let _ = writeln!(
            out,
            "{{passwd,{{<<\"{}\">>,<<\"{domain}\">>}},{scram}}}.",
            user(i)
        );
        out
    })
}

/// Prosody writes every byte of a file name but letters, digits as `%xx`.
fn escaped(name: &str) -> String {
    name.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02x}");
        }
        out
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_prosody_does() {
        assert_eq!(escaped("localhost"), "localhost");
        assert_eq!(escaped("a.example"), "a%2eexample");
    }

    #[test]
    fn every_account_is_listed_once() {
        let lines = list("localhost", 3);
        assert_eq!(lines.lines().count(), 3);
        assert!(lines.starts_with("u0@localhost loadgen-secret\n"));
    }
}
