"""Secrets and links that went by mail: nowhere in clear but where they are read, looked for in the database's
files, its redo log, the daemon's folder and log, and in the caught mails."""

import mails
import rotations
from daemon import request, wait_for
from nodes import Cluster
from test_canary import body, sightings

NAME, ADDRESS = "Canary Bird of Mail", "canary-of-mail@example.com"


def test_what_went_by_mail_is_nowhere_in_clear(build_directory, tmp_path):
    folder = tmp_path / "mail"
    with mails.Gpg() as gpg, Cluster(build_directory, "one", more=[
            f"mail.url=maildir:{folder}", "mail.from=keys@example.com", "log.level=debug"]) as cluster:
        node, box = cluster.nodes[0], mails.Maildir(folder)
        node.tier("many", max_keys=10)
        made = node.signup("many", email=ADDRESS, name=NAME, deliver="email", openpgp_key=gpg.public)
        key = made["key"]["id"]
        wait_for(lambda: len(box.files()) == 1, "the first mail")
        node.must("POST", f"/v1/keys/{key}/regenerate", {"deliver": "email"})
        rotations.make_due(cluster, key)  # a notice, and then an encrypted rotation by itself
        wait_for(lambda: rotations.mails(cluster).get("rotation_upcoming"), "the notice")
        mails.all_sent(cluster)
        rotations.make_due(cluster, key)
        wait_for(lambda: rotations.mails(cluster).get("rotated"), "the rotation")
        mails.all_sent(cluster)
        read = [mails.text_of(gpg.read(path.read_bytes())) for path in box.files()]
        secrets = [secret for secret in map(mails.secret_of, read) if secret]
        assert len(secrets) == 3 and node.must("POST", "/v1/verify", {"key": secrets[-1]})["valid"]
        assert sightings(folder, [body(secret) for secret in secrets]) == []
        # Links: in their own mail alone, and the secret behind one in the answer alone.
        other = node.signup("many", email="b@example.com", deliver="email")["key"]["id"]
        def link():
            texts = [mails.text_of(mail) for mail in box.mails() if "b@example.com" in mail["To"]]
            return texts and mails.token_of(texts[0])
        token = wait_for(link, "the link")
        assert request(node.api, "POST", "/v1/claims/reveal", {"token": token}).json["key_id"] == other
        assert node.stop() == 0
        cluster.database.stop()
        hidden = [*map(body, [*secrets, token]), NAME, ADDRESS, gpg.public.splitlines()[5]]
        assert sightings(cluster.database.directory, hidden) == []
        assert sightings(cluster.folder, hidden) == []
        cluster.nodes.clear()
