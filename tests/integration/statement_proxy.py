"""A relay between one daemon and MariaDB that stops a transaction before its nth statement reaches the
server, or before the answer to its commit reaches the daemon; the daemon is killed then."""

import threading

import proxy
from proxy import EXECUTE, PREPARE

QUERY = 0x03


class _Connection(proxy._Connection):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.firsts, self.counting, self.committing, self.greeted = set(), False, False, False

    def _greeting(self, packet):
        """The number that the server knows this connection by."""
        at = packet.index(b"\0", 1) + 1
        self.proxy.numbers.add(int.from_bytes(packet[at:at + 4], "little"))
        self.greeted = True

    def _prepared(self, answer):
        if answer[:1] == b"\0" and self.proxy.first in self.preparing:
            self.firsts.add(answer[1:5])
        super()._prepared(answer)

    async def _stop(self):
        self.proxy.stopped.set()
        await self.proxy.gone.wait()  # nobody opens it: until the daemon is dead

    async def upwards(self):
        while True:
            head, body = await self._packet(self.reader)
            first = head[3] == 0
            if first and body[:1] == bytes([PREPARE]):
                self.preparing = body
            if first and body[:1] == bytes([EXECUTE]) and body[1:5] in self.firsts:
                self.counting = self.counting or self.proxy.take()
            if self.counting and first and body[:1] in (bytes([EXECUTE]), bytes([QUERY])):
                self.proxy.count += 1
                commit = body == bytes([QUERY]) + b"COMMIT"
                if self.proxy.count == self.proxy.stop_at:
                    await self._stop()
                self.committing = commit
                if commit:
                    self.counting = False
            self.up_writer.write(head + body)
            await self.up_writer.drain()

    async def downwards(self):
        while True:
            head, body = await self._packet(self.up_reader)
            if not self.greeted:
                self._greeting(body)
            if self.committing and self.proxy.count < self.proxy.stop_at:
                self.proxy.whole = True
                await self._stop()  # it is committed, and the daemon never hears
            if self.preparing is not None:
                self._prepared(body)
            self.writer.write(head + body)
            await self.writer.drain()


class StatementProxy(proxy.Proxy):
    """`arm(first, n)`: the next transaction that runs a statement with the text `first` stops before its
    nth statement from there; if it has fewer, behind its commit (`whole`). Wait for `stopped`, then kill
    the daemon."""

    connection_class = _Connection

    def __init__(self, database, first):
        super().__init__(database)
        self.database = database
        self.first, self.stopped = first, threading.Event()
        self.armed, self.stop_at, self.count, self.whole = False, 0, 0, False
        self.numbers = set()

    def arm(self, stop_at):
        self.stopped.clear()
        self.count, self.stop_at, self.whole, self.armed = 0, stop_at, False, True

    def over(self):
        """The server has ended, and rolled back, all that came through here."""
        return not self.numbers & set(self.database.connections())

    def take(self):
        armed, self.armed = self.armed, False
        return armed
