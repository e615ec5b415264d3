"""What an operator does with one database: migrate, make tokens, start `keymeterd serve`s."""

import os
import subprocess

from daemon import free_port, request, wait_for


class Operator:
    """One daemon's settings; several with the same folder and database are nodes of one system."""

    def __init__(self, build, folder, database, log="log"):
        self.program = str(build / "keymeterd")
        self.folder = folder
        self.api = f"127.0.0.1:{free_port()}"
        self.database = database
        self.log_file = folder / log

    def options(self, *settings):
        every = [*self.database.settings(), f"listen.api={self.api}", "listen.gateway=",
                 f"keys.master_key_file={self.folder}/master.key",
                 f"keys.pepper_file={self.folder}/pepper.key", *settings]
        return ["--config", "/dev/null", *(word for s in every for word in ("--set", s))]

    def run(self, *words, settings=()):
        return subprocess.run([self.program, *words, *self.options(*settings)], capture_output=True,
                              text=True, timeout=60, check=False)

    def serve(self, environment=None, settings=()):
        with open(self.log_file, "ab") as log:
            return subprocess.Popen([self.program, "serve", *self.options(*settings)], stdout=log,
                                    stderr=log, env={**os.environ, **(environment or {})})

    def log(self):
        return self.log_file.read_text()

    def is_ready(self):
        try:
            return request(self.api, "GET", "/readyz").status == 200
        except OSError:
            return False

    def wait_ready(self, process):
        def ready():
            assert process.poll() is None, self.log()
            return self.is_ready()
        wait_for(ready, "/readyz")
