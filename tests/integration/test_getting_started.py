"""docs/getting-started.md as a new user follows it: its blocks in their order are the whole script."""

import os
import re

import pytest

from daemon import free_port
from docs_pages import SOURCE, blocks, run_page

PAGE = "getting-started.md"
# Clones for real; then the build that is there takes the place of the one that `quickstart` makes.
GIT = """#!/bin/bash
set -e
PATH={path} git "$@"
folder="${{!#}}"
mkdir -p "$folder/build"
ln -s {build} "$folder/build/release"
cat > "$folder/quickstart" <<'EOF'
#!/bin/sh
exec {build}/keymeterd dev --set listen.api=127.0.0.1:{api} --set listen.gateway=127.0.0.1:{gateway} \\
  --set metering.max_wait=2s
EOF
"""


@pytest.fixture(name="followed", scope="module")
def followed_fixture(build_directory, tmp_path_factory):
    """(folder, what each block said)"""
    folder = tmp_path_factory.mktemp("user")
    api, gateway, app = (str(free_port()) for _ in range(3))
    git = folder / "bin" / "git"
    git.parent.mkdir()
    git.write_text(GIT.format(path=os.environ["PATH"], build=build_directory.resolve(), api=api, gateway=gateway))
    git.chmod(0o755)
    status, said, terminals = run_page(
        PAGE, folder,
        {"<this repository>": str(SOURCE), "7070": api, "7071": gateway, "9000": app},
        {"PATH": f"{git.parent}:{os.environ['PATH']}", "KEYMETER_ADDR": f"http://127.0.0.1:{api}",
         "XDG_STATE_HOME": ""})
    said = re.sub(r"_[0-9A-Za-z]{40,}", "_...", said)
    assert status == 0, (said[-3000:], re.sub(r"_[0-9A-Za-z]{40,}", "_...", terminals)[-2000:])
    return folder, said.split("\n#### ")[1:]


def statuses(said):
    return [int(status) for status in re.findall(r"(?m)^HTTP/1\.[01] (\d+)", said)]


def test_a_new_user_reaches_a_metered_call(followed):
    _, said = followed
    [call] = [text for text in said if "X-Key-Customer: acme" in text][:1]
    assert statuses(call) == [200]
    usage = said[said.index(call) + 1]
    assert re.search(r"(?m)^\d{4}-\d\d-01T00:00:00Z +1 +0 +0 +0$", usage), usage
    assert '"used":1,"remaining":999' in usage


def test_each_answer_is_what_the_page_says(followed):
    _, said = followed
    said = "\n".join(said)
    assert statuses(said) == [200, 429, 403, 200, 401, 401, 200, 200, 201, 402]
    assert '{"hello": "acme", "left": 997}' in said and '{"hello": "acme", "left": 992}' in said
    assert "payment_required" in said and "/portal/open/" in said
    assert "ok       database" in said and not re.search(r"(?m)^failing", said)


def test_files_with_secrets_are_private(followed):
    folder, _ = followed
    for name in ("acme.key", "api.token", "sign-up.token"):
        assert (folder / "keymeter" / name).stat().st_mode & 0o077 == 0, name


def test_every_block_of_commands_is_run():
    page = (SOURCE / "docs" / PAGE).read_text()
    assert len(blocks(PAGE)) == len(re.findall(r"(?m)^```\w+$", page))
