"""The settings of the HTTP processes, read from their files at the start and at each reload."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from genvm_manager.base.errors import BadRequest
from genvm_manager.base.network.listeners import AddressError, split_address

from .config import Config, parse_config
from .reload import HTTP_RELOADS, HTTP_RESTARTS, changed, taken_over
from .token_file import TokenFileError, read_token


class SettingsUnusable(Exception):
    """A file cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The configuration, and the bearer token that requests must carry, if any."""

    config: Config
    token: str | None

    def renewed(self, read: HttpSettings) -> tuple[HttpSettings, list[str]]:
        """Return these settings with what a reload may take over from those that were `read`.

        The list names the settings that have changed and wait for a restart.
        """
        names = HTTP_RELOADS | {"log_level"}
        config = taken_over(self.config, read.config, names)
        return HttpSettings(config, read.token), changed(config, read.config, HTTP_RESTARTS)


@dataclass(frozen=True, slots=True)
class SettingsFiles:
    """Where the settings are. `token`, if given, is used instead of the one that they name."""

    config: Path | None
    token: Path | None

    def token_file(self, config: Config) -> Path | None:
        """Return the path of the token's file; None when no token is needed."""
        configured = Path(config.token_file).absolute() if config.token_file else None
        return self.token or configured

    def read(self) -> HttpSettings:
        """Return what the files say now. Raises `SettingsUnusable`."""
        try:
            config, _ = parse_config(self.config.read_text("utf-8-sig") if self.config else "")
            split_address(config.bind_address)
            token_file = self.token_file(config)
            return HttpSettings(config, read_token(token_file) if token_file else None)
        except (OSError, UnicodeDecodeError, BadRequest, AddressError) as error:
            raise SettingsUnusable(f"{self.config}: {error}") from None
        except TokenFileError as error:
            raise SettingsUnusable(str(error)) from None
