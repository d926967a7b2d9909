"""Where the servers of a chain are: a on one side of a line, b and c on the other.

Their clients and the line itself are in this process. On loopback nothing but good will keeps the servers from each other; in network
namespaces there is no way between the sides but through the line, which is then counted by the kernel as well.
"""

import os
import shutil
import subprocess
from pathlib import Path

from .proxy import Count
from .server import Server

NETWORK = "198.18"
"""RFC 2544: for tests of networks, and nowhere routed."""


class Loopback:
    """All on 127.0.0.1."""

    name = "loopback"

    def place(self, servers: dict[str, Server]):
        """Tells each server where it is and where it finds the others. Call it before they start."""
        for name, server in servers.items():
            meet(name, server, servers, lambda other: "127.0.0.1")

    def counted(self) -> tuple[Count, Count] | None:
        """What the kernel says that has gone from a to the others and back."""

    def end(self):
        """Takes away what was set up."""


class Namespaces:
    """One for each server. Wants root, and `ip`.

        here .0.1 ── .0.2 a      here .0.5 ── .0.6 b      here .0.9 ── .0.10 c      clients
        here .1.1 ── .1.2 a      here .2.1 ── .2.2 b .3.1 ── .3.2 c                 servers
    """

    name = "network namespaces"

    def __init__(self):
        self._spaces = {name: f"chain-{os.getpid()}-{name}" for name in "abc"}

    @staticmethod
    def why_not() -> str | None:
        """What keeps us from having them."""
        if shutil.which("ip") is None:
            return "there is no program ip (iproute2)"
        probe = f"chain-{os.getpid()}-probe"
        added = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
        if added.returncode != 0:
            return added.stderr.strip()
        ip("netns", "del", probe)
        return None

    def place(self, servers: dict[str, Server]):
        for space in self._spaces.values():
            ip("netns", "add", space)
            ip("-n", space, "link", "set", "lo", "up")
        clients = {"a": "0.2", "b": "0.6", "c": "0.10"}
        for name, address in clients.items():
            self._cable(name, "clients", address)
        self._cable("a", "line", "1.2")
        self._cable("b", "line", "2.2")
        a, b, c = self._spaces.values()
        ip("-n", b, "link", "add", "lan", "type", "veth", "peer", "name", "lan", "netns", c)
        for space, address in ((b, "3.1"), (c, "3.2")):
            ip("-n", space, "address", "add", f"{NETWORK}.{address}/30", "dev", "lan")
            ip("-n", space, "link", "set", "lan", "up")
        # Whoever is behind b is reached through it, and reaches nobody else.
        ip("-n", c, "route", "add", f"{NETWORK}.2.0/30", "via", f"{NETWORK}.3.1")
        ip("route", "add", f"{NETWORK}.3.0/30", "via", f"{NETWORK}.2.2")
        forward = ("sysctl", "-qw", "net.ipv4.ip_forward=1")
        ip("netns", "exec", b, *forward)
        s2s = {"a": "1.2", "b": "2.2", "c": "3.2"}
        for name, server in servers.items():
            server.prefix = ("ip", "netns", "exec", self._spaces[name])
            server.address = f"{NETWORK}.{clients[name]}"
            server.listen_address = "0.0.0.0"
            server.s2s_address = f"{NETWORK}.{s2s[name]}"
            server.proxy_address = f"{NETWORK}.{'2.1' if name == 'a' else '1.1'}"
        beside = {"b": f"{NETWORK}.3.1", "c": f"{NETWORK}.3.2"}
        for name, server in servers.items():
            meet(name, server, servers, beside.get)

    def counted(self) -> tuple[Count, Count]:
        # This end of the cable to a: what it receives, a has sent.
        folder = Path("/sys/class/net") / device("a", "line") / "statistics"
        number = lambda name: int((folder / name).read_text())
        ethernet = 14
        return tuple(
            Count(segments=number(f"{way}_packets"),
                  wire=number(f"{way}_bytes") - ethernet * number(f"{way}_packets"))
            for way in ("rx", "tx")
        )

    def end(self):
        for space in self._spaces.values():
            subprocess.run(["ip", "netns", "del", space], capture_output=True)

    def _cable(self, name: str, use: str, address: str):
        """Between here and a server; here is the address before that one."""
        end = device(name, use)
        network, _, number = address.partition(".")
        space = self._spaces[name]
        ip("link", "add", end, "type", "veth", "peer", "name", use, "netns", space)
        here = f"{NETWORK}.{network}.{int(number) - 1}/30"
        ip("address", "add", here, "dev", end)
        ip("link", "set", end, "up")
        ip("-n", space, "address", "add", f"{NETWORK}.{address}/30", "dev", use)
        ip("-n", space, "link", "set", use, "up")


def meet(name: str, server: Server, servers: dict[str, Server], beside):
    """Tells a server of the others: through the line, or `beside` it."""
    for other, peer in servers.items():
        if other == name:
            continue
        across = "a" in (name, other)
        address, port = (
            (peer.proxy_address, peer.proxy_port) if across else (beside(other), peer.s2s_port)
        )
        for domain in (peer.domain, peer.rooms):
            server.hosts[domain] = f"{address}:{port}"
            if across:
                server.constrained |= {domain}


def device(name: str, use: str) -> str:
    """This end of a cable."""
    return f"x{os.getpid()}{name}{use}"


def ip(*arguments: str):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
