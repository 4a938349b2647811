"""The Flask application: every endpoint of the HTTP API on one supervisor client."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask
from werkzeug.routing import BaseConverter

from genvm_manager.base.settings.config import Config
from genvm_manager.manager.api.events.broadcaster import StatusBroadcaster
from genvm_manager.manager.api.limits.concurrency import ConcurrencyLimits
from genvm_manager.manager.api.limits.transfers import install_transfers
from genvm_manager.manager.api.supervisor_client import SupervisorClient
from genvm_manager.protocol.readiness import Readiness

from .access import install_access_rules
from .errors import install_error_handlers
from .operations import (
    configuration,
    contract,
    docs,
    events,
    genvm,
    health,
    llm,
    metrics,
    modules,
    page,
    permits,
    readonly,
    status,
    vm_error,
)


class NumberConverter(BaseConverter):
    """A whole number in a path. Flask's own takes the digits of every script, in any number."""

    regex = "[0-9]{1,40}"

    def to_python(self, value: str) -> int:
        return int(value)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the answers come from: the supervisor, its status as it changes, and `serve`, if HTTP
    was started by it."""

    client: SupervisorClient
    feed: StatusBroadcaster
    readiness: Readiness | None


def create_app(
    sources: Sources, config: Config, shares: ConcurrencyLimits, token: str | None
) -> Flask:
    """Return the WSGI application that answers HTTP from `sources`, to who has the `token`."""
    # Flask looks for a folder of instances by the package's place, and finds none of a package
    # that an editable install puts below `genvm_manager`. No instance is used: name any folder.
    app = Flask(
        "genvm_manager.manager", static_folder=None, template_folder=None, instance_path="/"
    )
    app.config.update(MAX_CONTENT_LENGTH=config.max_body, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.url_map.merge_slashes = False
    app.url_map.converters["number"] = NumberConverter
    install_error_handlers(app)
    install_transfers(app, shares)
    install_access_rules(app, config, token)
    for resource in (
        configuration,
        contract,
        docs,
        genvm,
        llm,
        metrics,
        modules,
        page,
        permits,
        readonly,
        status,
        vm_error,
    ):
        app.register_blueprint(resource.routes(sources.client))
    app.register_blueprint(health.routes(sources.client, sources.readiness))
    app.register_blueprint(events.routes(sources.feed, shares.subscribers))
    return app
