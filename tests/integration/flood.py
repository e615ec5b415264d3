"""Clients that hold connections and ask slowly (slowhttptest's three forms), and one that pipelines.

As a program, `flood.py FORM HOST PORT COUNT SECONDS`, it opens COUNT connections from addresses
127.1.x.y, 500 each, says `open N` when all that can stand do, feeds each one a little every SECONDS, and
at the end of its standard input tells how many were closed on it."""

import asyncio
import socket
import subprocess
import sys

STARTS = {
    "headers": b"GET /v1/gateway HTTP/1.1\r\nHost: x\r\n",
    "body": b"POST /v1/verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 65536\r\n\r\n{",
    "read": b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 64,
}
DRIPS = {"headers": b"X-A: b\r\n", "body": b" ", "read": b""}
FORMS = tuple(STARTS)
PER_ADDRESS = 500


async def hold(form, host, port, number, interval, opened):
    """One slow connection. Returns True when the server ended it."""
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        address = number // PER_ADDRESS
        sock.bind((f"127.1.{address // 250}.{address % 250 + 1}", 0))
        try:
            await loop.sock_connect(sock, (host, port))
            await loop.sock_sendall(sock, STARTS[form])
            opened()
            while True:
                await asyncio.sleep(interval)  # allow-sleep: slowness is what is tested
                if form == "read":
                    if not await loop.sock_recv(sock, 1):
                        return True
                    continue
                await loop.sock_sendall(sock, DRIPS[form])
                try:
                    if not sock.recv(4096):
                        return True
                except BlockingIOError:
                    pass
        except asyncio.CancelledError:  # it may have been ended since the last look
            return is_ended(sock)
        except OSError:
            opened()
            return True


def is_ended(sock):
    try:
        while sock.recv(4096):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


async def drive(form, host, port, count, interval):
    done = 0

    def opened():
        nonlocal done
        done += 1
        if done == count:
            print("open", count, flush=True)

    tasks = []
    for number in range(count):
        tasks.append(asyncio.create_task(hold(form, host, port, number, interval, opened)))
        if number % 100 == 99:
            await asyncio.sleep(0.01)  # allow-sleep: not faster than a listen queue takes
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    print("closed", sum(end is True for end in ends), flush=True)


class Flood:
    """`with Flood("headers", address, 2000) as flood:`; afterwards `flood.closed` is a number."""

    def __init__(self, form, address, count, interval=1.0):
        host, port = address.rsplit(":", 1)
        self.command = [sys.executable, __file__, form, host, port, str(count), str(interval)]
        self.closed = None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        said = self.process.stdout.readline()
        assert said.startswith("open"), said
        return self

    def __exit__(self, *_):
        said, _ = self.process.communicate(timeout=60)
        self.closed = int(said.split()[1])


def pipeline(address, head, count, batch=200):
    """Sends `count` equal requests over one connection without waiting for each answer; returns the
    statuses' counts. Reads while it sends, or both sides would wait."""
    host, port = address.rsplit(":", 1)
    statuses, sent, answered, data = {}, 0, 0, b""
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        while answered < count:
            if sent < count and sent - answered < batch * 2:
                more = min(batch, count - sent)
                sock.sendall(head * more)
                sent += more
            data += sock.recv(1 << 20)
            while True:
                start, found, rest = data.partition(b"\r\n\r\n")
                if not found:
                    break
                length = int(start.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                if len(rest) < length:
                    break
                statuses[int(start[9:12])] = statuses.get(int(start[9:12]), 0) + 1
                answered += 1
                data = rest[length:]
    return statuses


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


if __name__ == "__main__":
    asyncio.run(drive(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])))
