"""The relay of `benches` that cuts the connections it carries."""

import os
import subprocess
from pathlib import Path

from .server import Server

REPOSITORY = Path(__file__).resolve().parents[3]
PROGRAM = REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target") / "debug" / "cutter"


class Cutter:
    """Between clients and the STARTTLS port of `server`; it cuts a connection after `every` seconds or so."""

    def __init__(self, server: Server, every: float, seed: int = 1):
        if not PROGRAM.is_file():
            raise RuntimeError(f"{PROGRAM} is missing; build it with: cargo build -p benches --bin cutter")
        self._process = subprocess.Popen(
            [PROGRAM, "--server", f"{server.address}:{server.starttls_port}",
             "--every", str(every), "--seed", str(seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        # "listening on ADDRESS:PORT"
        self.port = int(self._process.stdout.readline().rsplit(":", 1)[1])

    def end(self) -> int:
        """Lets go of all connections; returns how many it has cut."""
        if self._process.poll() is not None:
            return 0
        # "N reset, N closed, N silenced"
        said, _ = self._process.communicate()
        return sum(int(part.split()[0]) for part in said.split(","))
