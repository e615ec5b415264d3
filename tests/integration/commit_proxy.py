"""A relay between one daemon and MariaDB that stops the commit of a call with an Idempotency-Key:
either the server never sees it, or it has committed and the daemon never hears."""

import threading

import proxy
from proxy import EXECUTE, PREPARE

QUERY = 0x03
RELEASE = b"DELETE FROM idempotency WHERE id = ? AND claim"
FINISH = b"UPDATE idempotency SET done = 1"


class _Connection(proxy._Connection):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.finishes, self.releases, self.finishing = set(), set(), False

    def _prepared(self, answer):
        if answer[:1] == b"\0" and FINISH in self.preparing:
            self.finishes.add(answer[1:5])
        if answer[:1] == b"\0" and RELEASE in self.preparing:
            self.releases.add(answer[1:5])
        super()._prepared(answer)

    async def upwards(self):
        while True:
            head, body = await self._packet(self.reader)
            first = head[3] == 0
            if first and body[:1] == bytes([PREPARE]):
                self.preparing = body
            if first and body[:1] == bytes([EXECUTE]) and body[1:5] in self.finishes:
                self.finishing = True
            if first and body[:1] == bytes([EXECUTE]) and body[1:5] in self.releases:
                if self.proxy.take_release():
                    return  # the connection ends, and the server has not seen it
            commits = first and self.finishing and body == bytes([QUERY]) + b"COMMIT"
            if commits:
                self.finishing = False
                self.point = self.proxy.take_commit()
            if self.point == proxy.BEFORE:
                self.point = None
                self.proxy.stopped.set()
                await self.proxy.gone.wait()  # nobody opens it: until the daemon is dead
            self.up_writer.write(head + body)
            await self.up_writer.drain()

    async def downwards(self):
        while True:
            head, body = await self._packet(self.up_reader)
            if self.point == proxy.ANSWERED:
                self.proxy.stopped.set()
                await self.proxy.gone.wait()
            if self.preparing is not None:
                self._prepared(body)
            self.writer.write(head + body)
            await self.writer.drain()


class CommitProxy(proxy.Proxy):
    """`stop_commit(point)`, then wait for `stopped`: the daemon now waits for its commit, for ever."""

    connection_class = _Connection

    def __init__(self, database):
        super().__init__(database)
        self.point, self.stopped = None, threading.Event()
        self.lose_release, self.lost = False, 0

    def stop_commit(self, point):
        self.stopped.clear()
        self.point = point

    def take_commit(self):
        point, self.point = self.point, None
        return point

    def take_release(self):
        """Set `lose_release`: the next one is lost with its connection; `lost` counts them."""
        lose, self.lose_release = self.lose_release, False
        self.lost += lose
        return lose
