"""Rooms whose occupants are on other servers, and rooms that outlast their server (XEP-0045 §7, §10.3)."""

import asyncio

from slixmpp import Message, Presence

from harness.case import differs
from harness.prosody import Prosody
from harness.rooms import RoomTest, item
from harness.server import Federation, Options
from suites.federation import BOUNCE, FederationTest


class Between:
    """What has to go well with a room on the server under test and one on the other."""

    async def witches(self):
        """Romeo on the server under test, Juliet on the other."""
        romeo = await self.client("romeo")
        return romeo, await self.client("juliet", on=self.peer)

    async def test_a_room_here_is_entered_from_there(self):
        romeo, juliet = await self.witches()
        await self.talk(await self.found(romeo, "romeo"), juliet)

    async def test_a_room_there_is_entered_from_here(self):
        romeo, juliet = await self.witches()
        await self.talk(await self.found(juliet, "juliet", on=self.peer), romeo)

    async def talk(self, owner, visitor):
        owner.say("before")
        await owner.message("before")
        guest = await self.enter(visitor, owner.room, "guest")
        self.assertEqual([each["body"] for each in guest.history], ["before"])
        self.assertEqual(item(await owner.hears("guest")).get("role"), "participant")
        bodies = [f"line {n}" for n in range(20)]
        for body in bodies:
            owner.say(body)
            guest.say(f"answer to {body}")
        for seat in (owner, guest):
            await seat.message(bodies[-1])
            await seat.message(f"answer to {bodies[-1]}")
            live = seat.client.holds(Message, lambda m: m["body"] not in ("", "before"))
            heard = [each["body"] for each in live]
            self.assertEqual([body for body in heard if body in bodies], bodies[:-1])
            self.assertEqual(len(heard), 2 * len(bodies) - 2)
        guest.client.say(owner.jid, "between us")
        await owner.client.message("between us", type="chat")
        await owner.muc.set_role(owner.room, "guest", "none", reason="Avaunt")
        for seat in (owner, guest):
            await seat.hears("guest", "unavailable", 307)
        # One who is gone is seen to be gone.
        await self.enter(visitor, owner.room, "guest")
        await owner.hears("guest")
        await owner.client.barrier()
        owner.client.inbox.clear()
        gone = visitor.closed()
        visitor.abort()
        await gone
        await owner.hears("guest", "unavailable")


class ProsodyByDialback(Between, RoomTest, FederationTest):
    product = Prosody


class ProsodyByCertificateOnOneStream(Between, RoomTest, FederationTest):
    product = Prosody
    federation = Federation(certified=True, bidi=True)


class TwoOfAKindByDialback(Between, RoomTest, FederationTest):
    pass


class TwoOfAKindByCertificateOnOneStream(Between, RoomTest, FederationTest):
    federation = Federation(certified=True, bidi=True, acks=True)


class Ghosts(RoomTest, FederationTest):
    """Occupants whose server is there no more."""

    product = Prosody
    alone = "its occupants' server is killed"

    async def test_who_was_on_a_server_that_is_gone_leaves_the_room(self):
        # §18.1.2 and §9.3: an error for what is sent to an occupant removes them.
        romeo = await self.client("romeo")
        juliet = await self.client("juliet", on=self.peer)
        owner = await self.found(romeo, "romeo")
        await self.enter(juliet, owner.room, "guest")
        await owner.hears("guest")
        self.peer.kill()
        async with asyncio.timeout(BOUNCE):
            while not romeo.holds(Presence, **{"from": owner.of("guest"), "type": "unavailable"}):
                owner.say("anybody?")
                await asyncio.sleep(0.5)
        gone = await romeo.presence(owner.of("guest"), "unavailable")
        self.assertIn(333, gone["muc"]["status_codes"])
        self.peer.start()


class Kept(RoomTest):
    options = Options(alone="its rooms are kept over a kill")

    async def restarted(self, *clients):
        """The server is killed, and started again."""
        gone = [asyncio.ensure_future(client.closed()) for client in clients]
        self.server.kill()
        await asyncio.gather(*gone)
        await asyncio.to_thread(self.server.start)

    @differs("prosody", "keeps history with its archive only")
    async def test_all_of_a_persistent_room_is_there_after_a_kill(self):
        crone, second, outcast = await self.coven(
            "second", "outcast", persistentroom=True, roomname="A dark cave", membersonly=False
        )
        room, member = crone.room, second.client.boundjid.bare
        await crone.muc.set_affiliation(room, "member", jid=member, nick="thirdwitch")
        await crone.muc.set_affiliation(room, "outcast", jid=outcast.client.boundjid.bare)
        crone.muc.set_subject(room, "Fire Burn and Cauldron Bubble!")
        said = [f"line {n}" for n in range(10)]
        for body in said:
            second.say(body)
        await crone.message(said[-1])
        await self.settled(crone, second)
        ids = {m["body"]: m["stanza_id"]["id"] for m in crone.client.holds(Message) if m["body"]}
        await self.restarted(crone.client, second.client, outcast.client)
        again = await self.enter(await self.client(crone.client.account), room, "crone")
        self.assertNotIn(201, again.codes)
        self.assertEqual([each["body"] for each in again.history], said)
        for message in again.history[:-1]:
            self.assertEqual(message["from"], crone.of("second"))
            self.assertEqual(message["stanza_id"]["id"], ids[message["body"]])
        self.assertEqual(again.subject["subject"], "Fire Burn and Cauldron Bubble!")
        for affiliation, who in (
            ("owner", crone), ("member", second), ("outcast", outcast),
        ):
            jids = await again.muc.get_affiliation_list(room, affiliation)
            self.assertEqual([str(jid) for jid in jids], [who.client.boundjid.bare])
        values = (await again.muc.get_room_config(room)).get_values()
        self.assertEqual(values["muc#roomconfig_roomname"], "A dark cave")
        self.assertTrue(values["muc#roomconfig_persistentroom"])
        banned = await self.client(outcast.client.account)
        await self.assert_kept_out("forbidden", banned, room, "outcast")
        items = await again.client["xep_0030"].get_items(self.server.rooms)
        names = {str(jid): name for jid, _, name in items["disco_items"]["items"]}
        self.assertEqual(names.get(str(room)), "A dark cave")

    async def test_a_room_that_does_not_persist_is_not_there_after_a_kill(self):
        (crone,) = await self.coven()
        await self.restarted(crone.client)
        again = await self.enter(await self.client(crone.client.account), crone.room, "crone")
        self.assertIn(201, again.codes)

    @differs("prosody", "ends the streams first")
    async def test_who_was_in_a_room_hears_that_it_is_shut_down(self):
        # §11.2: 332.
        crone, second = await self.coven("second", persistentroom=True)
        gone = [asyncio.ensure_future(seat.client.closed()) for seat in (crone, second)]
        self.assertEqual(await asyncio.to_thread(self.server.stop), 0)
        await asyncio.gather(*gone)
        for seat in (crone, second):
            await seat.hears(seat.nick, "unavailable", 332)
        await asyncio.to_thread(self.server.start)


