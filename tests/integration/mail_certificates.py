"""Certificates for the mail tests, by openssl: two CAs and what a relay may show."""

import subprocess

CA_CONFIG = """
[ca]
default_ca = own
[own]
database = {folder}/index
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
"""
NAMES = "DNS:localhost,IP:127.0.0.1"
LONG_AGO, SINCE = ("20200101000000Z", "20200201000000Z"), ("20200101000000Z", "20491231000000Z")


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Certificates:
    """ca, other_ca: files. good, wrong_name, expired, other, self_signed: (certificate, key)."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "index").touch()
        (folder / "ca.conf").write_text(CA_CONFIG.format(folder=folder))
        self.ca, self.ca_key = self.self_made("ca")
        self.other_ca, self.other_key = self.self_made("other-ca")
        self.good = self.signed("good", NAMES)
        self.wrong_name = self.signed("wrong-name", "DNS:relay.example.com")
        self.expired = self.signed("expired", NAMES, LONG_AGO)
        self.other = self.signed("other", NAMES, ca=(self.other_ca, self.other_key))
        self.self_signed = self.self_made("self", ["-addext", f"subjectAltName={NAMES}"])

    def self_made(self, name, more=()):
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-days", "30", "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(certificate), *more)
        return certificate, key

    def signed(self, name, names, period=SINCE, ca=None):
        ca_file, ca_key = ca or (self.ca, self.ca_key)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName = {names}\nextendedKeyUsage = serverAuth\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request))
        openssl("ca", "-batch", "-config", str(self.folder / "ca.conf"), "-in", str(request),
                "-cert", str(ca_file), "-keyfile", str(ca_key), "-out", str(certificate), "-notext",
                "-startdate", period[0], "-enddate", period[1], "-extfile", str(extensions))
        return certificate, key
