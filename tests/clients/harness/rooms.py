"""Rooms as the tests use them (XEP-0045): slixmpp enters, what the room says is read from the inbox."""

import asyncio
from dataclasses import dataclass, field
from itertools import count
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from slixmpp import JID, Message, Presence
from slixmpp.exceptions import PresenceError

from .case import ClientTest
from .server import Server
from .slix import PING, TIMEOUT, Client

USER = "{http://jabber.org/protocol/muc#user}"
PLUGINS = (
    "xep_0004", "xep_0030", "xep_0045", "xep_0059", "xep_0077", "xep_0203", "xep_0249", "xep_0359",
    "xep_0410", "xep_0421",
)
numbers = count(1)


@dataclass(eq=False)
class Seat:
    """A client's place in a room, from when it has entered."""

    client: Client
    room: JID
    nick: str
    codes: set[int] = field(default_factory=set)
    subject: Message | None = None
    history: list[Message] = field(default_factory=list)

    @property
    def muc(self):
        return self.client["xep_0045"]

    @property
    def jid(self) -> JID:
        return JID(f"{self.room}/{self.nick}")

    def of(self, nick: str) -> JID:
        return JID(f"{self.room}/{nick}")

    def say(self, body: str, **more) -> Message:
        return self.client.say(self.room, body, kind="groupchat", **more)

    async def message(self, body: str, nick: str | None = None) -> Message:
        """Takes this message of the room, of the occupant with this nick."""
        sender = {} if nick is None else {"from": self.of(nick)}
        return await self.client.message(body, type="groupchat", **sender)

    async def error(self) -> str:
        """The condition of the next message that the room has refused."""
        return (await self.client.take(Message, type="error"))["error"]["condition"]

    async def hears(self, nick: str, kind: str | None = None, *codes: int, **wanted) -> Presence:
        """Takes the next presence of an occupant; it must have these status codes and no other.

        110 alone, which tells whose it is, need not be said for oneself.
        """
        got = await self.client.presence(self.of(nick), kind, **wanted)
        found = got["muc"]["status_codes"] - {110}
        assert found == set(codes) - {110}, f"the codes {codes} in {got}"
        return got

    async def barrier(self):
        """The room has handled what was sent before, and its answers are here; see `Client.barrier`."""
        await self.client.ask("get", PING, to=self.jid)

    async def configure(self, **values: str | bool | int | list[str]):
        """Submits these fields of the configuration, `muc#roomconfig_` left out."""
        await self.client.ask("set", owner_form(values), to=self.room)

    async def admin(self, *items: str):
        """Changes lists: `nick='thirdwitch' role='none'`."""
        await self.client.ask("set", admin_items(*items), to=self.room)

    def leave(self):
        self.client.send_presence(pto=self.jid, ptype="unavailable")


class RoomTest(ClientTest):
    """A test with clients that know of rooms."""

    async def client(self, *arguments, plugins: tuple[str, ...] = (), **settings) -> Client:
        return await super().client(*arguments, plugins=(*PLUGINS, *plugins), **settings)

    def address(self, on: Server | None = None) -> JID:
        """Of a room that is not there."""
        return JID(f"coven-{next(numbers)}@{(on or self.server).rooms}")

    async def enter(self, client: Client, room: JID, nick: str, **how) -> Seat:
        """Enters as slixmpp does; raises its `PresenceError`.

        It knows an error by the `<x/>` of §7.2's examples, which other servers leave out.
        """
        joined = client["xep_0045"].join_muc_wait(room, nick, timeout=TIMEOUT, **how)
        wanted = {"from": JID(f"{room}/{nick}"), "type": "error"}
        refused = asyncio.ensure_future(client.take(Presence, **wanted))
        joined = asyncio.ensure_future(joined)
        try:
            await asyncio.wait((joined, refused), return_when=asyncio.FIRST_COMPLETED)
            if refused.done():
                raise PresenceError(refused.result())
            presence, subject, _, history = await joined
        finally:
            for each in (joined, refused):
                each.cancel()
        codes = presence["muc"]["status_codes"]
        return Seat(client, room, presence["from"].resource, codes, subject, history)

    async def found(self, client: Client, nick: str = "crone", on: Server | None = None, **config):
        """Makes a room with this configuration and enters as its owner."""
        owner = await self.enter(client, self.address(on), nick)
        self.assertIn(201, owner.codes)
        await owner.configure(**config)
        return owner

    async def coven(self, *nicks: str, **config) -> list[Seat]:
        """The owner, named `crone`, and others with these nicks, and all have read what they heard."""
        owner = await self.found(await self.client("crone"), **config)
        seats = [owner]
        for nick in nicks:
            seats.append(await self.enter(await self.client(nick), owner.room, nick))
        await self.quiet(*seats)
        return seats

    async def quiet(self, *seats: Seat):
        """What was on its way has arrived and is forgotten."""
        await self.settled(*seats)
        for seat in seats:
            seat.client.inbox.clear()

    async def settled(self, *seats: Seat):
        for _ in range(2):
            for seat in seats:
                await seat.barrier()

    async def assert_kept_out(self, condition: str, client: Client, room: JID, nick: str, **how):
        """Entering must be this error."""
        try:
            await self.enter(client, room, nick, **how)
        except PresenceError as error:
            self.assertEqual(error.condition, condition)
            return error
        except asyncio.TimeoutError:
            self.fail(f"neither entered nor told why not; expected the error {condition}")
        self.fail(f"entered; expected the error {condition}")


def owner_form(values: dict) -> str:
    """A submitted configuration; with no values it asks for an instant room (§10.1.2)."""
    fields = [("FORM_TYPE", "http://jabber.org/protocol/muc#roomconfig")] if values else []
    fields += [(f"muc#roomconfig_{name}", value) for name, value in values.items()]
    xml = "".join(
        f"<field var='{name}'>{''.join(f'<value>{each}</value>' for each in texts(value))}</field>"
        for name, value in fields
    )
    return (
        "<query xmlns='http://jabber.org/protocol/muc#owner'>"
        f"<x xmlns='jabber:x:data' type='submit'>{xml}</x></query>"
    )


def admin_items(*items: str) -> str:
    xml = "".join(f"<item {item}/>" for item in items)
    return f"<query xmlns='http://jabber.org/protocol/muc#admin'>{xml}</query>"


def texts(value) -> list[str]:
    if isinstance(value, bool):
        return ["1" if value else "0"]
    if isinstance(value, list):
        return [escape(each) for each in value]
    return [escape(str(value))]


def child(stanza, name: str, namespace: str = USER) -> ElementTree.Element | None:
    """An element below the `<x/>` of a room."""
    return stanza.xml.find(f"{namespace}x/{namespace}{name}")


def item(presence: Presence) -> ElementTree.Element:
    """What the room says of an occupant. slixmpp's own reading of it is at times empty."""
    return child(presence, "item")
