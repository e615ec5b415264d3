"""tests/integration/mail_driver.c, started and told what to send."""

import json
import subprocess
import tempfile
import threading
from pathlib import Path

from daemon import wait_for

MESSAGE = b"From: keys@example.com\r\nTo: a@example.com\r\nSubject: Notice\r\n\r\nHello.\r\n"
SENDER = "keys@example.com"


class MailDriver:
    def __init__(self, build, within=(), **settings):
        """`within`: a command that starts the program named behind it."""
        settings.setdefault("from", SENDER)
        self.folder = tempfile.TemporaryDirectory(prefix="keymeter-mail-")
        command = [*within, str(Path(build) / "mail_driver")]
        command += [f"mail.{name.rstrip('_')}={value}" for name, value in settings.items()]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.results, self.pongs, self.stopped, self.flood_result = {}, [], False, None
        self.errors, self.files = [], 0
        self.threads = [threading.Thread(target=self._read, daemon=True),
                        threading.Thread(target=self._read_errors, daemon=True)]
        for thread in self.threads:
            thread.start()

    def _read(self):
        for line in self.process.stdout:
            said = json.loads(line)
            if "id" in said:
                assert said["id"] not in self.results, said
                self.results[said["id"]] = said
            elif "pong" in said:
                self.pongs.append(said["room"])
            elif "flood" in said:
                self.flood_result = said
            else:
                self.stopped = True

    def _read_errors(self):
        self.errors.extend(self.process.stderr)

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def submit(self, identity, to="a@example.com", message=MESSAGE, sender=SENDER):
        self.files += 1
        path = Path(self.folder.name) / f"{self.files}"
        path.write_bytes(message)
        self.tell(f"send {identity} {sender} {to} {path}")

    def result(self, identity, seconds=30):
        return wait_for(lambda: self.results.get(identity) or self._alive(), f"the end of {identity}", seconds)

    def _alive(self):
        assert self.process.poll() is None, "".join(self.errors)[-4000:]

    def send(self, to="a@example.com", message=MESSAGE, sender=SENDER):
        """Submits and waits: (result, code, reason), or ("invalid", …) when it was not taken."""
        identity = f"mail{self.files}"
        self.submit(identity, to, message, sender)
        said = self.result(identity)
        return said.get("result", said.get("error")), said.get("code", 0), said["reason"]

    def ping(self):
        """True when the loop answers; so often as is asked."""
        wanted = len(self.pongs) + 1
        self.tell("ping")
        wait_for(lambda: len(self.pongs) >= wanted, "the loop to turn")
        return self.pongs[-1]

    def stop(self, drain_ms=0):
        """The exit status: 0 when nothing was left on the loop and no memory was lost."""
        if self.process.poll() is None:
            try:
                self.tell(f"stop {drain_ms}")
            except BrokenPipeError:
                pass
        status = self.process.wait(timeout=60)
        for thread in self.threads:
            thread.join()
        return status

    def close(self):
        try:
            status = self.stop()
            assert status == 0, (status, "".join(self.errors)[-4000:])
            assert self.stopped
        finally:
            self.process.kill()
            self.process.wait()
            self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
