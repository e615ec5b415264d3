"""A private MariaDB server for the integration tests.

One server, one temporary directory, one Unix socket, no network. It can be stopped, killed, frozen
and started again on the same data, and asked by SQL from the side (as the operating system's user,
who is the database's root).
"""

import contextlib
import fcntl
import getpass
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

START_LIMIT_S = 30
STOP_LIMIT_S = 30


def _program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/usr/libexec")
    if not path:
        raise RuntimeError(f"{name} is missing: apt-get install mariadb-server-core mariadb-client-core")
    return path


def _as_root():
    return ["--user=root"] if os.geteuid() == 0 else []


def _state(task):
    """The letter of a thread's state in /proc; "X" when it has ended."""
    try:
        return (task / "stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "X"


def _install(data, temporary):
    done = subprocess.run(
        [_program("mariadb-install-db"), "--no-defaults", "--force", f"--datadir={data}",
         "--auth-root-authentication-method=socket", f"--auth-root-socket-user={getpass.getuser()}",
         "--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=8M", *_as_root()],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False,
        env={**os.environ, "TMPDIR": str(temporary)})
    if done.returncode:
        raise RuntimeError("mariadb-install-db: " + done.stdout.decode(errors="replace"))


def make_data(data, temporary):
    """A data directory as `mariadb-install-db` makes it. Within one run of tests that is done once, because
    it takes seconds; all others are copies."""
    shared = os.environ.get("KEYMETER_TEST_DATA")  # ./check and conftest.py make and remove it
    if not shared:
        _install(data, temporary)
        return
    make_template(Path(shared))
    subprocess.run(["cp", "-r", "--sparse=always", Path(shared) / "data", data], check=True)


def make_template(shared):
    """FOLDER/data; tests/unit/database.c copies it too."""
    template = shared / "data"
    with open(shared / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            _install(shared / "data.new", shared)
            os.rename(shared / "data.new", template)


def freeze(pid):
    """SIGSTOP: connections stay, nothing answers. Returns when every thread of it stands still."""
    os.kill(pid, signal.SIGSTOP)
    while any(_state(task) not in "TtXZ" for task in Path(f"/proc/{pid}/task").iterdir()):
        time.sleep(0.001)  # allow-sleep: polls


class Mariadb:
    """start() makes the data directory the first time; close() ends the server and removes all."""

    def __init__(self, name="keymeter", options=(), environment=None):
        self.name = name
        self.options = list(options)
        self.environment = dict(environment or {})  # LD_PRELOAD of the tests that delay redo writes
        self.user = getpass.getuser()
        # Short, because a Unix socket's path is at most 107 bytes: not below pytest's tmp_path.
        self.directory = Path(tempfile.mkdtemp(prefix="km-db-"))
        # A server that starts removes the temporary tables of all others that share the folder.
        self.temporary = {"TMPDIR": str(self.directory)}
        self.socket = self.directory / "socket"
        self.log = self.directory / "error.log"
        self.process = None

    # ---- the server ----

    @property
    def pid(self):
        return self.process.pid if self.process else None

    def install(self):
        data = self.directory / "data"
        if not data.exists():
            make_data(data, self.directory)

    def start(self, wait=True):
        """Starts the server; `wait` for an answer, and make the schema."""
        self.install()
        assert not self.running(), "it runs already"
        with open(self.directory / "output", "ab") as output:
            self.process = subprocess.Popen(
                [_program("mariadbd"), "--no-defaults", f"--datadir={self.directory}/data",
                 f"--socket={self.socket}", f"--pid-file={self.directory}/pid",
                 f"--log-error={self.log}", "--skip-networking", "--skip-name-resolve",
                 "--innodb-log-file-size=8M",
                 "--innodb-use-native-aio=OFF",  # as src/dev_database.c: it is killed and started at once
                 "--innodb-log-file-buffering=ON",  # docs/decisions/0007
                 "--character-set-server=utf8mb4", *_as_root(),
                 *self.options],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, **self.temporary, **self.environment}, start_new_session=True)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        until = time.monotonic() + START_LIMIT_S
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"mariadbd ended with {self.process.returncode}:\n{self.tail()}")
            answer = self._client("SELECT 1", schema="", timeout=5)
            if answer.returncode == 0:
                break
            if time.monotonic() > until:
                raise RuntimeError(f"mariadbd does not answer: {answer.stderr}\n{self.tail()}")
            time.sleep(0.02)  # allow-sleep: between two looks
        self.sql(f"CREATE DATABASE IF NOT EXISTS `{self.name}` CHARACTER SET utf8mb4", schema="")

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """In order: SIGTERM, and wait."""
        if self.running():
            self.thaw()
            self.process.terminate()
            try:
                self.process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        self.process = None

    def kill(self):
        """kill -9; what is not in the redo log on disk is gone."""
        if self.running():
            self.process.kill()
            self.process.wait()
        self.process = None

    def restart(self):
        self.kill()
        return self.start()

    def freeze(self):
        freeze(self.process.pid)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def tail(self, lines=30):
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    # ---- SQL from the side ----

    def _client(self, text, schema, timeout):
        command = [_program("mariadb"), "--no-defaults", f"--socket={self.socket}",
                   f"--user={self.user}", "--batch", "--skip-column-names", "--raw",
                   "--default-character-set=utf8mb4"]
        if schema:
            command.append(schema)
        return subprocess.run(command, input=text, text=True, errors="replace",
                              capture_output=True, timeout=timeout, check=False)

    def sql(self, text, schema=None, timeout=30):
        """Runs statements; the rows of all results as lists of str (SQL NULL is "NULL")."""
        done = self._client(text, self.name if schema is None else schema, timeout)
        if done.returncode:
            raise RuntimeError(f"{text!r}: {done.stderr.strip()}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def value(self, text, **more):
        """The first column of the first row, or None."""
        rows = self.sql(text, **more)
        return rows[0][0] if rows else None

    @contextlib.contextmanager
    def locked(self, sql):
        """Rows that somebody else holds locked."""
        client = subprocess.Popen(
            [_program("mariadb"), "--no-defaults", f"--socket={self.socket}", f"--user={self.user}",
             "--batch", "--skip-column-names", "--unbuffered", self.name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            client.stdin.write(f"BEGIN; {sql}; SELECT 'held';\n")
            client.stdin.flush()
            while client.stdout.readline().strip() != "held":
                assert client.poll() is None
            yield
        finally:
            client.stdin.close()
            client.wait()
            client.stdout.close()

    def connections(self):
        """Ids of other connections to the schema."""
        return [int(row[0]) for row in self.sql(
            "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() "
            f"AND db = '{self.name}'")]

    def kill_connections(self):
        """Ends every connection to the schema, as a broken network would."""
        for connection in self.connections():
            try:
                self.sql(f"KILL CONNECTION {connection}")
            except RuntimeError:
                pass  # it ended by itself

    def settings(self):
        """As `--set` arguments of keymeterd."""
        return [f"database.socket={self.socket}", f"database.user={self.user}",
                f"database.name={self.name}"]


if __name__ == "__main__":
    make_template(Path(sys.argv[1]).resolve())
