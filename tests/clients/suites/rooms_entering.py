"""Entering rooms, and what there is to find of them (XEP-0045 §6, §7.1 and §10.1, XEP-0410, XEP-0421)."""

import asyncio

from slixmpp import Message, Presence
from slixmpp.exceptions import PresenceError

from harness.case import differs
from harness.rooms import RoomTest, item
from harness.slix import TIMEOUT

INFO = "<query xmlns='http://jabber.org/protocol/disco#info'/>"


class Creating(RoomTest):
    async def test_an_instant_room_is_open_when_its_owner_says_so(self):
        # §10.1.2: "the service MUST then unlock the room".
        crone, witch = await self.client("crone"), await self.client("witch")
        room = self.address()
        owner = await self.enter(crone, room, "crone")
        self.assertLessEqual({110, 201}, owner.codes)
        self.assertEqual(owner.muc.rooms[None][room]["crone"]["affiliation"], "owner")
        # §7.1.15, §10.1.1: until then nobody else may enter.
        await self.assert_kept_out("item-not-found", witch, room, "witch")
        await owner.configure()
        await self.enter(witch, room, "witch")

    async def test_a_reserved_room_is_configured_by_its_form_first(self):
        # §10.1.3, with the form as slixmpp fills it in.
        crone, witch = await self.client("crone"), await self.client("witch")
        room = self.address()
        owner = await self.enter(crone, room, "crone")
        form = await owner.muc.get_room_config(room)
        values = form.get_values()
        values["muc#roomconfig_roomname"] = "A dark cave"
        values["muc#roomconfig_membersonly"] = True
        form["values"] = values
        await owner.muc.set_room_config(room, form)
        await self.assert_kept_out("registration-required", witch, room, "witch")
        again = (await owner.muc.get_room_config(room)).get_values()
        self.assertEqual(again["muc#roomconfig_roomname"], "A dark cave")
        self.assertTrue(again["muc#roomconfig_membersonly"])

    @differs("prosody", "it stays, locked")
    async def test_a_reserved_room_that_is_cancelled_is_gone(self):
        # §10.1.3: it is destroyed.
        crone, witch = await self.client("crone"), await self.client("witch")
        owner = await self.enter(crone, self.address(), "crone")
        await owner.muc.get_room_config(owner.room)
        await owner.muc.cancel_config(owner.room)
        await self.assert_error("item-not-found", witch.ask("get", INFO, to=owner.room))
        another = await self.enter(witch, owner.room, "witch")
        self.assertIn(201, another.codes)

    async def test_a_room_that_does_not_persist_is_gone_with_its_last_occupant(self):
        crone, witch = await self.coven("witch")
        for seat in (crone, witch):
            seat.leave()
            await seat.hears(seat.nick, "unavailable")
        again = await self.enter(witch.client, crone.room, "witch")
        self.assertIn(201, again.codes)


class Entering(RoomTest):
    async def test_who_enters_hears_occupants_himself_history_subject_and_then_what_is_said(self):
        # §7.1 has the order of events.
        crone, second = await self.coven("second", changesubject=True)
        crone.muc.set_subject(crone.room, "Fire Burn and Cauldron Bubble!")
        for n in range(3):
            crone.say(f"line {n}")
        await crone.message("line 2")
        third = await self.client("third")
        heard = asyncio.ensure_future(self.enter(third, crone.room, "third"))
        third.inbox.clear()
        seat = await heard
        second.say("live")
        await seat.message("live")
        kinds = []
        for stanza in third.inbox:
            if isinstance(stanza, Presence):
                kinds.append(f"presence of {stanza['from'].resource}")
            elif isinstance(stanza, Message):
                kinds.append(stanza["body"] or f"subject {stanza['subject']}")
        self.assertEqual({*kinds[:2]}, {"presence of crone", "presence of second"})
        self.assertEqual(
            kinds[2:],
            ["presence of third", "line 0", "line 1", "line 2", "subject Fire Burn and Cauldron Bubble!"],
        )
        # The others hear of it, with role and affiliation (§7.1.3).
        for other in (crone, second):
            got = await other.hears("third")
            self.assertEqual((item(got).get("affiliation"), item(got).get("role")), ("none", "participant"))

    async def test_an_empty_subject_is_sent_as_well(self):
        # §7.2.15: whatever it is, it ends the history.
        _, second = await self.coven("second")
        self.assertIsNotNone(second.subject.xml.find("{jabber:client}subject"))
        self.assertFalse(second.subject["subject"])

    async def test_addresses_are_shown_to_moderators_or_to_all(self):
        # §7.1.4 and §7.1.5, with status code 100.
        crone, second = await self.coven("second", whois="moderators")
        third = await self.enter(await self.client("third"), crone.room, "third")
        self.assertNotIn(100, third.codes)
        got = await crone.hears("third")
        self.assertEqual(item(got).get("jid"), third.client.boundjid.full)
        self.assertEqual(item(await second.hears("third")).get("jid"), None)
        await crone.configure(whois="anyone")
        fourth = await self.enter(await self.client("fourth"), crone.room, "fourth")
        self.assertIn(100, fourth.codes)
        got = await second.hears("fourth")
        self.assertEqual(item(got).get("jid"), fourth.client.boundjid.full)

    @differs("prosody", "leaves out what slixmpp knows it by")
    async def test_slixmpp_hears_why_it_is_not_let_in(self):
        # §7.2, the examples: `<x xmlns='http://jabber.org/protocol/muc'/>` beside the error.
        (crone,) = await self.coven(membersonly=True)
        witch = await self.client("witch")
        with self.assertRaises(PresenceError) as told:
            await witch["xep_0045"].join_muc_wait(crone.room, "witch", timeout=TIMEOUT / 2)
        self.assertEqual(told.exception.condition, "registration-required")

    async def test_a_password_is_asked_for(self):
        # §7.1.6.
        (crone,) = await self.coven(passwordprotectedroom=True, roomsecret="cauldronburn")
        witch = await self.client("witch")
        await self.assert_kept_out("not-authorized", witch, crone.room, "witch")
        await self.assert_kept_out("not-authorized", witch, crone.room, "witch", password="x")
        await self.enter(witch, crone.room, "witch", password="cauldronburn")

    async def test_a_members_only_room_is_for_members(self):
        # §7.1.7.
        (crone,) = await self.coven(membersonly=True)
        witch = await self.client("witch")
        await self.assert_kept_out("registration-required", witch, crone.room, "witch")
        await crone.muc.set_affiliation(crone.room, "member", jid=witch.boundjid.bare)
        await self.enter(witch, crone.room, "witch")

    async def test_who_is_banned_stays_out(self):
        # §7.1.8.
        (crone,) = await self.coven()
        witch = await self.client("witch")
        await crone.muc.set_affiliation(crone.room, "outcast", jid=witch.boundjid.bare)
        await self.assert_kept_out("forbidden", witch, crone.room, "witch")

    async def test_a_nick_is_one_users(self):
        # §7.1.9; §7.6: "conflict".
        crone, second = await self.coven("second")
        third = await self.client("third")
        error = await self.assert_kept_out("conflict", third, crone.room, "second")
        self.assertEqual(error.presence["from"].bare, crone.room)
        seat = await self.enter(third, crone.room, "third")
        third.send_presence(pto=seat.of("second"))
        refused = await third.presence(kind="error")
        self.assertEqual(refused["error"]["condition"], "conflict")
        await self.quiet(seat)

    @differs("prosody", "a room cannot be limited")
    async def test_a_room_has_room_for_so_many(self):
        # §7.1.10: "service-unavailable".
        (crone,) = await self.coven(maxusers=10)
        witches = [await self.client(f"witch{n}") for n in range(10)]
        for n, witch in enumerate(witches[:9]):
            await self.enter(witch, crone.room, f"witch{n}")
        await self.assert_kept_out("service-unavailable", witches[9], crone.room, "witch9")

    async def test_two_sessions_of_a_user_share_a_nick(self):
        # §7.2.8: others hear of one occupant; both hear what is said.
        crone, _ = await self.coven("second")
        account = self.account("third")
        phone, laptop = await self.client(account, "phone"), await self.client(account, "laptop")
        first = await self.enter(phone, crone.room, "third")
        second = await self.enter(laptop, crone.room, "third")
        await self.quiet(crone, first, second)
        crone.say("double")
        await first.message("double")
        await second.message("double")
        first.leave()
        await first.hears("third", "unavailable")
        await self.settled(crone, second)
        self.assert_no(crone.client, Presence, type="unavailable")
        crone.say("single")
        await second.message("single")
        await first.client.barrier()
        self.assert_no(first.client, Message, body="single")
        second.leave()
        await crone.hears("third", "unavailable")

    async def test_history_is_as_much_as_is_asked_for(self):
        # §7.2.14 (history): maxstanzas, maxchars, seconds, since.
        (crone,) = await self.coven()
        for n in range(6):
            crone.say(f"line {n}")
        await crone.message("line 5")
        witch = await self.client("witch")

        async def lines(**how) -> list[str]:
            seat = await self.enter(witch, crone.room, "witch", **how)
            seat.leave()
            await seat.hears("witch", "unavailable")
            for message in seat.history:
                self.assertEqual(message["from"], crone.jid)
                self.assertEqual(message["type"], "groupchat")
                self.assertEqual(message["delay"]["from"], crone.room)
            return [message["body"] for message in seat.history]

        self.assertEqual(await lines(maxstanzas=2), ["line 4", "line 5"])
        self.assertEqual(await lines(maxstanzas=0), [])
        self.assertEqual(await lines(maxchars=0), [])
        self.assertEqual(await lines(), [f"line {n}" for n in range(6)])
        self.assertEqual(await lines(seconds=3600), [f"line {n}" for n in range(6)])


class Finding(RoomTest):
    async def test_the_service_is_found_from_the_server_and_says_what_it_is(self):
        # §6.1 and §6.2.
        witch = await self.client("witch")
        disco = witch["xep_0030"]
        items = await disco.get_items(self.server.domain)
        self.assertIn(self.server.rooms, [str(item[0]) for item in items["disco_items"]["items"]])
        info = (await disco.get_info(self.server.rooms))["disco_info"]
        self.assertIn(("conference", "text"), [each[:2] for each in info["identities"]])
        self.assertIn("http://jabber.org/protocol/muc", info["features"])

    async def test_public_rooms_are_listed_and_hidden_ones_are_not(self):
        # §6.3.
        (public,) = await self.coven(publicroom=True, roomname="A dark cave")
        (hidden,) = await self.coven(publicroom=False)
        witch = await self.client("witch")
        items = await witch["xep_0030"].get_items(self.server.rooms)
        names = {str(jid): name for jid, _, name in items["disco_items"]["items"]}
        self.assertEqual(names.get(str(public.room)), "A dark cave")
        self.assertNotIn(str(hidden.room), names)

    async def test_a_room_says_what_it_is_like(self):
        # §6.4, §16.5.4, and the features of XEP-0410, XEP-0421 and XEP-0359.
        (crone,) = await self.coven(
            membersonly=True, moderatedroom=True, persistentroom=False, roomdesc="The place for witches"
        )
        witch = await self.client("witch")
        info = (await witch["xep_0030"].get_info(crone.room))["disco_info"]
        self.assertIn(("conference", "text"), [each[:2] for each in info["identities"]])
        wanted = {
            "http://jabber.org/protocol/muc", "muc_membersonly", "muc_moderated", "muc_temporary",
            "muc_unsecured", "muc_semianonymous", "urn:xmpp:occupant-id:0", "urn:xmpp:sid:0",
            "http://jabber.org/protocol/muc#self-ping-optimization",
        }
        if self.server.name == "prosody":
            wanted -= {"urn:xmpp:sid:0"}  # with its archive only
        self.assertLessEqual(wanted, set(info["features"]))
        form = info.xml.find("{jabber:x:data}x")
        fields = {each.get("var"): each.findtext("{jabber:x:data}value") for each in form}
        self.assertEqual(fields["FORM_TYPE"], "http://jabber.org/protocol/muc#roominfo")
        self.assertEqual(fields["muc#roominfo_description"], "The place for witches")
        self.assertEqual(fields["muc#roominfo_occupants"], "1")

    async def test_a_room_that_is_not_there_is_not_found(self):
        witch = await self.client("witch")
        await self.assert_error("item-not-found", witch.ask("get", INFO, to=self.address()))

    @differs("prosody", "only members may register")
    async def test_a_registered_nick_is_told_to_who_asks(self):
        # §7.12 (x-roomuser-item) and §7.10.
        (crone,) = await self.coven()
        witch = await self.client("witch")
        register = (
            "<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>"
            "<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#register</value></field>"
            "<field var='muc#register_roomnick'><value>thirdwitch</value></field></x></query>"
        )
        form = await witch.ask("get", "<query xmlns='jabber:iq:register'/>", to=crone.room)
        self.assertIsNotNone(form.xml.find("{jabber:iq:register}query/{jabber:x:data}x"))
        await witch.ask("set", register, to=crone.room)
        members = await crone.muc.get_affiliation_list(crone.room, "member")
        self.assertEqual([str(jid) for jid in members], [witch.boundjid.bare])
        ask = "<query xmlns='http://jabber.org/protocol/disco#info' node='x-roomuser-item'/>"
        told = await witch.ask("get", ask, to=crone.room)
        identity = told.xml.find(".//{http://jabber.org/protocol/disco#info}identity")
        self.assertEqual(identity.get("name"), "thirdwitch")
        # §7.1.9: a nick that is reserved is nobody else's.
        thief = await self.client("thief")
        await self.assert_kept_out("conflict", thief, crone.room, "thirdwitch")
        await self.enter(witch, crone.room, "thirdwitch")


class Ids(RoomTest):
    async def test_an_occupant_has_one_id_whatever_his_nick(self):
        # XEP-0421 §3.1: the same for a user in a room, another in another, and no other may be told.
        crone, second = await self.coven("second")

        def id_of(stanza) -> str:
            found = stanza.xml.findall("{urn:xmpp:occupant-id:0}occupant-id")
            self.assertEqual(len(found), 1, stanza)
            return found[0].get("id")

        second.say("first", extra="<occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/>")
        known = id_of(await crone.message("first"))
        self.assertNotEqual(known, "forged")
        await second.muc.set_self_nick(crone.room, "other")
        self.assertEqual(id_of(await crone.hears("other")), known)
        second.leave()
        await crone.hears("other", "unavailable")
        again = await self.enter(second.client, crone.room, "third")
        self.assertEqual(id_of(await crone.hears("third")), known)
        again.say("again")
        self.assertEqual(id_of(await crone.message("again")), known)
        crone.say("mine")
        self.assertNotEqual(id_of(await again.message("mine")), known)

    @differs("prosody", "gives ids with its archive only")
    async def test_a_message_has_one_id_of_the_room_for_all(self):
        # XEP-0359 §4: what was forged in its name is stripped, what others gave stays.
        crone, second = await self.coven("second")
        sid = "urn:xmpp:sid:0"
        forged = f"<stanza-id xmlns='{sid}' id='forged' by='{crone.room}'/>"
        crone.say("hear", extra=forged)
        ids = []
        for seat in (crone, second):
            found = (await seat.message("hear")).xml.findall(f"{{{sid}}}stanza-id")
            self.assertEqual([each.get("by") for each in found], [crone.room])
            ids.append(found[0].get("id"))
        third = await self.enter(await self.client("third"), crone.room, "third")
        found = third.history[-1].xml.findall(f"{{{sid}}}stanza-id")
        ids.append(found[0].get("id"))
        self.assertEqual(len({*ids}), 1)
        self.assertNotIn("forged", ids)


