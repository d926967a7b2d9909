"""Debian's Prosody, on which the tests themselves are checked, and with which servers federate."""

from .server import Account, Federation, Server

CONFIGURATION = """
run_as_root = true
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
log = {{ {{ levels = {{ min = "{level}" }}, to = "console" }} }}
interfaces = {{ "{address}" }}
c2s_ports = {{ {starttls} }}
c2s_direct_tls_ports = {{ {direct_tls} }}
modules_enabled = {{ {federation}
    "blocklist", "bookmarks", "carbons", "csi_simple", "disco", "lastactivity", "pep", "ping",
    "private", "register", "roster", "saslauth", "time", "tls", "uptime", "vcard4",
    "vcard_legacy", "version",
}}
allow_registration = {registration}
registration_throttle_max = nil
authentication = "internal_plain"
storage = "internal"
c2s_require_encryption = true
ssl = {{ certificate = "{certificate}", key = "{key}", cafile = "{ca}" }}
c2s_direct_tls_ssl = {{ certificate = "{certificate}", key = "{key}" }}
{s2s}
VirtualHost "{domain}"
Component "{rooms}" "muc"
ssl = {{ certificate = "{certificate}", key = "{key}", cafile = "{ca}" }}
"""

FEDERATION = """
s2s_ports = {{ {starttls} }}
s2s_direct_tls_ports = {{ {direct_tls} }}
s2s_direct_tls_ssl = {{ certificate = "{certificate}", key = "{key}", cafile = "{ca}" }}
s2s_secure_auth = {certified}
s2s_require_encryption = true
-- The DNS of the run and nothing else; unbound keeps no loopback name server otherwise.
unbound = {{
    resolvconf = false, hoststxt = false, forward = "{name_server}",
    options = {{ ["do-not-query-localhost:"] = "no" }},
}}
"""


class Prosody(Server):
    name = "prosody"

    def command(self) -> list[str]:
        self._accounts.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "prosody.cfg.lua"
        configuration.write_text(
            CONFIGURATION.format(
                folder=self.folder,
                level="debug" if self.options.federation else "info",
                address=self.address,
                starttls=self.starttls_port,
                direct_tls=self.direct_tls_port,
                registration=str(self.options.registration).lower(),
                certificate=self.certificate,
                key=self.key,
                ca=self.authority.certificate,
                domain=self.domain,
                rooms=self.rooms,
                federation=modules(self.options.federation),
                s2s=self._s2s(),
            )
        )
        return ["prosody", "--config", str(configuration), "-F"]

    def add_account(self, account: Account):
        # The file that `prosodyctl register` would write, without its start-up time.
        assert account.user.replace("-", "").isalnum(), "other names need escaping"
        name = account.user.replace("-", "%2d")
        stored = f'return {{ ["password"] = "{account.password}" }};\n'
        (self._accounts / f"{name}.dat").write_text(stored)

    def _s2s(self) -> str:
        federation = self.options.federation
        if federation is None:
            return 'modules_disabled = { "s2s" }'
        return FEDERATION.format(
            starttls="" if federation.direct_tls else self.s2s_port,
            direct_tls=self.s2s_port if federation.direct_tls else "",
            certificate=self.certificate,
            key=self.key,
            ca=self.authority.certificate,
            certified=str(federation.certified).lower(),
            name_server=self.names.address.replace(":", "@"),
        )

    @property
    def _accounts(self):
        return self.folder / "data" / self.domain.replace(".", "%2e").replace("-", "%2d") / "accounts"


def modules(federation: Federation | None) -> str:
    """Those that it takes to speak with other servers so."""
    if federation is None:
        return '"smacks", '
    chosen = {
        "s2s": True,
        "s2s_auth_certs": True,
        "dialback": not federation.certified,
        "s2s_bidi": federation.bidi,
        "smacks": federation.acks,
    }
    return "".join(f'"{module}", ' for module, wanted in chosen.items() if wanted)
