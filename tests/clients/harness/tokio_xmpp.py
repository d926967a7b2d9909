"""A client on the Rust library tokio-xmpp; see `../tokio-xmpp/src/main.rs`."""

import asyncio
import os
import re
import sys
from pathlib import Path

from .case import ClientTest
from .server import Account

PROGRAM = Path(sys.prefix).parent / "tokio-xmpp" / "debug" / "tokio-xmpp-client"
TIMEOUT = 20.0


class TokioClient:
    """The running program: lines in, lines out."""

    def __init__(self, process: asyncio.subprocess.Process):
        self.process = process
        self.seen: list[str] = []

    def tell(self, line: str):
        self.process.stdin.write(f"{line}\n".encode())

    async def wait_for(self, pattern: str, seconds: float = TIMEOUT) -> str:
        """Reads lines until one matches as a whole, and returns it."""
        try:
            async with asyncio.timeout(seconds):
                while raw := await self.process.stdout.readline():
                    line = raw.decode().rstrip("\n")
                    self.seen.append(line)
                    if re.fullmatch(pattern, line):
                        return line
        except TimeoutError:
            pass
        raise AssertionError(f"no line {pattern!r} among {self.seen}")

    async def end(self):
        """Ends the process, whatever it does."""
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def quit(self) -> int:
        """Closes the stream; returns the exit status."""
        self.tell("quit")
        return await asyncio.wait_for(self.process.wait(), TIMEOUT)


async def start(
    test: ClientTest,
    account: Account,
    resource: str = "",
    *,
    direct_tls=False,
    trusted=True,
    port: int | None = None,
) -> TokioClient:
    """The client of an account, which connects to `port` if that is not the server's own. It ends with the test."""
    kind = "direct-tls" if direct_tls else "starttls"
    server = test.server
    port = port or (server.direct_tls_port if direct_tls else server.starttls_port)
    process = await asyncio.create_subprocess_exec(
        PROGRAM, kind, f"{server.address}:{port}",
        f"{account.jid}/{resource}" if resource else account.jid, account.password,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {
            "SSL_CERT_FILE": str(server.ca) if trusted else "/dev/null",
            "SSL_CERT_DIR": "/nonexistent",
        },
    )
    client = TokioClient(process)
    test.addAsyncCleanup(client.end)
    return client
