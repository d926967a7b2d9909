"""What stands between two servers and can cut them off from each other."""

import asyncio
import socket
import struct

from .server import Server

CHUNK = 4 * 1024
DELAY = 0.01
"""Seconds that each chunk takes, so that there is something on its way."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: what is on its way is thrown away, and the other side hears of it at once."""


class Proxy:
    """Listens where DNS says that `server` is, if its federation is `proxied`."""

    def __init__(self, server: Server):
        self._server = server
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "Proxy":
        server = self._server
        self._listener = await asyncio.start_server(
            self._connected, server.address, server.proxy_port
        )
        return self

    async def __aexit__(self, *_):
        self._listener.close()
        self.cut()

    def cut(self) -> int:
        """Every connection is gone, with what is on its way. Returns how many there were."""
        writers, self._writers = self._writers, set()
        for writer in writers:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        return len(writers) // 2

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        server = self._server
        try:
            onward = await asyncio.open_connection(server.address, server.s2s_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, onward[1]}
        await asyncio.gather(self._pump(reader, onward[1]), self._pump(onward[0], writer))
        self._writers -= {writer, onward[1]}

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        try:
            while data := await reader.read(CHUNK):
                await asyncio.sleep(DELAY)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()
