"""The OpenAPI document against the service: no fault, and no answer outside the document, whatever is sent.

Cases are schemathesis's own, valid and not. Into some of them go values that mean something here, so that they get as
far as the rules; the test also asserts how far they got.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from accredit.identity.authority import LocalAuthority, RefreshGrant
from tests.conftest import AUDIENCE, Partner, Service

load_all_checks()
CHECKED = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)
EXAMPLES = 150
SECRET = "a secret of the application"
GCC = "GovernmentCommunityCloud"
WRITES = {"CreateCustomerQualification", "UpdateCustomerQualification"}


@dataclass
class World:
    """What exists, for cases to meet it."""

    partner: Partner
    authority: LocalAuthority
    fresh: Iterator[UUID]
    used: list[UUID]
    tokens: dict[str, str | None]
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each operation gave each status, or the code of an error."""

    def customers(self) -> st.SearchStrategy[str]:
        return st.builds(lambda: str(next(self.fresh))) | st.sampled_from([str(id) for id in self.used])

    def bodies(self) -> st.SearchStrategy[Any]:
        """Bodies of POST that mean something, most of them wrong in one way."""
        names = st.sampled_from(["Education", "education", GCC, GCC.lower(), "StateOwnedEntity", "None", "Nonprofit"])
        optional = {
            "educationSegment": st.sampled_from(["K12", "HigherEducation", "k12", "K-12", None, 12]),
            "website": st.sampled_from(["school.edu", "https://school.k12.or.us/a?b#c", "school", None, []]),
            "ValidationCode": st.sampled_from(["1", 1, "2", "3", "", None, 1.5]),
        }
        return st.fixed_dictionaries({"qualification": names}, optional=optional)

    def older_bodies(self) -> st.SearchStrategy[Any]:
        return st.sampled_from([0, 1, 2, 3, 4, "education", "government_community_cloud", "State_Owned_Entity", "none"])

    def forms(self, target: str) -> st.SearchStrategy[Any]:
        """Token requests that mean something: most are granted."""
        names = {"partner_id": self.partner.id, "application_id": self.partner.application_id}
        grant = RefreshGrant(**names, user_id=self.partner.user.id, mfa=True)
        aims = [AUDIENCE] if target == "resource" else [f"{AUDIENCE}/.default", f"openid {AUDIENCE}/user_impersonation"]
        return st.fixed_dictionaries(
            {
                "grant_type": st.sampled_from(["client_credentials", "refresh_token", "refresh_token", "password"]),
                "client_id": st.just(str(self.partner.application_id)),
                "client_secret": st.sampled_from([SECRET, SECRET, SECRET, "another"]),
                target: st.sampled_from([*aims, "nothing"]),
                "refresh_token": st.sampled_from([self.authority.issue_refresh_token(grant), "nonsense"]),
            }
        )

    def meet(self, case: Any, data: st.DataObject) -> str | None:
        """Put values that mean something into ``case``; return the token to call with."""
        operation = case.operation.definition.raw["operationId"]
        if "customer_id" in case.path_parameters and data.draw(st.booleans() | st.just(True)):
            case.path_parameters["customer_id"] = data.draw(self.customers())
        if "tenant" in case.path_parameters and data.draw(st.booleans() | st.just(True)):
            case.path_parameters["tenant"] = str(self.partner.id)
        if operation in WRITES:
            # Identifiers that hypothesis likes to repeat would let few writes be done.
            if data.draw(st.booleans() | st.just(True)):
                case.headers["MS-RequestId"] = str(uuid4())
            if data.draw(st.booleans()):
                case.query = {"code": data.draw(st.sampled_from(["1", "2", "3", "١"]))}
            bodies = self.bodies() if operation.startswith("Create") else self.older_bodies()
        elif operation in ("TokenV1", "TokenV2"):
            bodies = self.forms("resource" if operation == "TokenV1" else "scope")
        else:
            bodies = None
        if bodies is not None and data.draw(st.booleans() | st.just(True)):
            case.body = data.draw(bodies)
        if operation.startswith(("Token", "Discovery", "Keys")):
            return None  # what it takes there is HTTP Basic
        return self.tokens[data.draw(st.sampled_from(["good"] * 6 + list(self.tokens)))]


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    return json.loads(httpx.get(f"{service.url}/openapi.json").content)


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    partner = Partner(service)
    partner.seed(
        applications=[{"id": str(partner.application_id), "secret": SECRET}],
        users=[{"id": str(partner.user.id), "upn": partner.user.upn, "roles": list(partner.user.roles)}],
    )
    partner.code("1", creates=100_000)
    partner.code("2", creates=0)
    tokens = {
        "good": partner.token(),
        "app-only": partner.token(app_only=True),
        "no MFA": partner.token(mfa=False),
        "no role": partner.token(roles=("HelpdeskAgent",)),
        "another audience": partner.token(audience="https://graph.windows.net"),
        "nonsense": "nonsense",
        "none": None,
    }
    fresh = iter(partner.customers(4000))
    return World(partner, LocalAuthority(service.home), fresh, partner.customers(5, "{}.k12.or.us"), tokens)


OPERATIONS = [
    "CreateCustomerQualification",
    "GetCustomerQualifications",
    "UpdateCustomerQualification",
    "GetCustomerQualification",
    "GetValidationCodes",
    "GetCustomerValidationCode",
    "TokenV1",
    "TokenV2",
    "DiscoveryV1",
    "DiscoveryV2",
    "KeysV1",
    "KeysV2",
    "Live",
    "Ready",
    "Metrics",
]
OF_THE_CALLER = {"401/400", "401/900420", "403/900308"}
OF_READS = {"200", "400/3000", *OF_THE_CALLER}
OF_A_CUSTOMER = {"400/900118", "403/20002"}
OF_WRITES = {
    *OF_THE_CALLER,
    *OF_A_CUSTOMER,
    *(f"400/{code}" for code in (3000, 900126, 800002, 700003)),
    *(f"403/{code}" for code in (900329, 900150)),
    *(f"409/{code}" for code in (700001, 700002, 700004)),
}
OF_TOKENS = {"200", "401/invalid_client"} | {
    f"400/{code}" for code in ("invalid_request", "invalid_grant", "unsupported_grant_type")
}
REACHED: dict[str, set[str]] = {
    "CreateCustomerQualification": {"201", *OF_WRITES},
    "UpdateCustomerQualification": {"200", *OF_WRITES},
    "GetCustomerQualifications": OF_READS | OF_A_CUSTOMER,
    "GetCustomerQualification": OF_READS | OF_A_CUSTOMER,
    "GetCustomerValidationCode": OF_READS | OF_A_CUSTOMER,
    "GetValidationCodes": OF_READS,
    "TokenV1": OF_TOKENS | {"400/invalid_target"},
    "TokenV2": OF_TOKENS | {"400/invalid_scope"},
} | {name: {"200", "400/invalid_request"} for name in ("DiscoveryV1", "DiscoveryV2", "KeysV1", "KeysV2")}
"""What the cases of an operation must have met at least, or they have not tried it."""


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_answer_is_outside_the_document(document: dict[str, Any], world: World, name: str) -> None:
    schema = schemathesis.openapi.from_dict(document)
    operation = schema.find_operation_by_id(name)
    modes = [operation.as_strategy(generation_mode=mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(modes), meets=st.booleans(), data=st.data())
    def attempt(case: Any, meets: bool, data: st.DataObject) -> None:
        token = world.meet(case, data) if meets else world.tokens["good"]
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        response = case.call(base_url=world.partner.service.url, headers=headers)
        case.validate_response(response, checks=CHECKED)
        world.seen[name, outcome(response)] += 1

    attempt()
    assert not {what for operation, what in world.seen if operation == name and what.startswith("5")}
    missed = REACHED.get(name, {"200"}) - {what for operation, what in world.seen if operation == name}
    assert not missed, f"no case of {EXAMPLES} got as far as {missed}"


def outcome(response: Any) -> str:
    """The status and, of an error, its code."""
    if response.status_code < 400:
        return str(response.status_code)
    body = json.loads(response.content)
    return f"{response.status_code}/{body.get('code') or body.get('error')}"


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
    assert {entry["operationId"] for methods in document["paths"].values() for entry in methods.values()} == set(
        OPERATIONS
    ), "an operation is not fuzzed"
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
