"""The fixture itself: what the other tests do to the database must really happen to it."""

import subprocess

import pytest


def test_committed_rows_outlive_kill_and_stop(mariadb):
    mariadb.sql("CREATE TABLE kept (a INT, b VARCHAR(20)); INSERT INTO kept VALUES (1, 'x'), (2, NULL)")
    mariadb.restart()
    assert mariadb.sql("SELECT * FROM kept ORDER BY a") == [["1", "x"], ["2", "NULL"]]
    mariadb.stop()
    assert not mariadb.running()
    mariadb.start()
    assert mariadb.value("SELECT COUNT(*) FROM kept") == "2"


def test_a_frozen_server_does_not_answer(mariadb):
    mariadb.freeze()
    with pytest.raises(subprocess.TimeoutExpired):
        mariadb.sql("SELECT 1", timeout=0.5)
    mariadb.thaw()
    assert mariadb.value("SELECT 1") == "1"


def test_a_failing_statement_is_told(mariadb):
    with pytest.raises(RuntimeError, match="nowhere"):
        mariadb.sql("SELECT * FROM nowhere")
