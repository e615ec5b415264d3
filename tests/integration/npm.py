"""Files of npm packages that tests look through: fetched once into build/npm; without npm the totals say NOT RUN."""

import fcntl
import shutil
import subprocess

import pytest


def package_file(source_directory, package, name):
    """The text of a file of "package@version". Test files that run at once fetch one after the other."""
    own, version = package.split("@")
    folder = source_directory / "build" / "npm"
    path = folder / "node_modules" / own / name
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists() and not shutil.which("npm"):
            pytest.skip(f"NOT RUN: {own}: no npm on the PATH")
        if not path.exists():
            subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix",
                            str(folder), f"{own}@{version}"], capture_output=True, timeout=120, check=False)
        if not path.exists():
            pytest.skip(f"NOT RUN: {own}: npm cannot fetch it")
    return path.read_text()
