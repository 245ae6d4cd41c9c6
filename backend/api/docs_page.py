"""The OpenAPI page: one static HTML page made from the schema, with nothing loaded from elsewhere."""

from __future__ import annotations

from html import escape

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
h2 { margin-top: 2em; border-bottom: 1px solid #ccc } h3 { margin-bottom: .2em }
code, pre { font: 13px/1.4 ui-monospace, monospace } table { border-collapse: collapse; margin: .5em 0 }
td, th { text-align: left; vertical-align: top; padding: .15em 1em .15em 0 } th { font-weight: 600 }
.verb { display: inline-block; min-width: 4.5em; font-weight: 700 }
@media (prefers-color-scheme: dark) { body { background: #1d1d1d; color: #ddd } a { color: #8bf } }
"""


def render_docs(schema: dict) -> str:
    """A page of every operation and every model of an OpenAPI 3 schema."""
    info = schema["info"]
    operations = [
        _operation(path, verb, operation)
        for path, verbs in schema["paths"].items()
        for verb, operation in verbs.items()
    ]
    models = [_model(name, model) for name, model in schema["components"]["schemas"].items()]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])}</title>"
        f"<style>{STYLE}</style><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{escape(info['description'])} As a file: <a href=/docs/openapi.json>openapi.json</a>.</p>"
        f"<h2>Calls</h2>{''.join(operations)}<h2>Models</h2>{''.join(models)}</html>"
    )


def _operation(path: str, verb: str, operation: dict) -> str:
    takes = [f"<code>{escape(p['name'])}</code> ({p['in']})" for p in operation.get("parameters", [])]
    for content, body in operation.get("requestBody", {}).get("content", {}).items():
        fields = body["schema"].get("properties", {})
        takes.append(
            f"{escape(content)}: {', '.join(map(escape, fields)) if fields else _type(body['schema'])}"
        )
    gives = [
        f"{status} {_type(body['schema'])}"
        for status, response in operation["responses"].items()
        for body in response.get("content", {}).values()
        if body.get("schema")
    ]
    return (
        f"<h3><span class=verb>{verb.upper()}</span> <code>{escape(path)}</code></h3>"
        f"<div>{escape(operation.get('description', ''))}</div>"
        f"<table><tr><th>takes<td>{'<br>'.join(takes) or 'nothing'}<tr><th>gives<td>{'<br>'.join(gives)}</table>"
    )


def _model(name: str, model: dict) -> str:
    required = set(model.get("required", []))
    rows = [
        f"<tr><td><code>{escape(key)}</code><td>{_type(field)}<td>{'required' if key in required else ''}"
        f"<td>{escape(field.get('description', ''))}"
        for key, field in model.get("properties", {}).items()
    ]
    return f"<h3 id={escape(name)}>{escape(name)}</h3><table>{''.join(rows)}</table>"


def _type(schema: dict) -> str:
    """A field's type in a few words; models are links."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return f"<a href=#{name}>{name}</a>"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(_type(option) for option in schema[key])
    if "enum" in schema or "const" in schema:
        return escape(" | ".join(map(repr, schema.get("enum", [schema.get("const")]))))
    if schema.get("type") == "array" and "items" in schema:
        return f"list of {_type(schema['items'])}"
    return escape(str(schema.get("format", schema.get("type", "anything"))))
