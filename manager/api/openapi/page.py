"""The document as one page of HTML: no script, nothing fetched, readable on a phone."""

from __future__ import annotations

import json
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from genvm_manager.manager.api.declaration.operation import Operation

from .document import document

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title} <small>{version}</small></h1>
<p>{description}</p>
<p>For programs: <a href="openapi.json">openapi.json</a>.
The state of the service: <a href="./">its page</a>.</p>
</header>
<nav aria-label="Operations">{contents}</nav>
<main>
{operations}
<h2 id="schemas">Schemas</h2>
{schemas}
</main>
</body>
</html>
"""


@cache
def page(operations: tuple[Operation, ...]) -> bytes:
    """Return the page as it is served."""
    described = document(operations)
    info = described["info"]
    return _PAGE.format(
        title=escape(info["title"]),
        version=escape(info["version"]),
        description=_text(info["description"]),
        style=_style(),
        contents=_contents(described),
        operations="\n".join(_tag(described, each) for each in described["tags"]),
        schemas="\n".join(
            _schema(name, each) for name, each in described["components"]["schemas"].items()
        ),
    ).encode()


def _style() -> str:
    """Return the style of all pages, then that of this one."""
    look = files("genvm_manager.manager.api").joinpath("page", "look.css")
    return look.read_text() + files(__package__).joinpath("page.css").read_text()


def _operations(described: dict[str, Any], tag: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return method, path and operation of all with this tag."""
    return [
        (method.upper(), path, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
        if tag in operation["tags"]
    ]


def _contents(described: dict[str, Any]) -> str:
    lines = []
    for tag in described["tags"]:
        links = [
            f'<li><a href="#{operation["operationId"]}">{_badge(method)} {escape(path)}</a></li>'
            for method, path, operation in _operations(described, tag["name"])
        ]
        lines.append(f"<h2>{escape(tag['name'])}</h2><ul>{''.join(links)}</ul>")
    return "".join(lines) + '<h2><a href="#schemas">Schemas</a></h2>'


def _tag(described: dict[str, Any], tag: dict[str, str]) -> str:
    parts = [_operation(*each) for each in _operations(described, tag["name"])]
    head = f"<h2>{escape(tag['name'])}</h2><p>{escape(tag['description'])}</p>"
    return f"<section>{head}{''.join(parts)}</section>"


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [
        f'<article id="{operation["operationId"]}">',
        f"<h3>{_badge(method)} <code>{escape(path)}</code></h3>",
        f"<p><strong>{escape(operation['summary'])}.</strong> ",
        f"{_text(operation.get('description', ''))}</p>",
        _parameters(operation.get("parameters", [])),
    ]
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<h4>Body, {escape(media_type)}</h4>{_content(content)}")
    for code, response in operation["responses"].items():
        if code == "200":
            for media_type, content in response["content"].items():
                parts.append(f"<h4>Reply, {escape(media_type)}</h4>{_content(content)}")
    return "".join(parts) + _errors(operation["responses"]) + "</article>"


def _parameters(parameters: list[dict[str, Any]]) -> str:
    rows = [
        [
            f"<code>{escape(each['name'])}</code>",
            each["in"] + (", required" if each["required"] else ""),
            _type(each["schema"]),
            f"{_text(each['description'])} <code>{escape(str(each['example']))}</code>",
        ]
        for each in parameters
    ]
    return _table(["Parameter", "Where", "Type", "Meaning, example"], rows)


def _errors(by_status: dict[str, Any]) -> str:
    rows = [
        [f"<code>{code}</code>", _text(response["description"]), _error_examples(response)]
        for code, response in by_status.items()
        if code != "200"
    ]
    return _table(["Error", "When", "Example"], rows)


def _error_examples(response: dict[str, Any]) -> str:
    (content,) = response["content"].values()
    examples = [each["value"] for each in content.get("examples", {}).values()]
    texts = [each["error"] for each in examples or [content["example"]]]
    return "<br>".join(f"<code>{escape(each)}</code>" for each in texts)


def _content(content: dict[str, Any]) -> str:
    shown = f"<p>{_type(content['schema'])}. {_text(content['schema'].get('description', ''))}</p>"
    if "example" not in content:
        return shown
    example = content["example"]
    text = example if isinstance(example, str) else json.dumps(example, indent=2)
    return f"{shown}<details><summary>Example</summary><pre>{escape(text)}</pre></details>"


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        [
            f"<code>{escape(field)}</code>",
            _type(each) + ("" if field in required else ", optional"),
            _text(each.get("description", "")),
        ]
        for field, each in schema.get("properties", {}).items()
    ]
    shown = _table(["Field", "Type", "Meaning"], rows) if rows else f"<p>{_type(schema)}</p>"
    description = _text(schema.get("description", ""))
    return f'<article id="{name}"><h3>{escape(name)}</h3><p>{description}</p>{shown}</article>'


def _type(schema: dict[str, Any]) -> str:
    """Return a schema in a few words, with links to schemas that have names."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{name}">{escape(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " ".join(f"<code>{escape(str(each))}</code>" for each in schema["enum"])
    kind = escape(
        schema.get("contentEncoding") or schema.get("format") or schema.get("type", "any")
    )
    inner = schema.get("items") or schema.get("additionalProperties")
    return f"{kind} of {_type(inner)}" if isinstance(inner, dict) and inner else kind


def _table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table whose cells are HTML already, or nothing without rows."""
    if not rows:
        return ""
    titles = "".join(f"<th scope=col>{each}</th>" for each in head)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    table = f"<table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table>"
    return f"<div class=table>{table}</div>"


def _badge(method: str) -> str:
    return f'<b class="{method.lower()}">{method}</b>'


def _text(text: str) -> str:
    """Return HTML in which text between backquotes is code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{each}</code>" if n % 2 else each for n, each in enumerate(parts))
