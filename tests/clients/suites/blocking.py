"""The blocking command (XEP-0191)."""

from slixmpp import JID, Iq, Message, Presence

from harness.case import ClientTest, differs
from harness.slix import Client

PLUGINS = ("xep_0191",)
BLOCKING = "{urn:xmpp:blocking}"


def pushed(iq: Iq, name: str) -> list[str] | None:
    """The addresses of a block or unblock push."""
    command = iq.xml.find(BLOCKING + name)
    return None if command is None else [each.get("jid") for each in command]


class Blocking(ClientTest):
    async def couple(self) -> tuple[Client, Client]:
        romeo = await self.client("romeo", plugins=PLUGINS)
        return romeo, await self.client("juliet")

    async def settle(self, *clients: Client):
        for client in clients:
            await client.barrier()

    async def test_addresses_are_blocked_listed_and_unblocked(self):
        romeo, _ = await self.couple()
        blocking = romeo["xep_0191"]
        self.assertEqual(await blocking.get_blocked_jids(), set())
        three = {JID("paris@localhost"), JID("tybalt@localhost/hall"), JID("capulet.example")}
        await blocking.block(three)
        self.assertEqual(await blocking.get_blocked_jids(), three)
        await blocking.unblock(JID("capulet.example"))
        self.assertEqual(await blocking.get_blocked_jids(), three - {JID("capulet.example")})
        # XEP-0191 §3.4: an empty <unblock/> unblocks all.
        await romeo.ask("set", "<unblock xmlns='urn:xmpp:blocking'/>")
        self.assertEqual(await blocking.get_blocked_jids(), set())

    async def test_an_empty_block_is_a_bad_request(self):
        romeo, _ = await self.couple()
        empty = romeo.ask("set", "<block xmlns='urn:xmpp:blocking'/>")
        await self.assert_error("bad-request", empty)

    async def test_resources_that_asked_for_the_list_are_told_of_changes(self):
        account = self.account()
        phone = await self.client(account, "phone", plugins=PLUGINS)
        laptop = await self.client(account, "laptop", plugins=PLUGINS)
        bot = await self.client(account, "bot", plugins=PLUGINS)
        await phone["xep_0191"].get_blocked()
        await laptop["xep_0191"].get_blocked()
        await phone["xep_0191"].block(JID("paris@localhost"))
        for client in (phone, laptop):
            await client.take(Iq, lambda iq: pushed(iq, "block") == ["paris@localhost"])
        await phone["xep_0191"].unblock(JID("paris@localhost"))
        for client in (phone, laptop):
            await client.take(Iq, lambda iq: pushed(iq, "unblock") == ["paris@localhost"])
        await bot.barrier()
        self.assertEqual([], bot.holds(Iq, lambda iq: pushed(iq, "block") is not None))

    async def test_the_list_outlives_the_session(self):
        account = self.account()
        romeo = await self.client(account, plugins=PLUGINS)
        await romeo["xep_0191"].block(JID("paris@localhost"))
        await romeo.logout()
        romeo = await self.client(account, plugins=PLUGINS)
        self.assertEqual(await romeo["xep_0191"].get_blocked_jids(), {JID("paris@localhost")})

    @differs("prosody", "drops it in silence")
    async def test_a_message_of_a_blocked_user_is_service_unavailable(self):
        romeo, juliet = await self.couple()
        await romeo["xep_0191"].block(juliet.boundjid.bare)
        for to in (romeo.boundjid.full, romeo.boundjid.bare):
            juliet.say(to, "let me in")
            error = await juliet.message(type="error")
            self.assertEqual(error["error"]["condition"], "service-unavailable")
        await romeo.barrier()
        self.assert_no(romeo, Message)

    async def test_an_iq_of_a_blocked_user_is_service_unavailable(self):
        romeo, juliet = await self.couple()
        await romeo["xep_0191"].block(juliet.boundjid.bare)
        ping = juliet.ask("get", "<ping xmlns='urn:xmpp:ping'/>", to=romeo.boundjid)
        await self.assert_error("service-unavailable", ping, "cancel")

    async def test_presence_and_requests_of_a_blocked_user_are_dropped(self):
        romeo, juliet = await self.couple()
        await romeo["xep_0191"].block(juliet.boundjid.bare)
        juliet.send_presence(pto=romeo.boundjid)
        juliet.send_presence(pto=romeo.boundjid.bare, ptype="subscribe")
        await self.settle(juliet, romeo)
        self.assertEqual(
            [], romeo.holds(Presence, lambda p: p["from"].bare == juliet.boundjid.bare)
        )

    async def test_a_message_to_a_blocked_user_is_not_acceptable(self):
        romeo, juliet = await self.couple()
        await romeo["xep_0191"].block(juliet.boundjid.bare)
        romeo.say(juliet.boundjid, "I take it back")
        error = await romeo.message(type="error")
        self.assertEqual(error["error"]["condition"], "not-acceptable")
        self.assertIsNotNone(error["error"].xml.find("{urn:xmpp:blocking:errors}blocked"))
        await juliet.barrier()
        self.assert_no(juliet, Message)

    async def test_contacts_see_the_blocker_leave_and_come_back(self):
        romeo, juliet = await self.couple()
        await self.friends(romeo, juliet)
        await romeo["xep_0191"].block(juliet.boundjid.bare)
        await juliet.presence(romeo.boundjid.full, "unavailable")
        await romeo.become_available(pshow="away")
        await juliet.barrier()
        self.assert_no(juliet, Presence, type="away")
        await romeo["xep_0191"].unblock(juliet.boundjid.bare)
        await juliet.presence(romeo.boundjid.full, "away")

    async def test_an_unblocked_user_is_heard_again(self):
        romeo, juliet = await self.couple()
        await romeo["xep_0191"].block(juliet.boundjid.bare)
        await romeo["xep_0191"].unblock(juliet.boundjid.bare)
        juliet.say(romeo.boundjid, "at last")
        await romeo.message("at last")
        romeo.say(juliet.boundjid, "indeed")
        await juliet.message("indeed")

    async def test_a_blocked_resource_leaves_the_others_of_its_account_alone(self):
        # XEP-0191 §3: "user@domain/resource (only that resource matches)".
        romeo, juliet = await self.couple()
        other = await self.client(juliet.account, "other")
        await romeo["xep_0191"].block(juliet.boundjid)
        juliet.say(romeo.boundjid, "first")
        await juliet.barrier()
        other.say(romeo.boundjid, "second")
        await romeo.message("second")
        self.assert_no(romeo, Message)

    async def test_a_message_of_a_blocked_user_is_not_kept_for_later(self):
        account = self.account()
        romeo, juliet = await self.client(account, plugins=PLUGINS), await self.client("juliet")
        await romeo["xep_0191"].block(juliet.boundjid.bare)
        await romeo.logout()
        juliet.say(account.jid, "while you were out")
        await juliet.message(type="error")
        romeo = await self.client(account, plugins=PLUGINS)
        await romeo["xep_0191"].unblock(juliet.boundjid.bare)
        await romeo.barrier()
        self.assert_no(romeo, Message)
