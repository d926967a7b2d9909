"""The console client profanity, typed to and read through tmux."""

import asyncio
import re
import subprocess
import time
from pathlib import Path

from .server import Account, Server

TIMEOUT = 15.0
CONFIGURATION = """\
[ui]
splash=false
"""


class Profanity:
    """One profanity in a terminal of its own; `wait_for` reads the screen."""

    def __init__(self, server: Server, folder: Path, *, trusted: bool = True):
        self.server = server
        self._socket = folder / "tmux"
        configuration = folder / ".config" / "profanity" / "profrc"
        configuration.parent.mkdir(parents=True)
        configuration.write_text(CONFIGURATION)
        environment = {
            "HOME": folder,
            "XDG_CONFIG_HOME": folder / ".config",
            "XDG_DATA_HOME": folder / ".local" / "share",
            "LC_ALL": "C.UTF-8",
            # Where OpenSSL looks for authorities; an empty file has none.
            "SSL_CERT_FILE": server.ca if trusted else "/dev/null",
            "SSL_CERT_DIR": "/nonexistent",
        }
        self._tmux(
            "-f", "/dev/null", "new-session", "-d", "-x", "160", "-y", "50",
            "env", *(f"{name}={value}" for name, value in environment.items()), "profanity",
        )

    async def ready(self) -> "Profanity":
        """Returns when it accepts commands."""
        await self.wait_for(r"\[offline\]")
        return self

    async def login(self, account: Account, resource: str = "", *, direct_tls: bool = False):
        """Logs in and waits until profanity says that it is online under TLS."""
        self.connect(account, resource, direct_tls=direct_tls)
        await self.wait_for("Enter password")
        self.type(account.password)
        await self.wait_for("logged in successfully")
        await self.wait_for(r"\[TLS\] \[online\]")

    def connect(self, account: Account, resource: str = "", *, direct_tls: bool = False):
        jid = f"{account.jid}/{resource}" if resource else account.jid
        port = self.server.direct_tls_port if direct_tls else self.server.starttls_port
        policy = "legacy" if direct_tls else "force"
        self.type(f"/connect {jid} server {self.server.address} port {port} tls {policy}")

    def type(self, line: str):
        """Types a line and ends it."""
        self._tmux("send-keys", "-l", "--", line)
        self._tmux("send-keys", "Enter")

    async def wait_for(self, pattern: str) -> str:
        """Returns the screen as soon as `pattern` is on it."""
        deadline = time.monotonic() + TIMEOUT
        while not re.search(pattern, screen := self.screen()):
            if time.monotonic() > deadline:
                raise AssertionError(f"no {pattern!r} within {TIMEOUT} s on this screen:\n{screen}")
            await asyncio.sleep(0.05)
        return screen

    def screen(self) -> str:
        """What is on the screen now, without empty lines."""
        lines = self._tmux("capture-pane", "-p").splitlines()
        return "\n".join(line.rstrip() for line in lines if line.strip())

    def close(self):
        """Ends profanity without a word."""
        self._tmux("kill-server")

    def _tmux(self, *arguments) -> str:
        command = ["tmux", "-u", "-S", self._socket, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, timeout=10)
        if done.returncode != 0:
            raise AssertionError(f"profanity ended: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode()
