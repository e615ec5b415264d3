"""The maildir transport: whole mails with names of their own, for their owner alone."""

import stat
import subprocess

from daemon import wait_for
from mail_driver import MESSAGE, SENDER, MailDriver


def mails(folder):
    return sorted((folder / "new").iterdir())


def test_mails_are_files(build_directory, tmp_path):
    folder = tmp_path / "mail"
    message = MESSAGE + b".\r\n..\r\nGr\xc3\xbc\xc3\x9fe\r\n" + b"x" * 990 + b"\r\nno line end"
    with MailDriver(build_directory, url=f"maildir:{folder}") as driver:
        assert driver.send(message=message) == ("accepted", 0, "")
        assert driver.send(to="b\r")[0] == "invalid"
        assert driver.send(message=b"a\nb")[0] == "invalid"
    path, = mails(folder)
    assert path.read_bytes() == message.replace(b"\r\n", b"\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for part in (folder, folder / "tmp", folder / "new", folder / "cur"):
        assert stat.S_IMODE(part.stat().st_mode) == 0o700
    assert not list((folder / "tmp").iterdir()) and not list((folder / "cur").iterdir())
    time, unique, host = path.name.split(".", 2)
    assert time.isdigit() and unique.startswith("M") and host and "/" not in host and ":" not in host


def test_many_mails_have_many_names(build_directory, tmp_path):
    folder, message = tmp_path / "mail", tmp_path / "message"
    message.write_bytes(MESSAGE)
    drivers = [MailDriver(build_directory, url=f"maildir:{folder}", queue=7) for _ in range(2)]
    try:
        for driver in drivers:
            driver.tell(f"flood 500 {SENDER} a@example.com {message}")
        for driver in drivers:
            wait_for(lambda: driver.flood_result, "the flood")  # noqa: B023
            assert driver.flood_result["accepted"] == 500
    finally:
        for driver in drivers:
            driver.close()
    assert len(mails(folder)) == 1000
    assert {path.read_bytes() for path in mails(folder)} == {MESSAGE.replace(b"\r\n", b"\n")}
    assert not list((folder / "tmp").iterdir())


def test_a_maildir_that_takes_nothing(build_directory, tmp_path):
    folder = tmp_path / "mail"
    with MailDriver(build_directory, url=f"maildir:{folder}") as driver:
        assert driver.send()[0] == "accepted"
        (folder / "new").rename(folder / "elsewhere")
        result, _, why = driver.send()
        assert result == "temporary" and "new/" in why
        assert not list((folder / "tmp").iterdir())
        (folder / "tmp").rename(folder / "old")
        result, _, why = driver.send()
        assert result == "temporary" and "tmp/" in why
        (folder / "elsewhere").rename(folder / "new")
        (folder / "old").rename(folder / "tmp")
        assert driver.send()[0] == "accepted"
    assert len(mails(folder)) == 2


def test_a_stop_ends_what_waits(build_directory, tmp_path):
    folder, message = tmp_path / "mail", tmp_path / "message"
    message.write_bytes(MESSAGE)
    driver = MailDriver(build_directory, url=f"maildir:{folder}", queue=1000)
    try:
        driver.tell(f"flood 1000 {SENDER} a@example.com {message}")
        assert driver.stop() == 0
        assert driver.flood_result["accepted"] + driver.flood_result["other"] == 1000
        assert len(mails(folder)) == driver.flood_result["accepted"]
        assert not list((folder / "tmp").iterdir())
    finally:
        driver.close()


def test_a_maildir_that_cannot_be_made(build_directory, tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "no" / "such" / "parent", tmp_path / "file"):
        command = [build_directory / "mail_driver", f"mail.url=maildir:{path}", "mail.from=a@example.com"]
        said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert said.returncode == 2 and "mail.url" in said.stderr and str(path) in said.stderr
