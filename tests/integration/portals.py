"""Visits to the customer portal, by plain HTTP."""

import html
import re
import urllib.parse

from daemon import request

BROWSER = {"Accept": "text/html"}


def link(node, customer, **more):
    """The address of POST /v1/portal-sessions, behind the host."""
    made = node.must("POST", "/v1/portal-sessions", {"customer_id": customer, **more})
    return urllib.parse.urlsplit(made["url"]).path


def hidden(page, name):
    return html.unescape(re.search(rf'name="{name}" value="([^"]*)"', page)[1])


class Visit:
    """A browser without a window, or a person with curl: keeps the cookie and follows nothing."""

    def __init__(self, node, customer, **more):
        self.node, self.cookie = node, None
        self.address = more.pop("address", None) or node.api
        self.path = link(node, customer, **more)
        page = self.get(self.path)
        assert page.status == 200, page
        self.opened = self.post("/portal/open", token=hidden(page.body.decode(), "token"))

    def call(self, method, path, body=None, **headers):
        headers = {**BROWSER, **headers}
        if self.cookie:
            headers["Cookie"] = self.cookie
        answer = request(self.address, method, path, body, headers)
        for line in answer.headers.get_all("Set-Cookie") or []:
            self.cookie = line.split(";")[0] if "Max-Age=0" not in line else None
        return answer

    def get(self, path, **headers):
        return self.call("GET", path, **headers)

    def post(self, path, headers=None, **fields):
        body = urllib.parse.urlencode([(name.replace("__", "[]"), value) for name, values in fields.items()
                                       for value in (values if isinstance(values, list) else [values])])
        return self.call("POST", path, body.encode(),
                         **{"Content-Type": "application/x-www-form-urlencoded", **(headers or {})})

    def form(self, path, **fields):
        """What a page's form sends: its hidden fields and what was filled in."""
        page = self.get(path).body.decode()
        return {"csrf": hidden(page, "csrf"), "form": hidden(page, "form"), **fields}

    def act(self, path, **fields):
        return self.post(path, **self.form(path, **fields))


def secret_of(answer):
    found = re.search(r"data-secret>([^<]*)<", answer.body.decode())
    return found[1] if found else None
