"""What became of what was said over a line that was cut."""

import statistics
from collections import Counter
from dataclasses import dataclass

from .chain import Chain


@dataclass
class Verdict:
    """Of one run. A message that somebody should hear, its speaker included, is a delivery."""

    said: int
    deliveries: int
    lost: int
    returned: int
    """Of the messages that somebody has not heard: those that came back to who said them."""
    unacknowledged: int
    """Of the others: those of which no server has said to have them."""
    broken: int
    """Deliveries that are lost of messages which were acknowledged and did not come back."""
    doubled: int
    disordered: int
    """Deliveries of a message before which its hearer had heard a later one of the same speaker."""
    heal: float | None
    """Seconds from the end of the cut until the last delivery that was missing then."""
    missing: int
    """Deliveries that were missing when the cut ended."""
    beside: tuple[int, int]
    """Of the deliveries of the time of the cut that need no line: those that were there within it, and all."""
    across: list[float]
    """Seconds that deliveries over the line took while it was whole, before the cut."""
    entries: int
    """How often somebody had to enter the room again."""
    killed: bool = False
    """Whether servers were killed meanwhile."""
    twice: bool = False
    """Whether something may come twice: what a server had sent and not been acknowledged when it was killed, or what it has forgotten."""

    @classmethod
    def of(cls, chain: Chain) -> "Verdict":
        numbers = {said.body: number for number, said in enumerate(chain.said)}
        lost, broken, unheard, doubled, disordered = 0, 0, set(), 0, 0
        late, beside, across = [], [], []
        for talker in chain.talkers:
            bodies = Counter(body for body, _ in talker.heard)
            doubled += sum(count - 1 for count in bodies.values())
            latest = {}
            first = {}
            for body, at in talker.heard:
                if body not in numbers or body in first:
                    continue
                first[body] = at
                speaker = chain.said[numbers[body]].speaker
                disordered += numbers[body] < latest.get(speaker, -1)
                latest[speaker] = max(numbers[body], latest.get(speaker, -1))
            for said in chain.said:
                at = first.get(said.body)
                if at is None:
                    lost += 1
                    broken += said.acknowledged and not said.returned
                    unheard.add(said)
                elif said.at < chain.mended_at < at:
                    late.append(at - chain.mended_at)
                if chain.cut_at < said.at < chain.mended_at - 1.0 and chain.together(talker, said.speaker):
                    beside.append(at is not None and at < chain.mended_at)
                if at is not None and at < chain.cut_at and not chain.together(talker, said.speaker):
                    across.append(at - said.at)
        return cls(
            said=len(chain.said),
            deliveries=len(chain.said) * len(chain.talkers),
            lost=lost,
            returned=sum(said.returned for said in unheard),
            unacknowledged=sum(not said.returned and not said.acknowledged for said in unheard),
            broken=broken,
            doubled=doubled,
            disordered=disordered,
            heal=max(late, default=None),
            missing=len(late),
            beside=(sum(beside), len(beside)),
            across=across,
            entries=sum(max(talker.entries - 1, 0) for talker in chain.talkers),
            killed=bool(chain.plan.kill),
            twice=bool(chain.plan.kill) and (chain.plan.forget or chain.plan.mode == "muc"),
        )

    @property
    def holds(self) -> bool:
        """What is promised: a server that is killed loses what it has not acknowledged, and nothing else is lost."""
        whole = self.broken == 0 and (self.killed or self.lost == 0)
        return self.said > 0 and whole and self.disordered == 0 and (self.twice or self.doubled == 0)

    def rows(self) -> dict[str, str]:
        """What a table says of it."""
        return {
            "messages, and deliveries of them": f"{self.said}, {self.deliveries}",
            "deliveries lost": str(self.lost),
            "of their messages, returned to who said them": str(self.returned),
            "and not acknowledged": str(self.unacknowledged),
            "deliveries doubled": str(self.doubled),
            "deliveries out of order": str(self.disordered),
            "had to enter again": str(self.entries),
            "heard during the cut by those on the same side": f"{self.beside[0]} of {self.beside[1]}",
            "missing when the line was whole again": str(self.missing),
            "from then until the last of them was there": seconds(self.heal),
            "over the line before the cut, median and longest": (
                f"{seconds(statistics.median(self.across))}, {seconds(max(self.across))}"
                if self.across else "–"
            ),
        }


def account(chain: Chain) -> str:
    """Line by line who has said what, what became of it, and who has heard it when and how often."""
    began = chain.said[0].at if chain.said else 0.0
    lines = []
    for said in chain.said:
        words = ["acknowledged"] * said.acknowledged + ["returned"] * said.returned
        for talker in chain.talkers:
            times = [f"{at - began:.1f}" for body, at in talker.heard if body == said.body]
            words.append(f"{talker.seat.nick}: {' '.join(times) or 'never'}")
        lines.append(f"{said.at - began:.1f} {said.speaker.seat.nick} {said.body!r}; {', '.join(words)}\n")
    return "".join(lines)


def seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"


def bytes_of(chain: Chain) -> dict[str, str]:
    """What the line has carried, by part of the run: from a, and to it."""
    rows = {}

    def row(name: str, phase, by: float = 1.0):
        both = lambda ways, field: ", ".join(f"{getattr(way, field) / by:.0f}" for way in ways)
        ways = (phase.there, phase.back)
        rows[f"{name}: payload of TCP"] = both(ways, "payload")
        rows[f"{name}: with headers and acknowledgements"] = both(ways, "wire")
        if phase.kernel is not None:
            rows[f"{name}: counted by the kernel"] = both(phase.kernel, "wire")

    phases = chain.phases
    row("bytes until all had entered", phases["entering"])
    rows["seconds of it"] = f"{phases['entering'].seconds:.0f}"
    if phases["talking"].messages:
        row("bytes a message", phases["talking"], phases["talking"].messages)
    row("bytes from the end of the cut", phases["catching up"])
    rows["messages said in it"] = str(phases["catching up"].messages)
    for name, phase in phases.items():
        if "killed" in name:
            row(f"bytes while {name}", phase)
    row("bytes a minute while idle", phases["idle"], phases["idle"].seconds / 60)
    return rows


def table(columns: dict[str, dict[str, str]]) -> str:
    """In Markdown, a column for each run."""
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    lines = ["|  | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in names:
        cells = [column.get(name, "–") for column in columns.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
