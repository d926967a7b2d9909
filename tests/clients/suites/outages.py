"""Real clients whose connections are cut at random, and that resume their streams (XEP-0198 §5).

How often and how long is in $OUTAGES_SECONDS, by default 15. The load generator does the same with more clients:
`loadgen outages`.
"""

import asyncio
import os
import time

from slixmpp import Message

from harness import tokio_xmpp
from harness.case import ClientTest
from harness.cutter import Cutter
from suites.stream_management import PLUGINS, Managed

SECONDS = float(os.environ.get("OUTAGES_SECONDS", "15"))
PAUSE = 0.02
"""Between two messages."""
PATIENCE = 30.0


class Restless(Managed):
    """Comes back by itself whenever its connection is gone, through the cutter from then on.

    `said` is what slixmpp has numbered. It forgets what it is about to write when a connection breaks.
    """

    port: int | None = None
    resumed = 0
    lost = 0
    up = True

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.said: list[str] = []
        self.add_filter("out", self._note)

    def _note(self, stanza):
        if isinstance(stanza, Message) and self["xep_0198"].enabled_out:
            self.said.append(stanza["body"])
        return stanza

    async def stay(self):
        """Keeps the stream alive until it is cancelled."""

        def resumed(_):
            self.up = True
            self.resumed += 1

        def lost(_):
            self.lost += 1

        self.add_event_handler("session_resumed", resumed)
        self.add_event_handler("sm_failed", lost)
        self.add_event_handler("disconnected", lambda _: setattr(self, "up", False))
        while True:
            await self.disconnected
            await asyncio.sleep(0.05)
            try:
                await self.connect(self.peer.address, self.port)
            except Exception:  # cut while it connects: once more
                self.abort()


class Outages(ClientTest):
    def cutter(self, every: float) -> Cutter:
        cutter = Cutter(self.server, every)
        self.addCleanup(cutter.end)
        return cutter

    async def restless(self, name: str, cutter: Cutter) -> Restless:
        client = await self.client(name, kind=Restless, plugins=PLUGINS)
        client.port = cutter.port
        task = asyncio.ensure_future(client.stay())
        self.addCleanup(task.cancel)
        return client

    async def heard(self, client: Managed, said: list[str]):
        """Waits until `client` has as many messages as were said."""
        deadline = time.monotonic() + PATIENCE
        while len(client.holds(Message)) < len(said) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        # What came twice comes soon.
        await asyncio.sleep(0.5)
        self.assertEqual(client.bodies, said)

    async def test_slixmpp_has_everything_once_and_in_order(self):
        cutter = self.cutter(1.5)
        clients = [await self.restless(name, cutter) for name in ("romeo", "juliet")]
        for client in clients:
            await client.cut()
        end = time.monotonic() + SECONDS
        number = 0
        while time.monotonic() < end:
            for mine, theirs in zip(clients, reversed(clients)):
                # What slixmpp is told to send meanwhile it sends before what it sends again.
                if mine.up:
                    mine.say(theirs.boundjid, f"line {number}")
            number += 1
            await asyncio.sleep(PAUSE)
        for mine, theirs in zip(clients, reversed(clients)):
            await self.heard(theirs, mine.said)
            self.assertGreater(len(mine.said), number // 2)
        self.assertGreater(cutter.end(), 4)
        for client in clients:
            self.assertGreater(client.resumed, 1)
            self.assertEqual(client.lost, 0)

    async def test_tokio_xmpp_has_everything_once_and_in_order(self):
        cutter = self.cutter(1.5)
        juliet = await self.client("juliet", kind=Managed, plugins=PLUGINS)
        account = self.account("romeo")
        romeo = await tokio_xmpp.start(self, account, "orchard", port=cutter.port)
        await romeo.wait_for("online .*")
        said, answers = [], []
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            said.append(f"line {len(said)}")
            romeo.tell(f"say {juliet.boundjid} {said[-1]}")
            answers.append(f"answer {len(answers)}")
            juliet.say(f"{account.jid}/orchard", answers[-1])
            await asyncio.sleep(PAUSE)
        juliet.say(f"{account.jid}/orchard", "the end")
        await romeo.wait_for(".* the end", PATIENCE)
        await self.heard(juliet, said)
        heard = [line.split(" ", 2)[2] for line in romeo.seen if line.startswith("message ")]
        self.assertEqual(heard, [*answers, "the end"])
        self.assertGreater(cutter.end(), 4)
