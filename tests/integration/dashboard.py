"""The dashboard without a browser: an admin who follows links and sends forms, as HTML has them."""

import base64
import hashlib
import hmac
import html
import re
import secrets
import struct
import time
from urllib.parse import urlencode, urljoin, urlsplit

from daemon import request
from nodes import Cluster

PASSWORD = "nine purple bicycles"


class Page:
    def __init__(self, answer, path):
        self.status, self.headers, self.path = answer.status, answer.headers, path
        self.body = answer.body.decode()

    @property
    def text(self):
        """What is shown, without tags."""
        shown = re.sub(r"(?s)<(script|style|svg|head)\b.*?</\1>", " ", self.body)
        return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", shown)))

    def hidden(self, name):
        found = re.search(f'name="{name}" value="([^"]*)"', self.body)
        return html.unescape(found[1]) if found else None

    def way(self, words):
        """Where the link of those words leads."""
        link = re.search(rf'<a [^>]*href="([^"]*)">{words}</a>', self.body)[1]
        return urlsplit(urljoin(f"http://x{self.path}", html.unescape(link))).path

    @property
    def fields(self):
        """What the page's main form sends when nothing is changed in it: [(name, value)]."""
        form = re.search(r'(?s)<form method="post" action="" class="formed">(.*?)</form>', self.body)[1]
        fields = []
        for tag, told, rest in re.findall(r"(?s)<(input|textarea|select)\b([^>]*)>(.*?)(?=<(?:input|textarea|select)\b|\Z)",
                                          form):
            said = {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', told)}
            value = said.get("value", "")
            if tag == "textarea":
                value = html.unescape(rest.split("</textarea>")[0])
            elif tag == "select":
                value = re.search(r'<option value="([^"]*)"[^>]* selected', rest)[1]
            elif said.get("type") in ("checkbox", "radio") and not told.rstrip().endswith(" checked"):
                continue
            fields.append((said["name"], value))
        return fields

    def __repr__(self):
        return f"<{self.status} {self.path} {self.text[:400]}>"


def mailing(build_directory, folder, *more):
    """One node whose mails end in the folder, to be entered: what most tests of pages run on."""
    return Cluster(build_directory, "one", more=[f"mail.url=maildir:{folder}", "mail.from=keys@acme.example",
                                                 "node.trust_clock=yes", *more])


class Admin:
    """Somebody at the dashboard; nobody until they have joined or signed in."""

    def __init__(self, node):
        self.node, self.cookies = node, {}

    def send(self, method, path, fields=None, **headers):
        """One request, without following where it leads."""
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers.setdefault("Accept", "text/html")
        body = None
        if fields is not None:
            body = urlencode(fields, doseq=True).encode()
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        answer = request(self.node.api, method, path, body, headers)
        for line in answer.headers.get_all("Set-Cookie") or []:
            name, value = line.split(";")[0].split("=", 1)
            self.cookies[name] = value
            if not value:
                del self.cookies[name]
        return Page(answer, path)

    def follow(self, page):
        while page.status == 303:
            to = urlsplit(urljoin(f"http://x{page.path}", page.headers["Location"]))
            page = self.send("GET", to.path + (f"?{to.query}" if to.query else ""))
        return page

    def get(self, path):
        return self.follow(self.send("GET", path))

    def post(self, path, fields=None, of=None, **headers):
        """A form of the page `of` (or the account's), with what is hidden in it."""
        page = of if isinstance(of, Page) else self.get(of or "/admin/account")
        hidden = {name: page.hidden(name) for name in ("csrf", "once") if page.hidden(name)}
        return self.follow(self.send("POST", path, {**hidden, **(fields or {})}, **headers))

    def join(self, link, name="Ada", email=None, password=PASSWORD):
        self.email = email or f"{secrets.token_hex(6)}@ops.example"
        return self.follow(self.send("POST", urlsplit(link).path, {
            "name": name, "email": self.email, "password": password, "password_again": password}))

    def sign_in(self, email, password=PASSWORD):
        return self.follow(self.send("POST", "/admin/sign-in", {"email": email, "password": password}))


def invite(cluster, role="owner"):
    """The link that the command line prints, at the first node."""
    link = cluster.run("admin", "invite", "--role", role)
    return f"http://{cluster.nodes[0].api}{urlsplit(link).path}"


def joined(cluster, role="owner", **more):
    admin = Admin(cluster.nodes[0])
    page = admin.join(invite(cluster, role), **more)
    assert page.status == 200 and "Overview" in page.text, page
    return admin


def code(secret, at=None):
    """RFC 6238, from a secret as apps take it."""
    step = int(time.time() if at is None else at) // 30
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7fffffff) % 1000000:06}"
