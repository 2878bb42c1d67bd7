"""Ports and signals of a command that runs until somebody stops it."""

from __future__ import annotations

import errno
import signal
import socket
from typing import NoReturn

from local.sam import CloudError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop(BaseException):
    """A signal asks this process to end."""


def stop_on_signals() -> None:
    """Have Ctrl-C and the like raise Stop, once: what follows has to come to its end."""
    for number in SIGNALS:
        signal.signal(number, _stop)


def _stop(*_: object) -> NoReturn:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    print("\nStopping ...", flush=True)
    raise Stop


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def check_port(port: int, other: str) -> None:
    """Raises CloudError, with the command `other` for another port, where nothing can listen on this one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = "is in use, by another program or by another `make run`"
            if error.errno == errno.EACCES:
                reason = "needs the rights of root, as ports below 1024 do"
            raise CloudError(f"Port {port} {reason}.\nChoose another one: {other}") from None
