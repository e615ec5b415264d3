"""A relay between a daemon and MariaDB that breaks connections on command.

It speaks enough of MariaDB's protocol to know the journal's insert, so that a connection can be cut
exactly before that insert reaches the server, while the server works on it, or when its answer is
there but the daemon has not got it. Runs a loop on a thread of its own; used by one test at a time.
"""

import asyncio
import contextlib
import random
import socket
import struct
import tempfile
import threading
from pathlib import Path

PREPARE, EXECUTE = 0x16, 0x17  # commands of the protocol
JOURNAL, FEED = b"INSERT INTO meter_journal", b"FROM feed"

# Where a trapped insert is cut.
BEFORE = "before"      # the server never sees it
SENT = "sent"          # the server has it, and works on or has worked on it
ANSWERED = "answered"  # the server has committed it and said so; the daemon never hears
DELAYED = "delayed"    # not cut: the server gets it after let_go()
SILENT = "silent"      # as ANSWERED, but the connection stays and nothing comes on it any more


class _Connection:
    """One of the daemon's connections. `away` is set when nothing may pass any more."""

    def __init__(self, proxy, reader, writer):
        self.proxy, self.reader, self.writer = proxy, reader, writer
        self.up_reader = self.up_writer = None
        self.preparing = None  # the statement being prepared
        self.slow = set()      # ids of statements whose answers are kept for a while
        self.wait_s = 0        # for the answer to come
        self.inserts = {}      # id of such a statement: whether it is bound to the feed's place
        self.point = None      # where the insert under way is cut
        self.dead = False      # blackholed for good

    async def _packet(self, reader):
        await self.proxy.passing(self)
        head = await reader.readexactly(4)
        body = await reader.readexactly(int.from_bytes(head[:3], "little"))
        await self.proxy.passing(self)
        return head, body

    def _strand(self):
        """The daemon's side ends; the server does not notice, as when a network breaks."""
        self.proxy.sprung += 1
        self.proxy.stranded.append(self.up_writer)
        self.up_writer = None
        self.writer.transport.abort()

    async def upwards(self):
        while True:
            head, body = await self._packet(self.reader)
            if head[3] == 0 and body[:1] == bytes([PREPARE]):
                self.preparing = body
            if head[3] == 0 and body[:1] == bytes([EXECUTE]) and body[1:5] in self.inserts:
                self.point = self.proxy.take_trap(self.inserts[body[1:5]])
            if head[3] == 0 and body[:1] == bytes([EXECUTE]) and body[1:5] in self.slow:
                self.wait_s = random.uniform(0, self.proxy.slow_s)
            if self.point == BEFORE:
                return self._strand()
            if self.point == DELAYED:
                self.proxy.sprung += 1
                self.point = None
                await self.proxy.gone.wait()
            self.up_writer.write(head + body)
            await self.up_writer.drain()
            if self.point == SENT:
                return self._strand()

    def _prepared(self, answer):
        if answer[:1] == b"\0":
            if JOURNAL in self.preparing:
                self.inserts[answer[1:5]] = FEED in self.preparing
            if self.proxy.slow_text and self.proxy.slow_text in self.preparing:
                self.slow.add(answer[1:5])
        self.preparing = None

    async def downwards(self):
        while True:
            head, body = await self._packet(self.up_reader)
            if self.point == ANSWERED:
                return self._strand()
            if self.point == SILENT:
                self.proxy.sprung += 1
                await asyncio.Event().wait()
            if self.preparing is not None:
                self._prepared(body)
            if self.wait_s:
                await asyncio.sleep(self.wait_s)  # allow-sleep: a slow server is what is played
                self.wait_s = 0
            self.writer.write(head + body)
            await self.writer.drain()

    async def encrypted(self, reader, writer):
        """All that can be done with what cannot be read: pass it on."""
        while data := await reader.read(65536):
            await self.proxy.passing(self)
            writer.write(data)
            await writer.drain()

    def _ways(self):
        if self.proxy.tcp:
            return (self.encrypted(self.reader, self.up_writer),
                    self.encrypted(self.up_reader, self.writer))
        return self.upwards(), self.downwards()

    async def run(self):
        tasks = []
        try:
            await self.proxy.passing(self)
            self.up_reader, self.up_writer = await asyncio.open_unix_connection(self.proxy.target)
            tasks = [asyncio.create_task(way) for way in self._ways()]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass  # the server is away
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.abort()

    def abort(self):
        if self.proxy.tcp:  # a reset, not an orderly end
            with contextlib.suppress(OSError):
                self.writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        if self.up_writer:
            self.up_writer.transport.abort()


class Proxy:
    """`with Proxy(database) as proxy:` gives proxy.socket; all else may be called from the test. The
    answers of statements with `slow_text` come late, by up to `slow_s` seconds. With `tcp` it gives
    proxy.address instead, for TLS: cut() resets these connections; there are no traps."""

    connection_class = _Connection

    def __init__(self, database, slow_text=b"", slow_s=0.0, tcp=False):
        self.slow_text, self.slow_s, self.tcp = slow_text, slow_s, tcp
        self.target = str(database.socket)
        self.folder = tempfile.TemporaryDirectory(prefix="km-proxy-")
        self.socket = Path(self.folder.name) / "socket"
        self.connections, self.stranded, self.tasks = set(), [], set()
        self.traps, self.sprung = [], 0
        self.held, self.gone = False, asyncio.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        if self.tcp:
            self.server = self._on_loop(asyncio.start_server(self._accept, "127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % self.server.sockets[0].getsockname()[1]
        else:
            self.server = self._on_loop(asyncio.start_unix_server(self._accept, str(self.socket)))
        return self

    def __exit__(self, *_):
        async def end():
            self.server.close()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
            for writer in self.stranded:
                writer.transport.abort()
        self._on_loop(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        self.folder.cleanup()

    def _on_loop(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def _accept(self, reader, writer):
        connection = self.connection_class(self, reader, writer)
        self.connections.add(connection)
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await connection.run()
        finally:
            self.connections.discard(connection)
            self.tasks.discard(task)

    async def passing(self, connection):
        """Returns when this connection may pass something on; a dead one waits for ever."""
        if self.held:
            connection.dead = True
        if connection.dead:
            await asyncio.Event().wait()

    def take_trap(self, feed_bound):
        if not self.traps or (feed_bound and self.traps[0][1]):
            return None
        return self.traps.pop(0)[0]

    # ---- commands ----

    def trap(self, point, after_news=False):
        """The next journal insert is cut (or kept) at `point`; `sprung` counts those that were.
        `after_news`: only one that no longer depends on the feed, whose news the daemon has read."""
        async def arm():
            self.traps.append((point, after_news))
        self._on_loop(arm())

    def let_go(self):
        """What was DELAYED goes on."""
        self.loop.call_soon_threadsafe(self.gone.set)

    def cut(self):
        """Every connection ends now, on both sides."""
        async def abort():
            for connection in list(self.connections):
                connection.abort()
        self._on_loop(abort())

    def hold(self):
        """Connections are accepted, nothing passes any more on these and on all there are."""
        async def hold():
            self.held = True
            for connection in self.connections:
                connection.dead = True
        self._on_loop(hold())

    def release(self):
        """New connections pass again; those of before stay silent for ever."""
        async def release():
            self.held = False
        self._on_loop(release())
