"""go-sendxmpp, a command line client on the Go library go-xmpp."""

import asyncio
import os

from slixmpp import Presence

from harness.rooms import RoomTest
from harness.server import Account

TIMEOUT = 20.0


class GoSendxmpp(RoomTest):
    async def start(
        self, account: Account, *arguments: str, trusted: bool = True, direct_tls: bool = False
    ):
        """A running go-sendxmpp that trusts the test authority."""
        port = self.server.direct_tls_port if direct_tls else self.server.starttls_port
        process = await asyncio.create_subprocess_exec(
            "go-sendxmpp", "--username", account.jid, "--password", account.password,
            "--jserver", f"{self.server.address}:{port}", *(["--tls"] if direct_tls else []),
            *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=os.environ | {
                "HOME": str(self.folder),
                "SSL_CERT_FILE": str(self.server.ca) if trusted else "/dev/null",
                "SSL_CERT_DIR": "/nonexistent",
            },
        )
        self.addAsyncCleanup(self.end, process)
        return process

    async def end(self, process):
        if process.returncode is None:
            process.kill()
            await process.wait()

    async def send(self, account: Account, to: str, body: str, **settings) -> tuple[int, str]:
        """Sends a message; returns the exit status and what was printed."""
        return await self.send_by(account, [to], body, **settings)

    async def send_by(self, account: Account, arguments: list[str], body: str, **settings):
        process = await self.start(account, *arguments, **settings)
        output, _ = await asyncio.wait_for(process.communicate(body.encode()), TIMEOUT)
        return process.returncode, output.decode()

    async def test_it_sends_a_message_by_starttls(self):
        romeo, juliet = self.account(), await self.client("juliet")
        status, output = await self.send(romeo, juliet.boundjid.bare, "by my heel, I care not 📱")
        self.assertEqual(status, 0, output)
        got = await juliet.message("by my heel, I care not 📱")
        self.assertEqual(got["from"].bare, romeo.jid)

    async def test_it_sends_a_message_by_direct_tls(self):
        romeo, juliet = self.account(), await self.client("juliet")
        status, output = await self.send(romeo, juliet.boundjid.bare, "directly", direct_tls=True)
        self.assertEqual(status, 0, output)
        await juliet.message("directly")

    async def test_it_sends_to_a_room(self):
        # XEP-0045 §7.4: it enters, speaks and leaves.
        owner = await self.found(await self.client("juliet"), "juliet")
        status, output = await self.send_by(self.account(), ["--chatroom", str(owner.room)], "Hear ye!")
        self.assertEqual(status, 0, output)
        got = await owner.message("Hear ye!")
        await owner.hears(got["from"].resource)
        await owner.hears(got["from"].resource, "unavailable")

    async def test_it_listens_in_a_room(self):
        owner = await self.found(await self.client("juliet"), "juliet")
        listener = await self.start(self.account(), "--chatroom", "--listen", str(owner.room))
        await owner.client.take(Presence, lambda p: p["from"] not in (owner.jid, owner.client.boundjid))
        owner.say("do you hear?")
        line = await asyncio.wait_for(listener.stdout.readline(), TIMEOUT)
        self.assertIn("do you hear?", line.decode())

    async def test_it_sends_to_who_is_offline(self):
        romeo, juliet = self.account(), self.account("juliet")
        status, output = await self.send(romeo, juliet.jid, "for later")
        self.assertEqual(status, 0, output)
        client = await self.client(juliet)
        await client.message("for later")

    async def test_it_listens(self):
        account, juliet = self.account(), await self.client("juliet")
        listener = await self.start(account, "--listen")
        # Until its presence is known a message would wait for it, and arrive as well.
        juliet.say(account.jid, "do you hear?")
        line = await asyncio.wait_for(listener.stdout.readline(), TIMEOUT)
        self.assertIn(f"{juliet.boundjid.bare}: do you hear?", line.decode())
        juliet.say(account.jid, "and now 🌹?")
        line = await asyncio.wait_for(listener.stdout.readline(), TIMEOUT)
        self.assertIn(f"{juliet.boundjid.bare}: and now 🌹?", line.decode())

    async def test_it_refuses_a_certificate_of_an_unknown_authority(self):
        # Shows that the other tests verify the certificate.
        for direct_tls in (False, True):
            with self.subTest(direct_tls=direct_tls):
                status, output = await self.send(
                    self.account(), "nobody@localhost", "x", trusted=False, direct_tls=direct_tls
                )
                self.assertNotEqual(status, 0)
                self.assertIn("unknown authority", output)

    async def test_it_tells_of_a_wrong_password(self):
        account = self.account()
        wrong = Account(account.user, "not " + account.password)
        status, output = await self.send(wrong, "nobody@localhost", "x")
        self.assertNotEqual(status, 0)
        self.assertIn("auth", output)
