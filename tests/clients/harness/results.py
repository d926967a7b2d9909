"""One line for each test, and what failed at the end."""

import time
import traceback
import unittest
from pathlib import Path

from slixmpp.exceptions import IqError, IqTimeout

from .case import Difference
from .slix import LoginFailed

CLIENTS = str(Path(__file__).resolve().parents[1])
ANSWERS = (AssertionError, IqError, IqTimeout, LoginFailed, TimeoutError)
"""What a server can cause; anything else is a fault of the test."""


class Results(unittest.TestResult):
    """Counts passes and failures; a test that did not run is a failure."""

    def __init__(self, server_name: str):
        super().__init__()
        self.server_name = server_name
        self.passed = 0
        self.failed = 0
        self.differences: list[tuple[str, str]] = []
        self._started = 0.0

    def startTest(self, test):
        super().startTest(test)
        self._started = time.monotonic()

    def addSuccess(self, test):
        known = self._difference(test)
        if known is None or not known.always:
            self.report(title(test), None)
        else:
            self.report(
                title(test), f"passes here, but is marked as a difference: {known.because}"
            )

    def addFailure(self, test, err):
        known = self._difference(test)
        if known is not None and isinstance(err[1], ANSWERS):
            self.differences.append((title(test), known.because))
            self._line("differs", title(test))
        else:
            self.report(title(test), brief(err[1]))

    addError = addFailure

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.addFailure(test, err)

    def addSkip(self, test, reason):
        self.report(title(test), f"skipped: {reason}")

    def report(self, name: str, failure: str | None):
        """Counts and prints one result."""
        if failure is None:
            self.passed += 1
            self._line("ok", name)
        else:
            self.failed += 1
            self._line("FAILED", name)
            print("    " + failure.rstrip().replace("\n", "\n    "), flush=True)

    def _line(self, word: str, name: str):
        elapsed = time.monotonic() - self._started if self._started else 0.0
        print(f"{word:8}{name} ({elapsed:.2f} s)", flush=True)

    def _difference(self, test) -> Difference | None:
        method = getattr(test, getattr(test, "_testMethodName", ""), None)
        return getattr(method, "differences", {}).get(self.server_name)


def brief(error: BaseException) -> str:
    """The error with those lines of its traceback that are ours."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(CLIENTS)
    ]
    places = "".join(traceback.format_list(frames))
    return places + "".join(traceback.format_exception_only(error))


def title(test) -> str:
    """`suite: the sentence that the test's name is`, and what the test case is `about`."""
    module = type(test).__module__.rpartition(".")[2]
    name = getattr(test, "_testMethodName", str(test))
    about = getattr(test, "about", "")
    return f"{module}: {name.removeprefix('test_').replace('_', ' ')}{about and f' ({about})'}"
