"""What stands between two servers: it slows, delays, counts and cuts what they say to each other."""

import asyncio
import socket
import struct
from dataclasses import dataclass

from .server import Server

SEGMENT = 1448
"""What a TCP segment carries on Ethernet."""
HEADERS = 52
"""What it has beside that: IPv4 and TCP with time stamps. An acknowledgement is as long."""
SYN = 60
BUFFER = 4 * 1024
"""What a connection may hold in the kernel before the line has taken it; Linux doubles it."""
UNDER_WAY = 256
"""Segments of one connection that are between the ends."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: what is on its way is thrown away, and the other side hears of it at once."""


@dataclass
class Count:
    """What a way has carried. `wire` is `payload` with the headers of its segments, and the acknowledgements of the other way's."""

    payload: int = 0
    segments: int = 0
    wire: int = 0

    def __sub__(self, other: "Count") -> "Count":
        return Count(*(getattr(self, name) - getattr(other, name) for name in vars(self)))

    def copy(self) -> "Count":
        return self - Count()


class Way:
    """One direction of a line."""

    def __init__(self, line: "Line"):
        self.count = Count()
        self._line = line
        self._turn = asyncio.Lock()
        self._busy_until = 0.0

    async def carry(self, payload: int, headers: int = HEADERS):
        """Returns when the line has taken a segment, which takes its turn."""
        async with self._turn:
            await self._line.whole.wait()
            self.burden(headers, payload)
            await asyncio.sleep(self._busy_until - asyncio.get_running_loop().time())

    def burden(self, headers: int, payload: int = 0):
        """The line carries this too, whoever waits for it."""
        self.count.payload += payload
        self.count.segments += payload > 0
        self.count.wire += payload + headers
        now = asyncio.get_running_loop().time()
        seconds = 8 * (payload + headers) / self._line.rate
        self._busy_until = max(self._busy_until, now) + seconds


class Line:
    """What connections share: `rate` bit/s each way, headers and acknowledgements included, and `delay` seconds from end to end."""

    def __init__(self, rate: float = 3_200_000.0, delay: float = 0.01):
        self.rate = rate
        self.delay = delay
        self.there, self.back = Way(self), Way(self)
        self.whole = asyncio.Event()
        self.whole.set()

    def cut(self):
        """Nothing comes through until `mend`, and nobody is told. What is on its way arrives then, as TCP would send it again."""
        self.whole.clear()

    def mend(self):
        self.whole.set()


class Proxy:
    """Listens where others look for `server`, if its federation is `proxied`, and carries their connections over a line of its own.

    With `line` it shares one; `back`: who connects is at that end where a line's `there` leads.
    """

    def __init__(self, server: Server, line: Line | None = None, *, back: bool = False):
        self._server = server
        self.line = line or Line()
        ways = (self.line.there, self.line.back)
        self._there, self._back = reversed(ways) if back else ways
        self._connections: dict[asyncio.Task, list[asyncio.StreamWriter]] = {}
        self._refuses = False
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> "Proxy":
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it. What the kernel takes the line has not yet.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        listener.bind((self._server.proxy_address, self._server.proxy_port))
        self._listener = await asyncio.start_server(self._connected, sock=listener, limit=SEGMENT)
        return self

    async def __aexit__(self, *_):
        if self._listener is not None:
            self._listener.close()
        self.cut()

    def cut(self) -> int:
        """Every connection is gone, with what is on its way. Returns how many there were."""
        connections, self._connections = self._connections, {}
        for task, writers in connections.items():
            for writer in writers:
                reset(writer)
            task.cancel()
        return len(connections)

    def refuse(self, refuses: bool):
        """Whether who connects from now on is turned away."""
        self._refuses = refuses

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        if self._refuses:
            reset(writer)
            return
        task = asyncio.current_task()
        self._connections[task] = [writer]
        try:
            await self._carry(reader, writer, self._connections[task])
        except OSError:
            writer.transport.abort()
        finally:
            self._connections.pop(task, None)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
        writers: list[asyncio.StreamWriter],
    ):
        await self._there.carry(0, SYN)
        await self._back.carry(0, SYN)
        await asyncio.sleep(2 * self.line.delay)
        server = self._server
        onward = await asyncio.open_connection(server.s2s_address, server.s2s_port, limit=SEGMENT)
        writers.append(onward[1])
        buffer = (socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        onward[1].get_extra_info("socket").setsockopt(*buffer)
        await asyncio.gather(
            self._pump(reader, onward[1], self._there, self._back),
            self._pump(onward[0], writer, self._back, self._there),
        )

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way, other: Way
    ):
        under_way = asyncio.Queue(UNDER_WAY)
        arriving = asyncio.ensure_future(self._arrive(under_way, writer))
        clock = asyncio.get_running_loop().time
        data = b"anything"
        try:
            while data:
                data = await reader.read(SEGMENT)
                await way.carry(len(data))
                other.burden(HEADERS)
                await under_way.put((clock() + self.line.delay, data))
            await arriving
        except OSError:
            writer.close()
        finally:
            arriving.cancel()

    async def _arrive(self, under_way: asyncio.Queue, writer: asyncio.StreamWriter):
        try:
            while True:
                due, data = await under_way.get()
                await asyncio.sleep(due - asyncio.get_running_loop().time())
                await self.line.whole.wait()
                if not data:
                    break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()


def reset(writer: asyncio.StreamWriter):
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
