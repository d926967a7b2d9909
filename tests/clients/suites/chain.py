"""People in a room over a line that is slow and cut (XEP-0198 between servers, XEP-0289). `tests/clients/chain` does it at length."""

from dataclasses import replace

from harness import case
from harness.case import ClientTest, differs
from harness.chain import Chain, Plan
from harness.network import Loopback
from harness.verdict import Verdict

PLAN = Plan(
    rate=50_000.0, delay=0.2, every=0.4, before=2.0, cut=5.0, after=2.0, idle=0.0, patience=60.0, quiet=20.0
)


class OrdinaryRooms(ClientTest):
    """The line between two servers and the room on one of them."""

    def setUp(self):
        """Servers of its own are made by the test."""
        self.folder = case.servers.folder / self.id().rpartition(".")[2]
        self.folder.mkdir()

    async def passed(self, plan: Plan) -> Verdict:
        self.assertEqual(case.servers.product.name, "ours")
        async with Chain(plan, self.folder, Loopback(), say=lambda _: None) as chain:
            await chain.run()
        verdict = Verdict.of(chain)
        self.assertGreater(verdict.missing, 0, "nothing was to be caught up with")
        self.assertTrue(verdict.holds, verdict)
        return verdict

    @differs("prosody", "it cannot be told who is behind which line")
    async def test_nothing_is_lost_when_the_line_is_silent_for_a_while(self):
        await self.passed(PLAN)

    @differs("prosody", "it cannot be told who is behind which line")
    async def test_nothing_is_lost_when_connections_are_reset_and_refused_for_a_while(self):
        await self.passed(replace(PLAN, resets=True))
