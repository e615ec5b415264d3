"""The short forms of tests/fault: what they find in a minute they find at every check."""

import subprocess

import pytest


def run(source, build, *words):
    done = subprocess.run([str(source / "tests" / "fault" / words[0]), *words[1:], "--build",
                           str(build)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_9_loses_no_acknowledged_call_and_overruns_no_quota(source_directory, build_directory,
                                                                 seed):
    out = run(source_directory, build_directory, "storm", "--kills", "6", "--clients", "16",
              "--seed", str(seed))
    assert "lost 0, overrun 0" in out


def test_changes_are_obeyed_by_the_next_call(source_directory, build_directory):
    out = run(source_directory, build_directory, "obey", "--rounds", "400", "--workers", "8",
              "--database-kills", "1")
    assert "wrong answers 0" in out
