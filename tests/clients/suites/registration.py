"""In-band registration (XEP-0077)."""

import contextlib

from slixmpp import Presence
from slixmpp.exceptions import IqError

from harness.case import ClientTest, differs
from harness.server import Account, Options
from harness.slix import Client, LoginFailed

FEATURE = "{http://jabber.org/features/iq-register}register"
REGISTER = "<query xmlns='jabber:iq:register'>{}</query>"
PLUGINS = ("xep_0077",)


class Registrant(Client):
    """A client that registers its account before it logs in."""

    def __init__(self, server, account, resource="", **settings):
        super().__init__(server, account, resource, plugins=PLUGINS, **settings)
        self.answers = []
        self.add_event_handler("register", self._register)

    async def _register(self, form):
        self.answers.append(form)
        request = self.Iq()
        request["type"] = "set"
        request["register"]["username"] = self.account.user
        request["register"]["password"] = self.account.password
        try:
            self.answers.append(await request.send())
        except IqError as error:
            self.answers.append(error.iq)
            self.disconnect()


class Registration(ClientTest):
    options = Options(registration=True)

    def fresh(self, name: str) -> Account:
        return Account(f"{name}-of-{self.folder.name.replace('_', '-')}".lower(), f"word of {name}")

    async def test_a_client_registers_and_logs_in(self):
        mercutio = self.fresh("mercutio")
        client = self.offline_client(mercutio, kind=Registrant)
        await client.login(available=True)
        form, result = client.answers
        self.assertIn("username", form["register"]["fields"])
        self.assertIn("password", form["register"]["fields"])
        self.assertEqual(result["type"], "result")
        self.assertEqual(client.boundjid.bare, mercutio.jid)
        await client.logout()
        again = await self.client(mercutio, mechanism="SCRAM-SHA-1")
        again.say(again.boundjid.bare, "hello")
        await again.message("hello")

    async def test_a_name_that_is_taken_is_a_conflict(self):
        taken = self.account("tybalt")
        client = self.offline_client(Account(taken.user, "mine now"), kind=Registrant)
        with self.assertRaises(LoginFailed):
            await client.login()
        self.assertEqual(client.answers[-1]["error"]["condition"], "conflict")
        await self.client(taken)

    async def test_an_empty_password_is_not_acceptable(self):
        # XEP-0077 §3.1.
        client = self.offline_client(Account(self.fresh("benvolio").user, ""), kind=Registrant)
        with self.assertRaises(LoginFailed):
            await client.login()
        self.assertEqual(client.answers[-1]["error"]["condition"], "not-acceptable")

    async def test_a_password_is_changed(self):
        account = self.account()
        romeo = await self.client(account, plugins=PLUGINS)
        await romeo["xep_0077"].change_password("changed")
        await romeo.barrier()
        for mechanism in ("PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"):
            await self.client(Account(account.user, "changed"), mechanism=mechanism)
            with self.assertRaisesRegex(LoginFailed, "^not-authorized$"):
                await self.client(account, mechanism=mechanism)

    @differs("prosody", "sets the empty password")
    async def test_an_empty_new_password_changes_nothing(self):
        # XEP-0077 §3.3.
        account = self.account()
        romeo = await self.client(account, plugins=PLUGINS)
        change = REGISTER.format(f"<username>{account.user}</username><password/>")
        with contextlib.suppress(IqError):
            await romeo.ask("set", change)
        await self.client(account)
        with self.assertRaises(LoginFailed):
            await self.client(Account(account.user, ""), mechanism="PLAIN")

    async def test_nobody_changes_the_password_of_another(self):
        juliet, romeo = self.account("juliet"), await self.client(plugins=PLUGINS)
        change = f"<username>{juliet.user}</username><password>stolen</password>"
        with self.assertRaises(IqError):
            await romeo.ask("set", REGISTER.format(change))
        await self.client(juliet)

    async def test_a_removed_account_is_gone(self):
        account = self.account()
        romeo, juliet = await self.client(account, plugins=PLUGINS), await self.client("juliet")
        await self.friends(romeo, juliet)
        other = await self.client(account, "other")
        closed = [romeo.closed(), other.closed()]
        romeo.send_raw(f"<iq type='set' id='bye'>{REGISTER.format('<remove/>')}</iq>")
        # XEP-0077 §3.2: the sessions end, and so do the subscriptions.
        for end in closed:
            await end
        await juliet.presence(account.jid, "unsubscribed")
        await juliet.presence(account.jid, "unsubscribe")
        push = await juliet.roster_push(account.jid)
        while push["subscription"] != "none":
            push = await juliet.roster_push(account.jid)
        with self.assertRaisesRegex(LoginFailed, "^not-authorized$"):
            await self.client(account, mechanism="PLAIN")
        juliet.say(account.jid, "wherefore?")
        error = await juliet.message(type="error")
        self.assertEqual(error["error"]["condition"], "service-unavailable")

    async def test_a_name_that_is_registered_again_inherits_nothing(self):
        mercutio = self.fresh("mercutio")
        client = self.offline_client(mercutio, kind=Registrant)
        await client.login(roster=True, available=True)
        await client.update_roster("tybalt@localhost", name="King of cats")
        await client.ask("set", "<vCard xmlns='vcard-temp'><FN>Mercutio</FN></vCard>")
        closed = client.closed()
        client.send_raw(f"<iq type='set' id='bye'>{REGISTER.format('<remove/>')}</iq>")
        await closed
        heir = self.offline_client(mercutio, kind=Registrant)
        await heir.login(roster=True, available=True)
        self.assertNotIn("tybalt@localhost", heir.client_roster.keys())
        try:
            answer = await heir.ask("get", "<vCard xmlns='vcard-temp'/>")
            self.assertEqual(len(answer.xml[0]), 0)
        except IqError as error:
            self.assertEqual(error.condition, "item-not-found")
        self.assertEqual([], heir.holds(Presence, type="error"))

    async def test_registration_is_offered_under_tls(self):
        client = await self.client()
        before, under_tls, *_ = client.stream_features
        self.assertIsNone(before.find(FEATURE))
        self.assertIsNotNone(under_tls.find(FEATURE))


class Closed(ClientTest):
    async def test_registration_is_neither_offered_nor_accepted_where_it_is_off(self):
        mercutio = Account("mercutio-uninvited", "word")
        client = self.offline_client(mercutio, kind=ForcedRegistrant)
        with self.assertRaises(LoginFailed):
            await client.login()
        self.assertTrue(all(each.find(FEATURE) is None for each in client.stream_features))
        self.assertIn(
            client.refused, ("service-unavailable", "not-allowed", "forbidden", "not-authorized")
        )


class ForcedRegistrant(Client):
    """Registers without being invited to."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, plugins=PLUGINS, **settings)
        self.refused = None
        self.register_feature("mechanisms", self._force, restart=True, order=1)
        self.add_event_handler("stream_error", self._ended)

    async def _force(self, features):
        request = self.Iq()
        request["type"] = "set"
        request["register"]["username"] = self.account.user
        request["register"]["password"] = self.account.password
        try:
            await request.send()
            self.refused = "accepted"
        except IqError as error:
            self.refused = error.condition
        self.disconnect()
        return True

    def _ended(self, error):
        self.refused = self.refused or error["condition"]
