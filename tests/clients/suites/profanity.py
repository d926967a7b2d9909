"""profanity, a console client on libstrophe."""

import tempfile
from pathlib import Path

from slixmpp import Message, Presence

from harness.case import ClientTest
from harness.profanity import Profanity
from harness.rooms import RoomTest, child, item
from harness.server import Account, Options


class ProfanityTest(ClientTest):
    async def profanity(self, account: Account | None = None, resource="", **login) -> Profanity:
        """A profanity that is logged in, if it got an account."""
        profanity = self.start()
        await profanity.ready()
        if account is not None:
            await profanity.login(account, resource, **login)
        return profanity

    def start(self, **settings) -> Profanity:
        home = Path(tempfile.mkdtemp(dir=self.folder))
        profanity = Profanity(self.server, home, **settings)
        self.addCleanup(profanity.close)
        return profanity


class Login(ProfanityTest):
    async def test_it_logs_in_by_starttls(self):
        account = self.account()
        profanity = await self.profanity(account)
        await profanity.wait_for(rf"{account.jid}/profanity\.\w+ logged in successfully")

    async def test_it_logs_in_by_direct_tls(self):
        await self.profanity(self.account(), direct_tls=True)

    async def test_it_asks_about_a_certificate_of_an_unknown_authority(self):
        # Shows that the other tests verify the certificate.
        profanity = await self.start(trusted=False).ready()
        account = self.account()
        profanity.connect(account)
        await profanity.wait_for("Enter password")
        profanity.type(account.password)
        await profanity.wait_for("TLS certificate verification failed")
        profanity.type("/tls deny")
        await profanity.wait_for(r"\[offline\]")

    async def test_it_tells_of_a_wrong_password(self):
        account = self.account()
        profanity = await self.profanity()
        profanity.connect(account)
        await profanity.wait_for("Enter password")
        profanity.type("not " + account.password)
        await profanity.wait_for("Login failed")

    async def test_it_logs_in_with_an_emoji_for_a_resource_and_is_reached_there(self):
        # RFC 7622 §3.4: the OpaqueString profile of a resource allows symbols.
        romeo, juliet = self.account(), self.account("juliet")
        with_emoji = await self.profanity(romeo, "📱")
        await with_emoji.wait_for(f"{romeo.jid}/📱")
        other = await self.profanity(juliet)
        other.type(f"/msg {romeo.jid}/📱 to your phone")
        await with_emoji.wait_for(juliet.user)
        with_emoji.type("/win 2")
        await with_emoji.wait_for("to your phone")


class Chat(ProfanityTest):
    async def test_messages_go_both_ways_with_slixmpp(self):
        account = self.account()
        profanity, juliet = await self.profanity(account), await self.client("juliet")
        profanity.type(f"/msg {juliet.boundjid.bare} But soft, ¿what light?")
        got = await juliet.message("But soft, ¿what light?")
        self.assertEqual(got["from"].bare, account.jid)
        juliet.say(got["from"], "O Romeo 🌹")
        await profanity.wait_for("O Romeo 🌹")

    async def test_a_message_that_waited_is_shown_with_its_time(self):
        account, juliet = self.account(), await self.client("juliet")
        juliet.say(account.jid, "come tomorrow")
        await juliet.barrier()
        profanity = await self.profanity(account)
        await profanity.wait_for(juliet.boundjid.user)
        profanity.type("/win 2")
        await profanity.wait_for("come tomorrow")

    async def test_it_shows_by_carbons_what_the_user_said_elsewhere(self):
        account = self.account()
        profanity = await self.profanity(account)
        elsewhere, juliet = await self.client(account, "phone"), await self.client("juliet")
        elsewhere.say(juliet.boundjid, "said on the phone")
        await juliet.message("said on the phone")
        await profanity.wait_for(r"-1-\[2\]$")
        profanity.type("/win 2")
        await profanity.wait_for("said on the phone")

    async def test_it_tells_of_a_message_to_nobody(self):
        profanity = await self.profanity(self.account())
        profanity.type("/msg nobody@localhost hello?")
        await profanity.wait_for("(?i)service.unavailable|not available")


class Contacts(ProfanityTest):
    async def test_two_subscribe_to_each_other_and_the_roster_shows_who_is_online(self):
        account = self.account()
        profanity, juliet = await self.profanity(account), await self.client("juliet")
        bare = juliet.boundjid.bare
        profanity.type(f"/sub request {bare}")
        await juliet.presence(account.jid, "subscribe")
        juliet.send_presence(pto=account.jid, ptype="subscribed")
        juliet.send_presence(pto=account.jid, ptype="subscribe")
        profanity.type("/win 1")
        await profanity.wait_for("Received authorization request from")
        profanity.type(f"/sub allow {bare}")
        await juliet.presence(account.jid, "subscribed")
        await juliet.take(Presence, lambda p: p["from"].bare == account.jid, type="available")
        juliet.send_presence(pshow="away", pstatus="on the balcony")
        await profanity.wait_for("on the balcony")
        profanity.type("/who any")
        await profanity.wait_for(rf"{bare} is away")
        profanity.type('/status set dnd "busy fighting"')
        await juliet.presence(None, "dnd", status="busy fighting")
        await juliet.logout()
        await profanity.wait_for(rf"{bare}.* is offline")

    async def test_a_roster_item_is_added_named_and_removed(self):
        account = self.account()
        profanity, other = await self.profanity(account), await self.client(account, "other")
        profanity.type("/roster add juliet@localhost Giulietta")
        push = await other.roster_push("juliet@localhost")
        self.assertEqual(push["name"], "Giulietta")
        profanity.type("/roster nick juliet@localhost Capulet")
        push = await other.roster_push("juliet@localhost")
        self.assertEqual(push["name"], "Capulet")
        profanity.type("/roster remove juliet@localhost")
        push = await other.roster_push("juliet@localhost")
        self.assertEqual(push["subscription"], "remove")

    async def test_a_blocked_user_is_listed_and_silent(self):
        account = self.account()
        profanity, juliet = await self.profanity(account, "orchard"), await self.client("juliet")
        bare = juliet.boundjid.bare
        ping = ("get", "<ping xmlns='urn:xmpp:ping'/>", f"{account.jid}/orchard")
        await juliet.ask(*ping)
        profanity.type(f"/blocked add {bare}")
        await profanity.wait_for(f"{bare} successfully blocked")
        profanity.type("/blocked")
        await profanity.wait_for(f"Blocked users:\\n.*{bare}")
        await self.assert_error("service-unavailable", juliet.ask(*ping))
        profanity.type(f"/blocked remove {bare}")
        await profanity.wait_for(f"{bare} successfully unblocked")
        await juliet.ask(*ping)


class Rooms(RoomTest, ProfanityTest):
    """XEP-0045."""

    async def test_it_enters_a_room_talks_and_is_kicked(self):
        owner = await self.found(await self.client("juliet"), "juliet", changesubject=True)
        owner.say("before")
        await owner.message("before")
        account = self.account()
        profanity = await self.profanity(account)
        profanity.type(f"/join {owner.room} nick romeo")
        entered = await owner.hears("romeo")
        self.assertEqual(item(entered).get("role"), "participant")
        await profanity.wait_for("before")
        owner.say("O Romeo 🌹")
        await profanity.wait_for("juliet: O Romeo 🌹")
        profanity.type("But soft, ¿what light?")
        await owner.message("But soft, ¿what light?", "romeo")
        await profanity.wait_for("romeo: But soft")
        profanity.type("/subject set Verona by night")
        await owner.client.take(Message, subject="Verona by night")
        profanity.type("/nick montague")
        await owner.hears("romeo", "unavailable", 303)
        await owner.hears("montague")
        await profanity.wait_for("(?i)you are now known as montague|montague")
        profanity.type("/msg juliet between us")
        got = await owner.client.message("between us")
        self.assertEqual((got["from"], got["type"]), (owner.of("montague"), "chat"))
        await owner.muc.set_role(owner.room, "montague", "none", reason="Banished")
        await profanity.wait_for("(?i)kicked from the room.*Banished|Banished")

    async def test_it_makes_a_room_and_configures_it(self):
        # §10.1.3: what it reads and writes is the room's form.
        room = self.address()
        profanity = await self.profanity(self.account())
        profanity.type(f"/join {room} nick romeo")
        await profanity.wait_for("(?i)room is locked|requires configuration")
        profanity.type("/room accept")
        await profanity.wait_for("(?i)room unlocked|accepted|configuration successful")
        juliet = await self.enter(await self.client("juliet"), room, "juliet")
        await profanity.wait_for(r"Participants\n.* juliet")
        profanity.type("/affiliation set member " + juliet.client.boundjid.bare)
        got = await juliet.client.take(
            Presence, lambda p: item(p) is not None and item(p).get("affiliation") == "member"
        )
        self.assertEqual(got["from"], juliet.jid)
        profanity.type("/room destroy")
        gone = await juliet.hears("juliet", "unavailable")
        self.assertIsNotNone(child(gone, "destroy"))

    async def test_it_follows_an_invitation(self):
        owner = await self.found(await self.client("juliet"), "juliet", membersonly=True)
        account = self.account()
        profanity = await self.profanity(account)
        owner.muc.invite(owner.room, account.jid, "come")
        await profanity.wait_for("(?i)invite")
        profanity.type(f"/join {owner.room}")
        await owner.client.take(
            Presence, lambda p: item(p) is not None and account.jid in item(p).get("jid", "")
        )


class Queries(ProfanityTest):
    async def test_it_pings_the_server_and_reads_its_disco(self):
        profanity = await self.profanity(self.account())
        profanity.type("/ping")
        # An answer of the account bears its bare JID, or nothing (RFC 6120 §8.1.2.1).
        await profanity.wait_for(r"Ping response from \S+: \d+ms")
        profanity.type("/disco info")
        await profanity.wait_for("Service discovery info for localhost")
        await profanity.wait_for("urn:xmpp:carbons:2")

    async def test_it_answers_slixmpp_through_the_server(self):
        account = self.account()
        profanity, juliet = await self.profanity(account, "orchard"), await self.client("juliet")
        ask = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
        answer = await juliet.ask("get", ask, to=f"{account.jid}/orchard")
        identity = answer.xml.find(".//{http://jabber.org/protocol/disco#info}identity")
        self.assertIn("Profanity", identity.get("name"))
        self.assertIn("[online]", profanity.screen())

    async def test_it_reads_version_and_last_activity_of_the_server(self):
        profanity = await self.profanity(self.account())
        profanity.type("/serversoftware localhost")
        await profanity.wait_for(r"(?s)localhost:\s.*Name")
        profanity.type("/lastactivity get localhost")
        await profanity.wait_for("(?i)last activity|up since|uptime")


class Registration(ProfanityTest):
    options = Options(registration=True)

    async def test_it_registers_an_account(self):
        profanity = await self.profanity()
        port = self.server.starttls_port
        user = f"mercutio-{self.folder.name.replace('_', '-')}".lower()
        profanity.type(f"/register {user} localhost port {port} tls force")
        await profanity.wait_for("Enter password")
        profanity.type("queen mab")
        await profanity.wait_for("Confirm password")
        profanity.type("queen mab")
        await profanity.wait_for("Registration successful")
        await self.client(Account(user, "queen mab"))

    async def test_it_changes_its_password(self):
        account = self.account()
        profanity = await self.profanity(account)
        profanity.type("/changepassword")
        await profanity.wait_for("Enter password")
        profanity.type("starcrossed")
        await profanity.wait_for("Confirm password")
        profanity.type("starcrossed")
        await profanity.wait_for("Password successfully changed")
        await self.client(Account(account.user, "starcrossed"))
