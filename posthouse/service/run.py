"""Running an instance: which process runs what."""

from collections.abc import Callable

from posthouse.service import access_worker, keeper, mail_worker
from posthouse.service.master import Master, StartFailed
from posthouse.service.master_locks import AlreadyRunning

__all__ = ["AlreadyRunning", "StartFailed", "master"]

MAINS = {"mail": mail_worker.main, "access": access_worker.main, "keeper": keeper.main}


def master(directory: str, ready: Callable[[], None]) -> int:
    """The master's life. Raises AlreadyRunning, StartFailed, ConfigError, OSError."""
    return Master(directory, dict(MAINS), ready).run()
