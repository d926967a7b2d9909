"""vCards (XEP-0054) and private XML storage (XEP-0049, XEP-0048)."""

import hashlib

from slixmpp import Presence
from slixmpp.exceptions import IqError
from slixmpp.plugins.xep_0048 import Bookmarks

from harness.case import ClientTest, differs

VCARD = "{vcard-temp}vCard"


class VCard(ClientTest):
    async def test_a_vcard_is_stored_and_shown_to_everybody(self):
        romeo = await self.client(plugins=("xep_0054",))
        juliet = await self.client("juliet", plugins=("xep_0054",))
        vcard = romeo["xep_0054"].make_vcard()
        vcard["FN"] = "Romeo Montague"
        vcard["NICKNAME"] = "Pilgrim & palmer"
        await romeo["xep_0054"].publish_vcard(vcard)
        for client, of in ((romeo, None), (juliet, romeo.boundjid.bare)):
            answer = await client["xep_0054"].get_vcard(of, local=False)
            self.assertEqual(answer["vcard_temp"]["FN"], "Romeo Montague")
            self.assertEqual(answer["vcard_temp"]["NICKNAME"], ["Pilgrim & palmer"])

    async def test_a_vcard_is_shown_while_its_owner_is_away(self):
        account = self.account()
        romeo = await self.client(account)
        await romeo.ask("set", "<vCard xmlns='vcard-temp'><FN>Romeo</FN></vCard>")
        await romeo.logout()
        juliet = await self.client("juliet")
        answer = await juliet.ask("get", "<vCard xmlns='vcard-temp'/>", to=account.jid)
        self.assertEqual(answer.xml.find(f"{VCARD}/{{vcard-temp}}FN").text, "Romeo")

    async def missing(self, client, to=None) -> str:
        """What a vCard that is not there is answered with: `empty`, or a condition."""
        try:
            answer = await client.ask("get", "<vCard xmlns='vcard-temp'/>", to=to)
        except IqError as error:
            return error.condition
        self.assertEqual(len(answer.xml.find(VCARD)), 0)
        return "empty"

    async def test_the_own_vcard_that_is_missing_is_item_not_found_or_empty(self):
        # XEP-0054 §3.1.
        romeo = await self.client()
        self.assertIn(await self.missing(romeo), ("item-not-found", "empty"))

    @differs("prosody", "answers with an empty vCard")
    async def test_a_missing_vcard_does_not_tell_who_has_an_account(self):
        # XEP-0054 §3.3: service-unavailable "MUST be used in both cases".
        romeo, juliet = await self.client(), await self.client("juliet")
        for to in (juliet.boundjid.bare, "nobody@localhost"):
            self.assertEqual(await self.missing(romeo, to), "service-unavailable")

    async def test_the_vcard_of_another_cannot_be_changed(self):
        # XEP-0054 §3.2.
        romeo, juliet = await self.client(), await self.client("juliet")
        forged = romeo.ask(
            "set", "<vCard xmlns='vcard-temp'><FN>x</FN></vCard>", to=juliet.boundjid.bare
        )
        with self.assertRaises(IqError) as raised:
            await forged
        refusals = ("forbidden", "not-allowed", "service-unavailable")
        self.assertIn(raised.exception.condition, refusals)
        self.assertIn(await self.missing(juliet), ("item-not-found", "empty"))

    async def test_an_avatar_shows_as_a_hash_in_presence(self):
        # XEP-0153 §3.1.
        romeo = await self.client(plugins=("xep_0153",))
        juliet = await self.client("juliet")
        await self.friends(romeo, juliet)
        await romeo["xep_0153"].set_avatar(avatar=b"not really a picture", mtype="image/png")
        hashed = hashlib.sha1(b"not really a picture").hexdigest()
        presence = await juliet.take(
            Presence,
            lambda p: p.xml.findtext(".//{vcard-temp:x:update}photo") == hashed,
        )
        self.assertEqual(presence["from"], romeo.boundjid)


class Private(ClientTest):
    async def test_private_xml_comes_back_as_it_was(self):
        romeo = await self.client()
        stored = "<tale xmlns='urn:example:tale' a='1'>x<b xmlns='urn:example:b'/>&amp;🌹</tale>"
        await romeo.ask("set", f"<query xmlns='jabber:iq:private'>{stored}</query>")
        ask = "<query xmlns='jabber:iq:private'><tale xmlns='urn:example:tale'/></query>"
        tale = (await romeo.ask("get", ask)).xml[0][0]
        self.assertEqual((tale.get("a"), tale.text), ("1", "x"))
        self.assertEqual((tale[0].tag, tale[0].tail), ("{urn:example:b}b", "&🌹"))

    async def test_private_xml_never_stored_comes_back_empty(self):
        romeo = await self.client()
        ask = "<query xmlns='jabber:iq:private'><none xmlns='urn:example:none'/></query>"
        answer = (await romeo.ask("get", ask)).xml[0][0]
        self.assertEqual((answer.tag, len(answer)), ("{urn:example:none}none", 0))

    async def test_bookmarks_are_kept_for_the_next_session(self):
        account = self.account()
        plugins = ("xep_0048", "xep_0049")
        romeo = await self.client(account, plugins=plugins)
        bookmarks = Bookmarks()
        bookmarks.add_conference("orchard@rooms.localhost", "romeo", autojoin=True)
        await romeo["xep_0049"].store(bookmarks)
        await romeo.logout()
        romeo = await self.client(account, plugins=plugins)
        answer = await romeo["xep_0049"].retrieve("bookmarks")
        (room,) = answer["private"]["bookmarks"]["conferences"]
        self.assertEqual((room["jid"], room["nick"]), ("orchard@rooms.localhost", "romeo"))

    async def test_private_xml_of_another_is_refused(self):
        # XEP-0049 §2: forbidden or service-unavailable.
        romeo, juliet = await self.client(), await self.client("juliet")
        await juliet.ask(
            "set", "<query xmlns='jabber:iq:private'><t xmlns='urn:example:t'>x</t></query>"
        )
        for kind in ("get", "set"):
            ask = "<query xmlns='jabber:iq:private'><t xmlns='urn:example:t'/></query>"
            with self.subTest(kind), self.assertRaises(IqError) as raised:
                await romeo.ask(kind, ask, to=juliet.boundjid.bare)
            self.assertIn(raised.exception.condition, ("forbidden", "service-unavailable"))
