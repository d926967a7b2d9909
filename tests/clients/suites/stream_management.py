"""Stream management: acknowledgements and resumption (XEP-0198)."""

import asyncio

from slixmpp import Message, Presence

from harness.case import ClientTest
from harness.slix import TIMEOUT, Client

PLUGINS = ("xep_0198",)


class Managed(Client):
    """A client whose connection can be cut, and that comes back to its stream."""

    async def cut(self):
        """The connection is gone, without a word to the server."""
        gone = self.closed()
        self.abort()
        await gone

    async def resume(self) -> str:
        """Connects again; `resumed`, or `failed` if the stream was gone."""
        outcome = asyncio.get_running_loop().create_future()

        def settle(what):
            if not outcome.done():
                outcome.set_result(what)

        handlers = {
            "session_resumed": lambda _: settle("resumed"),
            "sm_failed": lambda _: settle("failed"),
        }
        for event, handler in handlers.items():
            self.add_event_handler(event, handler)
        try:
            self.connect(self.peer.address, self.peer.starttls_port)
            return await asyncio.wait_for(outcome, TIMEOUT)
        finally:
            for event, handler in handlers.items():
                self.del_event_handler(event, handler)

    async def acknowledged(self):
        """Waits until the server has acknowledged everything."""
        sm = self["xep_0198"]

        async def wait():
            while sm.unacked_queue:
                sm.request_ack()
                await asyncio.sleep(0.05)

        await asyncio.wait_for(wait(), TIMEOUT)

    @property
    def bodies(self) -> list[str]:
        """Of the messages in the inbox."""
        return [message["body"] for message in self.holds(Message)]


class StreamManagement(ClientTest):
    async def managed(self, name: str, **settings) -> Managed:
        return await self.client(name, kind=Managed, plugins=PLUGINS, **settings)

    async def test_what_is_handled_is_acknowledged(self):
        romeo, juliet = await self.managed("romeo"), await self.managed("juliet")
        self.assertTrue(romeo["xep_0198"].enabled_in, "the feature must be offered")
        for n in range(20):
            romeo.say(juliet.boundjid, f"line {n}")
        await romeo.acknowledged()
        await juliet.barrier()
        self.assertEqual(juliet.bodies, [f"line {n}" for n in range(20)])

    async def test_a_session_goes_on_and_has_everything_once_and_in_order(self):
        romeo, juliet = await self.managed("romeo"), await self.managed("juliet")
        await self.friends(romeo, juliet)
        full = romeo.boundjid.full
        said = []
        for round in range(5):
            for n in range(10):
                said.append(f"{round}.{n}")
                juliet.say(romeo.boundjid, said[-1])
                if n == 5:
                    await romeo.cut()
            self.assertEqual(await romeo.resume(), "resumed")
        await juliet.acknowledged()
        await romeo.barrier()
        self.assertEqual(romeo.bodies, said)
        self.assertEqual(romeo.boundjid.full, full)
        # Nobody has seen him go.
        await juliet.barrier()
        self.assert_no(juliet, Presence, type="unavailable")

    async def test_what_a_client_sent_into_a_dead_connection_arrives_once(self):
        romeo, juliet = await self.managed("romeo"), await self.managed("juliet")
        said = [f"line {n}" for n in range(30)]
        for n, line in enumerate(said):
            romeo.say(juliet.boundjid, line)
            if n % 7 == 3:
                await asyncio.sleep(0)  # some are written, some are not
                await romeo.cut()
                self.assertEqual(await romeo.resume(), "resumed")
        await romeo.acknowledged()
        await juliet.barrier()
        self.assertEqual(juliet.bodies, said)

    async def test_a_stream_that_was_closed_is_not_resumed(self):
        account = self.account("romeo")
        romeo = await self.client(account, kind=Managed, plugins=PLUGINS)
        sm = romeo["xep_0198"]
        id, handled = sm.sm_id, sm.handled
        await romeo.logout()
        again = self.offline_client(account, kind=Managed, plugins=PLUGINS)
        again["xep_0198"].sm_id, again["xep_0198"].handled = id, handled
        self.assertEqual(await again.resume(), "failed")

    async def test_a_stream_is_not_resumed_by_somebody_else(self):
        romeo = await self.managed("romeo")
        thief = self.offline_client(self.account("thief"), kind=Managed, plugins=PLUGINS)
        thief["xep_0198"].sm_id = romeo["xep_0198"].sm_id
        self.assertEqual(await thief.resume(), "failed")
        await romeo.barrier()

    async def test_a_resumption_replaces_the_connection_that_is_still_there(self):
        account = self.account("romeo")
        romeo = await self.client(account, kind=Managed, plugins=PLUGINS)
        await romeo.acknowledged()
        again = self.offline_client(account, kind=Managed, plugins=PLUGINS)
        again["xep_0198"].sm_id = romeo["xep_0198"].sm_id
        again["xep_0198"].handled = romeo["xep_0198"].handled
        gone = romeo.closed()
        self.assertEqual(await again.resume(), "resumed")
        self.assertEqual(await romeo.stream_error(), "conflict")
        await gone
