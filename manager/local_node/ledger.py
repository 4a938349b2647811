"""The state of the local node in one SQLite file: accounts, contracts, storage pages.

All that one command does is one transaction: it happens as a whole or, when the command fails or
is interrupted, not at all. SQLite lets in one writer at a time; readers see the last whole state.
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

PAGE_SIZE = 32
SLOT_SIZE = 32

DEFAULT_SENDER = Address("0x1000000000000000000000000000000000000001")
"""The account that commands use unless they name another; it exists from the start."""

DEFAULT_BALANCE = 10**24
"""What the default sender starts with, in the smallest unit (10**18 make one GEN)."""

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
_UPGRADES = (_SCHEMA, "ALTER TABLE accounts ADD COLUMN major INTEGER NOT NULL DEFAULT 0")
"""The n-th makes version n + 1 of version n; before the second, all contracts were of major 0."""


class LedgerBusy(Exception):
    """Another command has been writing for longer than this one was willing to wait."""


class LedgerUnusable(Exception):
    """The file is no ledger that this version reads, or it cannot be written."""


class InsufficientBalance(Exception):
    """An account was asked for more than it has."""


class Ledger:
    """An open ledger. Reads and writes need `reading` or `writing` around them.

    Its methods may be called from several threads: the one that answers the executor reads what
    the command's own thread has written so far.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, created when it is not there. Raises `LedgerUnusable`."""
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Two that open a new file at once would trip over each other's change to WAL.
            with FileLock(f"{path}.lock"):
                self._connection = _connect(path)
                self._prepare(path)
        except (OSError, sqlite3.Error) as error:
            raise LedgerUnusable(
                f"the local node cannot be kept in {path}: {_why(error)}"
            ) from error

    def close(self) -> None:
        self._connection.close()

    def _prepare(self, path: Path) -> None:
        version = self._version()
        if version > len(_UPGRADES):
            self.close()
            raise LedgerUnusable(
                f"{path} has schema {version}, this program knows up to {len(_UPGRADES)}: use the "
                "program that wrote it, or remove the file to start afresh"
            )
        # Not before: nothing of a newer version is to be changed.
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
        """Be the one writer; commit at the end, roll back on any exception.

        `on_wait` is called when another writer is in the way, `LedgerBusy` raised when it still is
        after `timeout` seconds.
        """
        if not self._begin(0.2):
            on_wait()
            if not self._begin(timeout):
                raise LedgerBusy(
                    f"another command has been using the local node for {timeout:.0f} s; "
                    "wait for it or stop it"
                )
        with self._ending("COMMIT"):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See one whole state, whatever others write meanwhile."""
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
        """What the account has; an account that nobody has seen has 0."""
        row = self._row("SELECT balance FROM accounts WHERE address = ?", bytes(address))
        return int.from_bytes(row[0], "big") if row else 0

    def credit(self, address: Address, amount: int) -> None:
        """Give the account `amount` more."""
        self._set_balance(address, self.balance(address) + amount)

    def debit(self, address: Address, amount: int) -> None:
        """Take `amount` from the account. Raises `InsufficientBalance`, and takes nothing."""
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
        """How many deployments the account has made."""
        row = self._row("SELECT nonce FROM accounts WHERE address = ?", bytes(address))
        return int(row[0]) if row else 0

    def raise_nonce(self, address: Address) -> None:
        """Count one more deployment by this account."""
        self._touch(address)
        self._execute("UPDATE accounts SET nonce = nonce + 1 WHERE address = ?", bytes(address))

    def is_contract(self, address: Address) -> bool:
        """Whether a contract was deployed at this address."""
        row = self._row("SELECT is_contract FROM accounts WHERE address = ?", bytes(address))
        return bool(row and row[0])

    def add_contract(self, address: Address, major: int) -> None:
        """Note that a contract of this public-ABI major lives at this address from now on."""
        self._touch(address)
        self._execute(
            "UPDATE accounts SET is_contract = 1, major = ? WHERE address = ?",
            major,
            bytes(address),
        )

    def major(self, address: Address) -> int:
        """The public-ABI major that the contract at this address was deployed with."""
        row = self._row("SELECT major FROM accounts WHERE address = ?", bytes(address))
        return int(row[0]) if row else 0

    def _touch(self, address: Address) -> None:
        self._execute(
            "INSERT OR IGNORE INTO accounts VALUES (?, x'00', 0, 0, 0)",
            bytes(address),
        )

    # ------------------------------------------------------------------------------ storage

    def read_storage(self, address: Address, slot: bytes, offset: int, length: int) -> bytes:
        """`length` bytes of a slot from byte `offset` on; what was never written reads as 0."""
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
    """The reason, and what to do."""
    if isinstance(error, OSError):
        reason, is_full = error.strerror, error.errno in (errno.ENOSPC, errno.EDQUOT)
    else:
        reason, is_full = str(error), getattr(error, "sqlite_errorname", None) == "SQLITE_FULL"
    step = "make room on its disk" if is_full else "have this user write it, or move it away"
    return f"{reason}; {step}, or name another state folder by --state-dir"
