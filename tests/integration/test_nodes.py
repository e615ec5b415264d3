"""Several daemons on one database: whose name is whose, and what a second start may do."""

import json
import signal

import pytest

from daemon import wait_for
from mariadb import Mariadb
from operator_side import Operator


@pytest.fixture
def nodes(build_directory, tmp_path):
    """Makes daemons of one database; what is left running is killed."""
    database = Mariadb()
    made = []

    class Nodes:
        def __init__(self):
            self.database = database

        def new(self, log):
            return Operator(build_directory, tmp_path, database, log)

        def start(self, operator, *settings, ready=True):
            process = operator.serve(settings=settings)
            made.append(process)
            if ready:
                operator.wait_ready(process)
            return process

        def rows(self):
            return database.sql("SELECT id, incarnation, fenced FROM node ORDER BY id, incarnation")

    try:
        database.start()
        first = Operator(build_directory, tmp_path, database)
        assert first.run("migrate", "up").returncode == 0
        assert first.run("token", "create", "--scope", "admin").returncode == 0
        yield Nodes()
    finally:
        for process in made:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
        database.close()


def events(operator, level=None):
    lines = [json.loads(line) for line in operator.log().splitlines() if line.startswith("{")]
    return [line["event"] for line in lines if level in (None, line["level"])]


def stop(process):
    process.send_signal(signal.SIGTERM)
    return process.wait(30)


def test_a_second_daemon_of_a_name_in_use_refuses_to_start(nodes):
    first, second = nodes.new("log-a"), nodes.new("log-b")
    a = nodes.start(first, "node.name=same")
    b = nodes.start(second, "node.name=same", ready=False)
    assert b.wait(30) == 1
    assert events(second, "error") == ["node_name_in_use"]
    assert "another keymeterd with node.name same is running; give each its own name" in second.log()
    assert nodes.rows() == [["1", "1", "0"]]
    assert first.is_ready() and events(first, "error") == []
    assert stop(a) == 0


def test_a_daemon_that_was_replaced_stops_and_says_why(nodes):
    """The first cannot be seen to be alive: its machine sleeps, its connections stand."""
    first, second = nodes.new("log-a"), nodes.new("log-b")
    a = nodes.start(first, "node.name=same")
    a.send_signal(signal.SIGSTOP)
    b = nodes.start(second, "node.name=same")
    assert nodes.rows() == [["1", "1", "1"], ["1", "2", "0"]]
    assert "former_fenced" in events(second, "warn")
    a.send_signal(signal.SIGCONT)
    assert a.wait(30) == 1
    assert events(first, "error") == ["node_replaced"]
    assert "another keymeterd with node.name same joined; give each its own name" in first.log()
    assert nodes.rows() == [["1", "1", "1"], ["1", "2", "0"]]
    assert second.is_ready() and stop(b) == 0


def test_a_restart_after_a_crash_fences_the_former_incarnation(nodes):
    operator = nodes.new("log")
    a = nodes.start(operator, "node.name=same")
    a.kill()
    a.wait()
    b = nodes.start(operator, "node.name=same")
    assert nodes.rows() == [["1", "1", "1"], ["1", "2", "0"]]
    assert events(operator, "error") == []
    assert stop(b) == 0
    assert nodes.rows() == [["1", "1", "1"], ["1", "2", "1"]]


def test_a_node_that_was_fenced_joins_again(nodes):
    operator = nodes.new("log")
    a = nodes.start(operator, "node.name=same")
    nodes.database.sql("UPDATE node SET fenced = 1")
    wait_for(lambda: len(nodes.rows()) == 2, "the second incarnation")
    wait_for(operator.is_ready, "/readyz")
    assert events(operator, "error") == []
    assert stop(a) == 0


def test_two_names_are_two_nodes(nodes):
    first, second = nodes.new("log-a"), nodes.new("log-b")
    a, b = nodes.start(first, "node.name=a"), nodes.start(second, "node.name=b")
    assert nodes.rows() == [["1", "1", "0"], ["2", "1", "0"]]
    assert stop(a) == 0 and stop(b) == 0


def test_a_start_on_a_taken_port_leaves_the_running_daemon_alone(nodes):
    operator = nodes.new("log-a")
    a = nodes.start(operator, "node.name=same")
    again = operator.run("serve", settings=["node.name=other"])
    assert again.returncode == 1
    assert again.stderr.count("cannot listen") == 1
    assert "listen.api" in again.stderr and operator.api in again.stderr
    assert nodes.rows() == [["1", "1", "0"]]
    assert operator.is_ready() and stop(a) == 0
