"""Several `keymeterd serve` on one MariaDB, as nodes that share a load run."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from daemon import Daemon, free_port, request, wait_for
from mariadb import Mariadb


class Node(Daemon):
    """One daemon of a cluster; all that Daemon can call can be called here."""

    def __init__(self, cluster, name):  # state and keys are the cluster's: no super().__init__
        self.cluster, self.name = cluster, name
        self.api = f"127.0.0.1:{free_port()}"
        self.gateway = f"127.0.0.1:{free_port()}"
        self.log_path = cluster.folder / f"{name}.log"
        self.process = None
        self.info = {"token": cluster.token}

    def start(self, wait=True):
        settings = [f"node.name={self.name}", f"listen.api={self.api}",
                    f"listen.gateway={self.gateway}", *self.cluster.settings(self.name)]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [self.cluster.program, "serve", "--config", "/dev/null",
                 *(word for setting in settings for word in ("--set", setting))],
                stdout=log, stderr=log, env={**os.environ, **self.cluster.environment})
        if wait:
            self.await_ready()
        return self

    def await_ready(self):
        try:
            wait_for(self.ready, f"{self.name} to be ready")
        except AssertionError as late:
            raise AssertionError(f"{late}; its log: {self.log()[-4000:] or 'empty'}") from late

    def ready(self):
        assert self.process.poll() is None, self.log()[-4000:]
        try:
            return request(self.api, "GET", "/readyz").status == 200
        except OSError:
            return False

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        if self.process and self.process.poll() is None:
            self.thaw()
            self.process.kill()
            self.process.wait()


class Cluster:
    """`with Cluster(build, "a", "b") as cluster:` gives a migrated database, an admin token and the
    nodes, ready. `sockets` names for a node another path to the database than the direct one, `more`
    is settings that only the nodes have, `environment` variables of theirs."""

    def __init__(self, build, *names, database=None, sockets=None, more=(), environment=None):
        self.program = str(Path(build) / "keymeterd")
        self.folder = Path(tempfile.mkdtemp(prefix="km-nodes-"))
        self.database = database or Mariadb()
        self.sockets = dict(sockets or {})
        self.more, self.environment = list(more), dict(environment or {})
        self.names, self.nodes, self.token = names, [], None

    def settings(self, name=None):
        every = [*self.database.settings(), f"keys.master_key_file={self.folder}/master.key",
                 f"keys.pepper_file={self.folder}/pepper.key"]
        if name in self.sockets:
            every.append(f"database.socket={self.sockets[name]}")
        return every + (self.more if name else [])

    def run(self, *words):
        settings = (word for setting in self.settings() for word in ("--set", setting))
        done = subprocess.run([self.program, *words, "--config", "/dev/null", *settings],
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def __enter__(self):
        try:
            if not self.database.running():
                self.database.start()
            self.run("migrate", "up")
            self.token = self.run("token", "create", "--scope", "admin")
            self.nodes = [Node(self, name) for name in self.names]
            for node in self.nodes:
                node.start(wait=False)
            for node in self.nodes:
                node.await_ready()
            return self
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind, *_):
        """After a test that passed every node still has to end in order."""
        try:
            if kind is None:
                for node in self.nodes:
                    assert node.stop() == 0, node.log()[-4000:]
        finally:
            self.close()

    def close(self):
        for node in self.nodes:
            node.close()
        self.database.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- what tests ask ----

    def used(self, customer_id):
        """Units of the running period, as the database has them: folded and not yet folded."""
        def asked():
            answer = self.nodes[0].call("GET", f"/v1/customers/{customer_id}")
            return answer if answer.status == 200 else None
        return wait_for(asked, "the customer").json["quota"]["used"]

    def node_rows(self, name):
        """(incarnation, fenced) of every life of a node, oldest first."""
        rows = self.database.sql(
            "SELECT n.incarnation, n.fenced FROM node n JOIN node_name m ON m.id = n.id "
            f"WHERE m.name = '{name}' ORDER BY n.incarnation")
        return [(int(incarnation), fenced != "0") for incarnation, fenced in rows]
