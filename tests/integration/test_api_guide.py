"""docs/api-guide.md: its samples are run in their order against a real daemon, each language where its
runtime is installed."""

import re
import shutil

import pytest

from docs_pages import SOURCE, blocks, run_page

PAGE = "api-guide.md"
CLIENTS = [("curl", "sh client.sh"), ("python3", "python3 client.py"), ("node", "node client.mjs"),
           ("go", "go run client.go"), ("php", "php client.php")]


@pytest.fixture(name="said", scope="module")
def said_fixture(daemon, tmp_path_factory):
    """What each block with commands said."""
    for program in ("curl", "jq"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    folder = tmp_path_factory.mktemp("guide")
    port = daemon.api.rsplit(":", 1)[1]
    status, said, _ = run_page(PAGE, folder, {"7070": port}, {
        "KEYMETER_TOKEN": daemon.info["token"], "HOME": str(folder),
        "GOCACHE": str(SOURCE / "build" / "go"), "GOTOOLCHAIN": "local"})  # else each run compiles Go's own library
    shown = re.sub(r"_[0-9A-Za-z]{40,}", "_...", said)
    assert status == 0, shown[-3000:]
    assert not re.search(r'"(key|secret)":"?\s*km_live_\w{40}', said)  # no sample prints a secret
    return dict(re.findall(r"(?ms)^#### (\d+)\n(.*?)(?=^#### |\Z)", shown))


def output_of(said, part):
    """Of the block with these words."""
    [number] = [number for number, (how, _, text) in enumerate(blocks(PAGE))
                if how.startswith("sh") and part in text]
    return said[str(number)]


@pytest.mark.parametrize("program, command", CLIENTS)
def test_each_language_signs_up_and_asks(said, program, command):
    output = output_of(said, command)
    if "NOT RUN" in output:
        pytest.skip(f"NOT RUN: docs in {program}: no program {program} on the PATH")
    assert "VALID 999" in output.splitlines()  # Node 18 warns besides that its fetch is new


def test_the_other_samples_do_what_the_page_says(said):
    verdict = output_of(said, '"title": "Reports"')
    assert '"code":"VALID"' in verdict and '"used":6,"remaining":994' in verdict
    keys = output_of(said, "# all keys of a customer")
    assert '"title": "Reports"' in keys and '"title": ""' not in keys
    assert re.findall(r'"status": "rotating"|(?m:^(?:disabled|active|revoked)$)', keys) == [
        '"status": "rotating"', "disabled", "active", "revoked"]
    usage = output_of(said, "customers/python/usage")
    assert '"allowed":2,' in usage and '"used":6,"remaining":994' in usage
    assert output_of(said, "keys/import").split() == ["sk_live_4f", "VALID"]


def test_every_sample_is_marked():
    page = (SOURCE / "docs" / PAGE).read_text()
    marked = len(blocks(PAGE)) + len(blocks(PAGE, "not run")) + len(re.findall(r"(?m)^<!-- (?:body|answer): ", page))
    assert marked == len(re.findall(r"(?m)^```\w+$", page))
