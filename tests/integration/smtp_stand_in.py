"""A relay for the mail tests that does what it is told, also what none should, and that keeps every
byte it got: `wire` as it came over the network, `clear` what of it was not TLS.

    relay = SmtpStandIn(certificates.good)              # STARTTLS; implicit=True: TLS from the start
    relay.on("rcpt", reply("450 4.2.0 greylisted"), to="a@example.com", times=1)
    relay.on("dot", cut)
    relay.mails, relay.sessions                          # what was accepted; all connections

Steps: greeting, ehlo, starttls, auth, mail, rcpt, data, body (when `after` bytes of the message have
come), dot, rset, quit. An action is a function of the session and the step's usual answer.
"""

import contextlib
import socket
import ssl
import struct
import threading
import warnings

RECORD_TYPES = {20, 21, 22, 23}  # of TLS
RECORD_MAX = 16384 + 2048


class Cut(Exception):
    """The connection is to end now."""


# ---- actions ----

def reply(*lines):
    def act(session, _usual):
        session.say(*lines)
    return act


def raw(data):
    def act(session, _usual):
        session.send(data)
    return act


def cut(_session, _usual):
    raise Cut


def say_and_cut(*lines):
    def act(session, _usual):
        session.say(*lines)
        raise Cut
    return act


def silent(session, _usual):
    """Until the client has had enough."""
    session.listen_to_the_end()


def held(event):
    """The usual answer, once the event is set."""
    def act(session, usual):
        event.wait(60)
        session.say(*usual)
    return act


def dripping(*lines, pause=1.0):
    """A byte of the answer each pause, which makes no end before the client does."""
    def act(session, _usual):
        for byte in "".join(line + "\r\n" for line in lines).encode():
            session.send(bytes([byte]))
            session.relay.closing.wait(pause)
    return act


def reset(session, _usual):
    """An RST instead of an end."""
    session.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise Cut


class Rule:
    def __init__(self, step, action, to, times, after):
        self.step, self.action, self.to, self.times, self.after = step, action, to, times, after

    def fits(self, step, to):
        return self.step == step and self.to in (None, to) and self.times != 0


class SmtpStandIn:
    def __init__(self, certificate, implicit=False, starttls=True, offers=("8BITMIME", "SIZE 50000000"),
                 mechanisms="PLAIN LOGIN XOAUTH2", receive_buffer=None, newest=None):
        self.implicit, self.starttls, self.offers = implicit, starttls, list(offers)
        self.mechanisms = mechanisms
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*map(str, certificate))
        if newest:  # an old server
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                self.context.minimum_version = ssl.TLSVersion.TLSv1
                self.context.maximum_version = newest
            self.context.set_ciphers("ALL:@SECLEVEL=0")
        self.rules, self.sessions, self.mails, self.logins = [], [], [], []
        self.lock, self.closing = threading.Lock(), threading.Event()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"{'smtps' if self.implicit else 'smtp'}://localhost:{self.port}/client.example.com"

    def on(self, step, action, to=None, times=None, after=0):
        with self.lock:
            self.rules.insert(0, Rule(step, action, to, times, after))
        return self

    def rule(self, step, to=None):
        """The newest that fits, used up by one."""
        with self.lock:
            for rule in self.rules:
                if rule.fits(step, to):
                    if rule.times is not None:
                        rule.times -= 1
                    return rule
        return None

    def close(self):
        self.closing.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for session in list(self.sessions):
            session.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                session = Session(self, connection)
                self.sessions.append(session)
                threading.Thread(target=session.run, daemon=True).start()

    # ---- what it saw ----

    def accepted(self, to):
        return [mail for mail in self.mails if mail["to"] == to]

    @property
    def clear(self):
        return b"".join(session.clear for session in self.sessions)

    @property
    def commands(self):
        return [command for session in self.sessions for command in session.commands]


class Session:
    def __init__(self, relay, connection):
        self.relay, self.socket = relay, connection
        self.wire, self.clear, self.text = bytearray(), bytearray(), bytearray()
        self.commands, self.error, self.over = [], None, threading.Event()
        self.tls = self.incoming = self.outgoing = None
        self.sender = self.recipient = None

    # ---- bytes ----

    def _receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise Cut
        self.wire += data
        if self.tls is None:
            self.clear += data
        return data

    def _flush(self):
        while data := self.outgoing.read():
            self.socket.sendall(data)

    def _handshake(self):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = self.relay.context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        while True:
            try:
                self.tls.do_handshake()
                self._flush()
                return
            except ssl.SSLWantReadError:
                self._flush()
                self.incoming.write(self._receive())
            except ssl.SSLError:
                self._flush()
                raise

    def more(self):
        """What has come is in `text`."""
        if self.tls is None:
            self.text += self._receive()
            return
        while True:
            try:
                data = self.tls.read(65536)
                if not data:
                    raise Cut
                self.text += data
                return
            except ssl.SSLWantReadError:
                self.incoming.write(self._receive())

    def send(self, data):
        if self.tls is None:
            self.socket.sendall(data)
            return
        self.tls.write(data)
        self._flush()

    def say(self, *lines):
        self.send("".join(line + "\r\n" for line in lines).encode())

    def line(self):
        while b"\r\n" not in self.text:
            self.more()
        line, _, rest = self.text.partition(b"\r\n")
        self.text = bytearray(rest)
        return bytes(line)

    def listen_to_the_end(self):
        while True:
            self.more()
            self.text.clear()

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    # ---- the dialogue ----

    def run(self):
        try:
            self.talk()
        except (Cut, OSError, ssl.SSLError) as error:
            self.error = error
            # What comes after a failed handshake would come in clear text, and would show in `wire`.
            with contextlib.suppress(OSError, Cut):
                if isinstance(error, ssl.SSLError):
                    self.socket.settimeout(5)
                    while True:
                        self._receive()
        finally:
            self.close()
            self.over.set()

    def step(self, name, *usual, to=None):
        rule = self.relay.rule(name, to)
        if rule:
            rule.action(self, usual)
        else:
            self.say(*usual)

    def talk(self):
        if self.relay.implicit:
            self._handshake()
        self.step("greeting", "220 stand-in ESMTP")
        while True:
            line = self.line()
            self.commands.append(line.decode("latin-1"))
            verb = line.split(b" ")[0].upper().decode("latin-1")
            handler = getattr(self, "do_" + verb.lower(), None)
            if handler is None:
                self.say("500 5.5.1 what?")
            else:
                handler(line.decode("latin-1"))

    def do_ehlo(self, _line):
        words = list(self.relay.offers)
        if self.tls is None and self.relay.starttls:
            words.append("STARTTLS")
        if self.tls is not None and self.relay.mechanisms:
            words.append("AUTH " + self.relay.mechanisms)
        lines = ["stand-in greets you", *words]
        self.step("ehlo" if self.tls is None else "ehlo_tls",
                  *[f"250{'-' if i < len(lines) - 1 else ' '}{word}" for i, word in enumerate(lines)])

    def do_helo(self, _line):
        self.say("250 stand-in")

    def do_starttls(self, _line):
        self.step("starttls", "220 2.0.0 go ahead")
        self.text.clear()
        self._handshake()

    def do_auth(self, line):
        words = line.split(" ")
        parts = words[2:]
        while not parts or (words[1] == "LOGIN" and len(parts) < 2):
            self.say("334 " + ("UGFzc3dvcmQ6" if parts else "VXNlcm5hbWU6"))
            parts.append(self.line().decode("latin-1"))
        self.relay.logins.append((words[1], *parts))
        self.step("auth", "235 2.7.0 welcome")

    def do_mail(self, line):
        self.sender, self.recipient = line[line.index("<") + 1:line.index(">")], None
        self.step("mail", "250 2.1.0 sender ok", to=self.sender)

    def do_rcpt(self, line):
        self.recipient = line[line.index("<") + 1:line.index(">")]
        self.step("rcpt", "250 2.1.5 recipient ok", to=self.recipient)

    def do_data(self, _line):
        self.step("data", "354 go on", to=self.recipient)
        rule = self.relay.rule("body", self.recipient)
        if rule:
            while len(self.text) < rule.after:
                self.more()
            rule.action(self, ())
        while not (self.text.endswith(b"\r\n.\r\n") or b"\r\n.\r\n" in self.text or self.text == b".\r\n"):
            self.more()
        stuffed, _, rest = self.text.partition(b"\r\n.\r\n")
        self.text = bytearray(rest)
        lines = [line[1:] if line.startswith(b".") else line for line in (bytes(stuffed) + b"\r\n").split(b"\r\n")]
        mail = {"from": self.sender, "to": self.recipient, "data": b"\r\n".join(lines), "session": self}
        self.relay.mails.append(mail)
        self.step("dot", "250 2.0.0 queued", to=self.recipient)

    def do_rset(self, _line):
        self.step("rset", "250 2.0.0 undone")

    def do_quit(self, _line):
        self.say("221 2.0.0 bye")
        raise Cut

    # ---- what it saw ----

    def is_tls_after(self, greeting):
        """True when `wire` is those bytes and then TLS records alone."""
        data = bytes(self.wire)
        if not data.startswith(greeting):
            return False
        at = len(greeting)
        while at < len(data):
            if data[at] not in RECORD_TYPES or data[at + 1:at + 2] not in (b"", b"\x03"):
                return False
            length = int.from_bytes(data[at + 3:at + 5].ljust(2, b"\0"), "big")
            if length > RECORD_MAX:
                return False
            at += 5 + length
        return True
