"""The short forms of tests/fault: what they find in a minute they find at every check."""

import subprocess

import pytest


def run(source, build, *words):
    done = subprocess.run([str(source / "tests" / "fault" / words[0]), *words[1:], "--build",
                           str(build)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("seed, more", [(1, []), (2, ["--slow-redo"])])
def test_kill_9_loses_no_acknowledged_call_and_overruns_no_quota(source_directory, build_directory,
                                                                 seed, more):
    out = run(source_directory, build_directory, "storm", "--kills", "6", "--clients", "16",
              "--seed", str(seed), *more)
    assert "lost 0, overrun 0" in out


@pytest.mark.parametrize("nodes, slow_loads", [(1, 0), (2, 30)])
def test_changes_are_obeyed_by_the_next_call(source_directory, build_directory, nodes, slow_loads):
    out = run(source_directory, build_directory, "obey", "--rounds", "90", "--workers", "9",
              "--nodes", str(nodes), "--slow-loads", str(slow_loads), "--database-kills", "1")
    assert out.startswith("90 disables") and "wrong answers 0" in out
