"""A real Postfix for tests: a private instance with queue, ports, certificate and maildirs of its own in
a temporary folder. Postfix's master runs as root only: with sudo it is started by that."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from daemon import wait_for
from gateway_docs import find_program, listen_port

SERVICES = """
{smtp}     inet  n - n - - smtpd
{smtps}    inet  n - n - - smtpd -o smtpd_tls_wrappermode=yes
{login}    inet  n - n - - smtpd -o smtpd_sasl_auth_enable=yes -o smtpd_client_restrictions=permit_sasl_authenticated,reject
cleanup    unix  n - n - 0 cleanup
qmgr       unix  n - n 300 1 qmgr
rewrite    unix  - - n - - trivial-rewrite
bounce     unix  - - n - 0 bounce
defer      unix  - - n - 0 bounce
trace      unix  - - n - 0 bounce
verify     unix  - - n - 1 verify
error      unix  - - n - - error
retry      unix  - - n - - error
discard    unix  - - n - - discard
virtual    unix  - n n - - virtual
anvil      unix  - - n - 1 anvil
tlsmgr     unix  - - n 1000? 1 tlsmgr
scache     unix  - - n - 1 scache
proxymap   unix  - - n - - proxymap
postlog    unix-dgram n - n - 1 postlogd
"""

SETTINGS = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = relay.example.com
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
local_recipient_maps =
mynetworks = 127.0.0.0/8
smtpd_recipient_restrictions = check_recipient_access inline:{{{{later@example.com=450 4.2.0 greylisted}}}},
  check_recipient_access inline:{{{{nobody@example.com=550 5.1.1 user unknown}}}}, reject_unauth_destination
smtpd_relay_restrictions = reject_unauth_destination
virtual_mailbox_domains = example.com
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{user}
virtual_gid_maps = static:{group}
virtual_minimum_uid = 1
transport_maps = inline:{{{{discard@example.com=discard:}}}}
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = encrypt
smtpd_tls_loglevel = 1
smtpd_client_connection_rate_limit = 0
smtpd_tls_auth_only = yes
smtpd_sasl_local_domain = example.com
"""

# Cyrus SASL reads its users from a file of its own (saslpasswd2); Debian's Postfix looks for this in config/sasl.
SASL = """\
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {folder}/users
mech_list: PLAIN LOGIN
"""


def missing():
    """Why there can be no Postfix here, or None."""
    if not find_program("postfix"):
        return "no program postfix on the PATH"
    if os.getuid() != 0:
        sudo = shutil.which("sudo")
        if not sudo or subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode:
            return "its master runs as root only, and there is no sudo without a password"
    return None


class Postfix:
    def __init__(self, certificate):
        self.folder = Path(tempfile.mkdtemp(prefix="keymeter-postfix-"))
        self.folder.chmod(0o755)  # Postfix's own user passes through
        self.root = [] if os.getuid() == 0 else ["sudo", "-n"]
        # Mails belong to whoever reads them here; Postfix delivers to nobody as root.
        owner = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        self.smtp, self.smtps, self.login = listen_port(), listen_port(), listen_port()
        for part in ("config", "config/sasl", "queue", "data", "mail"):
            (self.folder / part).mkdir()
        os.chown(self.folder / "mail", owner.pw_uid, owner.pw_gid)
        self._as_root("chown", pwd.getpwnam("postfix").pw_name, self.folder / "data")
        for file, name in zip(certificate, ("certificate", "key")):
            shutil.copy(file, self.folder / name)
        values = {"folder": self.folder, "smtp": f"127.0.0.1:{self.smtp}", "smtps": f"127.0.0.1:{self.smtps}",
                  "login": f"127.0.0.1:{self.login}", "certificate": self.folder / "certificate", "key": self.folder / "key",
                  "user": owner.pw_uid, "group": owner.pw_gid}
        (self.folder / "config" / "main.cf").write_text(SETTINGS.format(**values))
        (self.folder / "config" / "master.cf").write_text(SERVICES.format(**values))
        (self.folder / "config" / "sasl" / "smtpd.conf").write_text(SASL.format(**values))
        self._as_root("chown", "-R", "root:root", self.folder / "config", self.folder / "queue")

    def _as_root(self, *command, check=True, told=None):
        command = [*self.root, *map(str, command)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, input=told)
        assert not check or done.returncode == 0, (command, done.stdout, done.stderr, self.log()[-3000:])

    def add_user(self, name, password):
        """Who may log in at the port `login`."""
        self._as_root(find_program("saslpasswd2"), "-p", "-c", "-f", self.folder / "users", "-u", "example.com", name,
                      told=password)
        self._as_root("chown", pwd.getpwnam("postfix").pw_name, self.folder / "users")

    def _postfix(self, verb, check=True):
        self._as_root(find_program("postfix"), "-c", self.folder / "config", verb, check=check)

    def start(self):
        self._postfix("start")
        return self

    def stop(self):
        self._postfix("stop", check=False)

    def log(self):
        path = self.folder / "log"
        if not path.exists():
            return ""
        return subprocess.run([*self.root, "cat", str(path)], capture_output=True, text=True, check=False).stdout

    def close(self):
        self.stop()
        self._as_root("rm", "-rf", "--one-file-system", self.folder)

    # ---- what was delivered ----

    def mails(self):
        """The raw bytes of each delivered mail, headers of Postfix's own first."""
        folder = self.folder / "mail" / "all" / "new"
        if not folder.exists():
            return []
        return [path.read_bytes() for path in sorted(folder.iterdir())]

    def wait_for_mails(self, count):
        return wait_for(lambda: (found := self.mails()) and len(found) >= count and found,
                        f"{count} mails: {self.log()[-3000:]}")
