"""The OpenAPI 3.1 document, made from the operations' own declarations: every operation, header and error."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from accredit import __version__
from accredit.wire.errors import (
    APP_ONLY_REFUSED,
    BAD_REQUEST,
    BODY_TOO_LARGE,
    MFA_REQUIRED,
    NOT_ACCEPTABLE,
    ROLE_REQUIRED,
    SERVER_FAULT,
    UNAUTHORIZED,
    UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
    WRONG_AUDIENCE,
    ErrorBody,
    ErrorKind,
    RateLimitBody,
)
from accredit.wire.operations import CUSTOMER_ID, Operation, Parameter

_GUID = {"type": "string", "format": "uuid"}
_TEXT = {"type": "string"}

REQUEST_HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "MS-RequestId": (_GUID, "Identifies the request; the idempotency key of a write. Absent: one is made."),
    "MS-CorrelationId": (_GUID, "For tracing; new for each call. Absent: one is made."),
    "MS-Contract-Version": ({"type": "string", "enum": ["v1"]}, "The contract's version."),
    "MS-PartnerCenter-Application": (_TEXT, "The calling application; for the log and the audit record."),
    "MS-PartnerCenter-Client": (_TEXT, "The calling client; for the log and the audit record."),
    "MS-SdkVersion": (_TEXT, "The calling SDK's version; for the log and the audit record."),
    "X-Locale": (_TEXT, "A culture such as en-US (the default)."),
    "ValidateMfa": (
        {"type": "string", "enum": ["true", "false"]},
        "`true` asks for the header isMfaCompliant.",
    ),
}
RESPONSE_HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "MS-RequestId": (_GUID, "The request's, or the one made."),
    "MS-CorrelationId": (_GUID, "The request's, or the one made."),
    "MS-CV": (_TEXT, "Correlation vector."),
    "MS-ServerId": (_TEXT, "The process that answered."),
    "X-Locale": (_TEXT, "The culture in use."),
    "Date": (_TEXT, "When it was answered."),
}
_IF_MATCH = Parameter("If-Match", "The ETag that was read; required. It no longer matches once somebody changed it.")
_SPECIAL_HEADERS: dict[int, tuple[str, str]] = {
    401: ("WWW-Authenticate", "`Bearer`, and what is wrong with the token."),
    429: ("Retry-After", "Seconds after which a request will be taken again."),
    503: ("Retry-After", "Seconds to wait."),
}
_COMMON_ERRORS = (
    BAD_REQUEST, UNAUTHORIZED, WRONG_AUDIENCE, MFA_REQUIRED, NOT_ACCEPTABLE, SERVER_FAULT, UNAVAILABLE,
)  # fmt: skip
_WRITE_ERRORS = (APP_ONLY_REFUSED, ROLE_REQUIRED)
_BODY_ERRORS = (BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE)


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The document of ``operations``."""
    models = [model for one in operations for model in (one.answers, one.body) if model is not None]
    models = [ErrorBody, RateLimitBody, *models]
    schemas, components = msgspec.json.schema_components(models, ref_template="#/components/schemas/{name}")
    schema_of = {id(model): schema for model, schema in zip(models, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for operation in operations:
        paths[operation.path][operation.method.lower()] = _operation(operation, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "accredit",
            "version": __version__,
            "summary": "Customer qualifications, vetted.",
            "description": "Partner Center's customer-qualification API. `description` and `summary` of each "
            "operation say what it does; every error has the body `ErrorBody`.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": dict(paths),
        "components": {
            "schemas": components,
            "headers": {name: _header(*entry) | {"required": True} for name, entry in RESPONSE_HEADERS.items()},
            "parameters": {
                name: {"name": name, "in": "header", "required": False, "schema": schema, "description": text}
                for name, (schema, text) in REQUEST_HEADERS.items()
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "An access token of a trusted issuer: App+User, or for reads app-only.",
                }
            },
        },
    }


def _header(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"schema": schema, "description": description}


def _operation(operation: Operation, schema_of: dict[int, dict[str, Any]]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "description": _credentials(operation),
        "tags": [operation.tag],
        "parameters": [
            *([_parameter(CUSTOMER_ID, "path")] if "{customer_id}" in operation.path else []),
            *(_parameter(one, "path") for one in operation.path_parameters),
            *(_parameter(one, "query") for one in operation.query),
            *(_parameter(one, "header") for one in operation.headers),
            # Not required as far as the document goes: its absence is an answer of its own, 428.
            *([_parameter(_IF_MATCH, "header")] if operation.if_match else []),
            *({"$ref": f"#/components/parameters/{name}"} for name in REQUEST_HEADERS),
        ],
        "responses": _responses(operation, schema_of),
    }
    if operation.body is not None:
        schema = schema_of[id(operation.body)]
        entry["requestBody"] = {
            "required": True,
            "content": {media: {"schema": schema} for media in ("application/json", "text/json")},
        }
    return entry


def _credentials(operation: Operation) -> str:
    if operation.role:
        return f"App+User tokens of users with the role `{operation.role}` only."
    return "App+User tokens only." if operation.writes else "App+User and app-only tokens."


def _parameter(one: Parameter, where: str) -> dict[str, Any]:
    return {
        "name": one.name,
        "in": where,
        "required": where == "path",
        "schema": dict(one.schema),
        "description": one.description,
    }


def _responses(operation: Operation, schema_of: dict[int, dict[str, Any]]) -> dict[str, Any]:
    by_status: dict[int, list[ErrorKind]] = defaultdict(list)
    kinds = [*operation.errors, *_COMMON_ERRORS]
    kinds += _WRITE_ERRORS if operation.writes or operation.role else ()
    kinds += _BODY_ERRORS if operation.body is not None else ()
    for kind in dict.fromkeys(kinds):
        by_status[kind.status].append(kind)
    answers = schema_of[id(operation.answers)] if operation.answers is not None else None
    success = _response("Success.", answers, operation.status)
    success["headers"]["isMfaCompliant"] = _header(
        {"type": "string", "enum": ["true", "false"]}, "Where `ValidateMfa: true` asked for it."
    )
    if operation.etag:
        success["headers"]["ETag"] = _header(_TEXT, "The ETag of what is answered, for `If-Match`.") | {
            "required": True
        }
    errors = {
        str(status): _response(
            "\n".join(f"- `{kind.code}`: {kind.when}." for kind in by_status[status]),
            schema_of[id(ErrorBody)] if operation.method != "HEAD" else None,
            status,
        )
        for status in sorted(by_status)
    }
    limited = schema_of[id(RateLimitBody)] if operation.method != "HEAD" else None
    errors["429"] = _response("Too many requests within a minute.", limited, 429)
    return {str(operation.status): success, **dict(sorted(errors.items()))}


def _response(description: str, schema: dict[str, Any] | None, status: int) -> dict[str, Any]:
    headers: dict[str, Any] = {name: {"$ref": f"#/components/headers/{name}"} for name in RESPONSE_HEADERS}
    if status in _SPECIAL_HEADERS:
        name, text = _SPECIAL_HEADERS[status]
        headers[name] = _header(_TEXT, text) | {"required": True}
    content = {"content": {"application/json": {"schema": schema}}} if schema is not None else {}
    return {"description": description, "headers": headers, **content}
