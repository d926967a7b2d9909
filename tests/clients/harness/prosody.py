"""Debian's Prosody, on which the tests themselves are checked."""

from .server import DOMAIN, Account, Server

CONFIGURATION = """
run_as_root = true
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
log = {{ {{ levels = {{ min = "info" }}, to = "console" }} }}
interfaces = {{ "{address}" }}
c2s_ports = {{ {starttls} }}
c2s_direct_tls_ports = {{ {direct_tls} }}
modules_disabled = {{ "s2s" }}
modules_enabled = {{
    "blocklist", "bookmarks", "carbons", "csi_simple", "disco", "lastactivity", "pep", "ping",
    "private", "register", "roster", "saslauth", "time", "tls", "uptime", "vcard4",
    "vcard_legacy", "version",
}}
allow_registration = {registration}
registration_throttle_max = nil
authentication = "internal_plain"
storage = "internal"
c2s_require_encryption = true
ssl = {{ certificate = "{certificate}", key = "{key}" }}
c2s_direct_tls_ssl = {{ certificate = "{certificate}", key = "{key}" }}
VirtualHost "{domain}"
"""


class Prosody(Server):
    name = "prosody"

    def command(self) -> list[str]:
        self._accounts.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "prosody.cfg.lua"
        configuration.write_text(
            CONFIGURATION.format(
                folder=self.folder,
                address=self.address,
                starttls=self.starttls_port,
                direct_tls=self.direct_tls_port,
                registration=str(self.options.registration).lower(),
                certificate=self.certificate,
                key=self.key,
                domain=DOMAIN,
            )
        )
        return ["prosody", "--config", str(configuration), "-F"]

    def add_account(self, account: Account):
        # The file that `prosodyctl register` would write, without its start-up time.
        assert account.user.replace("-", "").isalnum(), "other names need escaping"
        name = account.user.replace("-", "%2d")
        stored = f'return {{ ["password"] = "{account.password}" }};\n'
        (self._accounts / f"{name}.dat").write_text(stored)

    @property
    def _accounts(self):
        return self.folder / "data" / DOMAIN / "accounts"
