"""The Flask application of the HTTP API."""

from __future__ import annotations

from flask import Flask
from werkzeug.routing import BaseConverter

from genvm_manager.base.settings.config import Config

from .access import install_access_rules
from .declaration.operation import open_endpoints, register
from .errors import install_error_handlers
from .limits.transfers import install_transfers
from .operations import OPERATIONS
from .sources import Sources


class NumberConverter(BaseConverter):
    """A whole number in a path. Flask's own accepts the digits of every script, in any number."""

    regex = "[0-9]{1,40}"

    def to_python(self, value: str) -> int:
        """Return the number."""
        return int(value)


def create_app(sources: Sources, config: Config, token: str | None) -> Flask:
    """Return the WSGI application, which requires `token` unless it is None."""
    # Flask looks for an instance folder by the package's place, and fails for a package that an
    # editable install puts below `genvm_manager`. We use no such folder: any name will do.
    app = Flask(
        "genvm_manager.manager", static_folder=None, template_folder=None, instance_path="/"
    )
    app.config.update(MAX_CONTENT_LENGTH=config.max_body, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.url_map.merge_slashes = False
    app.url_map.converters["number"] = NumberConverter
    install_error_handlers(app)
    install_transfers(app, sources.limits)
    install_access_rules(app, config, token, open_endpoints(OPERATIONS))
    register(app, OPERATIONS, sources)
    return app
