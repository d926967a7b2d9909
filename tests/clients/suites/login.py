"""Authentication, TLS and resource binding (RFC 6120 §5, §6, §7)."""

import asyncio
import hashlib
import ssl

from slixmpp.util.sasl.mechanisms import SCRAM

from harness.case import ClientTest, differs
from harness.server import Account, Options
from harness.slix import Client, LegacyTls, LoginFailed

SASL = "{urn:ietf:params:xml:ns:xmpp-sasl}"
TLS = "{urn:ietf:params:xml:ns:xmpp-tls}"


class Login(ClientTest):
    async def log_in_by(self, mechanism: str, **settings):
        client = await self.client(mechanism=mechanism, **settings)
        self.assertEqual(client.mechanism, mechanism)
        self.assertIsInstance(client.socket, ssl.SSLObject)
        await client.barrier()

    async def test_plain_logs_in(self):
        await self.log_in_by("PLAIN")

    async def test_scram_sha_1_logs_in(self):
        await self.log_in_by("SCRAM-SHA-1")

    async def test_scram_sha_256_logs_in(self):
        await self.log_in_by("SCRAM-SHA-256")

    @differs("prosody", "0.12 has SCRAM-SHA-1 and -256 only")
    async def test_scram_sha_512_logs_in(self):
        await self.log_in_by("SCRAM-SHA-512")

    async def test_plain_logs_in_by_direct_tls(self):
        await self.log_in_by("PLAIN", direct_tls=True)

    async def test_scram_sha_256_logs_in_by_direct_tls(self):
        await self.log_in_by("SCRAM-SHA-256", direct_tls=True)

    @differs("prosody", "0.12 binds by tls-unique and tls-exporter only")
    async def test_scram_sha_1_plus_logs_in_by_server_end_point(self):
        await self.log_in_by("SCRAM-SHA-1-PLUS", kind=EndPointBinding)

    @differs("prosody", "0.12 binds by tls-unique and tls-exporter only")
    async def test_scram_sha_256_plus_logs_in_by_server_end_point(self):
        await self.log_in_by("SCRAM-SHA-256-PLUS", kind=EndPointBinding)

    @differs("prosody", "0.12 has SCRAM-SHA-1 and -256 only")
    async def test_scram_sha_512_plus_logs_in_by_server_end_point(self):
        await self.log_in_by("SCRAM-SHA-512-PLUS", kind=EndPointBinding)

    @differs("prosody", "0.12 binds by tls-unique and tls-exporter only")
    async def test_scram_plus_logs_in_by_server_end_point_over_direct_tls(self):
        await self.log_in_by("SCRAM-SHA-256-PLUS", kind=EndPointBinding, direct_tls=True)

    @differs("prosody", "0.12 offers no -PLUS over TLS 1.3 to begin with")
    async def test_scram_plus_with_binding_data_of_another_certificate_is_refused(self):
        with self.assertRaisesRegex(LoginFailed, "not-authorized|malformed-request"):
            await self.client(mechanism="SCRAM-SHA-256-PLUS", kind=WrongBinding)

    async def test_a_client_that_chooses_freely_logs_in(self):
        client = await self.client()
        self.assertTrue(client.mechanism.startswith("SCRAM-"), client.mechanism)

    async def test_a_client_of_tls_1_2_that_chooses_freely_logs_in(self):
        # It tries tls-unique first, which RFC 9266 replaced, and must be able
        # to go on with another mechanism on the same stream (RFC 6120 §6.4.5).
        client = await self.client(kind=LegacyTls)
        self.assertEqual(client.socket.version(), "TLSv1.2")
        await client.barrier()

    async def test_a_wrong_password_is_not_authorized_by_each_mechanism(self):
        account = self.account()
        wrong = Account(account.user, "not " + account.password)
        for mechanism in ("PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"):
            with self.subTest(mechanism), self.assertRaisesRegex(LoginFailed, "^not-authorized$"):
                await self.client(wrong, mechanism=mechanism)

    async def test_an_unknown_user_is_not_authorized_by_each_mechanism(self):
        nobody = Account("nobody-at-all", "secret")
        for mechanism in ("PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"):
            with self.subTest(mechanism), self.assertRaisesRegex(LoginFailed, "^not-authorized$"):
                await self.client(nobody, mechanism=mechanism)

    async def test_a_client_that_does_not_trust_the_authority_refuses_the_server(self):
        # Shows that the other tests verify the certificate.
        client = self.offline_client(self.account())
        client.ca_certs = None
        with self.assertRaisesRegex(LoginFailed, "CERTIFICATE_VERIFY_FAILED"):
            await client.login()

    async def test_tls_is_required_before_any_mechanism_is_offered(self):
        client = await self.client()
        before, *after = client.stream_features
        self.assertIsNotNone(before.find(f"{TLS}starttls/{TLS}required"))
        self.assertIsNone(before.find(f"{SASL}mechanisms"))
        self.assertIsNotNone(after[0].find(f"{SASL}mechanisms"))
        self.assertIsNone(after[0].find(f"{TLS}starttls"))

    async def test_the_user_name_is_not_case_sensitive(self):
        account = self.account("juliet")
        client = await self.client(Account(account.user.upper(), account.password))
        self.assertEqual(client.boundjid.bare, account.jid)


class Bind(ClientTest):
    async def test_a_requested_resource_is_bound(self):
        client = await self.client(resource="balcony")
        self.assertEqual(client.boundjid.resource, "balcony")

    async def test_a_client_without_a_wish_gets_a_resource_of_its_own(self):
        account = self.account()
        first, second = await self.client(account), await self.client(account)
        self.assertTrue(first.boundjid.resource)
        self.assertNotEqual(first.boundjid.resource, second.boundjid.resource)

    async def test_a_second_client_with_the_same_resource_replaces_the_first(self):
        # RFC 6120 §7.7.2.2, the policy that lets a returning client in.
        account = self.account()
        first = await self.client(account, "balcony")
        closed = first.closed()
        second = await self.client(account, "balcony")
        self.assertEqual(second.boundjid.resource, "balcony")
        self.assertEqual(await first.stream_error(), "conflict")
        await closed
        juliet = await self.client("juliet")
        juliet.say(second.boundjid, "still there?")
        await second.message("still there?")

    async def test_ten_resources_of_one_account_are_online_together(self):
        account = self.account()
        clients = [await self.client(account, f"number {n}") for n in range(10)]
        juliet = await self.client("juliet")
        for client in clients:
            juliet.say(client.boundjid, f"to {client.boundjid.resource}")
        for client in clients:
            await client.message(f"to {client.boundjid.resource}")


class External(ClientTest):
    """XEP-0178: the certificate is the password."""

    options = Options(client_certificates=True)

    def bearer(self, account: Account, jid: str, **settings) -> Client:
        """A client of `account` with a certificate for `jid`."""
        client = self.offline_client(
            Account(account.user, ""), mechanism="EXTERNAL", **settings
        )
        client.certfile, client.keyfile = self.server.authority.client(jid)
        return client

    @differs("prosody", "0.12 has no EXTERNAL for clients")
    async def test_a_certificate_of_the_user_logs_in(self):
        for direct_tls in (False, True):
            with self.subTest(direct_tls=direct_tls):
                account = self.account()
                client = self.bearer(account, account.jid, direct_tls=direct_tls)
                await client.login(available=True)
                self.assertEqual(client.mechanism, "EXTERNAL")
                self.assertEqual(client.boundjid.bare, account.jid)

    @differs("prosody", "0.12 has no EXTERNAL for clients")
    async def test_a_certificate_of_another_is_not_authorized(self):
        account, paris = self.account(), self.account("paris")
        client = self.bearer(account, paris.jid)
        client["feature_mechanisms"].sasl_callback = lambda *_: {"authzid": account.jid}
        with self.assertRaisesRegex(LoginFailed, "^(not-authorized|invalid-authzid)$"):
            await client.login()

    async def test_a_client_without_certificate_logs_in_by_its_password(self):
        client = await self.client(mechanism="SCRAM-SHA-256")
        await client.barrier()


class Shutdown(ClientTest):
    options = Options(alone="stops")

    @differs("prosody", "ends before it has told everybody", always=False)
    async def test_sigterm_tells_clients_system_shutdown_and_ends_with_status_0(self):
        romeo, juliet = await self.client(), await self.client("juliet", direct_tls=True)
        ends = [romeo.closed(), juliet.closed()]
        self.server.terminate()
        self.assertEqual(await romeo.stream_error(), "system-shutdown")
        self.assertEqual(await juliet.stream_error(), "system-shutdown")
        await asyncio.gather(*ends)
        status = await asyncio.to_thread(self.server.wait)
        self.assertEqual(status, 0, self.server.log_tail())


class EndPointBinding(Client):
    """Binds SCRAM-PLUS to the server's certificate (RFC 5929 §4).

    slixmpp has tls-unique and tls-exporter, and Python offers only the former,
    which TLS 1.3 lacks. The arithmetic of SCRAM remains slixmpp's.
    """

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        mechanisms = self["feature_mechanisms"]
        default = mechanisms._default_credentials

        def credentials(required, optional):
            found = default(required, optional)
            if "channel_binding" in optional:
                found["channel_binding"] = self.binding_data()
            return found

        mechanisms.sasl_callback = credentials
        send = mechanisms._send_auth

        def name_the_binding():
            first = SCRAM.process_1

            def process_1(scram, challenge):
                first(scram, challenge)
                scram.gs2_header = b"p=tls-server-end-point,,"
                return scram.gs2_header + scram.client_first_message_bare

            SCRAM.process_1 = process_1
            try:
                return send()
            finally:
                SCRAM.process_1 = first

        mechanisms._send_auth = name_the_binding

    def binding_data(self) -> bytes:
        return hashlib.sha256(self.socket.getpeercert(binary_form=True)).digest()


class WrongBinding(EndPointBinding):
    """Believes that it speaks with another server."""

    def binding_data(self) -> bytes:
        return hashlib.sha256(b"another certificate").digest()
