"""Client state indication (XEP-0352)."""

from slixmpp import Presence

from harness.case import ClientTest

PLUGINS = ("xep_0352",)


class ClientState(ClientTest):
    async def test_an_inactive_client_still_gets_messages_at_once(self):
        romeo, juliet = await self.client(plugins=PLUGINS), await self.client("juliet")
        self.assertTrue(romeo["xep_0352"].enabled, "the feature must be offered")
        romeo["xep_0352"].send_inactive()
        await romeo.barrier()
        juliet.say(romeo.boundjid, "wake up")
        await romeo.message("wake up")

    async def test_presence_comes_at_the_latest_when_the_client_is_active_again(self):
        romeo, juliet = await self.client(plugins=PLUGINS), await self.client("juliet")
        await self.friends(romeo, juliet)
        romeo["xep_0352"].send_inactive()
        await romeo.barrier()
        for show in ("away", "xa", "dnd"):
            juliet.send_presence(pshow=show)
        await juliet.barrier()
        romeo["xep_0352"].send_active()
        await romeo.presence(juliet.boundjid.full, "dnd")

    async def test_a_message_after_presence_is_not_overtaken(self):
        # XEP-0352 §5.1 and RFC 6120 §10.1: the order of stanzas is kept.
        romeo, juliet = await self.client(plugins=PLUGINS), await self.client("juliet")
        await self.friends(romeo, juliet)
        romeo["xep_0352"].send_inactive()
        await romeo.barrier()
        juliet.send_presence(pshow="away")
        juliet.say(romeo.boundjid, "I am off")
        await romeo.message("I am off")
        romeo["xep_0352"].send_active()
        await romeo.barrier()
        shown = [p["type"] for p in romeo.holds(Presence) if p["from"] == juliet.boundjid]
        self.assertEqual(shown, ["away"])
