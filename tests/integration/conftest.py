"""What the integration tests share: where the programs are, and a private MariaDB.

Run: python3 -m pytest tests/integration. KEYMETER_BUILD names the build (default build/dev).
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from browser import Browser  # noqa: E402
from daemon import Daemon, mask  # noqa: E402
from mariadb import Mariadb  # noqa: E402
from npm import package_file  # noqa: E402

SOURCE = Path(__file__).resolve().parents[2]

DATA = "KEYMETER_TEST_DATA"


def pytest_configure(config):
    """Where mariadb.make_data keeps what the databases of this run are copied from; xdist's workers inherit it."""
    if DATA not in os.environ:
        config.test_data = os.environ[DATA] = tempfile.mkdtemp(prefix="km-data-")


# These take minutes: begun last, one of them would be waited for alone (xdist hands out files in this order).
LONGEST = ("test_rotation_kill", "test_payment_kill", "test_rotation", "test_admin", "test_admin_page", "test_canary",
           "test_portal_page", "test_mailer_kill")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    """What a failure shows of arguments and answers is shown without the secrets in them."""
    outcome = yield
    report = outcome.get_result()
    text = report.longreprtext
    if report.failed and text and mask(text) != text:
        report.longrepr = mask(text)


def pytest_unconfigure(config):
    if hasattr(config, "test_data"):
        shutil.rmtree(os.environ.pop(DATA), ignore_errors=True)


@pytest.fixture(scope="session")
def source_directory():
    return SOURCE


@pytest.fixture(scope="session")
def build_directory():
    path = Path(os.environ.get("KEYMETER_BUILD", SOURCE / "build" / "dev"))
    if not path.is_dir():
        pytest.fail(f"{path} is missing: build first (cmake --preset dev && ninja -C build/dev)")
    return path


@pytest.fixture(scope="module")
def mariadb():
    """One server for a module, with an empty schema."""
    server = Mariadb()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="module")
def daemon(build_directory):
    """One `keymeterd dev` for a module; it must end cleanly."""
    running = Daemon(build_directory)
    try:
        yield running.start()
        assert running.stop() == 0, running.log()[-4000:]
    finally:
        running.close()


@pytest.fixture(scope="session")
def browser():
    """One for all tests; its pages share nothing."""
    running = Browser()
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(scope="session")
def axe():
    """The text of axe-core (accessibility.serious)."""
    return package_file(SOURCE, "axe-core@4.14.1", "axe.min.js")
