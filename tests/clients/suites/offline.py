"""Offline messages (XEP-0160, XEP-0203, XEP-0334)."""

from datetime import datetime, timedelta, timezone

from slixmpp import Message

from harness.case import ClientTest, differs

DELAY = "{urn:xmpp:delay}delay"
HINT = "<{} xmlns='urn:xmpp:hints'/>"


class Offline(ClientTest):
    async def test_messages_wait_and_come_in_order_with_the_time_they_were_sent(self):
        account = self.account("juliet")
        romeo = await self.client()
        before = datetime.now(timezone.utc) - timedelta(seconds=2)
        for n in range(20):
            romeo.say(account.jid, f"letter {n}", kind=("chat", "normal")[n % 2])
        await romeo.barrier()
        after = datetime.now(timezone.utc) + timedelta(seconds=2)
        juliet = await self.client(account, plugins=("xep_0203",))
        letters = [await juliet.take(Message) for _ in range(20)]
        self.assertEqual([m["body"] for m in letters], [f"letter {n}" for n in range(20)])
        for letter in letters:
            self.assertEqual(letter["from"], romeo.boundjid)
            # XEP-0160 §3: the delay's 'from' is the domain of the server.
            self.assertEqual(letter.xml.find(DELAY).get("from"), "localhost")
            self.assertTrue(before <= letter["delay"]["stamp"] <= after)

    async def test_messages_come_once(self):
        account = self.account("juliet")
        romeo = await self.client()
        romeo.say(account.jid, "once")
        await romeo.barrier()
        first = await self.client(account, "first")
        await first.message("once")
        second = await self.client(account, "second")
        await second.barrier()
        self.assert_no(second, Message)

    async def test_messages_do_not_come_before_initial_presence(self):
        # XEP-0160 §3: when the recipient sends non-negative presence.
        account = self.account("juliet")
        romeo = await self.client()
        romeo.say(account.jid, "patience")
        await romeo.barrier()
        juliet = await self.client(account, available=False)
        await juliet.barrier()
        self.assert_no(juliet, Message)
        juliet.send_presence()
        await juliet.message("patience")

    @differs("prosody", "delivers at initial presence only, not when the priority rises")
    async def test_messages_do_not_come_at_a_negative_priority(self):
        account = self.account("juliet")
        romeo = await self.client()
        juliet = await self.client(account, available=False)
        await juliet.become_available(ppriority=-1)
        romeo.say(account.jid, "patience")
        await romeo.barrier()
        await juliet.barrier()
        self.assert_no(juliet, Message)
        juliet.send_presence(ppriority=0)
        await juliet.message("patience")

    async def test_a_chat_message_to_a_resource_that_left_waits(self):
        # RFC 6121 §8.5.3.2.1.
        account = self.account("juliet")
        romeo = await self.client()
        romeo.say(f"{account.jid}/gone", "come back")
        await romeo.barrier()
        juliet = await self.client(account)
        await juliet.message("come back")

    async def test_headlines_and_errors_are_not_kept(self):
        account = self.account("juliet")
        romeo = await self.client()
        romeo.say(account.jid, "old news", kind="headline")
        romeo.send_raw(
            f"<message to='{account.jid}' type='error'><error type='cancel'>"
            "<gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        )
        romeo.say(account.jid, "last")
        await romeo.barrier()
        juliet = await self.client(account)
        await juliet.message("last")
        self.assert_no(juliet, Message)

    async def test_a_groupchat_message_to_who_is_offline_is_refused(self):
        account = self.account("juliet")
        romeo = await self.client()
        romeo.say(account.jid, "all", kind="groupchat")
        error = await romeo.message(type="error")
        self.assertEqual(error["error"]["condition"], "service-unavailable")

    @differs("prosody", "keeps it: hints are a matter of its archive only")
    async def test_the_hint_no_store_is_obeyed(self):
        # XEP-0334 §4.
        account = self.account("juliet")
        romeo = await self.client()
        romeo.say(account.jid, "burn this", extra=HINT.format("no-store"))
        romeo.say(account.jid, "keep this")
        await romeo.barrier()
        juliet = await self.client(account)
        await juliet.message("keep this")
        self.assert_no(juliet, Message)

    @differs("prosody", "keeps it")
    async def test_a_chat_state_alone_is_not_kept(self):
        # XEP-0160 §3: "chat" messages with only chat states SHOULD NOT be stored.
        account = self.account("juliet")
        romeo = await self.client()
        romeo.send_raw(
            f"<message to='{account.jid}' type='chat'>"
            "<composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
        )
        romeo.say(account.jid, "done")
        await romeo.barrier()
        juliet = await self.client(account)
        await juliet.message("done")
        self.assert_no(juliet, Message)

    async def test_payload_and_language_outlive_the_wait(self):
        account = self.account("juliet")
        romeo = await self.client()
        romeo.send_raw(
            f"<message to='{account.jid}' type='chat' id='m1' xml:lang='it'>"
            "<body>rosa &amp; spina</body><x xmlns='urn:example:tale' y='&lt;'>🌹</x></message>"
        )
        await romeo.barrier()
        juliet = await self.client(account)
        got = await juliet.take(Message, id="m1")
        payload = got.xml.find("{urn:example:tale}x")
        self.assertEqual((payload.text, payload.get("y")), ("🌹", "<"))
        self.assertEqual(got.xml.get("{http://www.w3.org/XML/1998/namespace}lang"), "it")
        self.assertEqual(got.xml.find("{jabber:client}body").text, "rosa & spina")
