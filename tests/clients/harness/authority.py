"""A certificate authority made for one run, which every client must trust."""

import subprocess
from pathlib import Path


class Authority:
    """A throw-away P-256 authority that issues the server's certificate."""

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

    def issue(self, domain: str) -> tuple[Path, Path]:
        """Returns the paths of a certificate for `domain` and of its key, both PEM."""
        certificate, key = self.folder / f"{domain}.pem", self.folder / f"{domain}.key"
        request, extensions = self.folder / f"{domain}.csr", self.folder / f"{domain}.ext"
        extensions.write_text(f"subjectAltName=DNS:{domain}\nextendedKeyUsage=serverAuth\n")
        self._openssl(
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={domain}", "-keyout", key, "-out", request,
        )
        self._openssl(
            "x509", "-req", "-days", "2", "-sha256", "-in", request, "-CA", self.certificate,
            "-CAkey", self._key, "-CAcreateserial", "-extfile", extensions, "-out", certificate,
        )
        return certificate, key

    @staticmethod
    def _openssl(*arguments):
        command = ["openssl", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
