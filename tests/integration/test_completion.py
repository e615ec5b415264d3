"""What shells offer behind `keymeter`: the scripts of `keymeter completion`, run by the shells."""

import os
import pty
import re
import select
import shutil
import subprocess
import time

import pytest


@pytest.fixture(name="scripts", scope="module")
def scripts_fixture(build_directory, tmp_path_factory):
    folder = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh", "fish"):
        made = subprocess.run([build_directory / "keymeter", "completion", shell], check=True,
                              capture_output=True)
        (folder / shell).write_bytes(made.stdout)
    (folder / "a file").write_text("")
    return folder


def need(shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")


def by_bash(folder, *words):
    """What bash offers for the last word."""
    code = ('source ./bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _keymeter; '
            'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "--norc", "-c", code, "bash", "keymeter", *words], cwd=folder,
                          check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def by_fish(folder, *words):
    line = " ".join(["keymeter", *words])
    done = subprocess.run(["fish", "--no-config", "-c", f"source ./fish; complete -C '{line}'"], cwd=folder,
                          check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return [offered.split("\t")[0] for offered in done.stdout.splitlines()]


@pytest.mark.parametrize("shell,offers", [("bash", by_bash), ("fish", by_fish)])
def test_words_verbs_options_and_files(scripts, shell, offers):
    need(shell)
    assert offers(scripts, "ke") == ["keys"]
    assert {"customers", "usage", "audit", "verify", "help"} <= set(offers(scripts, ""))
    assert sorted(offers(scripts, "--")) == ["--help", "--version"]
    assert "--version" not in offers(scripts, "keys", "list", "--")
    assert sorted(offers(scripts, "keys", "re")) == ["regenerate", "resend-claim", "revoke"]
    assert offers(scripts, "keys", "rotate", "key_1", "--gr") == ["--grace-seconds"]
    assert "--tier" in offers(scripts, "keys", "list", "--")
    assert "--grace-seconds" not in offers(scripts, "keys", "list", "--")
    assert "--cost" in offers(scripts, "verify", "--")
    assert [name.replace("\\", "") for name in offers(scripts, "verify", "--key-file", "a")] == ["a file"]


def test_each_command_and_option_is_offered(scripts, build_directory):
    need("bash")
    whole = subprocess.run([build_directory / "keymeter", "--help"], check=True, capture_output=True, text=True)
    for word, verb in re.findall(r"(?m)^  ([a-z]+)(?: ([a-z-]+))?(?: [A-Z]+)?$", whole.stdout):
        words = [word, verb] if verb else [word]
        assert by_bash(scripts, *words[:-1], words[-1]).count(words[-1]) == 1
        text = subprocess.run([build_directory / "keymeter", *words, "--help"], check=True,
                              capture_output=True, text=True).stdout
        options = re.findall(r"(?m)^  (--[a-z-]+)", text)
        assert set(by_bash(scripts, *words, "--")) == {*options, "--help"}, words


def test_bash_asked_by_a_tab(scripts):
    """As a person does it: the word is completed on the terminal."""
    need("bash")
    shown = typed(["bash", "--norc", "-i"], scripts, "source ./bash", "keymeter custo\tcr\t", "customers create ")
    assert "customers create " in shown


def test_zsh_asked_by_a_tab(scripts):
    need("zsh")
    start = "autoload -U compinit; compinit -u -D; source ./zsh"
    for keys, wanted in (("keymeter custo\tcr\t", "customers create "),
                         ("keymeter keys rotate key_1 --gr\t", "--grace-seconds "),
                         ("keymeter verify --key-file a\t", "a\\ file")):
        assert wanted in typed(["zsh", "-f", "-i"], scripts, start, keys, wanted)


def plain(text):
    """Without the terminal's control sequences, and what a backspace took back."""
    text = re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>])", "", text)
    while "\x08" in text:
        text = re.sub("[^\x08]?\x08", "", text, count=1)
    return text


def typed(shell, folder, start, keys, wanted):
    """What stands on a terminal on which that was typed, as soon as `wanted` does."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execvpe(shell[0], shell, {"PATH": os.environ["PATH"], "TERM": "xterm", "HOME": str(folder),
                                     "PS1": "> ", "INPUTRC": "/dev/null", "LANG": "C.UTF-8"})
    shown = ""
    try:
        os.write(terminal, f"{start}; echo re''ady\n".encode())
        for wait, then in (("ready", keys), (wanted, None)):
            deadline = time.monotonic() + 20
            while wait not in plain(shown) and time.monotonic() < deadline:
                if select.select([terminal], [], [], 0.2)[0]:
                    shown += os.read(terminal, 4096).decode(errors="replace")
            if then:
                shown = ""
                os.write(terminal, then.encode())
    finally:
        os.close(terminal)
        os.kill(child, 9)
        os.waitpid(child, 0)
    return plain(shown)
