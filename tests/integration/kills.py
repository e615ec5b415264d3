"""kill -9 of a daemon within a transaction, alone or beside another one that lives on."""

import contextlib
import os
import threading

from daemon import wait_for
from mariadb import Mariadb
from nodes import Cluster
from statement_proxy import StatementProxy

STATEMENTS_MAX = 60
# Of the longer ones the suite stops at each fifth statement; tests/fault/rotation_kills at all.
EACH = int(os.environ.get("KEYMETER_KILL_EACH", "5"))


def kill_stopped(node, relay):
    """Kills the daemon whose transaction is stopped. False: it had fewer statements, and was stopped behind
    its commit."""
    assert relay.stopped.wait(20), node.log()[-2000:]
    node.kill()
    wait_for(relay.over, "the dead daemon's connections to end")
    return not relay.whole


def kill_within(_cluster, node, relay, stop_at, call, dead=lambda: None):
    """The same for what a call does; the daemon is started again, when dead() has looked."""
    relay.arm(stop_at)
    asking = threading.Thread(target=call, daemon=True)
    asking.start()
    more = kill_stopped(node, relay)
    asking.join(20)
    dead()
    node.start()
    return more


def quietly(call):
    def asked():
        try:
            call()
        except (OSError, AssertionError):
            pass  # the daemon was killed
    return asked


@contextlib.contextmanager
def started(build_directory, first, more=(), names=("one",), cluster=Cluster):
    """The daemon that is to be killed; others that are named have a way of their own to the database."""
    database = Mariadb()
    database.start()
    with StatementProxy(database, first) as relay:
        with cluster(build_directory, *names, database=database, sockets={"one": relay.socket},
                     more=more) as running:
            yield running, running.nodes[0], relay
