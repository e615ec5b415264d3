"""Stripe for tests: Checkout Sessions, subscriptions, customers, charges and signed events in the shapes
that Stripe publishes (API version 2025-03-31.basil), with what an outage, a bad network or a liar does.

    with StripeStandIn() as stripe:
        session = stripe.checkout("price_pro", client_reference_id="acme")
        stripe.fault = "garbage"        # slow, late, drip, close, redirect, huge, garbage, nowhere, other, 429, 500, 401
        stripe.leave()                  # nobody listens, until stripe.come_back()
        headers, body = stripe.event("customer.subscription.updated", stripe.subscriptions[…])
"""

import hashlib
import hmac
import http.server
import json
import secrets
import threading
import time
import urllib.parse

VERSION = "2025-03-31.basil"
API_KEY = "sk_test_" + "standin" * 4
MONTH = 30 * 86400
CHUNK = b"x" * 65536


def identity(prefix):
    return f"{prefix}_{secrets.token_hex(12)}"


def sign(body, secret, at):
    signed = f"{at}.".encode() + body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


class StripeStandIn:
    def __init__(self, tls=None):
        self.subscriptions, self.sessions, self.charges, self.invoices = {}, {}, {}, {}
        self.payments = []  # of invoices
        self.webhook_secrets = ["whsec_" + secrets.token_hex(16)]
        self.fault, self.problems, self.calls = None, [], []
        self.keys = {API_KEY}
        self.strangers = {}  # other accounts' keys, of their mode ("test", "live"): they know nothing here
        self.rate, self.window = None, []  # calls a second, beyond it 429
        self.release = threading.Event()
        self.held = 0  # answers that are late
        self.lock = threading.Lock()
        self.clock = time.time
        stand_in = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                stand_in.serve(self)

            def do_POST(self):
                stand_in.serve(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 128

            def handle_error(self, *_):
                pass  # a client that went away

        self.serves = (Server, Handler)
        self.server = Server(("127.0.0.1", 0), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()

    def leave(self):
        self.fault = "close"  # on connections that stand
        self.server.shutdown()
        self.server.server_close()

    def come_back(self):
        server, handler = self.serves
        self.server, self.fault = server(("127.0.0.1", self.server.server_port), handler), None
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    # ---- what Stripe holds ----

    def subscribe(self, price="price_pro", status="active", customer=None, start=None):
        start = int(start if start is not None else self.clock() - 60)
        customer = customer or identity("cus")
        sub = identity("sub")
        invoice = {"id": identity("in"), "object": "invoice", "customer": customer,
                   "status": "paid" if status in ("active", "trialing", "canceled") else "open",
                   "parent": {"type": "subscription_details", "quote_details": None,
                              "subscription_details": {"metadata": {}, "subscription": sub}}}
        item = {"id": identity("si"), "object": "subscription_item", "created": start, "quantity": 1,
                "current_period_start": start, "current_period_end": start + MONTH, "metadata": {},
                "subscription": sub, "price": self.price(price)}
        with self.lock:
            self.invoices[invoice["id"]] = invoice
            self.subscriptions[sub] = {
                "id": sub, "object": "subscription", "status": status, "customer": customer,
                "created": start, "start_date": start, "cancel_at_period_end": False, "canceled_at": None,
                "ended_at": None, "collection_method": "charge_automatically", "currency": "usd",
                "latest_invoice": invoice["id"], "livemode": False, "metadata": {}, "pause_collection": None,
                "items": {"object": "list", "has_more": False, "data": [item],
                          "url": f"/v1/subscription_items?subscription={sub}"}}
            return self.subscriptions[sub]

    @staticmethod
    def price(name):
        return {"id": name, "object": "price", "active": True, "currency": "usd", "lookup_key": None,
                "product": "prod_" + name, "type": "recurring", "unit_amount": 4900,
                "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"}}

    def checkout(self, price="price_pro", client_reference_id=None, status="complete", **more):
        sub = self.subscribe(price, **more)
        session = {"id": identity("cs_test"), "object": "checkout.session", "mode": "subscription",
                   "client_reference_id": client_reference_id, "customer": sub["customer"],
                   "subscription": sub["id"] if status == "complete" else None, "status": status,
                   "payment_status": "paid" if status == "complete" else "unpaid", "livemode": False,
                   "created": sub["created"], "metadata": {}, "url": None}
        with self.lock:
            self.sessions[session["id"]] = session
        return session

    def change(self, sub, status=None, price=None, renew=False, invoice=None):
        """Moves a subscription on; the invoice follows the status unless given."""
        with self.lock:
            sub = self.subscriptions[sub if isinstance(sub, str) else sub["id"]]
            item = sub["items"]["data"][0]
            if renew:
                item["current_period_start"] = item["current_period_end"]
                item["current_period_end"] += MONTH
            if price:
                item["price"] = self.price(price)
            if status:
                sub["status"] = status
                owed = {"past_due": "open", "unpaid": "open", "incomplete": "open"}
                self.invoices[sub["latest_invoice"]]["status"] = invoice or owed.get(
                    status, self.invoices[sub["latest_invoice"]]["status"] if status == "canceled" else "paid")
            return sub

    def charge(self, sub, for_invoice=True):
        with self.lock:
            charge = {"id": identity("ch"), "object": "charge", "amount": 4900, "customer": sub["customer"],
                      "payment_intent": identity("pi"), "refunded": False, "disputed": False,
                      "status": "succeeded", "metadata": {}}
            self.charges[charge["id"]] = charge
            if for_invoice:
                self.payments.append({
                    "id": identity("inpay"), "object": "invoice_payment", "amount_paid": 4900, "amount_requested": 4900,
                    "currency": "usd", "created": sub["created"], "invoice": sub["latest_invoice"], "is_default": True,
                    "livemode": False, "status": "paid", "status_transitions": {"canceled_at": None, "paid_at": None},
                    "payment": {"type": "payment_intent", "payment_intent": charge["payment_intent"]}})
            return charge

    @staticmethod
    def dispute(charge):
        """What an event of it holds: it names the charge alone."""
        return {"id": identity("dp"), "object": "dispute", "amount": 4900, "charge": charge["id"], "currency": "usd",
                "payment_intent": charge["payment_intent"], "reason": "fraudulent", "status": "needs_response",
                "created": 1, "livemode": False, "metadata": {}, "evidence_details": {"has_evidence": False}}

    # ---- events ----

    def event(self, kind, thing, at=None, event_id=None, secret=None):
        """(headers, body) of a webhook, signed as Stripe does."""
        at = int(self.clock() if at is None else at)
        body = json.dumps({
            "id": event_id or identity("evt"), "object": "event", "api_version": VERSION, "created": at,
            "livemode": False, "pending_webhooks": 1, "request": {"id": None, "idempotency_key": None},
            "type": kind, "data": {"object": thing}}, indent=2).encode()
        return {"Stripe-Signature": self.header(body, at, secret), "Content-Type": "application/json"}, body

    def header(self, body, at, secret=None):
        chosen = [secret] if secret else self.webhook_secrets
        return ",".join([f"t={at}"] + [f"v1={sign(body, one, at)}" for one in chosen])

    # ---- serving ----

    def serve(self, handler):
        length = int(handler.headers.get("Content-Length") or 0)
        handler.rfile.read(length)
        url = urllib.parse.urlsplit(handler.path)
        query = urllib.parse.parse_qs(url.query)
        fault = self.fault
        with self.lock:
            self.calls.append(handler.path)
            limited = self.is_limited()
        try:
            if limited or fault == 429:
                self.error(handler, 429, "rate_limit")
            elif (key := handler.headers.get("Authorization", "").removeprefix("Bearer ")) in self.strangers:
                self.do_know_nothing(handler, self.strangers[key])
            elif key not in self.keys or fault == 401:
                self.error(handler, 401, "invalid_request_error")
            elif fault == 500:
                self.error(handler, 500, "api_error")
            elif fault:
                getattr(self, "do_" + fault)(handler, url.path, query)
            else:
                self.answer(handler, url.path, query)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def is_limited(self):
        if not self.rate:
            return False
        now = time.monotonic()
        self.window = [at for at in self.window if at > now - 1]
        self.window.append(now)
        return len(self.window) > self.rate

    def find(self, path, query):
        expands = [part for name in ("expand[]", "expand[0]", "expand") for part in query.get(name, [])]
        parts = path.strip("/").split("/")
        if parts[:2] == ["v1", "subscriptions"] and len(parts) == 2:
            if not any(sub["customer"] == query["customer"][0] for sub in self.subscriptions.values()):
                return None
            mine = [self.expand(sub, [e.removeprefix("data.") for e in expands])
                    for sub in self.subscriptions.values() if sub["customer"] == query["customer"][0]
                    and (sub["status"] != "canceled" or query.get("status") == ["all"])]
            return {"object": "list", "url": "/v1/subscriptions", "has_more": False, "data": mine[::-1]}
        if parts[:2] == ["v1", "invoice_payments"]:
            found = [self.expand(one, [e.removeprefix("data.") for e in expands]) for one in self.payments
                     if one["payment"]["payment_intent"] == query["payment[payment_intent]"][0]]
            return {"object": "list", "url": "/v1/invoice_payments", "has_more": False, "data": found}
        tables = {"subscriptions": self.subscriptions, "charges": self.charges, "invoices": self.invoices,
                  "sessions": self.sessions}
        if parts[-2] == "customers":
            known = any(sub["customer"] == parts[-1] for sub in self.subscriptions.values())
            return {"id": parts[-1], "object": "customer", "livemode": False, "metadata": {}} if known else None
        thing = tables.get(parts[-2], {}).get(parts[-1])
        return thing and self.expand(thing, expands)

    def expand(self, thing, expands):
        thing = json.loads(json.dumps(thing))
        for path in expands:
            name, _, rest = path.partition(".")
            table = {"subscription": self.subscriptions, "latest_invoice": self.invoices, "invoice": self.invoices}.get(name)
            if table and isinstance(thing.get(name), str):
                thing[name] = self.expand(table[thing[name]], [rest] if rest else [])
            elif table and rest and isinstance(thing.get(name), dict):
                thing[name] = self.expand(thing[name], [rest])
        return thing

    def answer(self, handler, path, query):
        with self.lock:
            thing = self.find(path, query)
        if thing is None:
            parameter = path == "/v1/subscriptions"  # what it names does not exist, the list does
            self.error(handler, 400 if parameter else 404, "invalid_request_error", code="resource_missing")
        else:
            self.send(handler, 200, json.dumps(thing).encode())

    def error(self, handler, status, kind, **more):
        self.send(handler, status, json.dumps({"error": {"type": kind, "message": kind, **more}}).encode())

    @staticmethod
    def send(handler, status, body, **headers):
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("Request-Id", identity("req"))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    # ---- faults ----

    def do_know_nothing(self, handler, mode):
        hint = "; a similar object exists in test mode, but a live mode key was used to make this request."
        self.error(handler, 404, "invalid_request_error", code="resource_missing",
                   message="No such object" + (hint if mode == "live" else ""))

    def do_slow(self, handler, path, query):
        self.release.wait(60)
        self.answer(handler, path, query)

    def do_late(self, handler, path, query):
        """What was true when it was asked, told when it is let go."""
        with self.lock:
            body = json.dumps(self.find(path, query)).encode()
            self.held += 1
        self.release.wait(60)
        with self.lock:
            self.held -= 1
        self.send(handler, 200, body)

    def do_drip(self, handler, path, query):
        with self.lock:
            body = json.dumps(self.find(path, query)).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        for at in range(len(body)):
            handler.wfile.write(body[at:at + 1])
            if self.release.wait(0.05):
                return

    def do_close(self, handler, *_):
        handler.close_connection = True
        handler.connection.close()

    def do_redirect(self, handler, *_):
        self.send(handler, 302, b"{}", Location=self.url + "/v1/elsewhere")

    def do_huge(self, handler, *_):
        """One gigabyte, or until the asker has had enough."""
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 30))
        handler.end_headers()
        for _ in range((1 << 30) // len(CHUNK)):
            handler.wfile.write(CHUNK)

    def do_garbage(self, handler, *_):
        self.send(handler, 200, b'{"object":"subscription","status":"active"')

    def do_nowhere(self, handler, path, _query):
        """The answer to a wrong path: it says nothing of any object."""
        message = f"Unrecognized request URL (GET: {path})."
        self.send(handler, 404, json.dumps({"error": {"type": "invalid_request_error", "message": message}}).encode())

    def do_other(self, handler, *_):
        """Somebody else's subscription, or session, than was asked for."""
        with self.lock:
            other = self.expand(next(iter(self.subscriptions.values())), ["latest_invoice"])
        other["id"] = identity("sub")
        self.send(handler, 200, json.dumps(other).encode())
