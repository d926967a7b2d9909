//! The whole generator against the bare relay: green when all is well, red for each planted fault.

// Everything here is a test, helpers included.
#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

struct Relay {
    process: Child,
    address: String,
}

impl Relay {
    fn start(arguments: &[&str]) -> Relay {
        let mut process = Command::new(env!("CARGO_BIN_EXE_relay"))
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = process.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap()
            .to_owned();
        Relay { process, address }
    }

    /// The generator's exit code and report.
    fn load(&self, arguments: &[&str]) -> (i32, Value) {
        let output = Command::new(env!("CARGO_BIN_EXE_loadgen"))
            .args(arguments)
            .args(["--server", &self.address, "--peer", "relay", "--json"])
            .args(["--pid", &self.process.id().to_string()])
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code().unwrap(), report)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const SHORT: [&str; 6] = ["--warm-up", "0.1", "--seconds", "0.3", "--stall", "0.5"];

fn short<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &SHORT].concat()
}

fn assert_clean((code, report): (i32, Value)) {
    assert_eq!(code, 0, "{report:#}");
    assert!(report["operations"].as_u64().unwrap() > 0, "{report:#}");
    assert!(report["server_cpu_seconds"].is_number(), "{report:#}");
    let oracle = &report["oracle"];
    if !oracle.is_null() {
        assert!(oracle["sent"].as_u64().unwrap() > 0, "{report:#}");
        assert_eq!(oracle["sent"], oracle["received"], "{report:#}");
    }
}

#[test]
fn every_load_is_clean_against_an_honest_relay() {
    for (relay, security) in [(vec![], "none"), (vec!["--tls"], "direct")] {
        let relay = Relay::start(&relay);
        let load = |arguments: &[&str]| {
            relay.load(&[&short(arguments)[..], &["--tls", security]].concat())
        };
        assert_clean(load(&["chat", "--pairs", "3", "--window", "1"]));
        assert_clean(load(&[
            "chat", "--pairs", "3", "--window", "20", "--body", "5000",
        ]));
        assert_clean(load(&["chat", "--pairs", "2", "--rate", "500"]));
        assert_clean(load(&["ping", "--sessions", "3", "--window", "4"]));
        assert_clean(load(&[
            "rooms",
            "--rooms",
            "2",
            "--occupants",
            "4",
            "--speakers",
            "2",
        ]));
        assert_clean(load(&["login", "--workers", "3", "--accounts", "9"]));
    }
}

#[test]
fn a_fixed_rate_is_kept() {
    let (code, report) = Relay::start(&[]).load(&[
        "chat",
        "--pairs",
        "4",
        "--rate",
        "200",
        "--warm-up",
        "0.2",
        "--seconds",
        "1",
    ]);
    assert_eq!(code, 0);
    let operations = report["operations"].as_u64().unwrap();
    assert!(
        (100..=300).contains(&operations),
        "{operations} in a second"
    );
}

#[test]
fn each_planted_fault_ends_in_red() {
    let relay = Relay::start(&[]);
    for load in [
        ["chat", "--pairs", "1"],
        ["ping", "--sessions", "1"],
        ["rooms", "--occupants", "3"],
    ] {
        for (plant, key) in [
            ("drop", "lost"),
            ("duplicate", "duplicated"),
            ("reorder", "reordered"),
        ] {
            let (code, report) = relay.load(
                &[
                    &load[..],
                    &["--plant", plant, "--warm-up", "0.1", "--seconds", "1"],
                ]
                .concat(),
            );
            assert_eq!(code, 1, "{load:?} {plant}: {report:#}");
            for other in ["lost", "duplicated", "reordered", "foreign"] {
                let expected = u64::from(other == key);
                assert_eq!(
                    report["oracle"][other], expected,
                    "{load:?} {plant}: {report:#}"
                );
            }
        }
    }
}

#[test]
fn idle_sessions_are_weighed() {
    let relay = Relay::start(&[]);
    let (code, report) = relay.load(&["idle", "--sessions", "200", "--settle", "0.2"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["memory"]["sessions"], 200);
    assert!(
        report["memory"]["kib_per_session"].as_f64().unwrap() > 0.0,
        "{report:#}"
    );
}

#[test]
fn a_server_that_is_not_there_is_a_failure_and_no_fault() {
    let gone = Relay::start(&[]).address.clone();
    let status = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["ping", "--server", &gone, "--quiet"])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(2));
}
