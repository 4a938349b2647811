"""The command `genvm-manager detect-version`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from genvm_manager.manager.cli.exit_codes import Command, exit_codes
from genvm_manager.manager.cli.options.parameters import ContractFile, ContractType, deployment_time
from genvm_manager.manager.cli.options.service import ServiceOptions, service_options
from genvm_manager.manager.cli.rendering.formatting import json_text
from genvm_manager.manager.cli.service_connection import connected
from genvm_manager.protocol.http_api import DetectedVersion


@click.command("detect-version", cls=Command, epilog=exit_codes({0: "done"}))
@click.argument("contract", metavar="FILE", type=ContractType())
@deployment_time
@service_options()
def command(contract: ContractFile, at: datetime, **given: Any) -> None:
    """Show which major version of the executor the contract in FILE needs (- is stdin).

    It is at most the newest one that the service offered at the time of the deployment.
    """
    options = ServiceOptions(**given)
    with connected(options) as client:
        major = client.detect_version(contract.code, at)
    if options.as_json:
        click.echo(json_text(DetectedVersion(major)))
    else:
        click.echo(f"major {major}")
