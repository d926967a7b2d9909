//! Where the nodes are: each in a network namespace, on two bridges. One bridge is for clients and the database, the other one for the nodes
//! among themselves; a fault takes ports of the latter away, so that nobody is told of it.

use std::{fs, net::Ipv4Addr, process::Command};

use anyhow::{Context as _, bail};

/// The namespaces and bridges of a run. They go when this is dropped.
pub struct Network {
    run: u32,
    /// Third octet of the clients' addresses; the nodes' is the next one.
    octet: u8,
    nodes: usize,
}

/// RFC 2544: for tests of networks, and nowhere routed.
const NETWORK: [u8; 2] = [198, 19];
/// Runs at once that do not meet.
const RUNS: u32 = 120;

impl Network {
    /// Sets it up for so many nodes. Wants root, and `ip` and `bridge` (iproute2).
    pub fn new(nodes: usize) -> anyhow::Result<Network> {
        let run = std::process::id();
        let octet = u8::try_from(run % RUNS * 2).context("a remainder below 240")?;
        let network = Network { run, octet, nodes };
        for (bridge, address) in [
            (network.device("c"), network.here()),
            (network.device("n"), network.middle()),
        ] {
            ip(&["link", "add", &bridge, "type", "bridge"])?;
            ip(&["address", "add", &format!("{address}/24"), "dev", &bridge])?;
            ip(&["link", "set", &bridge, "up"])?;
        }
        for node in 0..nodes {
            let space = network.space(node);
            ip(&["netns", "add", &space])?;
            ip(&["-n", &space, "link", "set", "lo", "up"])?;
            let clients = network.device("c");
            let end = format!("{clients}{node}");
            network.cable(&space, "clients", &clients, &end, network.address(node))?;
            let nodes = network.device("n");
            let end = network.port(node);
            network.cable(&space, "nodes", &nodes, &end, network.inner(node))?;
        }
        Ok(network)
    }

    /// Where clients and the database are.
    pub fn here(&self) -> Ipv4Addr {
        Ipv4Addr::new(NETWORK[0], NETWORK[1], self.octet, 1)
    }

    /// Where a server is that all nodes reach as they reach each other.
    pub fn middle(&self) -> Ipv4Addr {
        Ipv4Addr::new(NETWORK[0], NETWORK[1], self.octet + 1, 1)
    }

    /// Where clients reach a node.
    pub fn address(&self, node: usize) -> Ipv4Addr {
        Ipv4Addr::new(NETWORK[0], NETWORK[1], self.octet, last(node))
    }

    /// Where other nodes reach a node.
    pub fn inner(&self, node: usize) -> Ipv4Addr {
        Ipv4Addr::new(NETWORK[0], NETWORK[1], self.octet + 1, last(node))
    }

    /// What runs a program where a node is; the process is that of the program.
    pub fn prefix(&self, node: usize) -> [String; 4] {
        ["ip", "netns", "exec", &self.space(node)].map(str::to_owned)
    }

    /// Takes a node away from all others, or gives it back. Nothing is told to anybody: packets go nowhere.
    pub fn alone(&self, node: usize, alone: bool) -> anyhow::Result<()> {
        let state = if alone { "0" } else { "3" };
        bridge(&["link", "set", "dev", &self.port(node), "state", state])
    }

    /// Two nodes do not reach each other, or do so again. All else stays.
    pub fn apart(&self, pair: [usize; 2], apart: bool) -> anyhow::Result<()> {
        let isolated = if apart { "on" } else { "off" };
        pair.iter().try_for_each(|&node| {
            bridge(&["link", "set", "dev", &self.port(node), "isolated", isolated])
        })
    }

    /// Bytes that the nodes have sent to where other nodes are: all layers from Ethernet up.
    pub fn carried(&self) -> u64 {
        let sent = |node| {
            let path = format!("/sys/class/net/{}/statistics/rx_bytes", self.port(node));
            let text = fs::read_to_string(path).unwrap_or_default();
            text.trim().parse::<u64>().unwrap_or_default()
        };
        (0..self.nodes).map(sent).sum()
    }

    fn cable(
        &self,
        space: &str,
        name: &str,
        bridge: &str,
        end: &str,
        address: Ipv4Addr,
    ) -> anyhow::Result<()> {
        ip(&[
            "link", "add", end, "type", "veth", "peer", "name", name, "netns", space,
        ])?;
        ip(&["link", "set", end, "master", bridge, "up"])?;
        ip(&[
            "-n",
            space,
            "address",
            "add",
            &format!("{address}/24"),
            "dev",
            name,
        ])?;
        ip(&["-n", space, "link", "set", name, "up"])
    }

    fn space(&self, node: usize) -> String {
        format!("proof-{}-{node}", self.run)
    }

    /// A name of 15 characters at most.
    fn device(&self, use_: &str) -> String {
        format!("p{}{use_}", self.run)
    }

    fn port(&self, node: usize) -> String {
        format!("{}{node}", self.device("n"))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in 0..self.nodes {
            let _ = ip(&["netns", "del", &self.space(node)]);
        }
        for bridge in ["c", "n"] {
            let _ = ip(&["link", "del", &self.device(bridge)]);
        }
    }
}

fn last(node: usize) -> u8 {
    u8::try_from(node).unwrap_or_default().saturating_add(11)
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    run("ip", arguments)
}

fn bridge(arguments: &[&str]) -> anyhow::Result<()> {
    run("bridge", arguments)
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let done = Command::new(program).args(arguments).output();
    let done = done.with_context(|| format!("{program} (iproute2)"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("{program} {}: {}", arguments.join(" "), said.trim());
    }
    Ok(())
}
