"""People in a room over a line that is slow and cut (XEP-0198 between servers, XEP-0289). `tests/clients/chain` does it at length."""

from dataclasses import replace

from harness import case
from harness.case import ClientTest, differs
from harness.chain import Chain, Plan
from harness.network import Loopback
from harness.verdict import Verdict

PLAN = Plan(
    rate=100_000.0, delay=0.05, every=0.3, before=1.5, cut=4.0, after=1.5, idle=0.0, patience=60.0, quiet=20.0
)


class Line:
    """What has to go well with any rooms. A line of the chain is between two of its three servers."""

    plan = PLAN
    killed = ("a",)

    def setUp(self):
        """Servers of its own are made by the test."""
        self.folder = case.servers.folder / f"chain-{self.id()}"
        self.folder.mkdir()

    async def passed(self, plan: Plan) -> Verdict:
        self.assertEqual(case.servers.product.name, "ours")
        async with Chain(plan, self.folder, Loopback(), say=lambda _: None) as chain:
            await chain.run()
        verdict = Verdict.of(chain)
        self.assertGreater(verdict.missing, 0, "nothing was to be caught up with")
        self.assertTrue(verdict.holds, verdict)
        self.find_what_is_planted(chain)
        return verdict

    def find_what_is_planted(self, chain: Chain):
        heard = chain.talkers[-1].heard
        all = list(heard)
        before = Verdict.of(chain)
        for what, plant in {
            "lost": lambda: heard.pop(3),
            "broken": lambda: heard.pop(3),
            "doubled": lambda: heard.append(all[3]),
            "disordered": heard.reverse,
        }.items():
            plant()
            self.assertGreater(getattr(Verdict.of(chain), what), getattr(before, what), what)
            heard[:] = all

    @differs("prosody", "it cannot be told who is behind which line")
    async def test_nothing_is_lost_when_the_line_is_silent_for_a_while(self):
        await self.passed(self.plan)

    @differs("prosody", "it cannot be told who is behind which line")
    async def test_nothing_is_lost_when_connections_are_reset_and_refused_for_a_while(self):
        await self.passed(replace(self.plan, resets=True))

    @differs("prosody", "it cannot be told who is behind which line")
    async def test_what_is_acknowledged_outlives_the_server_that_is_killed(self):
        await self.passed(replace(self.plan, cut=2.0, after=1.0, away=1.5, kill=self.killed))


class OrdinaryRooms(Line, ClientTest):
    about = "one room, XEP-0045"


class FederatedRooms(Line, ClientTest):
    """A room on each server, and each goes on by itself meanwhile."""

    plan = replace(PLAN, mode="fmuc", link="sat")
    killed = ("b", "a")
    about = "a room on each, XEP-0289"

    async def passed(self, plan: Plan) -> Verdict:
        verdict = await super().passed(plan)
        there, all = verdict.beside
        self.assertGreater(there, 0)
        self.assertEqual(there, all, "who has no line between them hears each other at once")
        if not plan.kill:
            self.assertEqual(verdict.entries, 0)
        return verdict
