"""What `setup` has brought in."""

import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
WORK = (HERE.parents[1] / os.environ.get("CARGO_TARGET_DIR", "target")).resolve() / "clients"
PYTHON = WORK / "venv" / "bin" / "python"
PROGRAMS = ("ejabberdctl", "go-sendxmpp", "openssl", "profanity", "prosody", "tmux")


def reenter(programs: tuple[str, ...] = PROGRAMS):
    """Goes on in the virtual environment; what is missing ends the run."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    missing = [program for program in programs if shutil.which(program, path=path) is None]
    if missing:
        sys.exit(f"missing: {' '.join(missing)}; bring them in with: {HERE / 'setup'} --install")
    installed = PYTHON.parent.parent / "installed.txt"
    wanted = (HERE / "requirements.txt").read_text()
    if not installed.is_file() or installed.read_text() != wanted:
        sys.exit(f"slixmpp is missing or old; bring it in with: {HERE / 'setup'}")
    if not (WORK.parent / "debug" / "names").is_file():
        sys.exit(f"the name service is not built; build it with: {HERE / 'setup'}")
    if not (WORK / "tokio-xmpp" / "debug" / "tokio-xmpp-client").is_file():
        sys.exit(f"the client on tokio-xmpp is not built; build it with: {HERE / 'setup'}")
    if Path(sys.prefix) != PYTHON.parent.parent:
        os.execv(PYTHON, [str(PYTHON), *sys.argv])
