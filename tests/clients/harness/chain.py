"""Three servers in a chain, a ~ b - c, and a line between a and b that is slow, long, and cut for a while. Servers may be killed, too.

People at each of them speak with each other in a room all the while; `harness/verdict.py` says what became of it.
"""

import asyncio
import random
import sqlite3
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from itertools import cycle
from pathlib import Path

from slixmpp import JID, Message, Presence

from .authority import Authority
from .example_server import ExampleServer
from .names import Names
from .network import Loopback, Namespaces
from .proxy import Count, Line, Proxy
from .rooms import PLUGINS, Seat, owner_form
from .server import FederatedRoom, Federation, Options
from .slix import Client

SITES = ("a", "b", "c")
FEDERATION = Federation(certified=True, bidi=True, acks=True, proxied=True)
ROOM = "heath"
AGAIN = 5.0
"""Seconds after which one who is out of the room enters again."""
TEXTS = (
    "Say from whence you owe this strange intelligence?",
    "Upon this blasted heath you stop our way",
    "The earth hath bubbles, as the water has",
    "Were such things here as we do speak about?",
    "Two truths are told, as happy prologues to the act",
    "Come what come may, time and the hour run on",
)


@dataclass(frozen=True)
class Plan:
    """What is done. Times are seconds.

    `mode`: `muc` is one room on a, in which whoever is behind the line is by way of the line; `fmuc` a room on each server, which
    are one (XEP-0289); `none` the line without a room.
    """

    mode: str = "muc"
    rate: float = 1200.0
    """bit/s each way."""
    delay: float = 2.0
    """From one end of the line to the other."""
    every: float = 15.0
    """From one message to the next, whoever says it."""
    before: float = 300.0
    """Talk before the cut."""
    cut: float = 60.0
    after: float = 120.0
    """Talk after it."""
    resets: bool = False
    """Whether connections are reset, and refused until the cut is over; or else nobody is told anything."""
    compressed: bool = False
    """Whether streams over the line are compressed (XEP-0138)."""
    link: str = "hf"
    """What federated rooms are told of the line."""
    idle: float = 300.0
    """How long nobody says anything in the end."""
    occupants: int = 1
    """At each server."""
    patience: float = 1200.0
    """How long to wait for what is missing ..."""
    quiet: float = 180.0
    """... unless nobody has heard anything for so long."""
    kill: tuple[str, ...] = ()
    """Servers that are killed after the cut, one after the other; the same one may be named again."""
    away: float = 20.0
    """How long each of them is away."""
    forget: bool = False
    """Whether it comes back without what it had stored of rooms."""


@dataclass
class Phase:
    """A part of a run, and what the line has carried in it: from a to the others, and back."""

    began: float
    ended: float = 0.0
    there: Count | None = None
    back: Count | None = None
    kernel: tuple[Count, Count] | None = None
    messages: int = 0

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(eq=False)
class Said:
    """A message."""

    body: str
    speaker: "Talker"
    at: float
    id: str
    entry: int
    """Which of its speaker's times in the room it was."""

    @property
    def hopeless(self) -> bool:
        """Whether nobody has promised that it will be heard."""
        return self.returned or not self.acknowledged and self.entry != self.speaker.entries

    @property
    def acknowledged(self) -> bool:
        """Whether the server has, to its speaker; said of those only who ask for it."""
        return not self.speaker.managed or self.id in self.speaker.acknowledged

    @property
    def returned(self) -> bool:
        """Whether its speaker was told that not everybody gets it."""
        return self.id in self.speaker.returned


class Talker(Client):
    """One who is in the room, comes back when put out of it or cut off, and notes all that is said.

    `managed`: asks for an acknowledgement of all that is said (XEP-0198), and comes back by a new session, as after the end of a server.
    """

    site = ""
    seat: Seat | None = None
    entries = 0

    def __init__(self, *arguments, managed: bool = False, **settings):
        plugins = (*PLUGINS, "xep_0198") if managed else PLUGINS
        super().__init__(*arguments, **settings, plugins=plugins)
        self.managed = managed
        self.heard: list[tuple[str, float]] = []
        self.returned: set[str] = set()
        self.acknowledged: set[str] = set()
        self.present = False
        self.late = 0.0
        """Seconds by which others may hear of something later than those beside who said it."""
        self._staying = True
        self._known: set[str] = set()
        self._coming: asyncio.Task | None = None
        self.add_filter("in", self._note)
        if managed:
            self["xep_0198"].allow_resume = False
            self.add_event_handler("stanza_acked", lambda stanza: self.acknowledged.add(stanza["id"]))
            self.add_event_handler("disconnected", lambda _: self._leave())

    async def enter(self, room: JID, patience: float, **history):
        self.seat = Seat(self, room, self.boundjid.user)
        entered = self["xep_0045"].join_muc_wait(room, self.seat.nick, timeout=patience, **history)
        presence, *_ = await entered
        self.seat.codes = presence["muc"]["status_codes"]
        self.entries += 1
        self.present = True

    def speak(self, body: str) -> str:
        """Says it in the room; returns its id."""
        message = self.seat.say(body)
        if self.managed:
            self["xep_0198"].request_ack()
        return message["id"]

    def sees(self) -> set[str]:
        """The nicks in the room."""
        return set(self["xep_0045"].rooms[None].get(self.seat.room, {}))

    def _note(self, stanza):
        if isinstance(stanza, Message):
            if stanza["type"] == "groupchat" and stanza["body"]:
                id = stanza["stanza_id"]["id"]
                # What is told again to one who enters bears the id that it had (XEP-0359 §3).
                if self.present or id not in self._known:
                    self.heard.append((stanza["body"], time.monotonic()))
                self._known.add(id)
            elif stanza["type"] == "error":
                self.returned.add(stanza["id"])
                # §7.4: who is not in the room any more, and has not been told.
                if self.managed and stanza["error"]["condition"] == "not-acceptable":
                    self._leave()
        elif isinstance(stanza, Presence) and self.entries and stanza["from"] == self.seat.jid:
            if stanza["type"] in ("unavailable", "error"):
                self._leave()
        return stanza

    def _leave(self):
        self.present = False
        if self.entries and self._staying and (self._coming is None or self._coming.done()):
            self._coming = asyncio.ensure_future(self._come_back())

    async def _come_back(self):
        began = time.monotonic()
        since = self.heard[-1][1] if self.heard else began
        while not self.present:
            await asyncio.sleep(AGAIN)
            try:
                if not self.is_connected():
                    await self.login(available=True)
                # What a room hears late is older than when it was heard.
                ago = time.monotonic() - since + self.late
                await self.enter(
                    self.seat.room, 600.0, since=datetime.now(timezone.utc) - timedelta(seconds=ago)
                )
            except Exception:
                pass  # not yet

    def end(self):
        """Goes, and does not come back."""
        self._staying = False
        if self._coming is not None:
            self._coming.cancel()


class Chain:
    """The servers, the line and the people, from `async with` to its end."""

    def __init__(self, plan: Plan, folder: Path, network: Loopback | Namespaces, say=print):
        self.plan = plan
        self.network = network
        self.line = Line(plan.rate, plan.delay)
        self.phases: dict[str, Phase] = {}
        self.said: list[Said] = []
        self.talkers: list[Talker] = []
        self.cut_at = self.mended_at = 0.0
        self._say = say
        self._turn = iter(())
        self._names = Names(folder)
        authority = Authority(folder / "authority")
        options = Options(federation=replace(FEDERATION, compressed=plan.compressed))
        self.servers = {
            name: ExampleServer(folder / name, authority, options, self._names) for name in SITES
        }
        # Who connects to a comes from where `there` leads.
        self._proxies = [
            Proxy(server, self.line, back=name == "a") for name, server in self.servers.items()
        ]

    async def __aenter__(self) -> "Chain":
        try:
            self.network.place(self.servers)
            if self.plan.mode == "fmuc":
                self._federate()
            for server in self.servers.values():
                await asyncio.to_thread(server.start)
            for proxy in self._proxies:
                await proxy.__aenter__()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_):
        for talker in self.talkers:
            talker.end()
            talker.abort()
        for proxy in self._proxies:
            await proxy.__aexit__()
        for server in self.servers.values():
            server.kill()
        self._names.kill()
        self.network.end()

    def room(self, site: str) -> JID:
        """Where those of this site are."""
        server = self.servers[site if self.plan.mode == "fmuc" else "a"]
        return JID(f"{ROOM}@{server.rooms}")

    def together(self, one: Talker, other: Talker) -> bool:
        """Whether no line is between them."""
        return (one.site == "a") == (other.site == "a")

    async def run(self):
        """All of it, one after the other."""
        plan = self.plan
        with self._phase("entering"):
            await self._enter()
        with self._phase("talking"):
            await self._talk(plan.before)
            await self._settle()
        await self._cut()
        with self._phase("catching up"):
            await self._talk(plan.after)
            await self._settle()
        for number, site in enumerate(plan.kill, 1):
            with self._phase(f"{site} is killed ({number})"):
                await self._kill(site)
                await self._talk(plan.after)
                await self._settle()
        with self._phase("idle"):
            await asyncio.sleep(plan.idle)
        for talker in self.talkers:
            talker.end()
            await talker.logout()
        await asyncio.gather(*map(self._stop, self.servers.values()))

    @staticmethod
    async def _stop(server: ExampleServer):
        """After all that it still stops well."""
        status = await asyncio.to_thread(server.stop)
        if status != 0 or "panicked at" in server.log.read_text(errors="replace"):
            raise AssertionError(f"{server} ends with {status}:\n{server.log_tail()}")

    async def _enter(self):
        for number in range(self.plan.occupants):
            for site, server in self.servers.items():
                account = await asyncio.to_thread(server.new_account, f"{site}{number}")
                talker = Talker(server, account, managed=bool(self.plan.kill))
                talker.site = site
                talker.late = self.plan.cut + self.plan.away
                self.talkers.append(talker)
                await talker.login(available=True)
        self._turn = cycle(self.talkers)
        first, *others = self.talkers
        if self.plan.mode == "none":
            for other in others:
                other.say(first.boundjid, "hello")
                wanted = {"from": other.boundjid}
                await first.take(Message, within=self.plan.patience, **wanted)
            return
        began = time.monotonic()
        for talker in self.talkers:
            await talker.enter(self.room(talker.site), self.plan.patience, maxstanzas=0)
            if 201 in talker.seat.codes:
                kept = {"persistentroom": True, "maxhistoryfetch": 100} if self.plan.kill else {}
                await talker.ask("set", owner_form(kept), to=talker.seat.room)
            self._say(f"{talker.seat.nick} is in after {time.monotonic() - began:.0f} s")
        await self._see(began)

    async def _see(self, began: float):
        """Until everybody sees everybody."""
        everybody = {talker.seat.nick for talker in self.talkers}
        async with asyncio.timeout(self.plan.patience):
            while not all(talker.present and everybody == talker.sees() for talker in self.talkers):
                await asyncio.sleep(0.2)
        self._say(f"everybody sees everybody after {time.monotonic() - began:.1f} s")

    async def _kill(self, site: str):
        """A server is gone in the middle of a word, and comes back."""
        server = self.servers[site]
        for _ in self.talkers:
            self._speak()
        await asyncio.sleep(random.uniform(0.0, 2 * self.plan.delay))
        await asyncio.to_thread(server.kill)
        self._say(f"{site} is killed, with {self._missing()} under way")
        await self._talk(self.plan.away)
        if self.plan.forget:
            forget(server)
        began = time.monotonic()
        await asyncio.to_thread(server.start)
        self._say(f"{site} is there again, with {self._missing()} under way")
        self._speak()
        await self._see(began)

    async def _talk(self, seconds: float):
        """Everybody in turn, for so long."""
        if self.plan.mode == "none":
            await asyncio.sleep(seconds)
            return
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._speak()
            await asyncio.sleep(self.plan.every)

    def _speak(self):
        speaker = next((talker for talker, _ in zip(self._turn, self.talkers) if talker.present), None)
        if speaker is None:
            return
        number = len(self.said) + 1
        body = f"{number}: {TEXTS[number % len(TEXTS)]}"
        self.said.append(Said(body, speaker, time.monotonic(), speaker.speak(body), speaker.entries))

    async def _settle(self):
        """Until everybody has heard all, or is past hoping for it."""
        deadline = time.monotonic() + self.plan.patience
        while self._missing() and time.monotonic() < deadline:
            last = max((talker.heard[-1][1] for talker in self.talkers if talker.heard), default=0.0)
            if time.monotonic() - max(last, self.said[-1].at) > self.plan.quiet:
                break
            await asyncio.sleep(0.2)
        # What comes twice comes soon.
        await asyncio.sleep(4 * self.plan.delay + 1)

    def _missing(self) -> int:
        heard = [{body for body, _ in talker.heard} for talker in self.talkers]
        awaited = [said.body for said in self.said if not said.hopeless]
        return sum(body not in each for each in heard for body in awaited)

    async def _cut(self):
        # Something of everybody is under way then.
        if self.talkers[0].seat:
            for _ in self.talkers:
                self._speak()
            await asyncio.sleep(self.plan.delay)
        self.cut_at = time.monotonic()
        self.line.cut()
        if self.plan.resets:
            for proxy in self._proxies:
                proxy.refuse(True)
                proxy.cut()
        self._say(f"the line is cut, with {self._missing()} under way")
        await self._talk(self.plan.cut - self.plan.every)
        await asyncio.sleep(self.cut_at + self.plan.cut - time.monotonic())
        self.mended_at = time.monotonic()
        self.line.mend()
        for proxy in self._proxies:
            proxy.refuse(False)
        self._say(f"the line is whole, with {self._missing()} under way")

    def _federate(self):
        """b's room joins a's, c's joins b's."""
        for server in self.servers.values():
            server.link = self.plan.link
        a, b, c = (self.servers[site] for site in SITES)
        a.federated = (FederatedRoom(ROOM, accept=(b.rooms,)),)
        b.federated = (FederatedRoom(ROOM, parents=(f"{ROOM}@{a.rooms}",), accept=(c.rooms,)),)
        c.federated = (FederatedRoom(ROOM, parents=(f"{ROOM}@{b.rooms}",)),)

    @contextmanager
    def _phase(self, name: str):
        self._say(f"{name} ...")
        ways = (self.line.there, self.line.back)
        there, back = (way.count.copy() for way in ways)
        kernel = self.network.counted()
        said = len(self.said)
        phase = self.phases[name] = Phase(time.monotonic())
        yield
        phase.ended = time.monotonic()
        phase.messages = len(self.said) - said
        phase.there, phase.back = ways[0].count - there, ways[1].count - back
        if kernel is not None:
            phase.kernel = tuple(now - then for now, then in zip(self.network.counted(), kernel))
        self._say(
            f"{name}: {phase.seconds:.0f} s, {phase.messages} messages,"
            f" {phase.there.wire} and {phase.back.wire} B on the line"
        )


def forget(server: ExampleServer):
    """Takes what it has stored of rooms from a server that is not running."""
    with sqlite3.connect(server.folder / "data" / "xmpp.sqlite3") as store:
        tables = store.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'room%'")
        for (table,) in tables.fetchall():
            store.execute(f"DELETE FROM {table}")
