"""`scripts/site`: the pages are built by one command, every link and picture leads somewhere, nothing comes from
elsewhere."""

import html.parser
import re
import shutil
import subprocess
from urllib.parse import unquote

import pytest
from sources import ROOT


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loads, self.titles, self.alts, self.doubles = set(), [], [], 0, [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if "id" in attrs:
            if attrs["id"] in self.ids:
                self.doubles.append(attrs["id"])
            self.ids.add(attrs["id"])
        if tag == "a" and "href" in attrs:
            self.links.append(attrs["href"])
        if tag in ("img", "script", "iframe"):
            self.loads.append(attrs.get("src", ""))
        if tag == "link":
            self.loads.append(attrs["href"])
        if tag == "img":
            self.alts.append(attrs.get("alt"))
        self.titles += tag == "title"


@pytest.fixture(name="site", scope="module")
def site_fixture(tmp_path_factory):
    """{path below the site: page}"""
    if not shutil.which("cmark-gfm"):
        pytest.skip("NOT RUN: site: cmark-gfm is not installed")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run([ROOT / "scripts/site", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, {path: Page(path.read_text()) for path in folder.rglob("*.html") if "files/templates" not in str(path)}


def test_every_link_leads_somewhere(site):
    _, pages = site
    faults = []
    for path, page in pages.items():
        for link in page.links + page.loads:
            if re.match(r"https?:|mailto:", link):
                continue
            name, _, anchor = unquote(link).partition("#")
            target = (path.parent / name).resolve() if name else path
            if not target.is_file():
                faults.append(f"{path.name}: {link} is not there")
            elif anchor and target in pages and anchor not in pages[target].ids:
                faults.append(f"{path.name}: {link} has no such heading")
    assert not faults, "\n".join(faults)


def test_every_page_of_the_docs_is_there_and_in_the_menu(site):
    folder, pages = site
    menu = {(folder / link).resolve() for link in pages[folder / "index.html"].links if not re.match(r"\w+:|#", link)}
    for page in (ROOT / "docs").glob("*.md"):
        built = folder / ("index.html" if page.name == "README.md" else page.stem + ".html")
        assert built in pages, page.name
        assert built in menu or page.name == "README.md", f"{page.name} is not in docs/README.md"


def test_nothing_is_loaded_from_elsewhere(site):
    folder, pages = site
    loads = {load for page in pages.values() for load in page.loads}
    assert loads and not [load for load in loads if re.match(r"(\w+:)?//|data:", load) or load.endswith(".js")]
    styles = "".join(path.read_text() for path in folder.glob("static/*.css"))
    assert "prefers-color-scheme: dark" in styles and not re.search(r"@import|url\(", styles)


def test_pages_are_whole(site):
    _, pages = site
    for path, page in pages.items():
        assert page.titles == 1 and "main" in page.ids, path
        assert not page.doubles, (path, page.doubles)
        assert None not in page.alts, path
        assert not re.search(r"@[A-Z]+@|raw HTML omitted", path.read_text()), path


def test_pictures_are_drawn_of_their_source():
    done = subprocess.run([ROOT / "scripts/diagrams", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
