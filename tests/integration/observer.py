"""Somebody who calls with a key all the while: he has to have a secret that works at each moment."""

import http.client
import json
import threading


class Observer:
    """`with Observer(node, secret) as observer:` asks the node again and again; `also(secret)`, or what is added to
    the list `held`, is what the customer has got since. Without a working one the end raises. 503 is no verdict, and asked again; nor is
    the end of a daemon that is killed and started again."""

    def __init__(self, node, *secrets, held=None):
        self.node, self.secrets = node, list(secrets) if held is None else held
        self.verdicts, self.without = 0, []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def also(self, secret):
        self.secrets.append(secret)

    def _code(self, connection, secret):
        while not self.over.is_set():
            connection.request("POST", "/v1/verify", json.dumps({"key": secret, "cost": 0}),
                               {"Content-Type": "application/json",
                                "Authorization": f"Bearer {self.node.info['token']}"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 503:
                return json.loads(body)["code"]
        return None

    def _look(self, connection):
        codes = []
        for secret in self.secrets:  # one that is added meanwhile is asked about too
            codes.append(self._code(connection, secret))
            if codes[-1] == "VALID":
                self.verdicts += 1
                return
        if None not in codes:
            self.without.append(codes)

    def _watch(self):
        connection = http.client.HTTPConnection(self.node.api, timeout=15)
        while not self.over.is_set():
            try:
                self._look(connection)
            except (OSError, http.client.HTTPException):
                connection.close()
                self.over.wait(0.02)
            except Exception as error:  # the test is told of it at the end
                self.without.append(repr(error))
                return
        connection.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        self.thread.join(30)
        if kind is None:
            assert not self.without, self.without[:5]
            assert self.verdicts, "nothing was asked"
