"""The documents: links lead somewhere, JSON parses and agrees with openapi.json, pictures have their source."""

import functools
import json
import re
import subprocess
import sys
from urllib.parse import unquote

import jsonschema
import pytest
import sources
from sources import ROOT, where

PAGES = sources.tracked("*.md")
DOCUMENT = json.loads(sources.read(ROOT / "docs/openapi.json"))
OPERATIONS = {operation["operationId"]: operation for item in DOCUMENT["paths"].values()
              for operation in item.values() if isinstance(operation, dict) and "operationId" in operation}
FENCE = re.compile(r"(?ms)^( *)(```+|~~~+)(\w*)[^\n]*\n(.*?)^\1\2\s*$")
SAMPLE = re.compile(r"(?ms)^<!-- (body|answer): (\w+)(?: (\d+))? -->\n```json\n(.*?)^```$")


@functools.cache
def prose(path):
    """The page without fences and code, line by line where it was."""
    text = FENCE.sub(lambda found: "\n" * found[0].count("\n"), sources.read(path))
    return re.sub(r"`[^`\n]*`", lambda found: " " * len(found[0]), text)


@functools.cache
def anchors(path):
    """As GitHub makes them of headings: lower case, punctuation gone, blanks to hyphens, doubles numbered."""
    found, text = set(), FENCE.sub("", sources.read(path))
    for heading in re.findall(r"(?m)^#{1,6} +(.+?) *#*$", text):
        plain = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        name, number = slug, 0
        while name in found:
            number += 1
            name = f"{slug}-{number}"
        found.add(name)
    return found


def links(path):
    for number, line in enumerate(prose(path).split("\n"), 1):
        for target in re.findall(r"\]\(([^)\s]+)\)", line):
            yield number, target


def link_fault(path, target):
    if re.match(r"(https?|mailto):", target):
        return None
    name, _, anchor = unquote(target).partition("#")
    file = (path.parent / name).resolve() if name else path
    if not file.exists():
        return "is not there"
    if anchor and file.suffix == ".md" and anchor not in anchors(file):
        return "has no such heading"
    return None


def test_links_lead_somewhere():
    faults = [f"{where(path, number)}: {target} {fault}" for path in PAGES for number, target in links(path)
              if (fault := link_fault(path, target))]
    assert not faults, "\n".join(faults)


def test_the_rule_of_links_can_fail():
    page = ROOT / "docs/payments.md"
    assert link_fault(page, "no-such-page.md") and link_fault(page, "#no-such-heading")
    assert link_fault(page, "rotation.md#no-such-heading")
    assert not link_fault(page, "#paid-offline") and not link_fault(page, "rotation.md#the-outbox")


def test_json_parses():
    faults = []
    for path in PAGES:
        for indent, _, language, text in FENCE.findall(sources.read(path)):
            if language == "json":
                try:
                    json.loads(text)
                except ValueError as error:
                    faults.append(f"{where(path)}: {error}: {text[:60]}")
    assert not faults, "\n".join(faults)


def schema_of(kind, operation, status):
    """Of the body that is sent, or of an answer."""
    part = OPERATIONS[operation]
    part = part["requestBody"] if kind == "body" else part["responses"][status]
    while "$ref" in part:
        part = functools.reduce(lambda node, key: node[key], part["$ref"].removeprefix("#/").split("/"), DOCUMENT)
    [content] = part["content"].values()
    return {**content["schema"], "components": DOCUMENT["components"]}


def samples():
    return [pytest.param(*found, id=f"{path.name}-{found[1]}") for path in PAGES
            for found in SAMPLE.findall(sources.read(path))]


@pytest.mark.parametrize("kind, operation, status, text", samples())
def test_bodies_and_answers_are_as_documented(kind, operation, status, text):
    jsonschema.Draft202012Validator(schema_of(kind, operation, status)).validate(json.loads(text))


def test_the_rule_of_bodies_can_fail():
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema_of("body", "create_key", "")).validate({"customer": "acme"})


def test_the_json_is_made_from_the_yaml():
    done = subprocess.run([sys.executable, ROOT / "scripts" / "openapi", "--check"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
