"""What server and accounts say of themselves (XEP-0030, -0115, -0199, -0092, -0202, -0012)."""

import asyncio
import time
from datetime import datetime, timedelta, timezone

from slixmpp import Iq
from slixmpp.exceptions import IqError

from harness.case import ClientTest, differs
from harness.slix import TIMEOUT

PLUGINS = ("xep_0030", "xep_0115", "xep_0199", "xep_0092", "xep_0202", "xep_0012")
INFO = "http://jabber.org/protocol/disco#info"
NEARLY = timedelta(seconds=5)
ITEMS = "http://jabber.org/protocol/disco#items"


class Server(ClientTest):
    async def info(self, client, jid) -> tuple[set, set]:
        answer = await client["xep_0030"].get_info(jid)
        identities = {(each[0], each[1]) for each in answer["disco_info"]["identities"]}
        return identities, set(answer["disco_info"]["features"])

    async def test_the_server_names_itself_and_what_it_can(self):
        romeo = await self.client(plugins=PLUGINS)
        identities, features = await self.info(romeo, "localhost")
        self.assertIn(("server", "im"), identities)
        wanted = {
            INFO, ITEMS, "urn:xmpp:ping", "jabber:iq:version", "urn:xmpp:time", "jabber:iq:last",
            "vcard-temp", "urn:xmpp:blocking", "urn:xmpp:carbons:2", "msgoffline",
        }
        missing = wanted - features
        self.assertEqual(set(), missing - self.known_to_be_missing())

    def known_to_be_missing(self) -> set[str]:
        # Prosody tells some of these at the account, or not at all.
        return {"jabber:iq:last"} if self.server.name == "prosody" else set()

    async def test_the_server_lists_its_items(self):
        romeo = await self.client(plugins=PLUGINS)
        answer = await romeo["xep_0030"].get_items("localhost")
        self.assertIsNotNone(answer["disco_items"]["items"])

    async def test_an_unknown_node_is_item_not_found(self):
        # XEP-0030 §7.
        romeo = await self.client(plugins=PLUGINS)
        ask = romeo.ask("get", f"<query xmlns='{INFO}' node='urn:example:none'/>", to="localhost")
        await self.assert_error("item-not-found", ask)

    async def test_the_own_account_names_itself(self):
        romeo = await self.client(plugins=PLUGINS)
        identities, _ = await self.info(romeo, romeo.boundjid.bare)
        self.assertIn(("account", "registered"), identities)

    async def test_a_contact_sees_the_account_and_a_stranger_does_not(self):
        # XEP-0030 §8: against harvesting of addresses.
        romeo = await self.client(plugins=PLUGINS)
        juliet = await self.client("juliet", plugins=PLUGINS)
        bare = juliet.boundjid.bare
        for jid in (bare, "nobody@localhost"):
            info = romeo.ask("get", f"<query xmlns='{INFO}'/>", to=jid)
            await self.assert_error("service-unavailable", info)
        await self.friends(romeo, juliet)
        identities, _ = await self.info(romeo, bare)
        self.assertIn(("account", "registered"), identities)

    @differs("prosody", "answers service-unavailable")
    async def test_a_stranger_sees_the_same_empty_items_of_an_account_and_of_nobody(self):
        # XEP-0030 §8: "the server MUST return an empty result set".
        romeo, juliet = await self.client(plugins=PLUGINS), await self.client("juliet")
        for jid in (juliet.boundjid.bare, "nobody@localhost"):
            answer = await romeo.ask("get", f"<query xmlns='{ITEMS}'/>", to=jid)
            self.assertEqual(len(answer.xml[0]), 0)

    async def test_the_capabilities_of_the_server_match_its_disco(self):
        # XEP-0115 §6.3: in the stream features.
        romeo = await self.client(plugins=PLUGINS)
        caps = romeo.stream_features[-1].find("{http://jabber.org/protocol/caps}c")
        self.assertIsNotNone(caps)
        node = f"{caps.get('node')}#{caps.get('ver')}"
        answer = await romeo["xep_0030"].get_info("localhost", node=node)
        verification = romeo["xep_0115"].generate_verstring(answer["disco_info"], caps.get("hash"))
        self.assertEqual(verification, caps.get("ver"))

    async def test_capabilities_of_a_client_reach_its_contact(self):
        romeo = await self.client(plugins=PLUGINS)
        juliet = await self.client("juliet", plugins=PLUGINS)
        await self.friends(romeo, juliet)
        juliet["xep_0030"].add_feature("urn:example:dagger")
        await juliet["xep_0115"].update_caps()
        juliet.send_presence(pstatus="armed")
        presence = await romeo.presence(juliet.boundjid.full, "available", status="armed")
        self.assertTrue(presence["caps"]["ver"])
        _, features = await self.info(romeo, juliet.boundjid)
        self.assertIn("urn:example:dagger", features)


class Ping(ClientTest):
    async def test_ping_is_answered_by_server_account_and_client(self):
        romeo = await self.client(plugins=PLUGINS)
        juliet = await self.client("juliet", plugins=PLUGINS)
        for jid in ("localhost", romeo.boundjid.bare, juliet.boundjid.full):
            with self.subTest(jid):
                self.assertLess(await romeo["xep_0199"].ping(jid), 5)

    async def test_the_server_tells_its_version(self):
        romeo = await self.client(plugins=PLUGINS)
        answer = await romeo["xep_0092"].get_version("localhost")
        self.assertTrue(answer["software_version"]["name"])
        self.assertTrue(answer["software_version"]["version"])

    async def test_the_server_tells_the_time(self):
        romeo = await self.client(plugins=PLUGINS)
        answer = await romeo["xep_0202"].get_entity_time("localhost")
        told = answer.xml.findtext("{urn:xmpp:time}time/{urn:xmpp:time}utc")
        # XEP-0202 §3: in UTC, and so with "Z". slixmpp's own
        # reading of both values expects them without it.
        self.assertTrue(told.endswith("Z"), told)
        self.assertLess(abs(datetime.fromisoformat(told) - datetime.now(timezone.utc)), NEARLY)
        offset = answer.xml.findtext("{urn:xmpp:time}time/{urn:xmpp:time}tzo")
        self.assertRegex(offset, r"^(Z|[+-]\d\d:\d\d)$")


class LastActivity(ClientTest):
    async def seconds(self, client, jid) -> int:
        answer = await client.ask("get", "<query xmlns='jabber:iq:last'/>", to=jid)
        return int(answer.xml[0].get("seconds"))

    async def stored(self, client, jid) -> Iq:
        """The answer once the server has written down that the user left."""
        while True:
            try:
                return await client.ask("get", "<query xmlns='jabber:iq:last'/>", to=jid)
            except IqError as error:
                if error.condition != "item-not-found":
                    raise

    async def test_the_server_tells_its_uptime(self):
        romeo = await self.client()
        self.assertGreaterEqual(await self.seconds(romeo, "localhost"), 0)

    async def test_a_contact_learns_when_one_left_and_why(self):
        account = self.account("juliet")
        romeo, juliet = await self.client(), await self.client(account)
        await self.friends(romeo, juliet)
        left = time.monotonic()
        juliet.send_presence(ptype="unavailable", pstatus="to the friar")
        await romeo.presence(juliet.boundjid.full, "unavailable")
        await juliet.logout()
        answer = await asyncio.wait_for(self.stored(romeo, account.jid), TIMEOUT)
        self.assertLessEqual(int(answer.xml[0].get("seconds")), time.monotonic() - left + 1)
        self.assertEqual(answer.xml[0].text, "to the friar")

    async def test_a_contact_who_is_online_has_been_idle_for_no_time(self):
        # XEP-0012 §4.
        romeo, juliet = await self.client(), await self.client("juliet")
        await self.friends(romeo, juliet)
        self.assertEqual(await self.seconds(romeo, juliet.boundjid.bare), 0)

    async def test_a_stranger_is_forbidden_to_know(self):
        # XEP-0012 §4.
        romeo, juliet = await self.client(), await self.client("juliet")
        ask = romeo.ask("get", "<query xmlns='jabber:iq:last'/>", to=juliet.boundjid.bare)
        await self.assert_error("forbidden", ask)

    @differs("prosody", "delivers it to the client")
    async def test_a_stranger_is_forbidden_to_ask_the_client(self):
        # XEP-0012 §5.
        romeo = await self.client()
        juliet = await self.client("juliet", plugins=("xep_0012",))
        ask = romeo.ask("get", "<query xmlns='jabber:iq:last'/>", to=juliet.boundjid.full)
        await self.assert_error("forbidden", ask)
