"""What occupants say to each other, and how they come and go (XEP-0045 §7, XEP-0410, XEP-0198)."""

import asyncio

from slixmpp import Iq, Message, Presence
from slixmpp.exceptions import IqError

from harness.rooms import USER, RoomTest, item
from harness.slix import PING, TIMEOUT
from suites.stream_management import PLUGINS as MANAGED
from suites.stream_management import Managed


class Speaking(RoomTest):
    async def test_what_is_said_is_heard_by_all_and_by_oneself(self):
        # §7.4: all hear it, its sender too.
        seats = await self.coven("second", "third")
        extra = "<tale xmlns='urn:example:tale'>&lt;<y/>&#x1F339;</tale>"
        sent = seats[1].say("Thrice the brinded cat hath mew'd. 🐈", extra=extra)
        for seat in seats:
            got = await seat.message("Thrice the brinded cat hath mew'd. 🐈", "second")
            self.assertEqual((got["id"], got["type"]), (sent["id"], "groupchat"))
            self.assertEqual(got["to"], seat.client.boundjid)
            self.assertEqual(got.xml.find("{urn:example:tale}tale").text, "<")

    async def test_all_hear_the_same_in_the_same_order(self):
        seats = await self.coven("second", "third")
        for n in range(30):
            for seat in seats:
                seat.say(f"{seat.nick} {n}")
        heard = []
        for seat in seats:
            for other in seats:
                await seat.message(f"{other.nick} 29")
            held = seat.client.holds(Message, type="groupchat")
            heard.append([each["body"] for each in held])
            self.assertEqual(len(heard[-1]), 87)
            for other in seats:
                of_other = [body for body in heard[-1] if body.startswith(other.nick)]
                self.assertEqual(of_other, [f"{other.nick} {n}" for n in range(29)])
        # What was taken last is out of the lists; the rest is one list.
        self.assertEqual(heard[0], heard[1])
        self.assertEqual(heard[0], heard[2])

    async def test_who_is_not_in_the_room_is_not_heard(self):
        # §7.4: not-acceptable.
        (crone,) = await self.coven()
        witch = await self.client("witch")
        witch.say(crone.room, "let me in", kind="groupchat")
        told = await witch.take(Message, type="error")
        self.assertEqual(told["error"]["condition"], "not-acceptable")
        await crone.barrier()
        self.assert_no(crone.client, Message, type="groupchat")

    async def test_a_private_message_reaches_one(self):
        # §7.5.
        crone, second, third = await self.coven("second", "third")
        second.client.say(crone.jid, "I'll give thee a wind.")
        got = await crone.client.message("I'll give thee a wind.")
        self.assertEqual((got["from"], got["type"]), (crone.of("second"), "chat"))
        # "a service SHOULD [...] include an empty <x/> element"
        self.assertIsNotNone(got.xml.find(f"{USER}x"))
        crone.client.say(got["from"], "Thou'rt kind.")
        await second.client.message("Thou'rt kind.")
        second.client.say(crone.of("nobody"), "anybody?")
        self.assertEqual(await second.error(), "item-not-found")
        second.client.say(crone.jid, "to all", kind="groupchat")
        self.assertEqual(await second.error(), "bad-request")
        await self.settled(crone, second, third)
        self.assert_no(third.client, Message)

    async def test_the_subject_is_told_to_all_and_to_who_comes(self):
        # §8.1 and §7.2.15.
        crone, second = await self.coven("second", changesubject=False)
        second.muc.set_subject(crone.room, "Hands off")
        self.assertEqual(await second.error(), "forbidden")
        crone.muc.set_subject(crone.room, "Fire Burn and Cauldron Bubble!")
        for seat in (crone, second):
            got = await seat.client.take(Message, subject="Fire Burn and Cauldron Bubble!")
            self.assertEqual(got["from"], crone.jid)
        third = await self.enter(await self.client("third"), crone.room, "third")
        self.assertEqual(third.subject["subject"], "Fire Burn and Cauldron Bubble!")
        # Who has set it: §7.2.15.
        self.assertEqual(third.subject["from"], crone.jid)

    async def test_requests_go_from_occupant_to_occupant(self):
        # §17.4 ("IQs"): the room rewrites addresses and ids.
        crone, second = await self.coven("second")
        ask = "<query xmlns='jabber:iq:version'/>"
        answering = second.client.ask("get", ask, to=crone.jid)
        crone.client.register_plugin("xep_0092")
        crone.client["xep_0092"].software_name = "Cauldron"
        answer = await answering
        self.assertEqual(answer["from"], crone.jid)
        self.assertEqual(
            answer.xml.findtext("{jabber:iq:version}query/{jabber:iq:version}name"), "Cauldron"
        )
        await self.assert_error("item-not-found", second.client.ask("get", ask, to=crone.of("x")))


class ComingAndGoing(RoomTest):
    async def test_a_nick_is_changed(self):
        # §7.6: unavailable with 303 and the new nick, then the presence of the new one.
        crone, second = await self.coven("second")
        await second.muc.set_self_nick(crone.room, "oldhag")
        gone = await crone.hears("second", "unavailable", 303)
        self.assertEqual(item(gone).get("nick"), "oldhag")
        await crone.hears("oldhag")
        async with asyncio.timeout(TIMEOUT):
            while len(held := second.client.holds(Presence)) < 2:
                await asyncio.sleep(0.05)
        self.assertEqual([each["from"].resource for each in held], ["second", "oldhag"])
        for each in held:
            self.assertIn(110, each["muc"]["status_codes"])

    async def test_availability_is_told(self):
        # §7.7.
        crone, second = await self.coven("second")
        second.client.send_presence(pto=second.jid, pshow="xa", pstatus="gone where the goblins go")
        got = await crone.hears("second", "xa")
        self.assertEqual(got["status"], "gone where the goblins go")

    async def test_who_leaves_says_why(self):
        # §7.14.
        crone, second = await self.coven("second")
        second.client["xep_0045"].leave_muc(crone.room, "second", "gone where the goblins go")
        gone = await crone.hears("second", "unavailable")
        self.assertEqual(gone["status"], "gone where the goblins go")
        self.assertEqual(item(gone).get("role"), "none")
        await second.hears("second", "unavailable")

    async def test_whose_connection_is_cut_leaves(self):
        # RFC 6121 §4.5.4: unavailable presence on the user's behalf, to rooms too.
        crone, second = await self.coven("second")
        gone = second.client.closed()
        second.client.abort()
        await gone
        await crone.hears("second", "unavailable")

    async def test_a_self_ping_tells_whether_one_is_there(self):
        # XEP-0410 §3.
        crone, second = await self.coven("second")
        await second.client.ask("get", PING, to=second.jid)
        await second.client["xep_0410"].send_self_ping(second.jid)
        stranger = await self.client("stranger")
        await self.assert_error("not-acceptable", stranger.ask("get", PING, to=second.jid))
        # A nick that nobody has (§3.3).
        await self.assert_error("not-acceptable", stranger.ask("get", PING, to=crone.of("x")))
        # The client itself was not asked: "the service answers in its place".
        self.assert_no(second.client, Iq, type="get")

    async def test_who_believes_to_be_there_is_told_that_he_is_not(self):
        # §7.2.18 and XEP-0410: after a restart of the room, or of his connection.
        crone, second = await self.coven("second")
        other = await self.client(second.client.account, "another")
        with self.assertRaises(IqError) as told:
            await other.ask("get", PING, to=second.jid)
        self.assertEqual(told.exception.condition, "not-acceptable")

    async def test_who_enters_again_is_told_everything_again(self):
        # §7.2.1 with a nick that he has: a client that lost track.
        crone, second = await self.coven("second")
        crone.say("before")
        await second.message("before")
        await self.quiet(crone, second)
        second.client["xep_0045"].rooms[None][crone.room].clear()
        again = await self.enter(second.client, crone.room, "second")
        self.assertEqual([each["body"] for each in again.history], ["before"])
        await second.hears("crone")
        await self.settled(crone, second)
        self.assert_no(crone.client, Presence, type="unavailable")


class Resuming(RoomTest):
    async def managed(self, name: str, **settings) -> Managed:
        return await self.client(name, kind=Managed, plugins=MANAGED, **settings)

    async def test_who_comes_back_to_his_stream_has_missed_nothing(self):
        # XEP-0198 §5: nobody has seen him go.
        (crone,) = await self.coven()
        second = await self.enter(await self.managed("second"), crone.room, "second")
        await self.quiet(crone, second)
        said = []
        for round in range(4):
            for n in range(8):
                said.append(f"{round}.{n}")
                crone.say(said[-1])
                if n == 4:
                    await second.client.cut()
            await crone.message(said[-1])
            self.assertEqual(await second.client.resume(), "resumed")
            second.say(f"I hear {round}")
            await crone.message(f"I hear {round}")
        await second.barrier()
        heard = [each["body"] for each in second.client.holds(Message, type="groupchat")]
        self.assertEqual([body for body in heard if not body.startswith("I hear")], said)
        self.assertEqual(len(heard), len(said) + 4)
        self.assert_no(crone.client, Presence, type="unavailable")

    async def test_what_was_said_into_a_dead_connection_is_heard_once(self):
        (crone,) = await self.coven()
        second = await self.enter(await self.managed("second"), crone.room, "second")
        await self.quiet(crone, second)
        said = [f"line {n}" for n in range(20)]
        # slixmpp forgets what it has not numbered when the connection breaks.
        numbered = set()
        second.client.add_filter("out", lambda each: numbered.add(each["body"]) or each)
        for n, body in enumerate(said):
            second.say(body)
            if n % 7 == 3:
                while body not in numbered:
                    await asyncio.sleep(0)
                await second.client.cut()
                self.assertEqual(await second.client.resume(), "resumed")
        await crone.message(said[-1])
        await self.settled(crone, second)
        heard = [each["body"] for each in crone.client.holds(Message, type="groupchat")]
        self.assertEqual(heard, said[:-1])


