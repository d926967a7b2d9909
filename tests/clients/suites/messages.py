"""Messages and IQs between users (RFC 6120 §8 and §10, RFC 6121 §5 and §8)."""

import asyncio

from slixmpp import Iq, Message

from harness.case import ClientTest, differs
from harness.slix import Client

LANG = "{http://www.w3.org/XML/1998/namespace}lang"


class Delivery(ClientTest):
    async def test_messages_go_both_ways_between_full_addresses(self):
        romeo, juliet = await self.client("romeo"), await self.client("juliet")
        romeo.say(juliet.boundjid, "She speaks!")
        got = await juliet.message("She speaks!")
        self.assertEqual(got["from"], romeo.boundjid)
        self.assertEqual(got["to"], juliet.boundjid)
        self.assertEqual(got["type"], "chat")
        juliet.say(got["from"], "What man art thou?")
        await romeo.message("What man art thou?")

    async def test_a_message_to_the_account_itself_reaches_it(self):
        romeo = await self.client()
        romeo.say(romeo.boundjid.bare, "note")
        await romeo.message("note")

    async def test_a_message_keeps_its_id_thread_subject_and_unknown_payload(self):
        romeo, juliet = await self.client("romeo"), await self.client("juliet")
        payload = "<x xmlns='urn:example:tale'><y z='1 &lt; 2'>&amp;<w/>&#x1F339;</y></x>"
        sent = romeo.say(
            juliet.boundjid, "rose", kind="normal", subject="A flower", thread="t1", extra=payload
        )
        got = await juliet.message("rose")
        self.assertEqual(got["id"], sent["id"])
        self.assertEqual((got["subject"], got["thread"]), ("A flower", "t1"))
        inner = got.xml.find("{urn:example:tale}x/{urn:example:tale}y")
        self.assertEqual((inner.get("z"), inner.text, inner[0].tail), ("1 < 2", "&", "🌹"))

    async def test_a_thousand_messages_arrive_once_and_in_order(self):
        # RFC 6120 §10.1.
        romeo, juliet = await self.client("romeo"), await self.client("juliet")
        bodies = [f"message {n}" for n in range(1000)]
        for body in bodies:
            romeo.say(juliet.boundjid, body)
        await juliet.message(bodies[-1])
        await juliet.barrier()
        self.assertEqual([m["body"] for m in juliet.holds(Message)], bodies[:-1])

    async def test_two_sides_talk_at_once(self):
        romeo, juliet = await self.client("romeo"), await self.client("juliet")

        async def talk(speaker: Client, listener: Client):
            for n in range(200):
                speaker.say(listener.boundjid, f"{speaker.boundjid.user} {n}")
            for n in range(200):
                await listener.message(f"{speaker.boundjid.user} {n}")

        await asyncio.gather(talk(romeo, juliet), talk(juliet, romeo))

    async def test_a_forged_sender_reaches_nobody(self):
        # RFC 6120 §8.1.2.1: the server overrides it, or §4.9.3.9: invalid-from.
        romeo, juliet = await self.client("romeo"), await self.client("juliet")
        paris = await self.client("paris")
        closed = romeo.closed()
        romeo.send_raw(f"<message from='{paris.boundjid}' to='{juliet.boundjid}' id='forged'/>")
        romeo.say(juliet.boundjid, "after")
        after = asyncio.ensure_future(juliet.message("after"))
        done, waiting = await asyncio.wait((closed, after), return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()
        if closed in done:
            self.assertEqual(await romeo.stream_error(), "invalid-from")
        await juliet.barrier()
        for got in juliet.holds(Message, id="forged"):
            self.assertEqual(got["from"], romeo.boundjid)

    async def test_the_language_of_the_stream_is_stamped_on_what_has_none(self):
        # RFC 6120 §8.1.5: the server adds the language of the stream.
        romeo = await self.client("romeo", lang="it")
        juliet = await self.client("juliet")
        romeo.send_raw(f"<message to='{juliet.boundjid}'><body>amore</body></message>")
        got = await juliet.take(Message)
        self.assertEqual(got.xml.find("{jabber:client}body").text, "amore")
        self.assertEqual(got.xml.get(LANG), "it")

    async def test_the_language_of_a_message_is_kept(self):
        romeo, juliet = await self.client("romeo", lang="it"), await self.client("juliet")
        romeo.send_raw(
            f"<message to='{juliet.boundjid}' xml:lang='de'><body>Liebe</body></message>"
        )
        got = await juliet.take(Message)
        self.assertEqual(got.xml.get(LANG), "de")


class BareAddress(ClientTest):
    async def household(self) -> tuple[Client, Client, Client, Client]:
        """Romeo, and Juliet at priorities 5, 1 and -1."""
        account = self.account("juliet")
        juliets = []
        for priority in (5, 1, -1):
            client = await self.client(account, f"priority {priority}", available=False)
            await client.become_available(ppriority=priority)
            juliets.append(client)
        return await self.client("romeo"), *juliets

    async def settle(self, *clients: Client):
        for client in clients:
            await client.barrier()

    async def test_a_chat_message_reaches_the_highest_and_never_a_negative_priority(self):
        # RFC 6121 §8.5.2.1.1.
        romeo, high, low, negative = await self.household()
        romeo.say(high.boundjid.bare, "hark")
        got = await high.message("hark")
        self.assertEqual(got["to"].bare, high.boundjid.bare)
        await self.settle(romeo, low, negative)
        self.assert_no(negative, Message)

    async def test_a_normal_message_reaches_the_highest_and_never_a_negative_priority(self):
        romeo, high, _, negative = await self.household()
        romeo.say(high.boundjid.bare, "hark", kind="normal")
        await high.message("hark")
        await self.settle(romeo, negative)
        self.assert_no(negative, Message)

    async def test_a_headline_reaches_all_but_negative_priorities(self):
        # RFC 6121 §8.5.2.1.1: to each available resource that is not negative.
        romeo, high, low, negative = await self.household()
        romeo.say(high.boundjid.bare, "news", kind="headline")
        await high.message("news")
        await low.message("news")
        await self.settle(romeo, negative)
        self.assert_no(negative, Message)

    async def test_a_groupchat_message_is_refused(self):
        # RFC 6121 §8.5.2.1.1: not delivered, but answered with service-unavailable.
        romeo, high, low, negative = await self.household()
        romeo.say(high.boundjid.bare, "all", kind="groupchat")
        error = await romeo.message(type="error")
        self.assertEqual(error["error"]["condition"], "service-unavailable")
        await self.settle(high, low, negative)
        for juliet in (high, low, negative):
            self.assert_no(juliet, Message)

    async def test_an_error_is_dropped(self):
        # RFC 6121 §8.5.2.1.1, and RFC 6120 §8.3.1: no error answers an error.
        romeo, high, *_ = await self.household()
        romeo.send_raw(
            f"<message to='{high.boundjid.bare}' type='error' id='e'><error type='cancel'>"
            "<gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        )
        await self.settle(romeo, high)
        self.assert_no(high, Message)
        self.assert_no(romeo, Message)

    async def test_a_full_address_is_reached_at_a_negative_priority(self):
        # RFC 6121 §8.5.3.1.
        romeo, _, _, negative = await self.household()
        romeo.say(negative.boundjid, "you")
        await negative.message("you")

    async def test_a_chat_message_to_a_resource_that_left_reaches_another(self):
        # RFC 6121 §8.5.3.2.1: "chat" is handled as if to the bare JID.
        romeo, high, low, _ = await self.household()
        gone = f"{high.boundjid.bare}/gone"
        romeo.say(gone, "where?")
        await high.message("where?")
        self.assertTrue(low.is_connected())

    @differs("prosody", "delivers it to another resource")
    async def test_a_normal_message_to_a_resource_that_left_reaches_no_other(self):
        # RFC 6121 §8.5.3.2.1: ignored, or service-unavailable.
        romeo, high, low, negative = await self.household()
        romeo.say(f"{high.boundjid.bare}/gone", "where?", kind="normal")
        await self.settle(romeo, high, low, negative)
        for juliet in (high, low, negative):
            self.assert_no(juliet, Message)
        for answer in romeo.holds(Message):
            self.assertEqual(answer["error"]["condition"], "service-unavailable")

    async def test_a_groupchat_message_to_a_resource_that_left_reaches_no_other(self):
        romeo, high, low, negative = await self.household()
        romeo.say(f"{high.boundjid.bare}/gone", "where?", kind="groupchat")
        await self.settle(romeo, high, low, negative)
        for juliet in (high, low, negative):
            self.assert_no(juliet, Message)

    async def test_unavailable_presence_turns_messages_away(self):
        account = self.account("juliet")
        first = await self.client(account, "first")
        second = await self.client(account, "second")
        romeo = await self.client()
        second.send_presence(ptype="unavailable")
        await second.barrier()
        romeo.say(account.jid, "who hears?")
        await first.message("who hears?")
        await self.settle(romeo, second)
        self.assert_no(second, Message)


class Nobody(ClientTest):
    async def test_a_message_to_an_unknown_user_is_service_unavailable(self):
        # RFC 6121 §8.5.1.
        romeo = await self.client()
        for to in ("nobody@localhost", "nobody@localhost/there"):
            romeo.say(to, "hello?")
            error = await romeo.message(type="error", **{"from": to})
            self.assertEqual(error["error"]["condition"], "service-unavailable")
            self.assertEqual(error["error"]["type"], "cancel")

    async def test_an_iq_to_an_unknown_user_is_service_unavailable(self):
        romeo = await self.client()
        unknown = "<query xmlns='urn:example:unknown'/>"
        for to in ("nobody@localhost", "nobody@localhost/there"):
            for kind in ("get", "set"):
                await self.assert_error("service-unavailable", romeo.ask(kind, unknown, to=to))

    async def test_an_unknown_iq_is_service_unavailable_at_the_server_and_at_accounts(self):
        # RFC 6120 §8.4.
        romeo, juliet = await self.client(), await self.client("juliet")
        unknown = "<query xmlns='urn:example:unknown'/>"
        for to in (None, "localhost", romeo.boundjid.bare, juliet.boundjid.bare):
            for kind in ("get", "set"):
                with self.subTest(to=to, kind=kind):
                    await self.assert_error(
                        "service-unavailable", romeo.ask(kind, unknown, to=to), "cancel"
                    )

    async def test_an_iq_to_a_resource_that_left_is_service_unavailable(self):
        # RFC 6121 §8.5.3.2.3.
        romeo, juliet = await self.client(), await self.client("juliet")
        ping = romeo.ask("get", "<ping xmlns='urn:xmpp:ping'/>", to=f"{juliet.boundjid.bare}/gone")
        await self.assert_error("service-unavailable", ping)

    async def test_an_iq_between_clients_is_answered_by_the_client(self):
        romeo = await self.client()
        juliet = await self.client("juliet", plugins=("xep_0092",))
        answer = await romeo.ask("get", "<query xmlns='jabber:iq:version'/>", to=juliet.boundjid)
        self.assertEqual(answer["from"], juliet.boundjid)
        unknown = romeo.ask("get", "<query xmlns='urn:example:unknown'/>", to=juliet.boundjid)
        await self.assert_error("feature-not-implemented", unknown)

    @differs("prosody", "answers not-allowed as its server-to-server module is off here")
    async def test_a_stanza_to_an_unknown_domain_is_answered(self):
        # RFC 6120 §10.4: no such remote server.
        romeo = await self.client()
        romeo.say("juliet@nowhere.invalid", "hello?")
        error = await romeo.message(type="error")
        self.assertIn(
            error["error"]["condition"], ("remote-server-not-found", "service-unavailable")
        )

    async def test_an_iq_without_id_or_with_a_bad_type_is_a_bad_request(self):
        # RFC 6120 §8.1.3 and §8.2.3.
        romeo = await self.client()
        for broken in (
            "<iq type='nonsense' id='b1'><ping xmlns='urn:xmpp:ping'/></iq>",
            "<iq type='get' id='b1'/>",
            "<iq type='get' id='b1'><a xmlns='urn:example:a'/><b xmlns='urn:example:b'/></iq>",
        ):
            with self.subTest(broken):
                romeo.send_raw(broken)
                answer = await romeo.take(Iq, id="b1")
                self.assertEqual(answer["error"]["condition"], "bad-request")


class Size(ClientTest):
    async def test_a_message_of_200_kilobytes_arrives_whole(self):
        romeo, juliet = await self.client("romeo"), await self.client("juliet")
        body = "0123456789abcdef" * 12800
        romeo.say(juliet.boundjid, body)
        got = await juliet.take(Message)
        self.assertEqual(len(got["body"]), len(body))
        self.assertEqual(got["body"], body)

    async def test_a_message_of_300_kilobytes_is_a_policy_violation(self):
        # RFC 6120 §13.12 and §4.9.3.14.
        romeo, juliet = await self.client("romeo"), await self.client("juliet")
        closed = romeo.closed()
        romeo.say(juliet.boundjid, "0123456789abcdef" * 19200)
        self.assertEqual(await romeo.stream_error(), "policy-violation")
        await closed
        await juliet.barrier()
        self.assert_no(juliet, Message)

    @differs("prosody", "0.12 does not know XEP-0478")
    async def test_the_server_tells_its_limits(self):
        romeo = await self.client()
        self.assertEqual(romeo.limits.max_bytes, 262144)
