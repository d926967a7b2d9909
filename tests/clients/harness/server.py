"""A server under test: one process, its folder and its ports."""

import os
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from .authority import Authority
from .names import Names

START_TIMEOUT = 30.0
STOP_TIMEOUT = 15.0
DOMAIN = "localhost"


@dataclass(frozen=True)
class Account:
    """A user of the server."""

    user: str
    password: str
    domain: str = DOMAIN

    @property
    def jid(self) -> str:
        return f"{self.user}@{self.domain}"


@dataclass(frozen=True)
class Federation:
    """How two servers speak with each other.

    `certified`: both have certificates of the test authority, and believe nothing
    else; otherwise both have signed their own, and dialback has to do. Certificates
    are for servers, as public authorities give them out; `client_auth`: for clients
    too, without which ejabberd accepts none from who connects to it. `bidi`,
    `acks` and `compressed` are XEP-0288, XEP-0198 and XEP-0138; `direct_tls` is XEP-0368, and no STARTTLS. `proxied`: DNS names `proxy_port`, where the test
    puts what it can cut.
    """

    certified: bool = False
    client_auth: bool = False
    bidi: bool = False
    acks: bool = False
    compressed: bool = False
    direct_tls: bool = False
    proxied: bool = False

    def __str__(self) -> str:
        words = [name for name, value in vars(self).items() if value and name != "certified"]
        return ", ".join(["certificates" if self.certified else "dialback", *words])


@dataclass(frozen=True)
class Options:
    """What a suite asks of its server; equal options share one process.

    `registration` opens in-band registration. `client_certificates` asks
    clients for a certificate of the test authority. `standard_ports` listens on
    5222 and 5223 of a loopback address of its own, for clients whose ports
    cannot be set. `federation` gives it a domain of its own in the DNS of the
    run, and a port for other servers. `alone` is for a test that does to its
    server what no other could bear; it names the reason. `peer` is the domain of
    the other server, for those that are compressed only if they are named.
    """

    registration: bool = False
    client_certificates: bool = False
    standard_ports: bool = False
    federation: Federation | None = None
    alone: str = ""
    peer: str = ""


@dataclass(frozen=True)
class FederatedRoom:
    """A room that is one with rooms of other servers (XEP-0289): those that it joins, and those that may join it."""

    name: str
    parents: tuple[str, ...] = ()
    accept: tuple[str, ...] = ()


class Server(ABC):
    """Starts and stops a server; each product is a subclass.

    `rooms` is the domain of its rooms. `ended` is the exit status once `wait` has seen it.

    What can be changed before it starts: `hosts`, where it finds domains that it does not ask DNS for; `constrained`, those of
    them that are reached over a slow line; `federated`, rooms, and what the `link` of these is like over it; `prefix`, a command that runs its own; where it listens for
    other servers, where these find it, and where a proxy before it listens.
    """

    name: str

    def __init__(self, folder: Path, authority: Authority, options: Options, names: Names):
        folder.mkdir()
        self.folder = folder
        self.options = options
        self.authority = authority
        self.names = names
        federation = options.federation
        self.domain = f"{folder.name}.example" if federation else DOMAIN
        self.rooms = f"rooms.{self.domain}"
        if federation and not federation.certified:
            self.certificate, self.key = authority.self_signed(self.domain)
            self.ca = self.certificate
        else:
            client_auth = federation is not None and federation.client_auth
            self.certificate, self.key = authority.server(self.domain, client_auth=client_auth)
            self.ca = authority.certificate
        self.log = folder / "server.log"
        self._numbers = count(1)
        self._process: subprocess.Popen | None = None
        self.ended: int | None = None
        if options.standard_ports:
            pid = os.getpid()
            self.address = f"127.{100 + pid % 100}.{pid // 100 % 250 + 1}.1"
            self.starttls_port, self.direct_tls_port = 5222, 5223
            self.s2s_port, self.proxy_port = free_ports(2)
        else:
            self.address = "127.0.0.1"
            ports = free_ports(4)
            self.starttls_port, self.direct_tls_port, self.s2s_port, self.proxy_port = ports
        self.listen_address = self.s2s_address = self.proxy_address = self.address
        self.hosts: dict[str, str] = {}
        self.constrained: frozenset[str] = frozenset()
        self.federated: tuple[FederatedRoom, ...] = ()
        self.link = "lan"
        self.prefix: tuple[str, ...] = ()
        if federation:
            port = self.proxy_port if federation.proxied else self.s2s_port
            # ejabberd asks the C library for addresses, and that knows of this host only.
            here, nowhere = f"SRV 0 0 {port} localhost", "SRV 0 0 0 ."
            for domain in (self.domain, self.rooms):
                names.say(
                    f"_xmpp-server._tcp.{domain} {nowhere if federation.direct_tls else here}",
                    f"_xmpps-server._tcp.{domain} {here if federation.direct_tls else nowhere}",
                )

    def __str__(self) -> str:
        options = [f"{name} {value}" for name, value in vars(self.options).items() if value]
        return f"{self.name} ({', '.join(options) or 'as it comes'})"

    @abstractmethod
    def command(self) -> list[str]:
        """Writes the configuration; returns the command that runs in the foreground."""

    @abstractmethod
    def add_account(self, account: Account):
        """Creates an account while the server runs."""

    def start(self):
        """Returns when its ports accept connections."""
        self.ended = None
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.prefix, *self.command()], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_TIMEOUT
        ports = [self.starttls_port, self.direct_tls_port]
        if self.options.federation:
            ports.append(self.s2s_port)
        for port in ports:
            while not self._accepts(port):
                if self._process.poll() is not None:
                    raise RuntimeError(f"{self.name} ended at start:\n{self.log_tail()}")
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{self.name} does not listen:\n{self.log_tail()}")
                time.sleep(0.02)

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit status."""
        self.terminate()
        return self.wait()

    def terminate(self):
        """Sends SIGTERM without waiting for the end."""
        self._process.terminate()

    def wait(self) -> int:
        """Returns the exit status; a server that stays is killed and is an error."""
        try:
            self.ended = self._process.wait(STOP_TIMEOUT)
            return self.ended
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise RuntimeError(f"{self.name} did not end within {STOP_TIMEOUT} s of SIGTERM")

    def kill(self):
        """Ends the process, whatever its state."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def new_account(self, name: str) -> Account:
        """Creates an account that no other test uses; `name` begins its user name."""
        account = Account(f"{name}-{next(self._numbers)}", f"secret of {name}", self.domain)
        self.add_account(account)
        return account

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _accepts(self, port: int) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex((self.address, port)) == 0


def free_ports(number: int) -> list[int]:
    """Returns loopback ports that nobody listens on at this moment."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
