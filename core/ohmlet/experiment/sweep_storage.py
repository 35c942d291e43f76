"""The database that a sweep's study lives in: SQLite in the output folder, or any that SQLAlchemy knows by its URL."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from ohmlet.errors import ConfigError, shortened

__all__ = ["first_line", "imported_optuna", "opened", "safe", "url_of"]

HEARTBEAT = 10
"""Seconds between signs of life of a trial."""
GRACE = 60
"""Seconds without one after which it is taken for dead, whichever machine it ran on."""


def url_of(folder: Path, storage: str | None) -> str:
    """Return the storage's URL: the one given, or SQLite in the output folder."""
    return storage or f"sqlite:///{(folder / 'study.db').resolve()}"


def imported_optuna() -> Any:
    """Return the library, quiet; raises ConfigError when it is not installed."""
    try:
        import optuna
    except ImportError:
        raise ConfigError("sweeps run through Optuna, which is not installed: pip install 'ohmlet[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def opened(url: str) -> Any:
    """Return the storage at a URL; raises ConfigError with the reason, and without the password, when it cannot be had."""
    optuna = imported_optuna()
    from sqlalchemy import event

    lite = url.startswith("sqlite")
    if "://" not in url:
        raise ConfigError(f"--storage is the URL of a database, such as postgresql://user@host/database, got {shortened(url)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = optuna.storages.RDBStorage(
                url,
                engine_kwargs={"connect_args": {"timeout": 60}} if lite else {"pool_pre_ping": True},
                heartbeat_interval=HEARTBEAT,
                grace_period=GRACE,
            )
    except Exception as error:
        raise ConfigError(f"--storage {safe(url)} does not work: {first_line(error)}") from error
    if lite:
        # SQLite has no locks of rows: unless a transaction is a writer's from its beginning, two processes take the same trial.
        @event.listens_for(storage.engine, "connect")
        def _(connection: Any, _: Any) -> None:
            connection.isolation_level = None

        @event.listens_for(storage.engine, "begin")
        def _(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        storage.remove_session()
        storage.engine.dispose()
    return storage


def safe(url: str) -> str:
    """Return a URL without its password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return f"{url.partition('://')[0]}://..."


def first_line(error: BaseException) -> str:
    """Return an error in a line."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
