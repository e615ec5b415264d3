"""A canary secret and a canary e-mail address are found nowhere on disk: not in the data directory,
its redo log, the daemon's log or what it prints, but for the file in which dev keeps its own key."""

from daemon import Daemon

EMAIL = "canary-4711@example.org"
NAME = "Canary Zwitscher"


def test_secret_email_and_name_are_nowhere(build_directory):
    daemon = Daemon(build_directory, ["log.level=debug"]).start()
    try:
        daemon.tier("wide", monthly_quota=None)
        made = daemon.signup("wide", email=EMAIL, name=NAME)
        secret = made["secret"]
        assert daemon.gate_until(secret).status == 200
        assert daemon.gate_until(secret[:-1] + "!").status == 401
        assert daemon.call("POST", "/v1/verify", {"key": secret}).json["valid"]
        assert daemon.call("POST", "/v1/keys/lookup", {"key": secret}).status == 200
        assert daemon.call("POST", "/v1/keys", {"customer_id": secret}).status in (404, 422)
        assert daemon.call("GET", f"/v1/keys?customer_id={secret}").status in (200, 404, 422)
        assert daemon.stop() == 0
        canaries = [text.encode() for text in (secret, secret[8:40], EMAIL, NAME)]
        for path in daemon.state.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                for canary in canaries:
                    assert canary not in content, f"{canary[:10]!r}... stands in {path.name}"
    finally:
        daemon.close()
