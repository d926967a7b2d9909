"""The name service of a run: `tests/names`, which answers from a file."""

import os
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
TARGET = REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target")


class Names:
    """Started when its address is first asked for; knows at each moment what was said until then."""

    def __init__(self, folder: Path):
        self._zone = folder / "zone.txt"
        self._process: subprocess.Popen | None = None
        self._address = ""
        self.say("localhost A 127.0.0.1")

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`, by UDP and TCP."""
        if self._process is None:
            self._process = subprocess.Popen(
                [TARGET / "debug" / "names", self._zone],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            self._address = self._process.stdout.readline().strip()
        return self._address

    def say(self, *lines: str):
        """Adds lines of `NAME TYPE DATA`; see `tests/names`."""
        with self._zone.open("a") as zone:
            zone.writelines(f"{line}\n" for line in lines)

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
