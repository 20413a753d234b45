"""The OpenAPI document against the service: no fault, and no answer outside the document, whatever is sent."""

import itertools
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks

from tests.conftest import Partner, Service

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
load_all_checks()


def fuzz(document: dict[str, Any], partner: Partner, prepare: Callable[[Any], None]) -> int:
    """Send cases of every operation; return how many were sent. Raises on the first that breaks a check."""
    schema = schemathesis.openapi.from_dict(document)
    schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    checks = schemathesis.checks.CHECKS.get_by_names(CHECKS)
    headers = {"Authorization": f"Bearer {partner.token()}"}
    sent = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        def attempt(case: Any) -> None:
            nonlocal sent
            prepare(case)
            response = case.call(base_url=partner.service.url, headers=headers)
            case.validate_response(response, checks=checks)
            sent += 1

        run = settings(
            max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
        )(_given(operation, attempt))
        run()
    return sent


def _given(operation: Any, attempt: Callable[[Any], None]) -> Callable[[], None]:
    from hypothesis import given

    positive = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    negative = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @given(case=positive | negative)
    def run(case: Any) -> None:
        attempt(case)

    return run


@pytest.fixture
def document(service: Service) -> dict[str, Any]:
    return json.loads(httpx.get(f"{service.url}/openapi.json").content)


@pytest.mark.timeout(600)
def test_no_answer_is_outside_the_document(service: Service, partner: Partner, document: dict[str, Any]) -> None:
    customers = iter(partner.customers(4000))
    partner.code("12345")
    calls = itertools.count()

    def prepare(case: Any) -> None:
        """Let every other call meet a customer, or a tenant, that exists, and so the rules behind the door."""
        if next(calls) % 2:
            known = {"customer_id": str(next(customers)), "tenant": str(partner.id)}
            case.path_parameters |= {name: known[name] for name in known if name in case.path_parameters}

    assert fuzz(document, partner, prepare) > 300


def test_the_document_is_whole(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    listed = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert {
        ("post", "/v1/customers/{customer_id}/qualifications"),
        ("get", "/v1/customers/{customer_id}/qualifications"),
        ("put", "/v1/customers/{customer_id}/qualification"),
        ("get", "/v1/customers/{customer_id}/qualification"),
        ("get", "/v1/customers/all/validations"),
        ("get", "/v1/customers/{customer_id}/validations"),
    } <= listed
    for path, methods in document["paths"].items():
        for entry in methods.values():
            for answer in entry["responses"].values():
                assert "MS-RequestId" in answer["headers"], path


@pytest.mark.parametrize("what", ["\u0000", "%00", "../../etc/passwd", "a/b", "'; DROP TABLE customers; --", "٣"])
def test_strange_paths_are_refused_in_form(partner: Partner, what: str) -> None:
    with partner.client() as client:
        answer = client.get(f"/v1/customers/{quote(what, safe='%')}/qualifications")
        assert answer.status_code in (400, 404)
        assert set(answer.json()) == {"code", "description", "data", "source"}
