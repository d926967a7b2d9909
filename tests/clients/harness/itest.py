"""Runs one of slixmpp's own integration tests, in a process of its own.

Usage: itest.py NAME, in the folder of slixmpp's source release. The tests
find accounts in the environment as in slixmpp's own pipeline, take the ports
5222 and 5223 for granted, and know no way to name an address: `localhost` is
resolved here to $SERVER_ADDRESS.
"""

import importlib
import logging
import os
import sys
import unittest

from slixmpp.xmlstream import XMLStream

ADDRESS = os.environ["SERVER_ADDRESS"]
attempt_connection = XMLStream._attempt_connection


async def resolved(stream, domain, port=None):
    """What a zone without SRV records answers."""
    return [("", domain, ADDRESS, port or stream.default_port)]


async def attempt_at_address(stream, host, *arguments):
    return await attempt_connection(stream, ADDRESS if host == "localhost" else host, *arguments)


def main() -> int:
    XMLStream.get_dns_records = resolved
    XMLStream._attempt_connection = attempt_at_address
    logging.disable()
    sys.path.insert(0, os.getcwd())
    suite = importlib.import_module(f"itests.{sys.argv[1]}").suite
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    if result.testsRun == 0 or result.skipped:
        return 3
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
