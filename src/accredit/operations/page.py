"""The OpenAPI document as a page of HTML that needs no script and nothing from elsewhere."""

from html import escape
from typing import Any

import msgspec

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1f }
h2 { margin-top: 3rem } code, pre { font: 14px/1.5 ui-monospace, monospace } h3 code { font-size: 16px }
pre { background: #f4f4f7; padding: 1rem; overflow-x: auto } table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ddd }
details { margin: .5rem 0 } .method { font-weight: 700; margin-right: .5rem }
@media (prefers-color-scheme: dark) { body { background: #17171a; color: #e6e6ea } pre { background: #232328 } }
"""


def render(document: dict[str, Any]) -> str:
    """The page of ``document``: each operation with its parameters, body and answers, then the schemas."""
    info = document["info"]
    operations = [
        _operation(method, path, entry)
        for path, methods in document["paths"].items()
        for method, entry in methods.items()
    ]
    schemas = [
        f"<h3 id='{escape(name)}'><code>{escape(name)}</code></h3>{_json(schema)}"
        for name, schema in document["components"]["schemas"].items()
    ]
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style>"
        f"<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>"
        f"<p>{escape(info['summary'])} <a href='/openapi.json'>openapi.json</a></p>"
        f"<h2>Operations</h2>{''.join(operations)}<h2>Schemas</h2>{''.join(schemas)}</html>"
    )


def _operation(method: str, path: str, entry: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code><td>{escape(one['in'])}<td>{escape(one['description'])}"
        for one in entry["parameters"]
        if "$ref" not in one
    )
    parameters = f"<table><tr><th>Parameter<th>In<th>Meaning{rows}</table>" if rows else ""
    body = "".join(
        f"<p>Body, <code>{escape(media)}</code></p>{_json(content['schema'])}"
        for media, content in entry.get("requestBody", {}).get("content", {}).items()
    )
    answers = "".join(
        f"<details><summary><code>{status}</code></summary><pre>{escape(answer['description'])}</pre></details>"
        for status, answer in entry["responses"].items()
    )
    return (
        f"<section id='{escape(entry['operationId'])}'><h3><code><span class='method'>{method.upper()}</span>"
        f"{escape(path)}</code></h3><p>{escape(entry['summary'])} {escape(entry.get('description', ''))}</p>"
        f"{parameters}{body}{answers}</section>"
    )


def _json(value: Any) -> str:
    return f"<pre>{escape(msgspec.json.format(msgspec.json.encode(value)).decode())}</pre>"
