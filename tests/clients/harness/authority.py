"""A certificate authority made for one run, which every client must trust."""

import subprocess
from pathlib import Path


class Authority:
    """A throw-away P-256 authority that issues certificates for servers and users."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", "2", "-subj", "/CN=Test authority", "-keyout", self._key,
            "-out", self.certificate,
        )

    def server(self, domain: str, *, client_auth: bool = False) -> tuple[Path, Path]:
        """Returns the paths of a certificate for `domain` and its rooms and of its key, both PEM."""
        usage = "serverAuth, clientAuth" if client_auth else "serverAuth"
        names = f"DNS:{domain}, DNS:rooms.{domain}"
        return self._issue(domain, f"subjectAltName={names}\nextendedKeyUsage={usage}\n")

    def self_signed(self, domain: str) -> tuple[Path, Path]:
        """The same for a domain that has signed for itself, which says nothing of it."""
        certificate, key = self.folder / f"{domain}.pem", self.folder / f"{domain}.key"
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", "2", "-subj", f"/CN={domain}", "-addext", f"subjectAltName=DNS:{domain}",
            "-keyout", key, "-out", certificate,
        )
        return certificate, key

    def client(self, jid: str) -> tuple[Path, Path]:
        """The same for a user, who is named as XEP-0178 wants it: id-on-xmppAddr."""
        name = f"otherName:1.3.6.1.5.5.7.8.5;UTF8:{jid}"
        return self._issue(jid, f"subjectAltName={name}\nextendedKeyUsage=clientAuth\n")

    def _issue(self, name: str, extensions: str) -> tuple[Path, Path]:
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        request, extra = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extra.write_text(extensions)
        self._openssl(
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={name}", "-keyout", key, "-out", request,
        )
        self._openssl(
            "x509", "-req", "-days", "2", "-sha256", "-in", request, "-CA", self.certificate,
            "-CAkey", self._key, "-CAcreateserial", "-extfile", extra, "-out", certificate,
        )
        return certificate, key

    @staticmethod
    def _openssl(*arguments):
        command = ["openssl", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
