"""slixmpp as the tests use it: every wait ends, every stanza is kept."""

import asyncio
import ssl
import time
from collections.abc import Callable
from xml.etree import ElementTree

from slixmpp import JID, ClientXMPP, Iq, Message, Presence
from slixmpp.stanza import StreamError

from .server import Account, Server

TIMEOUT = 10.0
PING = "<ping xmlns='urn:xmpp:ping'/>"


class LoginFailed(Exception):
    """The stream ended before a resource was bound; names the reason."""


class Client(ClientXMPP):
    """A slixmpp client of `server` that verifies its certificate.

    Received stanzas wait in `inbox` until a test takes them. Nothing is
    answered in the user's name: subscriptions stay as the test makes them.
    """

    def __init__(
        self,
        server: Server,
        account: Account,
        resource: str = "",
        *,
        mechanism: str | None = None,
        direct_tls: bool = False,
        lang: str = "en",
        plugins: tuple[str, ...] = (),
    ):
        jid = f"{account.jid}/{resource}" if resource else account.jid
        super().__init__(jid, account.password, sasl_mech=mechanism, lang=lang)
        self.peer = server
        self.account = account
        self.ca_certs = server.ca
        self.enable_direct_tls = direct_tls
        self.enable_starttls = not direct_tls
        self.auto_authorize = None
        self.auto_subscribe = False
        self.response_timeout = TIMEOUT
        self.inbox: list[Message | Presence | Iq | StreamError] = []
        self.stream_features = []
        self._arrival = asyncio.Event()
        for plugin in plugins:
            self.register_plugin(plugin)
        self.add_filter("in", self._keep)

    async def login(self, *, available: bool = False, roster: bool = False) -> "Client":
        """Connects and binds a resource; raises `LoginFailed` or `TimeoutError`."""
        outcome = asyncio.get_running_loop().create_future()
        reasons = []

        def settle(error: str | None = None):
            if outcome.done():
                return
            if error is None:
                outcome.set_result(None)
            else:
                outcome.set_exception(LoginFailed(error))

        def untrusted(error):
            settle(f"certificate: {error}")
            self.abort()

        handlers = {
            "session_start": lambda _: settle(),
            "failed_auth": lambda failure: reasons.append(failure["condition"]),
            "stream_error": lambda error: reasons.append(error["condition"]),
            "failed_all_auth": lambda _: settle(", ".join(reasons) or "no mechanism in common"),
            "ssl_invalid_chain": untrusted,
            "connection_failed": lambda error: settle(f"connection: {error}"),
            "disconnected": lambda why: settle(", ".join(reasons) or f"disconnected: {why}"),
        }
        for event, handler in handlers.items():
            self.add_event_handler(event, handler)
        try:
            port = (
                self.peer.direct_tls_port if self.enable_direct_tls else self.peer.starttls_port
            )
            self.connect(self.peer.address, port)
            await asyncio.wait_for(outcome, TIMEOUT)
        except Exception:
            self.cancel_connection_attempt()
            self.abort()
            raise
        finally:
            for event, handler in handlers.items():
                self.del_event_handler(event, handler)
        if roster:
            await self.get_roster()
        if available:
            await self.become_available()
        return self

    async def become_available(self, **presence):
        """Sends available presence and waits until the server has handled it."""
        self.send_presence(**presence)
        await self.barrier()

    async def logout(self):
        """Closes the stream and waits for the server to close its own."""
        if self.is_connected():
            closed = self.closed()
            self.disconnect(wait=TIMEOUT, ignore_send_queue=False)
            await closed

    def closed(self):
        """A task that is done when the connection is; ask for it before the cause."""
        return asyncio.ensure_future(asyncio.wait_for(asyncio.shield(self.disconnected), TIMEOUT))

    @property
    def mechanism(self) -> str:
        """The mechanism of the last authentication."""
        return self["feature_mechanisms"].mech.name

    # Sending

    def say(self, to, body: str, kind: str = "chat", extra: str = "", **attributes) -> Message:
        """Sends a message; `extra` is XML put beside its body."""
        message = self.make_message(mto=to, mbody=body, mtype=kind)
        for name, value in attributes.items():
            message[name] = value
        if extra:
            message.append(ElementTree.fromstring(extra))
        message.send()
        return message

    async def ask(self, kind: str, payload: str, to=None, timeout: float = TIMEOUT) -> Iq:
        """Sends an IQ and returns its result; raises slixmpp's `IqError`."""
        iq = self.make_iq(itype=kind, ito=to)
        iq.append(ElementTree.fromstring(payload))
        return await iq.send(timeout=timeout)

    async def barrier(self):
        """Returns when the server has handled what was sent before.

        The answer to a ping comes after all that the server had put into
        this session's queue: after `await a.barrier(); await b.barrier()`
        a stanza from a to b that is not in b's inbox was not delivered.
        """
        await self.ask("get", PING, to=JID(self.boundjid.domain))

    # Receiving

    async def message(self, body: str | None = None, **wanted) -> Message:
        """Takes the first message with these values out of the inbox."""
        if body is not None:
            wanted["body"] = body
        return await self.take(Message, **wanted)

    async def presence(self, sender=None, kind: str | None = None, **wanted) -> Presence:
        """Takes the first presence of this sender and type out of the inbox."""
        if sender is not None:
            wanted["from"] = JID(sender)
        if kind is not None:
            wanted["type"] = kind
        return await self.take(Presence, **wanted)

    async def roster_push(self, jid=None) -> dict:
        """Takes the next roster push and returns the attributes of its item."""

        def is_push(iq):
            item = roster_item(iq)
            return iq["type"] == "set" and item is not None and jid in (None, item["jid"])

        return roster_item(await self.take(Iq, is_push))

    async def stream_error(self) -> str:
        """Waits for a stream error and returns its condition."""
        return (await self.take(StreamError))["condition"]

    async def take(
        self, stanza: type, test: Callable = lambda _: True, within: float = TIMEOUT, **wanted
    ):
        """Takes the first stanza of this class that passes `test` out of the inbox."""
        deadline = time.monotonic() + within
        while True:
            arrival = self._arrival
            for kept in self.inbox:
                if self._matches(kept, stanza, wanted) and test(kept):
                    self.inbox.remove(kept)
                    return kept
            try:
                await asyncio.wait_for(arrival.wait(), deadline - time.monotonic())
            except TimeoutError:
                held = "\n  ".join(str(kept)[:400] for kept in self.inbox[-20:]) or "nothing"
                raise AssertionError(
                    f"{self.boundjid}: no {stanza.__name__} with {wanted} within {within} s;"
                    f" the inbox holds:\n  {held}"
                ) from None

    def holds(self, stanza: type, test: Callable = lambda _: True, **wanted) -> list:
        """The stanzas in the inbox that match, now; see `barrier`."""
        return [
            kept for kept in self.inbox if self._matches(kept, stanza, wanted) and test(kept)
        ]

    @staticmethod
    def _matches(kept, stanza: type, wanted: dict) -> bool:
        return isinstance(kept, stanza) and all(
            kept[name] == value for name, value in wanted.items()
        )

    def _keep(self, stanza):
        if stanza.name == "features":
            self.stream_features.append(stanza.xml)
        elif isinstance(stanza, (Message, Presence, Iq, StreamError)):
            self.inbox.append(stanza)
            arrived, self._arrival = self._arrival, asyncio.Event()
            arrived.set()
        return stanza


class LegacyTls(Client):
    """Speaks TLS 1.2, the newest version before channel binding changed."""

    def get_ssl_context(self) -> ssl.SSLContext:
        context = super().get_ssl_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context


def roster_item(iq: Iq) -> dict | None:
    """The attributes and groups of the first roster item of an IQ."""
    item = iq.xml.find("{jabber:iq:roster}query/{jabber:iq:roster}item")
    if item is None:
        return None
    groups = sorted(group.text for group in item.findall("{jabber:iq:roster}group"))
    return {"subscription": "none", **item.attrib, "groups": groups}
