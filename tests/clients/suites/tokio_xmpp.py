"""A client on the Rust library tokio-xmpp."""

import re

from harness import tokio_xmpp
from harness.case import ClientTest
from harness.server import Account
from harness.tokio_xmpp import TokioClient


class TokioXmpp(ClientTest):
    async def start(self, account: Account, resource: str = "", **settings) -> TokioClient:
        return await tokio_xmpp.start(self, account, resource, **settings)

    async def test_it_logs_in_by_starttls_and_leaves(self):
        account = self.account()
        romeo = await self.start(account, "orchard")
        await romeo.wait_for(f"online {account.jid}/orchard")
        romeo.tell("ping")
        await romeo.wait_for("result ping")
        self.assertEqual(await romeo.quit(), 0)

    async def test_it_logs_in_by_direct_tls(self):
        account = self.account()
        romeo = await self.start(account, direct_tls=True)
        await romeo.wait_for(f"online {account.jid}/.+")

    async def test_messages_go_both_ways_with_slixmpp(self):
        account, juliet = self.account(), await self.client("juliet")
        romeo = await self.start(account)
        await romeo.wait_for("online .*")
        romeo.tell(f"say {juliet.boundjid.bare} It is the east 🌹")
        got = await juliet.message("It is the east 🌹")
        juliet.say(got["from"], "and Juliet is the sun")
        await romeo.wait_for(f"message {juliet.boundjid} and Juliet is the sun")

    async def test_two_of_its_kind_subscribe_to_each_other(self):
        accounts = [self.account("romeo"), self.account("juliet")]
        romeo, juliet = [await self.start(account) for account in accounts]
        full = {}
        for client in (romeo, juliet):
            full[client] = (await client.wait_for("online .*")).split(" ", 1)[1]
            client.tell("roster")
            await client.wait_for("result roster")
        romeo.tell(f"subscribe {accounts[1].jid}")
        await juliet.wait_for(f"presence {accounts[0].jid} subscribe")
        juliet.tell(f"allow {accounts[0].jid}")
        await romeo.wait_for(f"presence {accounts[1].jid} subscribed")
        await romeo.wait_for(f"presence {re.escape(full[juliet])} available")
        self.assertEqual(await juliet.quit(), 0)
        await romeo.wait_for(f"presence {re.escape(full[juliet])} unavailable")

    async def test_a_message_to_nobody_comes_back(self):
        romeo = await self.start(self.account())
        await romeo.wait_for("online .*")
        romeo.tell("say nobody@localhost hello?")
        await romeo.wait_for("message nobody@localhost .*")

    async def test_a_message_waits_for_it(self):
        account, juliet = self.account(), await self.client("juliet")
        juliet.say(account.jid, "come tomorrow")
        await juliet.barrier()
        romeo = await self.start(account)
        await romeo.wait_for(f"message {juliet.boundjid} come tomorrow")

    async def test_it_refuses_a_certificate_of_an_unknown_authority(self):
        # Shows that the other tests verify the certificate.
        for direct_tls in (False, True):
            with self.subTest(direct_tls=direct_tls):
                romeo = await self.start(self.account(), trusted=False, direct_tls=direct_tls)
                await romeo.wait_for("failed .*UnknownIssuer.*")

    async def test_a_wrong_password_is_not_authorized(self):
        account = self.account()
        romeo = await self.start(Account(account.user, "not " + account.password))
        await romeo.wait_for("failed .*NotAuthorized.*")
