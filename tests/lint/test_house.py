"""The rules of the house that a compiler does not know: which folder may include which, who may use
which library, where SQL stands, what is never called, and how long things may be."""

import re

import pytest
import sources
from sources import ROOT, where

BELOW = {  # a folder includes itself and what stands left of it
    "base": set(),
    "crypto": {"base"},
    "conf": {"base"},
    "core": {"base"},
    "io": {"base"},
    "store": {"base", "crypto", "core", "io"},
    "service": {"base", "crypto", "conf", "core", "io", "store"},
    "api": {"base", "crypto", "conf", "core", "io", "store", "service"},
    "cli": {"base", "conf"},
    "app": {"base", "crypto", "conf", "core", "io", "store", "service", "api"},
}
LIBRARIES = {  # header: the folders that may use it
    r"uv(/.*|\.h)": {"io"},
    r"llhttp\.h": {"io"},
    r"(mariadb/)?(mysql|errmsg|mysqld_error).*": {"io"},
    r"curl/.*": {"io", "cli"},
    r"ini\.h": {"conf"},
    r"systemd/.*": {"app"},
    r"rnp/.*": {"crypto"},
    r"liboath/.*": {"crypto"},
    r"qrencode\.h": {"core"},
    r"openssl/.*": {"crypto"},
}
BANNED = {  # call: what to use instead
    "strcpy": "snprintf or memcpy with a size",
    "strcat": "base/buf",
    "sprintf": "snprintf",
    "vsprintf": "vsnprintf",
    "gets": "fgets",
    "strtok": "strtok_r",
    "atoi": "u64_parse",
    "atol": "u64_parse",
    "atof": "strtod with a check",
    "gettimeofday": "base/clock.h",
    "time": "base/clock.h",
    "clock_gettime": "base/clock.h",
    "rand": "randombytes_buf",
    "random": "randombytes_buf",
    "alloca": "the arena",
    "tmpnam": "mkstemp",
    "mktemp": "mkstemp",
}
MAY_CALL = {
    ("src/base/clock.c", "clock_gettime"),
    ("src/io/db_pool.c", "clock_gettime"),  # pthread_cond_timedwait takes a struct timespec
}
SQL = re.compile(
    r'"\s*(SELECT\s.+\sFROM|INSERT\s+(IGNORE\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM'
    r"|CREATE\s+(TABLE|DATABASE)|ALTER\s+TABLE|DROP\s+TABLE|REPLACE\s+INTO)\b",
    re.IGNORECASE,
)
SOURCE_LINES, HEADER_LINES, FUNCTION_LINES = 600, 150, 80

C_FILES = sources.tracked("src/*.c", "src/*.h")
ALL_C_FILES = sources.tracked("*.c", "*.h")


def folder_of(path):
    parts = path.relative_to(ROOT / "src").parts
    return parts[0] if len(parts) > 1 else "app"


def includes(path):
    text = sources.without_comments(sources.read(path))
    for match in re.finditer(r'^\s*#\s*include\s*(["<])([^">]+)[">]', text, re.MULTILINE):
        yield text.count("\n", 0, match.start()) + 1, match[1] == '"', match[2]


def include_faults(path, folder, lines):
    for line, is_own, name in lines:
        if is_own:
            target = name.split("/")[0] if "/" in name else "app"
            if target != folder and target not in BELOW[folder]:
                yield f"{where(path, line)}: {folder} may not include {name}"
        for pattern, allowed in LIBRARIES.items():
            if re.fullmatch(pattern, name) and folder not in allowed:
                yield f"{where(path, line)}: {name} only in {', '.join(sorted(allowed))}"


def test_includes_point_left():
    faults = [f for p in C_FILES for f in include_faults(p, folder_of(p), includes(p))]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "folder, name, is_own",
    [
        ("core", "io/db.h", True),
        ("io", "store/feed.h", True),
        ("crypto", "core/tier.h", True),
        ("service", "app.h", True),
        ("store", "mariadb/mysql.h", False),
        ("service", "uv.h", False),
        ("api", "curl/curl.h", False),
        ("service", "rnp/rnp.h", False),
    ],
)
def test_the_include_rule_can_fail(folder, name, is_own):
    assert list(include_faults(ROOT / "src/x.c", folder, [(1, is_own, name)]))


def test_sql_stands_in_store_only():
    faults = []
    for path in C_FILES:
        if folder_of(path) == "store":
            continue
        for line, text in sources.strings(sources.read(path)):
            if SQL.match(text):
                faults.append(f"{where(path, line)}: SQL outside src/store")
    assert not faults, "\n".join(faults)


def test_the_database_is_never_asked_for_the_time():
    now = re.compile(r"\b(NOW|SYSDATE|CURRENT_TIMESTAMP|UNIX_TIMESTAMP|UTC_TIMESTAMP)\b\s*\(?", re.I)
    faults = []
    for path in C_FILES:
        for line, text in sources.strings(sources.read(path)):
            if now.search(text) and re.search(r"[A-Z]{3,} ", text):
                faults.append(where(path, line))
    for path in sources.tracked("schema/*.sql"):
        for line, text in enumerate(sources.read(path).split("\n"), 1):
            if now.search(text.split("--")[0]):
                faults.append(where(path, line))
    assert not faults, "\n".join(faults)


def test_nothing_banned_is_called():
    calls = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
    faults = []
    for path in C_FILES:
        text = sources.without_comments_and_strings(sources.read(path))
        for match in calls.finditer(text):
            if (where(path), match[1]) not in MAY_CALL:
                line = text.count("\n", 0, match.start()) + 1
                faults.append(f"{where(path, line)}: {match[1]}; use {BANNED[match[1]]}")
    assert not faults, "\n".join(faults)


def test_no_words_of_unfinished_work():
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK|for" + r" now)\b")
    patterns = ["src/*", "schema/*", "scripts/*", "tests/*.c", "tests/*.h", "tests/*.py", "cmake/*"]
    faults = [
        where(path, number)
        for path in sources.tracked(*patterns, "quickstart", "check")
        for number, line in enumerate(sources.read(path).split("\n"), 1)
        if words.search(line)
    ]
    assert not faults, "\n".join(faults)


def test_sizes():
    faults = []
    for path in C_FILES:
        text = sources.read(path)
        lines = text.count("\n")
        most = HEADER_LINES if path.suffix == ".h" else SOURCE_LINES
        if lines > most:
            faults.append(f"{where(path)}: {lines} lines, at most {most}")
        for name, line, length in sources.functions(text):
            if length > FUNCTION_LINES:
                faults.append(f"{where(path, line)}: {name} has {length} lines")
    assert not faults, "\n".join(faults)


def test_every_source_says_what_it_is():
    faults = [where(p) for p in C_FILES if not sources.read(p).startswith("/*")]
    assert not faults, "\n".join(faults)


def test_headers_have_their_guard():
    faults = []
    for path in sources.tracked("src/*.h"):
        name = re.sub(r"\W", "_", str(path.relative_to(ROOT / "src"))).upper()
        if f"#ifndef KEYMETER_{name}" not in sources.read(path):
            faults.append(where(path))
    assert not faults, "\n".join(faults)


def test_locks_by_name_are_for_migrations():
    """They belong to a connection, which may be gone or stopped while its work goes on."""
    faults = [
        where(path, line)
        for path in C_FILES
        for line, text in sources.strings(sources.read(path))
        if "GET_LOCK" in text and where(path) != "src/store/migrate.c"
    ]
    assert not faults, "\n".join(faults)


def test_the_schema_has_no_foreign_keys():
    """The fold must never fail on content: a customer that is gone stops no count."""
    faults = [
        where(path, number)
        for path in sources.tracked("schema/*.sql")
        for number, line in enumerate(sources.read(path).split("\n"), 1)
        if re.search(r"\bFOREIGN KEY\b|\bREFERENCES\s+\w+\s*\(", line.split("--")[0])
    ]
    assert not faults, "\n".join(faults)


def test_each_rule_names_tests_that_are_there():
    faults, named = [], 0
    for number, line in enumerate(sources.read(ROOT / "docs/rules.md").split("\n"), 1):
        for folder, file, name in re.findall(r"`(unit|integration|lint)/(test_\w+\.(?:c|py)):(\w+)`", line):
            named += 1
            path = ROOT / "tests" / folder / file
            if not path.exists() or not re.search(rf"\b(void|def) {name}\(", sources.read(path)):
                faults.append(f"docs/rules.md:{number}: {folder}/{file}:{name}")
    assert named > 50
    assert not faults, "\n".join(faults)
