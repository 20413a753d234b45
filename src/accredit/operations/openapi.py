"""The part of the OpenAPI document for those who run the service."""

from typing import Any

from accredit.wire.openapi import RESPONSE_HEADERS

_HEADERS = {name: {"$ref": f"#/components/headers/{name}"} for name in RESPONSE_HEADERS}
_TEXT = {"type": "string"}
_LIVENESS: dict[str, Any] = {"type": "object", "properties": {"status": _TEXT}, "required": ["status"]}
_READINESS: dict[str, Any] = {
    "type": "object",
    "properties": {"status": _TEXT, "checks": {"type": "object", "additionalProperties": {"type": "boolean"}}},
    "required": ["status", "checks"],
}


def describe(document: dict[str, Any]) -> None:
    """Add the operations of health and metrics to ``document``, one of ``wire.openapi``."""
    document["paths"] |= {
        "/health/live": _get("Live", "Whether the process answers.", {"200": ("Live.", _LIVENESS)}),
        "/health/ready": _get(
            "Ready",
            "Whether the database answers, its schema is this program's, and a worker is alive.",
            {"200": ("Ready.", _READINESS), "503": ("Not ready; `checks` tells what is missing.", _READINESS)},
        ),
        "/metrics": _get("Metrics", "Metrics for Prometheus.", {"200": ("The metrics.", None)}),
    }


def _get(name: str, summary: str, answers: dict[str, tuple[str, dict[str, Any] | None]]) -> dict[str, Any]:
    responses = {}
    for status, (description, schema) in answers.items():
        media = {"application/json": {"schema": schema}} if schema else {"text/plain": {"schema": _TEXT}}
        responses[status] = {"description": description, "headers": _HEADERS, "content": media}
    malformed = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}
    responses["400"] = {"description": "A header is malformed.", "headers": _HEADERS, "content": malformed}
    operation = {
        "operationId": name,
        "summary": summary,
        "tags": ["Operations"],
        "security": [],
        "parameters": [],
        "responses": responses,
    }
    return {"get": operation}
