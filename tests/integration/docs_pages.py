"""The pages of docs/ as they are run. A fence is run when the line before it says how:

    <!-- tested: sh -->            in the page's one shell, in its order
    <!-- tested: sh php -->        the same, where that program is installed; else it says NOT RUN: php
    <!-- tested: stays 7070 -->    in a terminal of its own, that goes on; ready when the port answers,
    <!-- tested: stays TEXT -->    or when the terminal has printed that
    <!-- tested: file app.py -->   saved under that name

What the reader replaces is replaced: ports, the repository's address."""

import os
import re
import select
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^<!-- (?P<mark>tested|not run): (?P<how>.+?) -->\n```(?P<language>\w*)\n(?P<text>.*?)^```$",
                   re.S | re.M)
END = "a69f3c"  # a file's end in the script, which no page says


def blocks(name, mark="tested"):
    """(how, language, text) of each marked fence of the page."""
    page = (SOURCE / "docs" / name).read_text()
    return [(found["how"], found["language"], found["text"]) for found in BLOCK.finditer(page)
            if found["mark"] == mark]


def replaced(text, changes):
    numbers = {old: new for old, new in changes.items() if old.isdigit()}
    for old, new in changes.items():
        if old not in numbers:
            text = text.replace(old, new)
    return re.sub(rf"\b({'|'.join(numbers)})\b", lambda found: numbers[found[1]], text) if numbers else text


def script_of(name, changes):
    """The page as one script for bash. Before a block's output stands `#### its number`."""
    script = ["set -euo pipefail", "answers() { curl -so /dev/null http://127.0.0.1:$1/; }",
              'printed() { grep -qF "$1" "$LOG"; }',
              'ready() { until "$1" "$2"; do kill -0 $pid; read -rt 0.1 <> <(:) || true; done; }']
    for number, (how, _, text) in enumerate(blocks(name)):
        kind, _, argument = how.partition(" ")
        text = replaced(text, changes)
        if kind == "sh":
            script.append(f"printf '\\n#### %s\\n' {number}")
            if argument and not shutil.which(argument):
                text = f"echo NOT RUN: {argument}\n"
            script.append(text)
        elif kind == "stays":
            ready = f"answers {changes[argument]}" if argument in changes else f"printed {shlex.quote(argument)}"
            script.append(f'(\ncd "$BEGIN"\n{text}) >>"$LOG" 2>&1 &\npid=$!\nready {ready}')
        elif kind == "file":
            script.append(f"cat > {shlex.quote(replaced(argument, changes))} <<'{END}'\n{text}{END}")
        else:
            raise AssertionError(how)
    return "\n".join(script) + "\n"


def run_page(name, folder, changes, environment, timeout=180):
    """(exit status, what the page's shell said, what the other terminals said), when all have ended."""
    log = Path(folder) / "terminals.log"
    log.touch()
    alive, held = os.pipe()  # what the page started holds its one end
    script = Path(folder) / "page.sh"
    script.write_text(script_of(name, changes))
    process = subprocess.Popen(["bash", script], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, start_new_session=True, pass_fds=[held],
                               env={**os.environ, **environment, "LOG": str(log), "BEGIN": str(folder)})
    os.close(held)
    try:
        said, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"{name} goes on behind {late.output[-300:]}") from None
    finally:
        try:
            os.killpg(process.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        assert select.select([alive], [], [], 30)[0], "a terminal goes on"
        os.close(alive)
    return process.returncode, said, log.read_text()
