"""Message carbons (XEP-0280)."""

from slixmpp import Message

from harness.case import ClientTest
from harness.slix import Client

PLUGINS = ("xep_0280",)
NAMESPACE = "{urn:xmpp:carbons:2}"
FORWARDED = "{urn:xmpp:forward:0}forwarded"
MESSAGE = "{jabber:client}message"
PRIVATE = "<private xmlns='urn:xmpp:carbons:2'/>"
NO_COPY = "<no-copy xmlns='urn:xmpp:hints'/>"


def is_carbon(message: Message) -> bool:
    return any(child.tag.startswith(NAMESPACE) for child in message.xml)


class Carbons(ClientTest):
    async def household(self) -> tuple[Client, Client, Client]:
        """Romeo at his phone and, with carbons, at his laptop; and Juliet."""
        account = self.account()
        phone = await self.client(account, "phone", plugins=PLUGINS)
        laptop = await self.client(account, "laptop", plugins=PLUGINS)
        await laptop["xep_0280"].enable()
        return phone, laptop, await self.client("juliet")

    async def carbon(self, client: Client, direction: str) -> Message:
        """Takes a carbon and returns the message in it."""
        got = await client.take(Message, is_carbon)
        # XEP-0280 §6: the outer 'from' is the account's own bare JID.
        self.assertEqual(got["from"], client.boundjid.bare)
        self.assertEqual(got["to"], client.boundjid)
        self.assertEqual(got.xml[0].tag, NAMESPACE + direction)
        return Message(xml=got.xml.find(f"{NAMESPACE}{direction}/{FORWARDED}/{MESSAGE}"))

    async def no_carbon(self, *clients: Client):
        for client in clients:
            await client.barrier()
            self.assertEqual([], client.holds(Message, is_carbon))

    async def test_the_server_tells_that_it_has_carbons(self):
        romeo = await self.client(plugins=PLUGINS)
        info = await romeo["xep_0030"].get_info("localhost")
        self.assertIn("urn:xmpp:carbons:2", info["disco_info"]["features"])

    async def test_a_received_message_is_copied(self):
        phone, laptop, juliet = await self.household()
        juliet.say(phone.boundjid, "to the phone")
        await phone.message("to the phone")
        copy = await self.carbon(laptop, "received")
        self.assertEqual(copy["body"], "to the phone")
        self.assertEqual((copy["from"], copy["to"]), (juliet.boundjid, phone.boundjid))

    async def test_a_sent_message_is_copied_and_not_to_its_sender(self):
        phone, laptop, juliet = await self.household()
        await phone["xep_0280"].enable()
        phone.say(juliet.boundjid, "from the phone")
        await juliet.message("from the phone")
        copy = await self.carbon(laptop, "sent")
        self.assertEqual(copy["body"], "from the phone")
        self.assertEqual((copy["from"], copy["to"]), (phone.boundjid, juliet.boundjid))
        await self.no_carbon(phone)

    async def test_a_resource_without_carbons_gets_none(self):
        phone, laptop, juliet = await self.household()
        juliet.say(laptop.boundjid, "to the laptop")
        await laptop.message("to the laptop")
        await self.no_carbon(phone)

    async def test_disabled_carbons_stop(self):
        phone, laptop, juliet = await self.household()
        await laptop["xep_0280"].disable()
        juliet.say(phone.boundjid, "to the phone")
        await phone.message("to the phone")
        await self.no_carbon(laptop)

    async def test_a_private_message_is_not_copied(self):
        phone, laptop, juliet = await self.household()
        phone.say(juliet.boundjid, "secret", extra=PRIVATE)
        await juliet.message("secret")
        juliet.say(phone.boundjid, "secret too", extra=PRIVATE)
        await phone.message("secret too")
        await self.no_carbon(laptop)

    async def test_a_message_with_the_hint_no_copy_is_not_copied(self):
        # XEP-0334 §4.3.
        phone, laptop, juliet = await self.household()
        phone.say(juliet.boundjid, "secret", extra=NO_COPY)
        await juliet.message("secret")
        juliet.say(phone.boundjid, "secret too", extra=NO_COPY)
        await phone.message("secret too")
        await self.no_carbon(laptop)

    async def test_headlines_and_groupchat_are_not_copied(self):
        phone, laptop, juliet = await self.household()
        juliet.say(phone.boundjid, "news", kind="headline")
        await phone.message("news")
        juliet.say(phone.boundjid, "room", kind="groupchat")
        await juliet.barrier()
        await self.no_carbon(phone, laptop)

    async def test_a_normal_message_with_a_body_is_copied(self):
        # XEP-0280 §6.1.
        phone, laptop, juliet = await self.household()
        juliet.say(phone.boundjid, "plain", kind="normal")
        await phone.message("plain")
        self.assertEqual((await self.carbon(laptop, "received"))["body"], "plain")

    async def test_who_gets_the_message_itself_gets_no_copy_of_it(self):
        phone, laptop, juliet = await self.household()
        await phone["xep_0280"].enable()
        juliet.say(phone.boundjid.bare, "to both")
        for client in (phone, laptop):
            got = await client.take(Message)
            await client.barrier()
            self.assert_no(client, Message)
            if is_carbon(got):
                got = Message(xml=got.xml.find(f".//{FORWARDED}/{MESSAGE}"))
            self.assertEqual(got["body"], "to both")

    async def test_carbons_are_enabled_for_a_session_and_not_for_ever(self):
        account = self.account()
        first = await self.client(account, "laptop", plugins=PLUGINS)
        await first["xep_0280"].enable()
        await first.logout()
        second = await self.client(account, "laptop", plugins=PLUGINS)
        phone, juliet = await self.client(account, "phone"), await self.client("juliet")
        juliet.say(phone.boundjid, "to the phone")
        await phone.message("to the phone")
        await self.no_carbon(second)

    async def test_a_carbon_is_not_copied_again(self):
        # A client that sends what looks like a carbon spoofs; see XEP-0280 §11.
        phone, laptop, juliet = await self.household()
        forged = (
            f"<message to='{phone.boundjid.bare}' type='chat'><received xmlns='urn:xmpp:carbons:2'>"
            "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' "
            f"from='friar@localhost/cell' to='{phone.boundjid}' type='chat'><body>flee</body>"
            "</message></forwarded></received></message>"
        )
        juliet.send_raw(forged)
        await juliet.barrier()
        for client in (phone, laptop):
            await client.barrier()
            for got in client.holds(Message, is_carbon):
                self.assertEqual(got["from"], juliet.boundjid, "only its true sender may show")
