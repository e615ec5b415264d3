"""The C sources as the lint tests see them: text without comments and strings, and functions."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_TOKEN = re.compile(
    r"""(?P<comment>/\*.*?\*/|//[^\n]*)|(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')""",
    re.DOTALL,
)


def tracked(*patterns):
    """Files under git that match, also those not committed yet, as they are on disk."""
    command = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z", "--"]
    names = subprocess.run([*command, *patterns], check=True, capture_output=True).stdout
    paths = [ROOT / name.decode() for name in names.split(b"\0") if name]
    return sorted(path for path in paths if path.is_file())


def read(path):
    return path.read_text(encoding="utf-8")


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def without_comments(text):
    return _TOKEN.sub(lambda m: _blank(m[0]) if m["comment"] else m[0], text)


def without_comments_and_strings(text):
    return _TOKEN.sub(lambda m: _blank(m[0]), text)


def strings(text):
    """(line, literal) of each string, comments left out."""
    code = without_comments(text)
    for match in _TOKEN.finditer(code):
        yield code.count("\n", 0, match.start()) + 1, match[0]


def functions(text):
    """(name, first line, lines) of each function: from the brace in column one to its end."""
    lines = without_comments_and_strings(text).split("\n")
    start = None
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            start = number
        elif line.startswith("}") and start is not None:
            head = " ".join(lines[max(0, start - 6) : start - 1])
            name = re.findall(r"(\w+)\s*\(", head)
            yield (name[-1] if name else "?"), start, number - start - 1
            start = None


def where(path, line=None):
    name = str(path.relative_to(ROOT))
    return f"{name}:{line}" if line else name
