"""Debian's ejabberd, with which servers federate."""

import json
import urllib.request
from pathlib import Path

from .server import Account, Server, free_ports

CONFIGURATION = """
hosts: ["{domain}"]
loglevel: debug
certfiles: ["{folder}/both.pem"]
ca_file: "{authority}"
s2s_cafile: "{authority}"
s2s_use_starttls: required
s2s_timeout: 20 seconds
s2s_zlib: {compressed}
listen:
  - {{ port: {starttls}, ip: "{address}", module: ejabberd_c2s, starttls: true }}
  - {{ port: {direct_tls}, ip: "{address}", module: ejabberd_c2s, tls: true }}
  - {{ port: {s2s}, ip: "{address}", module: ejabberd_s2s_in }}
  - {{ port: {api}, ip: "{address}", module: ejabberd_http, request_handlers: {{ /api: mod_http_api }} }}
api_permissions:
  tests: {{ from: [mod_http_api], who: {{ ip: 127.0.0.1/8 }}, what: [register] }}
modules:
  mod_roster: {{}}
  mod_disco: {{}}
  mod_ping: {{}}
  mod_version: {{}}
  mod_offline: {{}}
  mod_http_api: {{}}
{dialback}
"""

# Where Erlang looks for names: at this server, and in no file.
RESOLVER = """
{{resolv_conf, ""}}.
{{hosts_file, ""}}.
{{lookup, [dns]}}.
{{nameserver, {{127,0,0,1}}, {port}}}.
"""


class Ejabberd(Server):
    name = "ejabberd"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        (self._api,) = free_ports(1)

    def command(self) -> list[str]:
        (self.folder / "mnesia").mkdir(exist_ok=True)
        pem = self.certificate.read_text() + self.key.read_text()
        (self.folder / "both.pem").write_text(pem)
        (self.folder / "ejabberd.yml").write_text(
            CONFIGURATION.format(
                domain=self.domain,
                folder=self.folder,
                authority=self.authority.certificate,
                address=self.address,
                starttls=self.starttls_port,
                direct_tls=self.direct_tls_port,
                s2s=self.s2s_port,
                api=self._api,
                compressed=str(self.options.federation.compressed).lower(),
                dialback="" if self.options.federation.certified else "  mod_s2s_dialback: {}",
            )
        )
        port = self.names.address.rpartition(":")[2]
        (self.folder / "inetrc").write_text(RESOLVER.format(port=port))
        libraries = sorted(Path("/usr/lib").glob("*/ejabberd-*/ebin"))
        # As ejabberdctl starts it, less the distribution, which nothing here needs.
        return [
            "env",
            f"ERL_LIBS={libraries[-1].parent.parent if libraries else ''}",
            f"ERL_INETRC={self.folder / 'inetrc'}",
            f"EJABBERD_CONFIG_PATH={self.folder / 'ejabberd.yml'}",
            f"EJABBERD_LOG_PATH={self.folder / 'ejabberd.log'}",
            "ERL_CRASH_DUMP_BYTES=0",
            f"HOME={self.folder}",
            "erl", "-noinput", "+K", "true",
            "-mnesia", "dir", f'"{self.folder / "mnesia"}"', "-s", "ejabberd",
        ]

    def add_account(self, account: Account):
        body = {"user": account.user, "host": account.domain, "password": account.password}
        request = urllib.request.Request(
            f"http://{self.address}:{self._api}/api/register", json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=30).close()
