"""`cmake --install`: what is installed works from where it stands, and the units name it."""

import os
import re
import shutil
import subprocess

import pytest


def install(build, prefix, **environment):
    subprocess.run(["cmake", "--install", build, "--prefix", prefix], check=True, capture_output=True,
                   env={**os.environ, **environment})


@pytest.fixture(name="root", scope="module")
def root_fixture(build_directory, tmp_path_factory):
    """A machine's root, as a package or an image would be filled."""
    folder = tmp_path_factory.mktemp("root")
    install(build_directory, "/usr", DESTDIR=str(folder))
    return folder


def run(*words, **more):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60, check=False,
                          **more)


def test_the_installed_daemon_checks_its_settings_and_finds_the_texts(root, source_directory, tmp_path):
    texts = root / "usr/share/keymeter/templates/mail"
    shipped = source_directory / "templates/mail"
    names = sorted(str(path.relative_to(shipped)) for path in shipped.rglob("*.*"))
    assert names and names == sorted(str(path.relative_to(texts)) for path in texts.rglob("*.*"))
    (tmp_path / "keymeter.conf").write_text(f"[mail]\ntemplates = {texts}\n")
    program = root / "usr/bin/keymeterd"
    done = run(program, "--config", tmp_path / "keymeter.conf", "config", "check", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
    own = tmp_path / "own"
    shutil.copytree(texts, own)
    (own / "en/rotated.txt").write_text("Subject: {{no_such_name}}\n\nText\n")
    done = run(program, "--set", f"mail.templates={own}", "--config", os.devnull, "config", "check", cwd=tmp_path)
    assert done.returncode == 1 and "no_such_name" in done.stderr


def test_programs_pages_and_completions(root):
    assert run(root / "usr/bin/keymeter", "--help").returncode == 0
    for page in ("man1/keymeter.1", "man5/keymeter.conf.5", "man8/keymeterd.8"):
        assert (root / "usr/share/man" / page).exists(), page
    for shell, file in (("bash", "bash-completion/completions/keymeter"), ("zsh", "zsh/site-functions/_keymeter"),
                        ("fish", "fish/vendor_completions.d/keymeter.fish")):
        text = (root / "usr/share" / file).read_text()
        assert text == run(root / "usr/bin/keymeter", "completion", shell).stdout and "regenerate" in text


def test_users_and_folders_are_made(root):
    """By the files that systemd would read at a boot of that root."""
    if not shutil.which("systemd-sysusers") or os.getuid() != 0:
        pytest.skip("systemd-sysusers is not installed, or this is not root")
    (root / "etc").mkdir()
    done = run("systemd-sysusers", f"--root={root}")
    assert done.returncode == 0, done.stderr
    found = re.search(r"(?m)^keymeter:[^:]*:(\d+):(\d+):", (root / "etc/passwd").read_text())
    done = run("systemd-tmpfiles", f"--root={root}", "--create", "--prefix=/etc/keymeter", "--prefix=/var/lib/keymeter")
    assert done.returncode == 0, done.stderr
    state, settings = (root / "var/lib/keymeter").stat(), (root / "etc/keymeter").stat()
    assert (state.st_mode & 0o777, state.st_uid) == (0o700, int(found[1]))
    assert (settings.st_mode & 0o777, settings.st_uid, settings.st_gid) == (0o750, 0, int(found[2]))


def test_the_units_name_the_programs_of_their_prefix(root, build_directory, tmp_path):
    install(build_directory, tmp_path)
    units = sorted((tmp_path / "lib/systemd/system").iterdir())
    assert [unit.name for unit in units] == ["keymeter-rotations.service", "keymeter-rotations.timer",
                                             "keymeter.service", "keymeterd@.service"]
    for folder, prefix in ((root / "usr", "/usr"), (tmp_path, str(tmp_path))):
        for unit in (folder / "lib/systemd/system").glob("*.service"):
            commands = re.findall(r"(?m)^Exec\w+=(\S+)", unit.read_text())
            assert commands and all(command.startswith(f"{prefix}/bin/") for command in commands), unit
            assert all((folder / "bin" / command.rsplit("/", 1)[1]).exists() for command in commands), unit
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    (tmp_path / "lib/systemd/system/keymeterd@.service").rename(tmp_path / "lib/systemd/system/keymeterd@1.service")
    done = run("systemd-analyze", "verify", "--man=no", *(tmp_path / "lib/systemd/system").glob("keymeter*.service"))
    assert not re.search(r"(?m)^.*keymeter.*$", done.stderr), done.stderr
