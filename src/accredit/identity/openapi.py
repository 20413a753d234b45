"""The local authority's part of the OpenAPI document."""

from typing import Any

import msgspec

from accredit.identity.api import DEFAULT_SCOPE, GRANTS, DiscoveryDocument, TokenAnswer, TokenRefusal
from accredit.wire.errors import ErrorBody
from accredit.wire.openapi import RESPONSE_HEADERS

_TEXT = {"type": "string"}
_HEADERS = {name: {"$ref": f"#/components/headers/{name}"} for name in RESPONSE_HEADERS}
_TENANT = {
    "name": "tenant",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
    "description": "The partner's tenant ID.",
}


class KeySet(msgspec.Struct):
    """RFC 7517 section 5."""

    keys: list[dict[str, str]]


def describe(document: dict[str, Any]) -> None:
    """Add the authority's operations to ``document``, one of ``wire.openapi``."""
    models = (TokenAnswer, TokenRefusal, DiscoveryDocument, KeySet, ErrorBody)
    _, components = msgspec.json.schema_components(models, ref_template="#/components/schemas/{name}")
    document["components"]["schemas"] |= components
    document["paths"] |= {
        "/{tenant}/oauth2/token": {
            "post": _operation("TokenV1", "Issue a v1 token, for a `resource`.", TokenAnswer, _form("resource"))
        },
        "/{tenant}/oauth2/v2.0/token": {
            "post": _operation("TokenV2", "Issue a v2 token, for a `scope`.", TokenAnswer, _form("scope"))
        },
        "/{tenant}/.well-known/openid-configuration": {
            "get": _operation("DiscoveryV1", "Where the v1 endpoints are.", DiscoveryDocument)
        },
        "/{tenant}/v2.0/.well-known/openid-configuration": {
            "get": _operation("DiscoveryV2", "Where the v2 endpoints are.", DiscoveryDocument)
        },
        "/{tenant}/discovery/keys": {"get": _operation("KeysV1", "The key that signs the tokens.", KeySet)},
        "/{tenant}/discovery/v2.0/keys": {"get": _operation("KeysV2", "The key that signs the tokens.", KeySet)},
    }


def _operation(name: str, summary: str, answer: type, form: dict[str, Any] | None = None) -> dict[str, Any]:
    responses = {
        "200": _response("Success.", answer),
        "400": _response("Refused, as `error` says; or a header is malformed (`ErrorBody`).", TokenRefusal, ErrorBody),
        "500": _response("A fault of the service.", ErrorBody),
        "503": _response("The database cannot be reached.", ErrorBody, headers={"Retry-After": "Seconds to wait."}),
    }
    if form is not None:
        challenge = {"WWW-Authenticate": "`Basic`, where the client used that."}
        responses["401"] = _response("The client's ID or secret is wrong.", TokenRefusal, headers=challenge)
        responses["413"] = _response("The body is over 64 KiB.", TokenRefusal)
    operation = {
        "operationId": name,
        "summary": summary,
        "description": "Of the local authority, for development and tests.",
        "tags": ["Local authority"],
        "security": [],
        "parameters": [_TENANT],
        "responses": dict(sorted(responses.items())),
    }
    return operation if form is None else operation | {"requestBody": form}


def _response(description: str, *models: type, headers: dict[str, str] | None = None) -> dict[str, Any]:
    references = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    schema = references[0] if len(references) == 1 else {"anyOf": references}
    special = {name: {"schema": _TEXT, "description": text} for name, text in (headers or {}).items()}
    return {
        "description": description,
        "headers": {**_HEADERS, **special},
        "content": {"application/json": {"schema": schema}},
    }


def _form(target: str) -> dict[str, Any]:
    """The body of a token request; ``target`` is the field that names the audience."""
    meaning = {
        "resource": "The audience: an absolute URL.",
        "scope": f"The audience, with `/{DEFAULT_SCOPE}` or, for a refresh token, `/user_impersonation` after it.",
    }
    fields = {
        "grant_type": {"type": "string", "enum": list(GRANTS)},
        target: {"type": "string", "description": meaning[target]},
        "client_id": {"type": "string", "format": "uuid", "description": "Unless HTTP Basic has it."},
        "client_secret": {"type": "string", "description": "Unless HTTP Basic has it."},
        "refresh_token": {"type": "string", "description": "With the grant of that name."},
    }
    schema = {"type": "object", "properties": fields, "required": ["grant_type", target]}
    return {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": schema}}}
