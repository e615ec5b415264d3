"""A billing system for the payment tests: checks each ask's signature, answers on command.

    with BillingStandIn(secret_text) as billing:
        billing.answer(status=200, body={"status": "active"})
        …
        assert billing.asks[0]["tier"] == "pro"
"""

import base64
import hashlib
import hmac
import http.server
import json
import threading
import time

CHUNK = b"x" * 65536


class BillingStandIn:
    def __init__(self, secret, tls=None):
        self.secret = secret
        self.asks, self.problems = [], []
        self.release = threading.Event()  # what "slow" waits for
        self.lock = threading.Lock()
        self.plan = {"kind": "json", "status": 200, "body": {"status": "none"}}
        stand_in = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                stand_in.serve(self)

            def do_GET(self):  # where a redirect that was followed would arrive
                with stand_in.lock:
                    stand_in.problems.append("a redirect was followed")
                self.send_error(404)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_port}/check"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()

    # ---- what comes next: stays until changed ----

    def answer(self, status=200, body=None, kind="json"):
        """kind: json, garbage, slow, redirect, endless, close."""
        self.release.clear()
        with self.lock:
            self.plan = {"kind": kind, "status": status, "body": body}

    def serve(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        with self.lock:
            fault = self.signature_fault(handler.headers, body)
            if fault:
                self.problems.append(fault)
            self.asks.append(json.loads(body))
            plan = dict(self.plan)
        try:
            getattr(self, "do_" + plan["kind"])(handler, plan)
        except (BrokenPipeError, ConnectionResetError):
            pass

    # ---- Standard Webhooks ----

    def key(self):
        if self.secret.startswith("whsec_"):
            return base64.b64decode(self.secret[len("whsec_"):])
        return self.secret.encode()

    def signature_fault(self, headers, body):
        identity, stamp = headers.get("webhook-id"), headers.get("webhook-timestamp")
        if not identity or not stamp:
            return "webhook-id or webhook-timestamp is missing"
        if abs(time.time() - int(stamp)) > 300:
            return "the timestamp is too old"
        signed = f"{identity}.{stamp}.".encode() + body
        wanted = "v1," + base64.b64encode(hmac.new(self.key(), signed, hashlib.sha256).digest()).decode()
        given = (headers.get("webhook-signature") or "").split(" ")
        return None if any(hmac.compare_digest(wanted, one) for one in given) else "wrong signature"

    # ---- the answers ----

    @staticmethod
    def send(handler, status, body, **headers):
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def do_json(self, handler, plan):
        self.send(handler, plan["status"], json.dumps(plan["body"]).encode())

    def do_garbage(self, handler, plan):
        self.send(handler, plan["status"], b'{"status":"active"')

    def do_slow(self, handler, plan):
        self.release.wait(60)
        self.do_json(handler, plan)

    def do_redirect(self, handler, _plan):
        self.send(handler, 302, b'{"status":"active"}', Location=self.url + "/elsewhere")

    def do_endless(self, handler, _plan):
        """One gigabyte, or until the asker has had enough."""
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(1 << 30))
        handler.end_headers()
        for _ in range((1 << 30) // len(CHUNK)):
            handler.wfile.write(CHUNK)

    def do_close(self, handler, _plan):
        handler.close_connection = True
        handler.connection.close()
