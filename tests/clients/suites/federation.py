"""Two servers of different makes, and a user on each (RFC 6120 §10.4, RFC 6121, XEP-0220, XEP-0288)."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import replace

from slixmpp import JID, Message

from harness import case
from harness.case import ClientTest, differs
from harness.ejabberd import Ejabberd
from harness.example_server import ExampleServer
from harness.prosody import Prosody
from harness.proxy import Proxy
from harness.server import Federation, Options, Server, free_ports
from harness.slix import PING, TIMEOUT, Client

VERSION = "<query xmlns='jabber:iq:version'/>"
DISCO = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
BURSTS = 8
PLUGINS = ("xep_0030",)
BOUNCE = 60.0
"""Seconds within which a server has to say that another does not answer."""


class FederationTest(ClientTest):
    """`server` is the one under test, `peer` of the make `product`, or of the same one."""

    product: type[Server] | None = None
    federation = Federation()
    alone = ""

    def setUp(self):
        self.options = Options(federation=self.federation, alone=self.alone)
        # Another one, of whatever make this one is.
        options = replace(self.options, alone=f"{self.alone or 'used'} as the other side")
        self.peer = case.servers.of(options, self.product)
        if self.federation.compressed:
            self.options = replace(self.options, peer=self.peer.domain)
        super().setUp()

    @property
    def about(self) -> str:
        return f"{self.product.name if self.product else 'two of a kind'}, {self.federation}"

    async def couple(self) -> tuple[Client, Client]:
        """Romeo on the server under test, Juliet on the other."""
        romeo = await self.client("romeo", plugins=PLUGINS)
        return romeo, await self.client("juliet", on=self.peer, plugins=PLUGINS)


async def error(client: Client, sender, within: float = TIMEOUT) -> str:
    """The condition of the next error that comes from there."""
    wanted = {"from": JID(sender), "type": "error"}
    return (await client.take(Message, within=within, **wanted))["error"]["condition"]


class Conversations:
    """What has to go well between any two servers."""

    async def test_messages_go_both_ways(self):
        romeo, juliet = await self.couple()
        romeo.say(juliet.boundjid, "She speaks! 🌹", extra="<x xmlns='urn:example:tale'>&amp;</x>")
        got = await juliet.message("She speaks! 🌹")
        self.assertEqual(got["from"], romeo.boundjid)
        self.assertEqual(got.xml.findtext("{urn:example:tale}x"), "&")
        juliet.say(romeo.boundjid.bare, "What man art thou?")
        got = await romeo.message("What man art thou?")
        self.assertEqual(got["from"], juliet.boundjid)

    async def test_the_first_messages_both_ways_at_once_all_arrive_and_in_order(self):
        # RFC 6120 §10.1. What waits for a stream of Prosody's is overtaken by what comes next.
        romeo, juliet = await self.couple()
        juliet.say(romeo.boundjid, "is there anybody?")
        await romeo.message("is there anybody?")

        async def talk(speaker: Client, listener: Client):
            bodies = [f"{speaker.boundjid.user} {n}" for n in range(100)]
            for body in bodies:
                speaker.say(listener.boundjid, body)
            await listener.message(bodies[-1])
            self.assertEqual([m["body"] for m in listener.holds(Message)], bodies[:-1])

        await asyncio.gather(talk(romeo, juliet), talk(juliet, romeo))

    async def test_subscriptions_and_presence(self):
        # RFC 6121 §3.1 and §4.
        romeo, juliet = await self.couple()
        await self.friends(romeo, juliet)
        for one, other in ((romeo, juliet), (juliet, romeo)):
            await one.get_roster()
            item = one.client_roster[other.boundjid.bare]
            self.assertEqual(item["subscription"], "both")
        juliet.send_presence(pshow="away", pstatus="on the balcony")
        seen = await romeo.presence(juliet.boundjid.full, show="away")
        self.assertEqual(seen["status"], "on the balcony")
        await juliet.logout()
        await romeo.presence(juliet.boundjid.full, "unavailable")
        # Who comes back is told who is there (§4.3).
        again = await self.client(juliet.account, on=self.peer)
        await again.presence(romeo.boundjid.full)
        await romeo.presence(again.boundjid.full)
        # A subscription that is taken back ends on both sides (§3.2).
        romeo.send_presence(pto=again.boundjid.bare, ptype="unsubscribed")
        await again.presence(romeo.boundjid.bare, "unsubscribed")
        await again.presence(romeo.boundjid.full, "unavailable")

    async def test_requests_are_answered_by_servers_and_by_users(self):
        romeo, juliet = await self.couple()
        for asker, other in ((romeo, juliet), (juliet, romeo)):
            domain = other.boundjid.domain
            await asker.ask("get", PING, to=domain)
            version = await asker.ask("get", VERSION, to=domain)
            self.assertTrue(version.xml.findtext("{jabber:iq:version}query/{jabber:iq:version}name"))
            found = await asker.ask("get", DISCO, to=domain)
            self.assertEqual(found["from"], domain)
            self.assertTrue(len(found.xml[0]), "identities and features")
            answer = await asker.ask("get", DISCO, to=other.boundjid.full)
            self.assertEqual(answer["from"], other.boundjid)

    async def test_who_is_not_there_is_not_there(self):
        # RFC 6121 §8.5.1.
        romeo, juliet = await self.couple()
        for asker, other in ((romeo, juliet), (juliet, romeo)):
            nobody = f"nobody@{other.boundjid.domain}"
            asker.say(nobody, "anybody?")
            self.assertEqual(await error(asker, nobody), "service-unavailable")
            await self.assert_error("service-unavailable", asker.ask("get", VERSION, to=nobody))


class ProsodyByDialback(Conversations, FederationTest):
    product = Prosody


class ProsodyByCertificate(Conversations, FederationTest):
    product = Prosody
    federation = Federation(certified=True)


class ProsodyByDialbackOnOneStream(Conversations, FederationTest):
    product = Prosody
    federation = Federation(bidi=True)


class ProsodyByCertificateOnOneStreamWithAcks(Conversations, FederationTest):
    product = Prosody
    federation = Federation(certified=True, bidi=True, acks=True)


class ProsodyByCertificateWithAcks(Conversations, FederationTest):
    product = Prosody
    federation = Federation(certified=True, acks=True)


class ProsodyByDirectTls(Conversations, FederationTest):
    product = Prosody
    federation = Federation(certified=True, direct_tls=True)


class EjabberdByDialback(Conversations, FederationTest):
    product = Ejabberd


class EjabberdByCertificate(Conversations, FederationTest):
    product = Ejabberd
    federation = Federation(certified=True, client_auth=True)


class EjabberdCompressed(Conversations, FederationTest):
    """XEP-0138, which Debian's Prosody has no more. ejabberd offers it and asks nobody for it."""

    product = Ejabberd
    federation = Federation(certified=True, client_auth=True, compressed=True)

    async def test_what_it_is_sent_is_compressed(self):
        romeo, juliet = await self.couple()
        juliet.say(romeo.boundjid, "hark")
        await romeo.message("hark")
        romeo.say(juliet.boundjid, "who's there?")
        await juliet.message("who's there?")
        if isinstance(self.server, ExampleServer):
            sent, received = sorted(self.server.links().splitlines(), reverse=True)
            self.assertIn(" zlib ", sent)
            self.assertNotIn(" zlib ", received)


class Stopped(FederationTest):
    """A server that is there at times (RFC 6120 §8.3.3.17)."""

    product = Prosody
    alone = "stopped now and then"

    @differs("prosody", "the domain is then not found")
    async def test_a_server_that_is_stopped_is_told_of_and_found_again(self):
        romeo, juliet = await self.couple()
        romeo.say(juliet.boundjid, "hello")
        await juliet.message("hello")
        self.assertEqual(self.peer.stop(), 0)
        romeo.say(juliet.boundjid.bare, "gone?")
        told = await error(romeo, juliet.boundjid.bare, BOUNCE)
        self.assertEqual(told, "remote-server-timeout")
        self.peer.start()
        juliet = await self.client(juliet.account, on=self.peer)
        # It may be left alone for a moment after it has not answered.
        async with asyncio.timeout(BOUNCE):
            while not juliet.holds(Message, body="back?"):
                romeo.say(juliet.boundjid.bare, "back?")
                await asyncio.sleep(0.5)
        juliet.say(romeo.boundjid, "back!")
        await romeo.message("back!")


class TwoOfAKindByDialback(Conversations, FederationTest):
    pass


class TwoOfAKindByCertificateOnOneStream(Conversations, FederationTest):
    federation = Federation(certified=True, bidi=True, acks=True)


class Cuts:
    """Links that are cut while messages are on their way."""

    @staticmethod
    async def meet(one: Client, other: Client):
        """Until each hears the other: without a proxy before, the servers may have left each other alone for a while."""
        async with asyncio.timeout(BOUNCE):
            for speaker, listener in ((one, other), (other, one)):
                while not listener.holds(Message, body="hello?"):
                    speaker.say(listener.boundjid, "hello?")
                    await asyncio.sleep(0.5)

    async def talk(self, speaker: Client, listener: Client, judge: Callable):
        """Bursts over a link that is up, and then gone in the middle of something."""
        dice = random.Random(198)
        said = {}

        def say(body: str):
            said[speaker.say(listener.boundjid, body)["id"]] = body

        async with Proxy(self.server) as one, Proxy(self.peer) as other:
            await self.meet(speaker, listener)
            for burst in range(BURSTS):
                async with asyncio.timeout(BOUNCE):
                    while not listener.holds(Message, lambda m: m["body"].startswith(f"{burst}:")):
                        say(f"{burst}: is there anybody?")
                        await asyncio.sleep(0.2)
                for n in range(100):
                    say(f"{burst}.{n}")
                await asyncio.sleep(dice.uniform(0.0, 0.15))
                self.assertGreater(one.cut() + other.cut(), 0, "there was nothing to cut")

            def arrived() -> list[str]:
                held = listener.holds(Message, type="chat")
                return [message["id"] for message in held if message["id"] in said]

            def returned() -> list[str]:
                held = speaker.holds(Message, type="error")
                return [message["id"] for message in held if message["id"] in said]

            deadline = time.monotonic() + BOUNCE
            while said.keys() - {*arrived(), *returned()} and time.monotonic() < deadline:
                await asyncio.sleep(0.1)
            judge(said, arrived(), returned())


class CutOff(Cuts):
    """A peer that only acknowledges cannot be given again what it has not: it may have it.

    Each message arrives, or there is an error for it, or both; never neither, never twice.
    """

    product = Prosody

    async def test_what_is_sent_to_the_peer_and_cut_off_arrives_or_comes_back(self):
        romeo, juliet = await self.couple()
        await self.talk(romeo, juliet, self.judge)

    async def test_what_the_peer_sends_and_is_cut_off_arrives_or_comes_back(self):
        romeo, juliet = await self.couple()
        await self.talk(juliet, romeo, self.judge)

    def judge(self, said: dict[str, str], arrived: list[str], returned: list[str]):
        lost = [body for id, body in said.items() if id not in {*arrived, *returned}]
        self.assertEqual(lost, [], "these were lost")
        self.assertNotEqual(returned, [], "nothing was on its way when it was cut")
        self.assertEqual(len(arrived), len(set(arrived)), "some arrived twice")
        self.assertEqual(len(returned), len(set(returned)), "some came back twice")
        # In order on each stream; what comes over the next may overtake the last of the one before.
        for burst in range(BURSTS):
            bodies = [said[id] for id in arrived if said[id].startswith(f"{burst}.")]
            self.assertEqual(bodies, sorted(bodies, key=lambda body: int(body.split(".")[1])))


class CutOffAndResumed(Cuts):
    """Two that resume (`docs/design/s2s.md`)."""

    @differs("prosody", "it resumes no stream between servers")
    async def test_what_is_sent_and_cut_off_arrives_once_and_in_order(self):
        romeo, juliet = await self.couple()
        await self.talk(romeo, juliet, self.judge)

    @differs("prosody", "it resumes no stream between servers")
    async def test_what_is_received_and_cut_off_arrives_once_and_in_order(self):
        romeo, juliet = await self.couple()
        await self.talk(juliet, romeo, self.judge)

    def judge(self, said: dict[str, str], arrived: list[str], returned: list[str]):
        self.assertEqual([said[id] for id in returned], [], "these came back")
        self.assertEqual([said[id] for id in arrived], list(said.values()))


class CutOffWithAcks(CutOff, FederationTest):
    federation = Federation(certified=True, acks=True, proxied=True)


class CutOffOnOneStreamWithAcks(CutOff, FederationTest):
    federation = Federation(certified=True, bidi=True, acks=True, proxied=True)


class CutOffAndResumedOnTwoStreams(CutOffAndResumed, FederationTest):
    federation = Federation(certified=True, acks=True, proxied=True)


class CutOffAndResumedOnOneStream(CutOffAndResumed, FederationTest):
    federation = Federation(certified=True, bidi=True, acks=True, proxied=True)


class CutOffAndResumedByDialback(CutOffAndResumed, FederationTest):
    federation = Federation(acks=True, proxied=True)


class Unreachable(ClientTest):
    """What users are told of domains without a server (RFC 6120 §8.3.3.16, §8.3.3.17)."""

    options = Options(federation=Federation(), alone="its name service is silent")

    @differs("prosody", "whatever is wrong with a name, the domain is not found")
    async def test_a_domain_without_a_server_is_told_from_one_that_does_not_answer(self):
        (closed,) = free_ports(1)
        case.servers.names.say(
            "_xmpp-server._tcp.declined.example SRV 0 0 0 .",
            "broken.example SERVFAIL",
            "silent.example SILENCE",
            f"_xmpp-server._tcp.closed.example SRV 0 0 {closed} closed.example",
            "closed.example A 127.0.0.1",
            "_xmpp-server._tcp.forbidden.example SRV 0 0 5269 forbidden.example",
            "forbidden.example A 10.0.0.1",
        )
        romeo = await self.client()
        wanted = {
            "not-there.example": "remote-server-not-found",
            "declined.example": "remote-server-not-found",
            "forbidden.example": "remote-server-not-found",
            "broken.example": "remote-server-timeout",
            "silent.example": "remote-server-timeout",
            "closed.example": "remote-server-timeout",
        }
        for domain in wanted:
            romeo.say(f"juliet@{domain}", "hello?")
        told = {domain: await error(romeo, f"juliet@{domain}", BOUNCE) for domain in wanted}
        self.assertEqual(told, wanted)
