"""What moderators, admins and owners do with a room, and who asks them to (XEP-0045 §7.8, §7.13, §8, §9, §10)."""

from slixmpp import Message, Presence

from harness.case import differs
from harness.rooms import RoomTest, child, item

INFO = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
ROLE_FORM = "http://jabber.org/protocol/muc#request"


class Moderating(RoomTest):
    async def test_an_occupant_is_kicked(self):
        # §8.2: 307, with actor and reason; others hear it too.
        crone, second, third = await self.coven("second", "third")
        await crone.muc.set_role(crone.room, "second", "none", reason="Avaunt, you cullion!")
        for seat in (crone, second, third):
            gone = await seat.hears("second", "unavailable", 307)
            self.assertEqual(item(gone).get("role"), "none")
            self.assertEqual(item(gone).findtext("{*}reason"), "Avaunt, you cullion!")
        second.say("hear me")
        self.assertEqual(await second.error(), "not-acceptable")
        # A kick is no ban.
        await self.enter(second.client, crone.room, "second")

    @differs("prosody", "answers not-allowed")
    async def test_a_participant_kicks_nobody(self):
        # §8.2: forbidden; not-allowed towards those above oneself.
        crone, second, third = await self.coven("second", "third")
        kick = second.muc.set_role(crone.room, "third", "none")
        await self.assert_error("forbidden", kick)
        await crone.muc.set_role(crone.room, "second", "moderator")
        kick = second.muc.set_role(crone.room, "crone", "none")
        await self.assert_error("not-allowed", kick)
        await second.muc.set_role(crone.room, "third", "none")
        await third.hears("third", "unavailable", 307)

    async def test_voice_is_taken_and_given(self):
        # §8.3 and §8.4; §7.4: forbidden.
        crone, second = await self.coven("second", moderatedroom=True)
        second.say("may I?")
        self.assertEqual(await second.error(), "forbidden")
        await crone.muc.set_role(crone.room, "second", "participant")
        for seat in (crone, second):
            got = await seat.hears("second")
            self.assertEqual(item(got).get("role"), "participant")
        second.say("thanks")
        await crone.message("thanks")
        await crone.muc.set_role(crone.room, "second", "visitor")
        self.assertEqual(item(await second.hears("second")).get("role"), "visitor")
        second.say("and now?")
        self.assertEqual(await second.error(), "forbidden")

    async def test_voice_is_asked_for_and_approved(self):
        # §7.13 and §8.6.
        crone, second = await self.coven("second", moderatedroom=True)
        second.muc.request_voice(crone.room, "participant")
        asked = await crone.client.take(Message, lambda m: m["from"].full == str(crone.room))
        form = asked.xml.find("{jabber:x:data}x")
        fields = {each.get("var"): each.findtext("{jabber:x:data}value") for each in form}
        self.assertEqual(fields["FORM_TYPE"], ROLE_FORM)
        self.assertEqual(fields["muc#role"], "participant")
        self.assertEqual(fields["muc#roomnick"], "second")
        self.assertIn(second.client.boundjid.bare, fields["muc#jid"])
        filled = {**fields, "muc#request_allow": "true"}
        xml = "".join(f"<field var='{k}'><value>{v}</value></field>" for k, v in filled.items())
        crone.client.send_raw(
            f"<message to='{crone.room}'><x xmlns='jabber:x:data' type='submit'>{xml}</x></message>"
        )
        self.assertEqual(item(await second.hears("second")).get("role"), "participant")
        second.say("thanks")
        await crone.message("thanks")

    @differs("prosody", "takes one at a time")
    async def test_lists_of_roles_are_read_and_changed(self):
        # §8.5: "voice list", and §9.8: several at once, all or nothing.
        crone, second, third = await self.coven("second", "third")
        nicks = await crone.muc.get_roles_list(crone.room, "participant")
        self.assertEqual({*nicks}, {"second", "third"})
        await crone.admin("nick='second' role='visitor'", "nick='third' role='moderator'")
        self.assertEqual(item(await second.hears("second")).get("role"), "visitor")
        self.assertEqual(item(await second.hears("third")).get("role"), "moderator")
        await self.assert_error("forbidden", second.muc.get_roles_list(crone.room, "participant"))


class Administrating(RoomTest):
    async def test_a_user_is_banned_and_pardoned(self):
        # §9.1: 301, and §9.2.
        crone, second, third = await self.coven("second", "third")
        bare = second.client.boundjid.bare
        ban = crone.muc.set_affiliation(crone.room, "outcast", jid=bare, reason="Treason")
        await ban
        for seat in (crone, second, third):
            gone = await seat.hears("second", "unavailable", 301)
            self.assertEqual(item(gone).get("affiliation"), "outcast")
            self.assertEqual(item(gone).findtext("{*}reason"), "Treason")
        await self.assert_kept_out("forbidden", second.client, crone.room, "second")
        banned = await crone.muc.get_affiliation_list(crone.room, "outcast")
        self.assertEqual([str(jid) for jid in banned], [bare])
        await crone.muc.set_affiliation(crone.room, "none", jid=bare)
        await self.enter(second.client, crone.room, "second")

    async def test_a_domain_is_banned(self):
        # §9.2: all users of a domain.
        crone, second = await self.coven("second")
        await crone.muc.set_affiliation(crone.room, "outcast", jid="elsewhere.example")
        crone.say("still here?")
        await second.message("still here?")
        banned = await crone.muc.get_affiliation_list(crone.room, "outcast")
        self.assertEqual([str(jid) for jid in banned], ["elsewhere.example"])

    async def test_a_member_is_made_and_unmade(self):
        # §9.3, §9.4: in a members-only room 321 and out.
        crone, second = await self.coven("second")
        bare = second.client.boundjid.bare
        await crone.muc.set_affiliation(crone.room, "member", jid=bare)
        self.assertEqual(item(await second.hears("second")).get("affiliation"), "member")
        await crone.configure(membersonly=True)
        await self.quiet(crone, second)
        await crone.muc.set_affiliation(crone.room, "none", jid=bare)
        for seat in (crone, second):
            await seat.hears("second", "unavailable", 321)

    @differs("prosody", "takes one at a time")
    async def test_several_are_changed_at_once_or_none(self):
        # §9.5 ("modify the member list"), and for it to be all or nothing is ours.
        crone, second, third = await self.coven("second", "third")
        await crone.muc.send_affiliation_list(
            crone.room,
            [(second.client.boundjid.bare, "admin"), (third.client.boundjid.bare, "member")],
        )
        got = await third.hears("second")
        self.assertEqual((item(got).get("affiliation"), item(got).get("role")), ("admin", "moderator"))
        await second.client.take(
            Presence, lambda p: item(p).get("affiliation") == "member", **{"from": crone.of("third")}
        )
        self.assertEqual(
            [str(jid) for jid in await crone.muc.get_affiliation_list(crone.room, "admin")],
            [second.client.boundjid.bare],
        )

    async def test_an_admin_does_nothing_to_owners(self):
        # §9.1, §10.5, §10.6: not-allowed, forbidden.
        crone, second = await self.coven("second")
        await crone.muc.set_affiliation(crone.room, "admin", jid=second.client.boundjid.bare)
        owner = crone.client.boundjid.bare
        ban = second.muc.set_affiliation(crone.room, "outcast", jid=owner)
        await self.assert_error("not-allowed", ban)
        await self.assert_error("forbidden", second.configure(roomname="Mine"))
        form = second.muc.get_room_config(crone.room)
        await self.assert_error("forbidden", form)

    async def test_the_last_owner_stays_one(self):
        # §10.4: conflict.
        (crone,) = await self.coven()
        step_down = crone.muc.set_affiliation(
            crone.room, "admin", jid=crone.client.boundjid.bare
        )
        await self.assert_error("conflict", step_down)


class Owning(RoomTest):
    async def test_what_a_change_does_is_told_to_all(self):
        # §10.2.1: 104 and 172, 173.
        crone, second = await self.coven("second")
        for values, codes in (
            ({"roomname": "A darker cave"}, {104}),
            ({"whois": "anyone"}, {172}),
            ({"whois": "moderators"}, {173}),
        ):
            await crone.configure(**values)
            for seat in (crone, second):
                got = await seat.client.take(Message, lambda m: child(m, "status") is not None)
                self.assertEqual(got["from"], crone.room)
                self.assertEqual(got["type"], "groupchat")
                told = got["muc"]["status_codes"]
                self.assertLessEqual(codes, told, values)

    @differs("prosody", "lets them stay")
    async def test_who_is_no_member_leaves_a_room_that_is_for_members(self):
        # §10.2.1 and §9.4: 322.
        crone, second = await self.coven("second")
        await crone.configure(membersonly=True)
        for seat in (crone, second):
            await seat.hears("second", "unavailable", 322)

    @differs("prosody", "takes the values that do")
    async def test_values_that_make_no_sense_are_not_acceptable(self):
        (crone,) = await self.coven(roomname="A dark cave")
        for values in ({"whois": "nobody knows"}, {"maxusers": "many"}):
            with self.subTest(values):
                change = crone.configure(roomname="Changed", **values)
                await self.assert_error("not-acceptable", change)
        form = await crone.muc.get_room_config(crone.room)
        self.assertEqual(form.get_values()["muc#roomconfig_roomname"], "A dark cave")

    @differs("prosody", "says that it is gone, forever")
    async def test_a_room_is_destroyed(self):
        # §10.9: with reason and another room.
        crone, second = await self.coven("second", persistentroom=True)
        other = self.address()
        await crone.muc.destroy(crone.room, reason="Macbeth doth come.", altroom=other)
        for seat in (crone, second):
            gone = await seat.hears(seat.nick, "unavailable")
            self.assertEqual(item(gone).get("role"), "none")
            destroyed = child(gone, "destroy")
            self.assertEqual(destroyed.get("jid"), str(other))
            self.assertEqual(destroyed.findtext("{*}reason"), "Macbeth doth come.")
        await self.assert_error("item-not-found", second.client.ask("get", INFO, to=crone.room))

    async def test_only_owners_destroy(self):
        crone, second = await self.coven("second")
        await self.assert_error("forbidden", second.muc.destroy(crone.room))


class Inviting(RoomTest):
    async def test_an_invitation_through_the_room_is_read_and_followed(self):
        # §7.8.2, in a members-only room: who is invited becomes a member.
        (crone,) = await self.coven(
            membersonly=True, passwordprotectedroom=True, roomsecret="cauldronburn"
        )
        hecate = await self.client("hecate")
        crone.muc.invite(crone.room, hecate.boundjid.bare, "Hey Hecate, this is the place!")
        got = await hecate.take(Message, lambda m: child(m, "invite") is not None)
        self.assertEqual(got["from"], crone.room)
        invite = got["muc"]["invite"]
        # "the bare JID, full JID, or occupant JID of the inviter"
        inviters = (crone.client.boundjid.bare, crone.client.boundjid.full, str(crone.jid))
        self.assertIn(invite["from"].full, inviters)
        self.assertEqual(invite["reason"], "Hey Hecate, this is the place!")
        password = child(got, "password").text
        await self.enter(hecate, crone.room, "hecate", password=password)

    async def test_an_invitation_is_declined(self):
        (crone,) = await self.coven()
        hecate = await self.client("hecate")
        crone.muc.invite(crone.room, hecate.boundjid.bare)
        got = await hecate.take(Message, lambda m: child(m, "invite") is not None)
        inviter = got["muc"]["invite"]["from"]
        hecate["xep_0045"].decline(crone.room, inviter, "Sorry, I'm too busy right now.")
        told = await crone.client.take(Message, lambda m: child(m, "decline") is not None)
        decline = told["muc"]["decline"]
        self.assertEqual(told["from"], crone.room)
        self.assertEqual(decline["from"].bare, hecate.boundjid.bare)
        self.assertEqual(decline["reason"], "Sorry, I'm too busy right now.")

    async def test_in_a_room_for_members_not_everybody_invites(self):
        # §7.8.2: forbidden, unless the configuration allows it.
        (crone,) = await self.coven(membersonly=True, allowinvites=False)
        member, hecate = await self.client("member"), await self.client("hecate")
        await crone.muc.set_affiliation(crone.room, "member", jid=member.boundjid.bare)
        seat = await self.enter(member, crone.room, "member")
        seat.muc.invite(crone.room, hecate.boundjid.bare)
        self.assertEqual(await seat.error(), "forbidden")
        await hecate.barrier()
        self.assert_no(hecate, Message)

    async def test_a_direct_invitation_goes_past_the_room(self):
        # XEP-0249.
        (crone,) = await self.coven()
        hecate = await self.client("hecate")
        crone.client["xep_0249"].send_invitation(
            hecate.boundjid.bare, str(crone.room), reason="Hey Hecate"
        )
        got = await hecate.take(Message, lambda m: m.xml.find("{jabber:x:conference}x") is not None)
        self.assertEqual(got["from"], crone.client.boundjid)
        self.assertEqual(got["groupchat_invite"]["jid"], crone.room)


