"""What the benchmarks share: the contestants, the management API, wrk."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import platform
import signal
import socket
import subprocess
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build", "release")
CUSTOMERS, KEYS_EACH, ISSUED_TO = 10, 100, 100

LUA_DONE = """
done = function(summary, latency, requests)
    io.write(string.format("RESULT %d %d %d %d %d %d\\n", summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99), summary.errors.status,
        summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
"""
LUA_ROTATE = """
local requests, at = {}, tonumber(os.getenv("BENCH_FROM") or "0")
init = function(args)
    for key in io.lines(os.getenv("BENCH_KEYS")) do
        requests[#requests + 1] = wrk.format("GET", nil, {["Host"] = "bench", ["X-API-Key"] = key})
    end
end
request = function()
    at = at % #requests + 1
    return requests[at]
end
""" + LUA_DONE


class Failed(Exception):
    pass


def wait_for(what, condition, process, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            raise Failed(f"{what} ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise Failed(f"{what} was not ready within {seconds} s")
        time.sleep(0.05)  # allow-sleep: the polling helper


def accepts(port):
    with contextlib.closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def rss_mib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


class Api:
    """The management API, one connection an object."""

    def __init__(self, url, token):
        self.address, self.token = urllib.parse.urlparse(url).netloc, token
        self.connection = http.client.HTTPConnection(self.address, timeout=30)

    def call(self, method, path, body=None, expect=(200, 201)):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        text = None if body is None else json.dumps(body)
        self.connection.request(method, path, text, headers)
        answer = self.connection.getresponse()
        data = answer.read()
        if answer.status not in expect:
            raise Failed(f"{method} {path}: {answer.status} {data[:300]!r}")
        return json.loads(data) if data else None


class Server:
    """A contestant: a process and the address that wrk is sent to."""

    def __init__(self, name, command, port, path="/"):
        self.name, self.url = name, f"http://127.0.0.1:{port}{path}"
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
        self.pid = self.process.pid
        wait_for(name, lambda: accepts(port), self.process, 20)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Keymeter(Server):
    def __init__(self, directory, *settings):
        self.name, self.directory = "keymeter", directory
        facts, log = os.path.join(directory, "dev.json"), os.path.join(directory, "keymeterd.log")
        command = [os.path.join(BUILD, "keymeterd"), "dev", "--state",
                   os.path.join(directory, "state"), "--json", facts,
                   "--set", "listen.api=127.0.0.1:0", "--set", "listen.gateway=127.0.0.1:0"]
        command += [word for setting in settings for word in ("--set", setting)]
        with open(log, "wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        wait_for("keymeterd dev", lambda: os.path.exists(facts) and os.path.getsize(facts) > 0,
                 self.process, 60)
        with open(facts, encoding="utf-8") as file:
            self.facts = json.load(file)
        self.pid = self.facts["pid"]
        self.url = self.facts["gateway"].rstrip("/") + "/v1/gateway"
        self.customers = []

    def api(self):
        return Api(self.facts["api"], self.facts["token"])

    def keys(self):
        """A tier that refuses nothing while still counting everything, and 1,000 keys in it."""
        api = self.api()
        tier = api.call("GET", "/v1/tiers/free")
        tier.update(monthly_quota=10**12, max_keys=1000000,
                    rate_limits=[{"name": "second", "limit": 10**6, "window_seconds": 1}])
        api.call("PUT", "/v1/tiers/free", tier)

        def customer(number):
            own = self.api()
            made = own.call("POST", "/v1/customers", {
                "external_id": f"bench-{number}", "email": f"bench-{number}@example.com",
                "tier": "free"})
            keys = KEYS_EACH if number < CUSTOMERS else 0
            return made["id"], [own.call("POST", "/v1/keys", {"customer_id": made["id"]})["secret"]
                                for _ in range(keys)]

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            made = list(pool.map(customer, range(CUSTOMERS + ISSUED_TO)))
        self.customers = [customer for customer, _ in made[CUSTOMERS:]]
        return [secret for _, secrets in made for secret in secrets]


def haproxy_start(directory):
    port = free_port()
    path = os.path.join(directory, "haproxy.cfg")
    with open(path, "w", encoding="ascii") as file:
        file.write(f"""global
    nbthread 1
    maxconn 4096
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
frontend bench
    bind 127.0.0.1:{port}
    stick-table type string len 64 size 100k expire 10m store http_req_cnt,http_req_rate(60s)
    http-request track-sc0 req.hdr(X-API-Key)
    http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 1000000000 }}
    http-request return status 200
""")
    return Server("haproxy", ["haproxy", "-db", "-f", path], port)


def wrk(url, script, connections, seconds, environment):
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "-s", script, url]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True,
                          text=True, timeout=seconds + 60, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            requests, micros, p50, p99, status, broken = map(int, line.split()[1:])
            return {"rate": requests * 1e6 / micros, "p50": p50 / 1000, "p99": p99 / 1000,
                    "failed": status + broken}
    raise Failed(f"wrk on {url}: {done.stdout} {done.stderr}")


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo", encoding="ascii") as info:
        memory = int(info.readline().split()[1]) / 1024 / 1024
    return (f"{os.cpu_count()} × {model}, {memory:.0f} GiB, Linux {platform.release()}, "
            f"load {os.getloadavg()[0]:.1f} at the start")
