"""The programs of docs/gateways.md, started with the blocks of that page: an app, a relay to Keymeter
that can be taken away, and a proxy in between. Only ports, paths and HAProxy's internal name are
replaced, as the page says."""

import contextlib
import fcntl
import http.client
import json
import os
import random
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from daemon import Answer, wait_for

SOURCE = Path(__file__).resolve().parents[2]
PAGE = SOURCE / "docs" / "gateways.md"
BLOCK = re.compile(r"<!-- (tested|not run): (\S+) -->\n```\w+\n(.*?)^```$", re.S | re.M)


def blocks(kind="tested"):
    return {name: text for how, name, text in BLOCK.findall(PAGE.read_text()) if how == kind}


def listen_port():
    """Free, and below the range that connections of other tests take their own ports from."""
    while True:
        port = random.randrange(15000, 30000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def own_addresses():
    """Of this machine's interfaces: Envoy puts one of them into X-Forwarded-For."""
    found = ["127.0.0.1"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # an interface without an address
                answer = fcntl.ioctl(probe, 0x8915, struct.pack("256s", name.encode()))  # SIOCGIFADDR
                found.append(socket.inet_ntoa(answer[20:24]))
    return sorted(set(found))


def find_program(name):
    """Debian keeps nginx and haproxy in /usr/sbin, which not every user's PATH has; what no Debian has is
    put into build/tools by scripts/dependencies."""
    places = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", str(SOURCE / "build/tools/bin")]
    return shutil.which(name, path=":".join(places))


class App:
    """The API behind: remembers what reaches it, answers 200 with it as JSON."""

    def __init__(self):
        app = self
        self.calls = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def any_method(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                app.calls.append({"method": self.command, "path": self.path, "length": len(body),
                                  "headers": [list(header) for header in self.headers.items()]})
                answer = json.dumps(app.calls[-1]).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_OPTIONS = do_DELETE = any_method

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # proxies reset the connections that they keep
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Relay:
    """TCP to Keymeter; counts connections, can be gone (refuses) or silent (accepts, says nothing)."""

    def __init__(self, target):
        host, port = target.rsplit(":", 1)
        self.target, self.port = (host, int(port)), listen_port()
        self.accepted, self.silent, self.open = 0, False, set()
        self.listener = None
        self.up()

    def up(self):
        self.silent = False
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def down(self):
        with contextlib.suppress(OSError):  # wakes the thread in accept()
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()

    def cut(self):
        """Resets, so that no port is left in TIME_WAIT."""
        for end in list(self.open):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)

    def hush(self):
        self.silent = True
        self.cut()

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                self.accepted += 1
                far = socket.create_connection(self.target)
                for pair in ((near, far), (far, near)):
                    self.open.add(pair[0])
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self.silent:
                    sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
        self.open.discard(source)
        source.close()


class Proxy:
    """One of the programs, in front of `app` and asking at `relays`."""

    def __init__(self, name, app, daemons, relays, edit=None):
        self.name, self.program_name = name, name.split("-")[0]
        self.folder = Path(tempfile.mkdtemp(prefix="km-proxy-"))
        self.port = listen_port()
        ports = {8080: self.port, 9000: app.port}
        for daemon, relay, gateway, api in zip(daemons, relays, (7071, 7171), (7070, 7170)):
            ports[gateway] = relay.port
            ports[api] = int(daemon.api.rsplit(":", 1)[1])
        self.ports = ports
        self.process = None
        page = blocks()
        for block in FILES[self.program_name]:
            text = page[block]
            if edit and block == FILES[self.program_name][0]:
                text = edit(text, page)
            (self.folder / Path(block).name).write_text(self.filled(text))
        if name == "nginx-deny-403":
            script = self.filled(page["nginx-deny-403.sh"])
            before = (self.folder / "nginx.conf").read_text()
            subprocess.run(["sh", "-euc", script], check=True)
            assert (self.folder / "nginx.conf").read_text() != before

    def filled(self, text):
        numbers = "|".join(map(str, self.ports))
        text = re.sub(rf"\b({numbers})\b", lambda found: str(self.ports[int(found[1])]), text)
        text = text.replace("abns@keymeter", f"abns@keymeter-{self.port}")
        text = text.replace("/etc/nginx/conf.d/api.conf", f"{self.folder}/nginx.conf")
        return re.sub(r"/etc/(nginx|haproxy|caddy|traefik|envoy)/", f"{self.folder}/", text)

    def start(self):
        log = open(self.folder / "log", "ab")
        environment = {**os.environ, "HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder),
                       "XDG_CONFIG_HOME": str(self.folder), "CADDY_ADMIN": f"127.0.0.1:{listen_port()}"}
        command = COMMANDS[self.program_name](self)
        with log:
            self.process = subprocess.Popen([find_program(self.program_name), *command], stdout=log,
                                            stderr=log, cwd=self.folder, env=environment)
        wait_for(self.listens, f"{self.name} to listen")
        return self

    def listens(self):
        assert self.process.poll() is None, self.log()[-4000:]
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
            return True
        return False

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self):
        """From an address that is no trusted proxy's."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=15,
                                          source_address=("127.0.0.2", 0))

    def call(self, path="/", headers=(), method="GET", body=None, connection=None):
        """`headers` are pairs, so that a name can stand twice; the path is sent as it is."""
        own = connection or self.connect()
        try:
            own.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers:
                own.putheader(name, value)
            if body is not None:
                own.putheader("Content-Length", str(len(body)))
            own.endheaders(body)
            answer = own.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            if not connection:
                own.close()


FILES = {
    "nginx": ["nginx.conf", "keymeter_question.conf"],
    "haproxy": ["haproxy.cfg", "keymeter.lua"],
    "caddy": ["Caddyfile"],
    "traefik": ["traefik.yml", "dynamic.yml"],
    "envoy": ["envoy.yaml"],
}


def nginx_command(proxy):
    """What Debian's nginx.conf does around conf.d, with every path in the test's folder."""
    paths = "".join(f"{kind}_temp_path {proxy.folder}/{kind};\n"
                    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.getuid() == 0 else ""
    main = proxy.folder / "main.conf"
    main.write_text(f"{user} daemon off; worker_processes 1; pid {proxy.folder}/pid;\n"
                    f"error_log stderr; events {{}}\nhttp {{ access_log off;\n{paths}"
                    f"include {proxy.folder}/nginx.conf; }}\n")
    return ["-p", str(proxy.folder), "-e", "stderr", "-c", str(main)]


COMMANDS = {
    "nginx": nginx_command,
    "haproxy": lambda proxy: ["-db", "-f", f"{proxy.folder}/haproxy.cfg"],
    "caddy": lambda proxy: ["run", "--adapter", "caddyfile", "--config", f"{proxy.folder}/Caddyfile"],
    "traefik": lambda proxy: [f"--configFile={proxy.folder}/traefik.yml"],
    "envoy": lambda proxy: ["-c", f"{proxy.folder}/envoy.yaml", "--use-dynamic-base-id",
                            "--concurrency", "1", "--log-level", "warning"],
}
