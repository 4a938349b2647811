"""The state of the local node in one SQLite file: accounts, contracts, storage pages.

Everything that one command changes is one transaction: all of it is committed or, if the command
fails or is interrupted, none. SQLite allows one writer at a time; readers see the last commit.
"""

from __future__ import annotations

import errno
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from genvm_manager.protocol.calldata import Address
from genvm_manager.protocol.host.messages import SLOT_SIZE

from .errors import LocalNodeFailed

PAGE_SIZE = 32
DEFAULT_SENDER = Address("0x1000000000000000000000000000000000000001")
"""The account that commands use by default; it exists from the start."""

DEFAULT_BALANCE = 10**24
"""The first balance of the default sender, in the smallest unit (10**18 are one GEN)."""

_SCHEMA = """
CREATE TABLE accounts (
    address BLOB PRIMARY KEY,
    balance BLOB NOT NULL,
    nonce INTEGER NOT NULL,
    is_contract INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE pages (
    address BLOB NOT NULL,
    slot BLOB NOT NULL,
    number INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (address, slot, number)
) WITHOUT ROWID;
"""
_UPGRADES = (
    _SCHEMA,
    "ALTER TABLE accounts ADD COLUMN major INTEGER NOT NULL DEFAULT 0",
    "",
    "ALTER TABLE accounts ADD COLUMN file_name TEXT",
)
"""The n-th upgrades version n to n + 1; before the second one, all contracts were of major 0."""

_STORAGE_LAYOUT = 3
"""From this version on Python contracts are laid out as in docs/spec/08-storage-layout.md."""


class InsufficientBalance(Exception):
    """An account has less than the amount to take from it."""


class Ledger:
    """An open ledger. Use it inside `reading` or `writing`.

    Its methods may be called from several threads: the thread that answers the executor reads what
    the command's own thread has written so far.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or create it. Raises `LocalNodeFailed`."""
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Two processes that open a new file at once would fail at the change to WAL.
            with FileLock(f"{path}.lock"):
                self._connection = _connect(path)
                self._prepare(path)
        except (OSError, sqlite3.Error) as error:
            raise LocalNodeFailed(
                f"the local node cannot be kept in {path}: {_why(error)}"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _prepare(self, path: Path) -> None:
        version = self._version()
        if version > len(_UPGRADES):
            self.close()
            raise LocalNodeFailed(
                f"{path} has schema {version}, this program knows up to {len(_UPGRADES)}: use the "
                "program that wrote it, or remove the file to start afresh"
            )
        if 0 < version < _STORAGE_LAYOUT and self._row("SELECT 1 FROM pages LIMIT 1"):
            self.close()
            raise LocalNodeFailed(
                f"{path} holds contracts whose storage is laid out as older versions did it, and "
                "this version would misread them: move the file away and deploy them again, or use "
                "the version that wrote it"
            )
        # Only now: a file of another version must not be changed.
        self._execute("PRAGMA journal_mode = WAL")
        if version < len(_UPGRADES):
            with self.writing():
                self._upgrade(version)

    def _version(self) -> int:
        return int(self._execute("PRAGMA user_version").fetchone()[0])

    def _upgrade(self, version: int) -> None:
        for statement in filter(str.strip, ";".join(_UPGRADES[version:]).split(";")):
            self._execute(statement)
        if version == 0:
            self.credit(DEFAULT_SENDER, DEFAULT_BALANCE)
        self._execute(f"PRAGMA user_version = {len(_UPGRADES)}")

    # ------------------------------------------------------------------------- transactions

    @contextmanager
    def writing(
        self, timeout: float = 600.0, on_wait: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Be the only writer; commit at the end, roll back on any exception.

        Call `on_wait` if another command is writing. Raises `LocalNodeFailed` if it still is after
        `timeout` seconds.
        """
        if not self._begin(0.2):
            on_wait()
            if not self._begin(timeout):
                raise LocalNodeFailed(
                    f"another command has been using the local node for {timeout:.0f} s; "
                    "wait for it or stop it"
                )
        with self._ending("COMMIT"):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See one consistent state, whatever other commands write meanwhile."""
        self._execute("BEGIN")
        with self._ending("ROLLBACK"):
            yield

    def _begin(self, timeout: float) -> bool:
        self._execute(f"PRAGMA busy_timeout = {int(timeout * 1000)}")
        try:
            self._execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            return False
        return True

    @contextmanager
    def _ending(self, ending: str) -> Iterator[None]:
        try:
            yield
            self._execute(ending)
        except BaseException:
            if self._connection.in_transaction:
                self._execute("ROLLBACK")
            raise

    # ----------------------------------------------------------------------------- accounts

    def balance(self, address: Address) -> int:
        """Return the balance of an account; 0 for an unknown one."""
        row = self._row("SELECT balance FROM accounts WHERE address = ?", bytes(address))
        return int.from_bytes(row[0], "big") if row else 0

    def credit(self, address: Address, amount: int) -> None:
        """Add `amount` to the account."""
        self._set_balance(address, self.balance(address) + amount)

    def debit(self, address: Address, amount: int) -> None:
        """Take `amount` from the account. Raises `InsufficientBalance` without taking anything."""
        balance = self.balance(address)
        if amount > balance:
            raise InsufficientBalance(f"{address} has {balance}, not {amount}")
        self._set_balance(address, balance - amount)

    def _set_balance(self, address: Address, balance: int) -> None:
        self._touch(address)
        self._execute(
            "UPDATE accounts SET balance = ? WHERE address = ?",
            balance.to_bytes(32, "big"),
            bytes(address),
        )

    def nonce(self, address: Address) -> int:
        """Return how many deployments the account has made."""
        row = self._row("SELECT nonce FROM accounts WHERE address = ?", bytes(address))
        return int(row[0]) if row else 0

    def raise_nonce(self, address: Address) -> None:
        """Count one more deployment by this account."""
        self._touch(address)
        self._execute("UPDATE accounts SET nonce = nonce + 1 WHERE address = ?", bytes(address))

    def is_contract(self, address: Address) -> bool:
        """Return whether a contract was deployed at this address."""
        row = self._row("SELECT is_contract FROM accounts WHERE address = ?", bytes(address))
        return bool(row and row[0])

    def add_contract(self, address: Address, major: int, file_name: str | None = None) -> None:
        """Record a contract of this public-ABI major, from the file of this name, at an address."""
        self._touch(address)
        self._execute(
            "UPDATE accounts SET is_contract = 1, major = ?, file_name = ? WHERE address = ?",
            major,
            file_name,
            bytes(address),
        )

    def major(self, address: Address) -> int:
        """Return the public-ABI major that the contract at this address was deployed with."""
        row = self._row("SELECT major FROM accounts WHERE address = ?", bytes(address))
        return int(row[0]) if row else 0

    def file_name(self, address: Address) -> str | None:
        """Return the name of the file that a contract was deployed from, where it is known."""
        row = self._row("SELECT file_name FROM accounts WHERE address = ?", bytes(address))
        return row[0] if row else None

    def _touch(self, address: Address) -> None:
        self._execute(
            "INSERT OR IGNORE INTO accounts VALUES (?, x'00', 0, 0, 0, NULL)",
            bytes(address),
        )

    # ------------------------------------------------------------------------------ storage

    def read_storage(self, address: Address, slot: bytes, offset: int, length: int) -> bytes:
        """Return `length` bytes of a slot from byte `offset` on; unwritten bytes are 0."""
        first, last = offset // PAGE_SIZE, (offset + length - 1) // PAGE_SIZE
        content = bytearray((last - first + 1) * PAGE_SIZE)
        rows = self._rows(
            "SELECT number, content FROM pages "
            "WHERE address = ? AND slot = ? AND number BETWEEN ? AND ?",
            bytes(address),
            slot,
            first,
            last,
        )
        for number, page in rows:
            start = (number - first) * PAGE_SIZE
            content[start : start + PAGE_SIZE] = page
        start = offset - first * PAGE_SIZE
        return bytes(content[start : start + length])

    def write_pages(self, address: Address, changes: Iterable[tuple[bytes, bytes]]) -> None:
        """Store pages under their keys: slot 32 + page number u32 big-endian.

        Source: docs/spec/04-executor.md#the-result.
        """
        rows = [
            (bytes(address), key[:SLOT_SIZE], int.from_bytes(key[SLOT_SIZE:], "big"), page)
            for key, page in changes
        ]
        with self._lock:
            self._connection.executemany("INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?)", rows)

    # -------------------------------------------------------------------------------- SQLite

    def _execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        with self._lock:
            return self._connection.execute(statement, values)

    def _row(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        rows = self._rows(statement, *values)
        return rows[0] if rows else None

    def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _why(error: OSError | sqlite3.Error) -> str:
    """Return the reason and what to do."""
    if isinstance(error, OSError):
        reason, is_full = error.strerror, error.errno in (errno.ENOSPC, errno.EDQUOT)
    else:
        reason, is_full = str(error), getattr(error, "sqlite_errorname", None) == "SQLITE_FULL"
    step = "free space on its disk" if is_full else "let this user write it, or move it away"
    return f"{reason}; {step}, or name another state folder by --state-dir"
