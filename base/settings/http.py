"""What the HTTP processes go by, read from its files at the start and at each reload."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.network.listeners import AddressError, split_address

from .config import Config, parse_config
from .token_file import TokenFileError, read_token

RELOADED = (
    "http_workers",
    "http_threads",
    "allowed_hosts",
    "allowed_hosts_of_runs",
    "token_file",
    "log_level",
)
"""The settings that a reload puts in force. What they say is HTTP's alone, but for the level, which
the supervisor takes over; the others belong to the supervisor, or to sockets that are open."""


class SettingsUnusable(Exception):
    """A file cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The configuration, and the bearer token that requests must carry, if any."""

    config: Config
    token: str | None

    def renewed(self, read: HttpSettings) -> tuple[HttpSettings, list[str]]:
        """These, with what a reload may take over from those that were `read`; and the names of
        settings that have changed but wait for a new start."""
        changed = [
            name for name in _KEYS if getattr(self.config, name) != getattr(read.config, name)
        ]
        taken = {name: getattr(read.config, name) for name in changed if name in RELOADED}
        config = msgspec.structs.replace(self.config, **taken)
        return HttpSettings(config, read.token), [name for name in changed if name not in RELOADED]


_KEYS = Config.__struct_fields__


@dataclass(frozen=True, slots=True)
class SettingsFiles:
    """Where the settings are. `token`, if given, is used instead of the one that they name."""

    config: Path | None
    token: Path | None

    def token_file(self, config: Config) -> Path | None:
        """Where the token is; None when none is needed."""
        configured = Path(config.token_file).absolute() if config.token_file else None
        return self.token or configured

    def read(self) -> HttpSettings:
        """What they say now. Raises `SettingsUnusable`."""
        try:
            config, _ = parse_config(self.config.read_text("utf-8-sig") if self.config else "")
            split_address(config.bind_address)
            token_file = self.token_file(config)
            return HttpSettings(config, read_token(token_file) if token_file else None)
        except (OSError, UnicodeDecodeError, BadRequest, AddressError) as error:
            raise SettingsUnusable(f"{self.config}: {error}") from None
        except TokenFileError as error:
            raise SettingsUnusable(str(error)) from None
