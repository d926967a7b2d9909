"""The roster (RFC 6121 §2)."""

from slixmpp import Iq

from harness.case import ClientTest, differs
from harness.slix import Client

QUERY = "{jabber:iq:roster}query"


def query(*items: str, ver: str | None = None) -> str:
    version = "" if ver is None else f" ver='{ver}'"
    return f"<query xmlns='jabber:iq:roster'{version}>{''.join(items)}</query>"


def item(jid: str, name: str = "", groups: tuple[str, ...] = ()) -> str:
    inner = "".join(f"<group>{group}</group>" for group in groups)
    return f"<item jid='{jid}' name='{name}'>{inner}</item>"


async def fetch(client: Client, ver: str | None = None) -> tuple[dict | None, str | None]:
    """The roster by JID with its version; `None` if the known version is current."""
    answer = (await client.ask("get", query(ver=ver))).xml.find(QUERY)
    if answer is None:
        return None, None
    return {each.get("jid"): each for each in answer}, answer.get("ver")


class Roster(ClientTest):
    async def test_the_roster_of_a_new_account_is_empty(self):
        romeo = await self.client(roster=False)
        items, _ = await fetch(romeo)
        self.assertEqual(items, {})

    async def test_an_item_is_added_changed_and_removed_with_a_push_for_each(self):
        romeo = await self.client()
        await romeo.ask("set", query(item("juliet@localhost", "Juliet", ("Friends", "Verona"))))
        push = await romeo.roster_push("juliet@localhost")
        self.assertEqual(push["name"], "Juliet")
        self.assertEqual(push["subscription"], "none")
        self.assertEqual(push["groups"], ["Friends", "Verona"])
        await romeo.ask("set", query(item("juliet@localhost", "Capulet")))
        push = await romeo.roster_push("juliet@localhost")
        self.assertEqual((push["name"], push["groups"]), ("Capulet", []))
        items, _ = await fetch(romeo)
        self.assertEqual([*items], ["juliet@localhost"])
        await romeo.ask("set", query("<item jid='juliet@localhost' subscription='remove'/>"))
        push = await romeo.roster_push("juliet@localhost")
        self.assertEqual(push["subscription"], "remove")
        items, _ = await fetch(romeo)
        self.assertEqual(items, {})

    async def test_a_push_goes_to_every_interested_resource_and_to_no_other(self):
        # RFC 6121 §2.1.6: the "interested resources" are those which have
        # requested the roster.
        account = self.account()
        phone = await self.client(account, "phone")
        laptop = await self.client(account, "laptop")
        bot = await self.client(account, "bot", roster=False)
        await phone.ask("set", query(item("juliet@localhost")))
        await phone.roster_push("juliet@localhost")
        await laptop.roster_push("juliet@localhost")
        await bot.barrier()
        self.assert_no(bot, Iq, type="set")

    async def test_a_push_has_no_sender_or_the_bare_account(self):
        # RFC 6121 §2.1.6: a client must ignore a push from anybody else.
        romeo = await self.client()
        await romeo.ask("set", query(item("juliet@localhost")))
        push = await romeo.take(Iq, type="set")
        self.assertIn(push.xml.get("from"), (None, romeo.boundjid.bare))

    async def test_an_unchanged_roster_is_not_sent_again(self):
        # RFC 6121 §2.6.3.
        romeo = await self.client()
        self.assertIn("rosterver", romeo.features)
        await romeo.ask("set", query(item("juliet@localhost")))
        items, version = await fetch(romeo, ver="")
        self.assertEqual([*items], ["juliet@localhost"])
        self.assertTrue(version)
        items, _ = await fetch(romeo, ver=version)
        self.assertIsNone(items)

    async def test_a_changed_roster_is_sent_to_who_has_an_old_version(self):
        romeo = await self.client()
        await romeo.ask("set", query(item("juliet@localhost")))
        _, version = await fetch(romeo, ver="")
        await romeo.ask("set", query(item("benvolio@localhost")))
        await romeo.barrier()
        romeo.inbox.clear()
        # Either a complete roster, or none and the changes as pushes.
        items, _ = await fetch(romeo, ver=version)
        if items is None:
            await romeo.roster_push("benvolio@localhost")
        else:
            self.assertEqual({*items}, {"juliet@localhost", "benvolio@localhost"})

    async def test_a_push_bears_the_new_version(self):
        romeo = await self.client()
        await romeo.ask("set", query(item("juliet@localhost")))
        push = await romeo.take(Iq, type="set")
        _, version = await fetch(romeo, ver="")
        self.assertEqual(push.xml.find(QUERY).get("ver"), version)

    async def test_a_set_with_two_items_is_a_bad_request(self):
        # RFC 6121 §2.3.3.
        romeo = await self.client()
        both = query(item("juliet@localhost"), item("benvolio@localhost"))
        await self.assert_error("bad-request", romeo.ask("set", both), "modify")

    @differs("prosody", "takes the item with the group once")
    async def test_a_set_with_a_group_named_twice_is_a_bad_request(self):
        # RFC 6121 §2.3.3.
        romeo = await self.client()
        twice = query(item("juliet@localhost", groups=("Friends", "Friends")))
        await self.assert_error("bad-request", romeo.ask("set", twice), "modify")

    async def test_removing_an_unknown_item_is_item_not_found(self):
        # RFC 6121 §2.5.3.
        romeo = await self.client()
        removal = query("<item jid='nobody@localhost' subscription='remove'/>")
        await self.assert_error("item-not-found", romeo.ask("set", removal))

    @differs("prosody", "answers service-unavailable")
    async def test_the_roster_of_another_is_forbidden_to_change(self):
        # RFC 6121 §2.3.3.
        juliet, romeo = await self.client("juliet"), await self.client()
        change = romeo.ask("set", query(item("romeo@localhost")), to=juliet.boundjid.bare)
        await self.assert_error("forbidden", change)
        items, _ = await fetch(juliet)
        self.assertEqual(items, {})

    async def test_the_roster_of_another_is_not_told(self):
        juliet, romeo = await self.client("juliet"), await self.client()
        with self.assertRaises(Exception) as raised:
            await romeo.ask("get", query(), to=juliet.boundjid.bare)
        self.assertIn(raised.exception.condition, ("forbidden", "service-unavailable"))

    async def test_the_roster_outlives_the_session(self):
        account = self.account()
        romeo = await self.client(account)
        await romeo.ask("set", query(item("juliet@localhost", "Juliet", ("Friends",))))
        await romeo.logout()
        items, _ = await fetch(await self.client(account))
        self.assertEqual(items["juliet@localhost"].get("name"), "Juliet")
        self.assertEqual(items["juliet@localhost"][0].text, "Friends")

    async def test_slixmpp_keeps_its_own_roster_in_step(self):
        romeo = await self.client()
        await romeo.update_roster("juliet@localhost", name="Juliet", groups=["Friends"])
        await romeo.roster_push("juliet@localhost")
        self.assertEqual(romeo.client_roster["juliet@localhost"]["name"], "Juliet")
        await romeo.del_roster_item("juliet@localhost")
        await romeo.roster_push("juliet@localhost")
        await romeo.barrier()
        self.assertNotIn("juliet@localhost", romeo.client_roster.keys())
