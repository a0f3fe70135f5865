"""An OpenSSH server on loopback, with a key of its own: a board behind a remote."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

# Reached only where sshd hangs.
MOST_SECONDS = 300.0
SERVER = shutil.which("sshd") or "/usr/sbin/sshd"
INSTALL = "apt-get install -y --no-install-recommends openssh-server openssh-client"


@dataclass(frozen=True)
class Server:
    """A running server. `home` is where a login lands; `config` is for ssh -F, with the hosts
    `board`, `stranger` (a key that the server does not know) and `nobody` (a port without one)."""

    home: Path
    config: Path
    process: subprocess.Popen[bytes]

    def spec(self, host: str = "board", **more: str) -> str:
        """An execnet spec of a board behind it."""
        given = {"ssh": host, "ssh_config": str(self.config), "python": "python3", **more}
        return "//".join(f"{key}={value}" for key, value in given.items())

    def lose_connections(self) -> None:
        """Kill what serves those that are logged in, as a cable that is pulled."""
        own = self.process.pid
        for line in Path(f"/proc/{own}/task/{own}/children").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(line), 9)


@contextmanager
def sshd(folder: Path) -> Iterator[Server]:
    """A server with its files in `folder`; skipped where there is no sshd, but failed in CI."""
    if not Path(SERVER).exists() or not shutil.which("ssh"):
        missing = f"no OpenSSH server and client here: {INSTALL}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    for name in ("host", "known", "unknown"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(make, check=True)
    home = folder / "home"
    home.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nPidFile none\n"
        f"AuthorizedKeysFile {folder / 'known.pub'}\nStrictModes no\nUsePAM no\n"
        f"PasswordAuthentication no\nPermitRootLogin prohibit-password\nSetEnv HOME={home}\n"
    )
    common = (
        f"HostName 127.0.0.1\nUser {getpass.getuser()}\nStrictHostKeyChecking no\n"
        "UserKnownHostsFile /dev/null\nIdentitiesOnly yes\nIdentityAgent none\nLogLevel ERROR\n"
    )
    (folder / "ssh_config").write_text(
        f"Host board\nPort {port}\nIdentityFile {folder / 'known'}\n{common}"
        f"Host stranger\nPort {port}\nIdentityFile {folder / 'unknown'}\n{common}"
        f"Host nobody\nPort 1\nIdentityFile {folder / 'known'}\n{common}"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd gives up its privileges
    with (folder / "sshd.log").open("wb") as log:
        process = subprocess.Popen(
            [SERVER, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log, stdin=-3
        )
    try:
        _await(port, process, folder / "sshd.log")
        yield Server(home, folder / "ssh_config", process)
    finally:
        process.terminate()
        process.wait(timeout=MOST_SECONDS)


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + MOST_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    pytest.fail(f"sshd did not start: {log.read_text()}")
