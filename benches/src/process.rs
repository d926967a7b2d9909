//! What a server costs: CPU time and resident memory of a process and its descendants, from Linux's `/proc`.

use std::{collections::HashMap, fs, io, time::Duration};

/// A process and its descendants (ejabberd's `beam.smp` has helpers, others fork workers), or several of them taken together.
#[derive(Debug, Clone)]
pub struct ProcessTree {
    roots: Vec<u32>,
}

/// Ticks a second in `/proc/PID/stat`: `USER_HZ`, which is 100 on every architecture that runs these servers (proc(5)).
const TICKS: u64 = 100;

impl ProcessTree {
    /// The trees below `roots`, which must be running.
    pub fn new(roots: Vec<u32>) -> io::Result<ProcessTree> {
        roots.iter().try_for_each(|&root| stat(root).map(drop))?;
        Ok(ProcessTree { roots })
    }

    /// This process.
    pub fn own() -> ProcessTree {
        ProcessTree {
            roots: vec![std::process::id()],
        }
    }

    /// User and system time of all threads, ended and waited-for children included. Steps of 10 ms.
    pub fn cpu(&self) -> io::Result<Duration> {
        let ticks: u64 = self.members()?.iter().map(|(_, stat)| stat.ticks).sum();
        Ok(Duration::from_secs_f64(ticks as f64 / TICKS as f64))
    }

    /// Resident memory, bytes.
    pub fn resident(&self) -> io::Result<u64> {
        self.members()?.iter().map(|&(pid, _)| resident(pid)).sum()
    }

    fn members(&self) -> io::Result<Vec<(u32, Stat)>> {
        let all: HashMap<u32, Stat> = fs::read_dir("/proc")?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|pid| Some((pid, stat(pid).ok()?)))
            .collect();
        let root = |&root: &u32| Ok((root, stat(root)?));
        let mut members: Vec<_> = self.roots.iter().map(root).collect::<io::Result<_>>()?;
        let mut at = 0;
        while let Some(&(parent, _)) = members.get(at) {
            let children = all.iter().filter(|(_, stat)| stat.parent == parent);
            members.extend(children.map(|(&pid, &stat)| (pid, stat)));
            at += 1;
        }
        Ok(members)
    }
}

#[derive(Debug, Clone, Copy)]
struct Stat {
    parent: u32,
    ticks: u64,
}

fn stat(pid: u32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_err(|e| io::Error::new(e.kind(), format!("process {pid}: {e}")))?;
    parse(&text).ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat cannot be read")))
}

/// proc(5): the name in parentheses may hold anything, so fields are counted behind the last one: state, ppid, …, utime (14), stime, cutime, cstime.
fn parse(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let times: Option<Vec<u64>> = fields.get(11..15)?.iter().map(|t| t.parse().ok()).collect();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        ticks: times?.iter().sum(),
    })
}

fn resident(pid: u32) -> io::Result<u64> {
    let kib = |file: &str, key: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    };
    kib("smaps_rollup", "Rss:")
        .or_else(|| kib("status", "VmRSS:"))
        .map(|kib| kib * 1024)
        .ok_or_else(|| io::Error::other(format!("the memory of process {pid} cannot be read")))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = parse("7 (a) b (c) S 3 7 7 0 -1 0 0 0 0 0 10 20 30 40 20 0 1").unwrap();
        assert_eq!((stat.parent, stat.ticks), (3, 100));
        assert!(parse("7 (x) S").is_none());
    }

    #[test]
    fn the_children_are_counted_in() {
        let mut child = Command::new("sleep").arg("10").spawn().unwrap();
        let both = ProcessTree::own().members().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(both.iter().any(|(pid, _)| *pid == child.id()));
    }

    #[test]
    fn work_costs_cpu_and_a_process_is_resident() {
        let own = ProcessTree::own();
        let before = own.cpu().unwrap();
        let mut sum = 0u64;
        let begin = std::time::Instant::now();
        while own.cpu().unwrap() - before < Duration::from_millis(30) {
            assert!(
                begin.elapsed() < Duration::from_secs(30),
                "work costs nothing"
            );
            sum = (0..1_000_000).fold(sum, |a, b| a.wrapping_mul(31).wrapping_add(b));
        }
        std::hint::black_box(sum);
        assert!(own.resident().unwrap() > 100 * 1024);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(ProcessTree::new(vec![u32::MAX]).is_err());
    }
}
