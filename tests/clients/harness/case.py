"""The test case every suite derives from."""

import asyncio
import tempfile
import unittest
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path

from slixmpp.exceptions import IqError, IqTimeout

from .authority import Authority
from .names import Names
from .server import Account, Options, Server
from .slix import Client


@dataclass(frozen=True)
class Difference:
    """Why a server fails a test, and whether it always does."""

    because: str
    always: bool


class Servers:
    """The processes of a run, started when first asked for."""

    def __init__(self, product: type[Server], folder: Path):
        self.product = product
        self.folder = folder
        self.authority = Authority(folder / "authority")
        self.names = Names(folder)
        self._running: dict[tuple[type[Server], Options], Server] = {}

    def of(self, options: Options, product: type[Server] | None = None) -> Server:
        """The server with these options: the one under test, or another's `product`."""
        product = product or self.product
        server = self._running.get((product, options))
        if server is None:
            folder = self.folder / f"server-{len(self._running)}"
            server = product(folder, self.authority, options, self.names)
            self._running[product, options] = server
            server.start()
        return server

    def all(self) -> list[Server]:
        return list(self._running.values())


servers: Servers | None = None
"""Those of this run, set by `run` before the first test."""


def differs(server: str, because: str, *, always: bool = True):
    """Marks a test that `server` is known to fail, and why.

    There the test must fail: one that passes is reported, so that the list of
    differences stays true, unless it is one that shows not always. It changes
    nothing for other servers.
    """

    def mark(test):
        known = getattr(test, "differences", {})
        test.differences = {**known, server: Difference(because, always)}
        return test

    return mark


class ClientTest(unittest.IsolatedAsyncioTestCase):
    """A test with real clients; `options` chooses its server."""

    options = Options()
    longMessage = True

    def setUp(self):
        self.server = servers.of(self.options)
        self.folder = Path(tempfile.mkdtemp(dir=servers.folder, prefix="test-"))

    async def asyncSetUp(self):
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)

    def account(self, name: str = "romeo") -> Account:
        """A fresh account."""
        return self.server.new_account(name)

    async def client(
        self,
        account: Account | str = "romeo",
        resource: str = "",
        *,
        kind: type[Client] = Client,
        roster: bool = True,
        available: bool = True,
        on: Server | None = None,
        **settings,
    ) -> Client:
        """A client that is logged in; a name instead of an account makes a fresh one.

        `on` is its server, if that is not the one under test.
        """
        if isinstance(account, str):
            account = (on or self.server).new_account(account)
        client = self.offline_client(account, resource, kind=kind, on=on, **settings)
        return await client.login(roster=roster, available=available)

    def offline_client(
        self,
        account: Account,
        resource: str = "",
        *,
        kind: type[Client] = Client,
        on: Server | None = None,
        **settings,
    ) -> Client:
        """A client that the test logs in."""
        client = kind(on or self.server, account, resource, **settings)
        self.addAsyncCleanup(self._end, client)
        return client

    async def friends(self, first: Client, second: Client):
        """Subscribes two clients to each other."""
        for asker, owner in ((first, second), (second, first)):
            asker.send_presence(pto=owner.boundjid.bare, ptype="subscribe")
            await owner.presence(asker.boundjid.bare, "subscribe")
            owner.send_presence(pto=asker.boundjid.bare, ptype="subscribed")
            await asker.presence(owner.boundjid.bare, "subscribed")
            await asker.presence(owner.boundjid.full, "available")
        for client in (first, second):
            await client.barrier()
            client.inbox.clear()

    async def assert_error(
        self, condition: str, answer: Awaitable, kind: str | None = None
    ) -> IqError:
        """Awaits the answer to an IQ, which must be this stanza error."""
        try:
            result = await answer
        except IqError as error:
            self.assertEqual(error.condition, condition)
            if kind is not None:
                self.assertEqual(error.etype, kind)
            return error
        except IqTimeout:
            self.fail(f"no answer; expected the error {condition}")
        self.fail(f"expected the error {condition}, got {result}")

    def assert_no(self, client: Client, stanza: type, **wanted):
        """The inbox must hold no such stanza; call after barriers."""
        held = client.holds(stanza, **wanted)
        self.assertEqual([], held, f"{client.boundjid} must not receive this")

    @staticmethod
    async def _end(client: Client):
        client.cancel_connection_attempt()
        client.abort()
