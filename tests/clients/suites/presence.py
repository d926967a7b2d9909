"""Subscriptions and presence (RFC 6121 §3, §4)."""

from slixmpp import Iq, Presence

from harness.case import ClientTest, differs
from harness.slix import Client


class Subscription(ClientTest):
    async def couple(self) -> tuple[Client, Client]:
        return await self.client("romeo"), await self.client("juliet")

    async def test_the_full_handshake_in_both_directions(self):
        romeo, juliet = await self.couple()
        for asker, owner, before, after in (
            (romeo, juliet, "none", "to"),
            (juliet, romeo, "from", "both"),
        ):
            asker.send_presence(pto=owner.boundjid.bare, ptype="subscribe")
            # RFC 6121 §3.1.2: the asker is told by ask='subscribe'.
            push = await asker.roster_push(owner.boundjid.bare)
            self.assertEqual((push["subscription"], push.get("ask")), (before, "subscribe"))
            # RFC 6121 §3.1.2: the request is stamped with the bare JID.
            await owner.presence(asker.boundjid.bare, "subscribe")
            owner.send_presence(pto=asker.boundjid.bare, ptype="subscribed")
            push = await asker.roster_push(owner.boundjid.bare)
            self.assertEqual((push["subscription"], push.get("ask")), (after, None))
            await asker.presence(owner.boundjid.bare, "subscribed")
            # RFC 6121 §3.1.5: and then the presence itself, of each resource.
            await asker.presence(owner.boundjid.full, "available")
            push = await owner.roster_push(asker.boundjid.bare)
            self.assertEqual(push["subscription"], {"to": "from", "both": "both"}[after])

    async def test_a_request_waits_for_a_contact_who_is_offline(self):
        romeo, account = await self.client(), self.account("juliet")
        romeo.send_presence(pto=account.jid, ptype="subscribe", pstatus="It is I")
        await romeo.roster_push(account.jid)
        # RFC 6121 §3.1.3: delivered at each login until it is answered.
        for _ in range(2):
            juliet = await self.client(account)
            request = await juliet.presence(romeo.boundjid.bare, "subscribe")
            self.assertEqual(request["status"], "It is I")
            await juliet.logout()
        juliet = await self.client(account)
        juliet.send_presence(pto=romeo.boundjid.bare, ptype="subscribed")
        await romeo.presence(juliet.boundjid.full, "available")
        await juliet.logout()
        juliet = await self.client(account)
        self.assert_no(juliet, Presence, type="subscribe")

    async def test_an_approval_reaches_an_asker_who_was_offline(self):
        account = self.account()
        romeo, juliet = await self.client(account), await self.client("juliet")
        romeo.send_presence(pto=juliet.boundjid.bare, ptype="subscribe")
        await juliet.presence(romeo.boundjid.bare, "subscribe")
        await romeo.logout()
        juliet.send_presence(pto=romeo.boundjid.bare, ptype="subscribed")
        await juliet.barrier()
        romeo = await self.client(account)
        await romeo.presence(juliet.boundjid.full, "available")
        self.assertTrue(romeo.client_roster[juliet.boundjid.bare]["to"])

    async def test_a_denied_request_leaves_no_trace_of_asking(self):
        romeo, juliet = await self.couple()
        romeo.send_presence(pto=juliet.boundjid.bare, ptype="subscribe")
        await romeo.roster_push()
        await juliet.presence(romeo.boundjid.bare, "subscribe")
        juliet.send_presence(pto=romeo.boundjid.bare, ptype="unsubscribed")
        await romeo.presence(juliet.boundjid.bare, "unsubscribed")
        push = await romeo.roster_push(juliet.boundjid.bare)
        self.assertEqual((push["subscription"], push.get("ask")), ("none", None))

    async def test_a_request_of_who_is_subscribed_is_answered_by_the_server(self):
        # RFC 6121 §3.1.3: the contact's server auto-replies and does not ask again.
        romeo, juliet = await self.couple()
        await self.friends(romeo, juliet)
        romeo.send_presence(pto=juliet.boundjid.bare, ptype="subscribe")
        await romeo.barrier()
        await juliet.barrier()
        self.assert_no(juliet, Presence, type="subscribe")

    @differs("prosody", "the unsubscribed contact stays available to who unsubscribed")
    async def test_unsubscribing_ends_the_presence_in_one_direction(self):
        romeo, juliet = await self.couple()
        await self.friends(romeo, juliet)
        romeo.send_presence(pto=juliet.boundjid.bare, ptype="unsubscribe")
        push = await romeo.roster_push(juliet.boundjid.bare)
        self.assertEqual(push["subscription"], "from")
        # RFC 6121 §3.3.3.
        await juliet.presence(romeo.boundjid.bare, "unsubscribe")
        push = await juliet.roster_push(romeo.boundjid.bare)
        self.assertEqual(push["subscription"], "to")
        await romeo.presence(juliet.boundjid.full, "unavailable")
        await juliet.become_available(pshow="dnd")
        await romeo.become_available(pshow="away")
        await juliet.presence(romeo.boundjid.full, "away")
        self.assert_no(romeo, Presence, type="dnd")
        self.assertEqual([], juliet.holds(Presence, type="unavailable"))

    async def test_cancelling_a_subscription_ends_the_presence(self):
        romeo, juliet = await self.couple()
        await self.friends(romeo, juliet)
        juliet.send_presence(pto=romeo.boundjid.bare, ptype="unsubscribed")
        # RFC 6121 §3.2.2: unavailable presence, then "unsubscribed".
        await romeo.presence(juliet.boundjid.full, "unavailable")
        await romeo.presence(juliet.boundjid.bare, "unsubscribed")
        push = await romeo.roster_push(juliet.boundjid.bare)
        self.assertEqual(push["subscription"], "from")
        push = await juliet.roster_push(romeo.boundjid.bare)
        self.assertEqual(push["subscription"], "to")

    async def test_removing_a_contact_ends_both_subscriptions(self):
        # RFC 6121 §2.5.2.
        romeo, juliet = await self.couple()
        await self.friends(romeo, juliet)
        removal = (
            "<query xmlns='jabber:iq:roster'>"
            f"<item jid='{juliet.boundjid.bare}' subscription='remove'/></query>"
        )
        await romeo.ask("set", removal)
        push = await romeo.roster_push(juliet.boundjid.bare)
        self.assertEqual(push["subscription"], "remove")
        await juliet.presence(romeo.boundjid.bare, "unsubscribe")
        await juliet.presence(romeo.boundjid.bare, "unsubscribed")
        await juliet.presence(romeo.boundjid.full, "unavailable")
        await juliet.barrier()
        pushes = juliet.holds(Iq, type="set")
        last = pushes[-1].xml[0][0]
        self.assertEqual(last.get("subscription"), "none")

    @differs("prosody", "pushes the item without its 'approved' flag")
    async def test_a_subscription_can_be_approved_beforehand(self):
        # RFC 6121 §3.4.
        romeo, juliet = await self.couple()
        self.assertIn("preapproval", juliet.features)
        juliet.send_presence(pto=romeo.boundjid.bare, ptype="subscribed")
        push = await juliet.roster_push(romeo.boundjid.bare)
        self.assertEqual(push.get("approved"), "true")
        romeo.send_presence(pto=juliet.boundjid.bare, ptype="subscribe")
        await romeo.presence(juliet.boundjid.bare, "subscribed")
        await romeo.presence(juliet.boundjid.full, "available")
        await juliet.barrier()
        self.assert_no(juliet, Presence, type="subscribe")

    @differs("prosody", "answers with unavailable presence")
    async def test_a_request_to_nobody_is_denied_or_ignored(self):
        # RFC 6121 §3.1.3: an unknown contact is not told from a silent one.
        romeo = await self.client()
        romeo.send_presence(pto="nobody@localhost", ptype="subscribe")
        push = await romeo.roster_push("nobody@localhost")
        self.assertEqual((push["subscription"], push.get("ask")), ("none", "subscribe"))
        await romeo.barrier()
        for answer in romeo.holds(Presence, lambda p: p["from"].bare == "nobody@localhost"):
            self.assertEqual(answer["type"], "unsubscribed")


class Available(ClientTest):
    async def couple(self) -> tuple[Client, Client]:
        romeo, juliet = await self.client("romeo"), await self.client("juliet")
        await self.friends(romeo, juliet)
        return romeo, juliet

    async def test_a_change_of_presence_reaches_contacts_whole(self):
        romeo, juliet = await self.couple()
        romeo.send_presence(pshow="away", pstatus="in the orchard", ppriority=7)
        presence = await juliet.presence(romeo.boundjid.full, "away")
        self.assertEqual(presence["status"], "in the orchard")
        self.assertEqual(presence["priority"], 7)

    async def test_a_contact_learns_of_a_login_and_of_a_logout(self):
        account = self.account()
        romeo, juliet = await self.client(account), await self.client("juliet")
        await self.friends(romeo, juliet)
        full = romeo.boundjid.full
        await romeo.logout()
        await juliet.presence(full, "unavailable")
        romeo = await self.client(account, "again")
        await juliet.presence(romeo.boundjid.full, "available")

    async def test_a_contact_learns_of_a_broken_connection(self):
        romeo, juliet = await self.couple()
        full = romeo.boundjid.full
        romeo.abort()
        await juliet.presence(full, "unavailable")

    async def test_unavailable_presence_reaches_contacts_with_its_status(self):
        # RFC 6121 §4.5.2.
        romeo, juliet = await self.couple()
        romeo.send_presence(ptype="unavailable", pstatus="banished")
        presence = await juliet.presence(romeo.boundjid.full, "unavailable")
        self.assertEqual(presence["status"], "banished")

    async def test_who_logs_in_learns_the_presence_of_contacts(self):
        # RFC 6121 §4.2.2 and §4.3: the server probes on the user's behalf.
        account = self.account()
        romeo, juliet = await self.client(account), await self.client("juliet")
        await self.friends(romeo, juliet)
        await romeo.logout()
        await juliet.become_available(pshow="xa", pstatus="on the balcony")
        romeo = await self.client(account)
        presence = await romeo.presence(juliet.boundjid.full, "xa")
        self.assertEqual(presence["status"], "on the balcony")

    async def test_own_resources_learn_of_each_other(self):
        # RFC 6121 §4.2.2.
        account = self.account()
        phone = await self.client(account, "phone")
        laptop = await self.client(account, "laptop")
        await phone.presence(laptop.boundjid.full, "available")
        await laptop.presence(phone.boundjid.full, "available")

    async def test_who_is_not_subscribed_learns_nothing(self):
        romeo, juliet = await self.client("romeo"), await self.client("juliet")
        await romeo.become_available(pshow="away")
        await juliet.barrier()
        self.assert_no(juliet, Presence, **{"from": romeo.boundjid})
        juliet.send_presence(pto=romeo.boundjid.bare, ptype="probe")
        await juliet.barrier()
        # RFC 6121 §4.3.2: "unsubscribed" or nothing.
        for answer in juliet.holds(Presence, lambda p: p["from"].bare == romeo.boundjid.bare):
            self.assertEqual(answer["type"], "unsubscribed")

    async def test_directed_presence_reaches_a_stranger_and_so_does_its_end(self):
        # RFC 6121 §4.6.
        romeo, juliet = await self.client("romeo"), await self.client("juliet")
        romeo.send_presence(pto=juliet.boundjid, pstatus="a mask")
        presence = await juliet.presence(romeo.boundjid.full, "available")
        self.assertEqual(presence["status"], "a mask")
        # §4.6.3: unavailable presence goes to who got directed presence.
        full = romeo.boundjid.full
        await romeo.logout()
        await juliet.presence(full, "unavailable")

    async def test_directed_presence_ends_with_a_broken_connection_too(self):
        romeo, juliet = await self.client("romeo"), await self.client("juliet")
        romeo.send_presence(pto=juliet.boundjid)
        await juliet.presence(romeo.boundjid.full, "available")
        full = romeo.boundjid.full
        romeo.abort()
        await juliet.presence(full, "unavailable")

    async def test_every_resource_of_a_contact_is_told(self):
        account = self.account("juliet")
        romeo, first = await self.client(), await self.client(account, "one")
        await self.friends(romeo, first)
        second = await self.client(account, "two")
        await second.presence(romeo.boundjid.full, "available")
        await romeo.presence(second.boundjid.full, "available")
        await romeo.become_available(pshow="chat")
        await first.presence(romeo.boundjid.full, "chat")
        await second.presence(romeo.boundjid.full, "chat")

    @differs("prosody", "delivers it as if the priority were 0")
    async def test_a_priority_out_of_range_is_a_bad_request(self):
        # RFC 6121 §4.7.2.3: between -128 and +127.
        romeo = await self.client()
        romeo.send_raw("<presence id='p1'><priority>128</priority></presence>")
        await romeo.barrier()
        answers = romeo.holds(Presence, type="error")
        self.assertEqual([a["error"]["condition"] for a in answers], ["bad-request"])
