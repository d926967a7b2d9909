"""Stream management: acknowledgements and resumption (XEP-0198)."""

import asyncio
from itertools import count

from slixmpp import Message, Presence

from harness.case import ClientTest
from harness.server import Options
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


class Restart(ClientTest):
    options = Options(alone="is restarted")

    async def managed(self, name: str) -> Managed:
        return await self.client(name, kind=Managed, plugins=PLUGINS)

    async def stopped(self):
        """The server has ended by SIGTERM."""
        status = await asyncio.to_thread(self.server.wait)
        self.assertEqual(status, 0, self.server.log_tail())

    async def test_sessions_go_on_after_restarts_and_have_everything_once_and_in_order(self):
        romeo, juliet = await self.managed("romeo"), await self.managed("juliet")
        await self.friends(romeo, juliet)
        both = {romeo: (juliet, []), juliet: (romeo, [])}
        numbers = count()
        acknowledged = set()
        for who in both:
            who.add_event_handler("stanza_acked", lambda m: acknowledged.add(m["body"]))

        async def talk(speaker, until):
            listener, said = both[speaker]
            while not until.done():
                said.append(f"line {next(numbers)}")
                speaker.say(listener.boundjid, said[-1])
                await asyncio.sleep(0.002)

        for _ in range(3):
            gone = [asyncio.ensure_future(who.closed()) for who in both]
            talking = [asyncio.ensure_future(talk(*pair)) for pair in zip(both, gone)]
            await asyncio.sleep(0.2)
            self.server.terminate()
            await asyncio.gather(*gone, *talking)
            # What is said between the end of the connection and its notice slixmpp forgets, or
            # sends out of turn.
            for who, (_, said) in both.items():
                waiting = {stanza["body"] for _, stanza in who["xep_0198"].unacked_queue}
                said[:] = [body for body in said if body in acknowledged | waiting]
            await self.stopped()
            await asyncio.to_thread(self.server.start)
            for who in both:
                self.assertEqual(await who.resume(), "resumed")
        for who in both:
            await who.acknowledged()
        for who in both:
            await who.barrier()
        for listener, said in both.values():
            bodies = listener.bodies
            self.assertEqual(len(bodies), len(set(bodies)))
            self.assertEqual([body for body in bodies if body in said], said)
            self.assertGreater(len(said), 30)
            # Nobody has seen the other go, or come again.
            self.assert_no(listener, Presence, type="unavailable")
            self.assert_no(listener, Message, type="error")

    async def test_who_does_not_come_back_in_time_gets_what_was_missing_from_the_store(self):
        account = self.account("romeo")
        romeo = await self.client(account, kind=Managed, plugins=PLUGINS)
        juliet = await self.managed("juliet")
        await romeo.cut()
        juliet.say(romeo.boundjid, "Ay me!")
        await juliet.acknowledged()
        self.server.terminate()
        await self.stopped()
        await asyncio.to_thread(self.server.start)
        self.assertEqual(await juliet.resume(), "resumed")
        # Another session in the place of the one that waits.
        again = await self.client(account, resource=romeo.boundjid.resource)
        await again.message("Ay me!")
        await again.barrier()
        self.assert_no(again, Message)

    async def test_who_cannot_resume_is_told_system_shutdown(self):
        romeo = await self.client("romeo")
        gone = romeo.closed()
        self.server.terminate()
        self.assertEqual(await romeo.stream_error(), "system-shutdown")
        await gone
        await self.stopped()
        await asyncio.to_thread(self.server.start)

    async def test_everything_that_was_acknowledged_is_there_after_a_kill(self):
        account = self.account("romeo")
        juliet = await self.managed("juliet")
        acknowledged = []
        juliet.add_event_handler("stanza_acked", lambda m: acknowledged.append(m["body"]))
        for n in range(1000):
            juliet.say(account.jid, f"line {n}")

        async def some():
            while len(acknowledged) < 100:
                juliet["xep_0198"].request_ack()
                await asyncio.sleep(0.001)

        await asyncio.wait_for(some(), TIMEOUT)
        gone = juliet.closed()
        self.server.kill()
        await gone
        await asyncio.to_thread(self.server.start)
        romeo = await self.client(account)
        await romeo.message(acknowledged[-1])
        found = [message["body"] for message in romeo.holds(Message)]
        said = [body for body in acknowledged if body]
        self.assertEqual(found[: len(said) - 1], said[:-1])
