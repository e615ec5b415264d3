"""Clients that ask the gateway without pause and count every answer, each on its own connection."""

import socket
import threading
import time

LIMIT_S = 60  # for one answer; far beyond what any answer may take, but from a stopped daemon


class Client(threading.Thread):
    """Asks until `stop` is set or `until(status)` says so. `answers` counts statuses; `unanswered`
    the calls whose connection broke; `slowest_s` is the longest wait for any answer."""

    def __init__(self, address, secret, stop, until=None, cost=1):
        super().__init__(daemon=True)
        host, port = address.rsplit(":", 1)
        self.address, self.stop, self.until = (host, int(port)), stop, until
        self.request = (f"GET /v1/gateway?cost={cost} HTTP/1.1\r\nHost: x\r\n"
                        f"X-API-Key: {secret}\r\n\r\n").encode()
        self.answers, self.unanswered, self.slowest_s = {}, 0, 0.0
        self.accepted_at = 0.0  # CLOCK_MONOTONIC, of the newest 200
        self.error = None
        self.connection = None

    def count(self, status):
        return self.answers.get(status, 0)

    def _ask(self):
        if self.connection is None:
            self.connection = socket.create_connection(self.address, timeout=LIMIT_S)
        sent = time.monotonic()
        self.connection.sendall(self.request)
        data = b""
        while True:
            head, found, body = data.partition(b"\r\n\r\n")
            if found and len(body) >= int(head.lower().split(b"content-length:")[1].split()[0]):
                self.slowest_s = max(self.slowest_s, time.monotonic() - sent)
                return int(head[9:12])
            part = self.connection.recv(65536)
            if not part:
                raise ConnectionError("closed")
            data += part

    def _step(self):
        try:
            status = self._ask()
        except OSError:
            if self.connection is not None:
                self.unanswered += 1
                self.connection.close()
                self.connection = None
            self.stop.wait(0.02)
            return False
        self.answers[status] = self.count(status) + 1
        if status == 200:
            self.accepted_at = time.monotonic()
        elif status == 503:
            self.stop.wait(0.005)
        return self.until is not None and self.until(status)

    def run(self):
        try:
            while not self.stop.is_set() and not self._step():
                pass
        except Exception as error:  # told by Load
            self.error = error
        if self.connection is not None:
            self.connection.close()


class Load:
    """`with Load(node.gateway, secret, clients=8) as load:` runs until the block ends; addresses may
    be several, served in turn. After the block every number is final."""

    def __init__(self, *addresses, secret, clients=8, until=None, cost=1):
        self.stop = threading.Event()
        self.clients = [Client(addresses[i % len(addresses)], secret, self.stop, until, cost)
                        for i in range(clients)]

    def __enter__(self):
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.join()

    def join(self, seconds=120):
        """Waits until every client has ended by itself or was stopped."""
        deadline = time.monotonic() + seconds
        for client in self.clients:
            client.join(max(0, deadline - time.monotonic()))
            assert not client.is_alive(), f"a client still asks: {self}"
            assert client.error is None, client.error

    def count(self, status):
        return sum(client.count(status) for client in self.clients)

    @property
    def accepted(self):
        return self.count(200)

    @property
    def unanswered(self):
        return sum(client.unanswered for client in self.clients)

    @property
    def statuses(self):
        return {status for client in self.clients for status in client.answers}

    @property
    def slowest_s(self):
        return max(client.slowest_s for client in self.clients)

    def every_client_accepted_since(self, moment):
        return all(client.accepted_at > moment for client in self.clients)

    def __repr__(self):
        every = {status: self.count(status) for status in sorted(self.statuses)}
        return f"<{every} unanswered {self.unanswered}, slowest {self.slowest_s:.3f} s>"
