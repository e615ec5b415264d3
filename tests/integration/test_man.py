"""The man pages: they hold every command and setting, are well-formed, and their samples run."""

import os
import re
import shutil
import subprocess
import sys

import pytest

PAGES = ("keymeter.1", "keymeterd.8", "keymeter.conf.5")


@pytest.fixture(name="pages", scope="module")
def pages_fixture(source_directory):
    return {name: (source_directory / "docs" / "man" / name).read_text() for name in PAGES}


def samples(page):
    """The literal displays of EXAMPLES, without their indentation."""
    return re.findall(r"(?ms)^\.Bd -literal -offset indent\n(.*?)^\.Ed", page.split(".Sh EXAMPLES")[1])


def test_they_hold_what_the_programs_say(source_directory, build_directory):
    done = subprocess.run([sys.executable, source_directory / "scripts" / "manpages", build_directory, "--check"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_command_option_and_setting_is_in_a_page(pages, build_directory):
    """Not by the script that writes them."""
    def said(*words):
        return subprocess.run([build_directory / words[0], *words[1:]], check=True, capture_output=True,
                              text=True).stdout
    verbs = re.findall(r"(?m)^  ([a-z]+(?: [a-z-]+)?)(?: [A-Z]+)?$", said("keymeter", "--help"))
    assert len(verbs) > 40
    for verb in verbs:
        entry = re.search(rf"(?ms)^\.It Ic {verb}( Ar \w+)?\n(.*?)(?=^\.It|^\.El)", pages["keymeter.1"])
        assert entry, verb
        for option in re.findall(r"(?m)^  --([a-z-]+)", said("keymeter", *verb.split(), "--help")):
            assert f"Fl Fl {option}" in entry[2] or f".It Fl Fl {option}" in pages["keymeter.1"], option
    for command in re.findall(r"(?m)^  ([a-z]+(?: [a-z]+)?)  ?", said("keymeterd", "--help")):
        assert f".It Ic {command}" in pages["keymeterd.8"], command
    shown = said("keymeterd", "--config", os.devnull, "config", "show")
    for section, body in re.findall(r"(?ms)^\[(\w+)\]\n(.*?)(?=^\[|\Z)", shown):
        part = pages["keymeter.conf.5"].split(f".Ss [{section}]\n")[1].split(".Ss ")[0]
        for name in re.findall(r"(?m)^(\w+) =", body):
            assert f".It Ic {name}\n" in part, name


@pytest.mark.parametrize("name", PAGES)
def test_they_are_well_formed(source_directory, name):
    page = source_directory / "docs" / "man" / name
    if shutil.which("mandoc"):
        done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", page], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "")
    if not shutil.which("groff"):
        pytest.skip("groff is not installed")
    done = subprocess.run(["groff", "-mandoc", "-Tutf8", "-w", "mac", "-z", page], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def run(script, folder, build, environment):
    return subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True,
                          timeout=60, check=False,
                          env={**os.environ, **environment, "PATH": f"{build}:{os.environ['PATH']}"})


def test_the_samples_of_the_client_run_one_after_the_other(pages, daemon, build_directory, tmp_path):
    lines = [line[2:] for sample in samples(pages["keymeter.1"]) for line in sample.splitlines()]
    assert len(lines) > 12
    if not shutil.which("jq"):
        pytest.skip("jq is not installed")
    done = run("set -v\n" + "\n".join(lines), tmp_path, build_directory,
               {"KEYMETER_ADDR": f"http://{daemon.api}", "KEYMETER_TOKEN": daemon.info["token"]})
    assert done.returncode == 0, done.stdout[-600:]
    assert "VALID" in done.stdout and "quota " in done.stdout and "rows 1 to " in done.stdout
    secrets = [(tmp_path / name).read_text().strip() for name in ("key", "second", "third", "token")]
    assert all(secret[:3] in ("km_", "kmt") and secret not in done.stdout + done.stderr for secret in secrets)
    assert len(set(secrets)) == 4 and (tmp_path / "key").stat().st_mode & 0o077 == 0


def test_the_samples_of_the_daemon_run(pages, build_directory, tmp_path):
    lines = [line[2:] for sample in samples(pages["keymeterd.8"]) for line in sample.splitlines()]
    assert len(lines) == 3
    for line in lines:
        done = run(line, tmp_path, build_directory, {})
        assert done.returncode == 0, done.stderr
    assert "max_wait = 100ms" in run(lines[1], tmp_path, build_directory, {}).stdout


def test_the_sample_of_the_settings_is_sound(pages, build_directory, tmp_path):
    (sample,) = samples(pages["keymeter.conf.5"])
    (tmp_path / "keymeter.conf").write_text(sample)
    done = run("keymeterd --config keymeter.conf config check", tmp_path, build_directory, {})
    assert done.returncode == 0, done.stderr
    shown = run("keymeterd --config keymeter.conf config show", tmp_path, build_directory, {}).stdout
    for line in sample.splitlines():
        assert line in shown


def test_they_are_installed(build_directory, tmp_path):
    subprocess.run(["cmake", "--install", build_directory, "--component", "man", "--prefix", tmp_path], check=True,
                   capture_output=True)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.[0-9]")) == [
        f"share/man/man{name[-1]}/{name}" for name in PAGES[:1] + PAGES[2:] + PAGES[1:2]]
