"""Those of slixmpp's own integration tests that a server of the core protocols, with rooms, can pass."""

import asyncio
import os
import sys
from pathlib import Path

import slixmpp

from harness.case import ClientTest
from harness.server import Options

SOURCE = Path(sys.prefix).parent / f"slixmpp-{slixmpp.__version__}"
ITEST = Path(__file__).resolve().parents[1] / "harness" / "itest.py"
TIMEOUT = 90.0

RUN = (
    "test_basic_connect_and_message", "test_blocking", "test_bob", "test_chatmarkers",
    "test_disco", "test_ibb", "test_last_activity", "test_muc", "test_ping",
    "test_privatestorage", "test_quickresponse", "test_reactions", "test_reconnect",
    "test_retract", "test_selfping", "test_slow_filters", "test_tls_check", "test_vcard",
    "test_vcard_avatar", "test_version",
)

LEFT_OUT = {
    "test_component": "needs an external component (XEP-0114)",
    "test_httpupload": "needs an upload service (XEP-0363)",
    "test_mam": "needs an archive (XEP-0313)",
    "test_moderate": "needs moderated retraction (XEP-0425)",
    "test_pep": "needs PubSub (XEP-0163)",
    "test_sos": "needs a web server with a status page (XEP-0455)",
    "test_user_avatar": "needs PubSub (XEP-0084)",
}

RACES = {
    "test_muc": "takes a change of nick for the leaving it waits for, when it hears of it late",
}
"""Those that at times fail by themselves, and may try again."""
ATTEMPTS = 3


class Own(ClientTest):
    # The tests connect to 5222 and 5223.
    options = Options(standard_ports=True)

    async def run_itest(self, name: str):
        romeo, juliet = self.account("romeo"), self.account("juliet")
        # `test_last_activity` asks a client for what XEP-0012 §5 allows to
        # its contacts only.
        first, second = await self.client(romeo), await self.client(juliet)
        await self.friends(first, second)
        await first.logout()
        await second.logout()
        environment = os.environ | {
            "CI_ACCOUNT1": romeo.jid,
            "CI_ACCOUNT1_PASSWORD": romeo.password,
            "CI_ACCOUNT2": juliet.jid,
            "CI_ACCOUNT2_PASSWORD": juliet.password,
            "CI_MUC_SERVER": self.server.rooms,
            "SERVER_ADDRESS": self.server.address,
            "SSL_CERT_FILE": str(self.server.ca),
        }
        for _ in range(ATTEMPTS if name in RACES else 1):
            status, output = await self.attempt(name, environment)
            if status == 0:
                return
        self.fail(output)

    async def attempt(self, name: str, environment: dict[str, str]) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, ITEST, name, cwd=SOURCE, env=environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), TIMEOUT)
        except TimeoutError:
            process.kill()
            await process.wait()
            self.fail(f"{name} did not end within {TIMEOUT} s")
        return process.returncode, output.decode(errors="replace")

    def test_every_integration_test_is_run_or_left_out_for_a_reason(self):
        present = {path.stem for path in (SOURCE / "itests").glob("test_*.py")}
        self.assertEqual(present, {*RUN, *LEFT_OUT})


def _define(name: str):
    async def test(self):
        await self.run_itest(name)

    setattr(Own, f"test_{name.removeprefix('test_')}_of_slixmpp", test)


for each in RUN:
    _define(each)
