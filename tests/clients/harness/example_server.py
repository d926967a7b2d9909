"""Our example server. All the harness knows of its configuration is here."""

import json
import os
import subprocess
from pathlib import Path

from .server import Account, Server

REPOSITORY = Path(__file__).resolve().parents[3]
TARGET = REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target")

CONFIGURATION = """
data = "{folder}/data"

[listen]
starttls = ["{address}:{starttls}"]
direct_tls = ["{address}:{direct_tls}"]

{client_authorities}
# Many wrong passwords come from one address here.
[throttle]
first = "1 ms"
most = "20 ms"

[registration]
enabled = {registration}

[[domains]]
name = "{domain}"
certificate = "{certificate}"
key = "{key}"

{s2s}
{rooms}
"""

ALONE = """
[s2s]
enabled = false
"""

# All servers of a run are on loopback, and so is their DNS.
FEDERATION = """
[log]
level = "info,xmpp_core::io=debug,xmpp_core::s2s=debug"

[s2s]
listen = [{starttls}]
direct_tls = [{direct_tls}]
authorities = "{ca}"
name_servers = ["{name_server}"]
allow_networks = ["127.0.0.0/8", "198.18.0.0/15"]
{patience}
[s2s.policy]
proof = "{proof}"
bidi = {bidi}

[s2s.peers]
{peers}
"""

# Nobody waits for minutes here ...
SHORT = """
[s2s.limits.links]
connect = "10 s"
backoff = { max = "2 s" }
"""

# ... but where a handshake takes minutes. Who connects is not known before its stream header.
CONSTRAINED = """
[s2s.limits.timeouts]
header = "2 min"

[s2s.limits.links]
backoff = { max = "30 s" }
"""
PATIENCE = 10

PEER = """
[rooms.federation.peers."{domain}"]
profile = "{link}"
"""

ROOM = """
[[rooms.federated]]
room = "{room}"
parents = {parents}
accept = {accept}
"""


class ExampleServer(Server):
    name = "ours"

    def command(self) -> list[str]:
        tls = f'[tls]\nclient_authorities = "{self.ca}"\n'
        self._configuration.write_text(
            CONFIGURATION.format(
                folder=self.folder,
                address=self.address,
                starttls=self.starttls_port,
                direct_tls=self.direct_tls_port,
                client_authorities=tls if self.options.client_certificates else "",
                registration=str(self.options.registration).lower(),
                certificate=self.certificate,
                key=self.key,
                domain=self.domain,
                s2s=self._s2s(),
                rooms=self._rooms(),
            )
        )
        return [self.binary(), "run", "--config", str(self._configuration)]

    def add_account(self, account: Account):
        subprocess.run(
            [self.binary(), "adduser", "--config", self._configuration, account.jid,
             "--password", account.password],
            check=True, capture_output=True, timeout=30, cwd=self.folder,
        )

    def _s2s(self) -> str:
        federation = self.options.federation
        if federation is None:
            return ALONE
        listen = f'"{self.listen_address}:{self.s2s_port}"'
        return FEDERATION.format(
            starttls="" if federation.direct_tls else listen,
            direct_tls=listen if federation.direct_tls else "",
            ca=self.authority.certificate,
            name_server=self.names.address,
            proof="certificate" if federation.certified else "either",
            bidi=str(federation.bidi).lower(),
            peers="\n".join(self._peers()),
            patience=CONSTRAINED if self.constrained else SHORT,
        )

    def _peers(self) -> list[str]:
        """Where single domains differ."""
        compressed = {self.options.peer} - {""}
        if self.options.federation.compressed:
            compressed |= self.constrained
        settings = {}
        for domain in [*self.hosts, *(compressed - self.hosts.keys())]:
            settings[domain] = [
                f'host = "{self.hosts[domain]}"' if domain in self.hosts else "",
                f"patience = {PATIENCE}" if domain in self.constrained else "",
                'compression = "zlib"' if domain in compressed else "",
            ]
        return [
            f'"{domain}" = {{ {", ".join(filter(None, each))} }}' for domain, each in settings.items()
        ]

    def _rooms(self) -> str:
        """Those that are one with rooms of others."""
        if not self.federated:
            return ""
        peers = (PEER.format(domain=domain, link=self.link) for domain in sorted(self.constrained))
        rooms = (
            ROOM.format(
                room=f"{room.name}@{self.rooms}",
                parents=json.dumps(room.parents),
                accept=json.dumps(room.accept),
            )
            for room in self.federated
        )
        return "".join((*peers, *rooms))

    def links(self) -> str:
        """What its operator sees of its connections with others."""
        command = [self.binary(), "links", "--config", self._configuration]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout

    @staticmethod
    def binary() -> str:
        """The binary under test: $EXAMPLE_SERVER, or the release build."""
        path = Path(os.environ.get("EXAMPLE_SERVER", TARGET / "release" / "example-server"))
        if not path.is_file():
            raise SystemExit(f"{path} is missing; build it with: cargo build --release")
        return str(path.resolve())

    @property
    def _configuration(self) -> Path:
        return self.folder / "server.toml"
