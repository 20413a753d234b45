"""The OpenAPI document against the service: no fault, and no answer outside the document, whatever is sent.

Cases are schemathesis's own, valid and not. Into some of them go values that mean something here, so that they get as
far as the rules; the test also asserts how far they got.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from accredit.identity.authority import LocalAuthority, RefreshGrant
from accredit.vetting.store import REVIEW_CHANNEL
from tests.conftest import AUDIENCE, DEADLINE, Partner, Service
from tests.dns_server import DnsServer
from tests.test_customers import ADDRESS, billing, customer
from tests.test_domains import wanted
from tests.test_paging import a_filter, token_of

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
EXAMPLES = {
    "DecideReviewCase": 100,
    "CreateCustomer": 100,
    "UpdateCustomerBillingProfile": 80,
    "AddVerifiedDomain": 80,
    "CreateCustomerQualification": 160,
    "UpdateCustomerQualification": 160,
    "TokenV1": 60,
    "TokenV2": 60,
}
SECRET = "a secret of the application"
GCC = "GovernmentCommunityCloud"
WRITES = {"CreateCustomerQualification", "UpdateCustomerQualification"}
CHANGES = {"CreateCustomer", "DeleteCustomer", "UpdateCustomerBillingProfile", "AddVerifiedDomain"}
COLLECTIONS = {"GetCustomers": "/v1/customers", "GetAuditRecords": "/v1/auditrecords"}


@dataclass
class World:
    """What exists, for cases to meet it."""

    partner: Partner
    authority: LocalAuthority
    fresh: Iterator[UUID]
    used: list[UUID]
    tokens: dict[str, str | None]
    cases: list[UUID]
    domains: list[str]
    continuations: dict[str, str]
    record_id: str

    def meet(self, case: Any, dice: random.Random) -> str | None:
        """Put values that mean something into ``case``; return the token to call with."""
        operation = case.operation.definition.raw["operationId"]
        if "customer_id" in case.path_parameters and dice.random() < 0.9:
            case.path_parameters["customer_id"] = str(
                next(self.fresh) if dice.random() < 0.6 else dice.choice(self.used)
            )
        if "tenant" in case.path_parameters and dice.random() < 0.9:
            case.path_parameters["tenant"] = str(self.partner.id)
        if operation.startswith("Token") and dice.random() < 0.8:
            case.body = self.form("resource" if operation == "TokenV1" else "scope", dice)
        if operation.startswith(("Token", "Discovery", "Keys")):
            return None  # what it takes there is HTTP Basic
        if operation in REVIEWS:
            return self.review(case, operation, dice)
        if operation in COLLECTIONS:
            self.list(case, operation, dice)
        elif operation in CHANGES:
            self.change(case, operation, dice)
        elif operation == "ValidateAddress" and dice.random() < 0.8:
            case.body = ADDRESS | dice.choice(ADDRESSES)
        elif operation == "CheckDomainAvailability" and dice.random() < 0.8:
            case.path_parameters["domain"] = dice.choice([*self.domains, "free.invalid", "no-domain"])
        elif operation == "GetAuditRecord" and dice.random() < 0.8:
            case.path_parameters["record_id"] = dice.choice([self.record_id, str(uuid4())])
        if operation in WRITES:
            case.headers["MS-RequestId"] = str(uuid4())  # hypothesis likes to repeat those: few writes would be done
            if dice.random() < 0.9:
                case.query = {"code": dice.choice(CODES)} if dice.random() < 0.6 else {}
                case.body = _body(dice) if operation == "CreateCustomerQualification" else dice.choice(OLDER_BODIES)
        return self.tokens["good" if dice.random() < 0.75 else dice.choice(list(self.tokens))]

    def list(self, case: Any, operation: str, dice: random.Random) -> None:
        """The same for a collection: its first page, or the next one."""
        case.headers.pop("MS-ContinuationToken", None)
        if dice.random() < 0.3:
            case.headers["MS-ContinuationToken"] = dice.choice([*self.continuations.values(), "nonsense"])
            case.query = {"seekOperation": "Next"}
        elif dice.random() < 0.8:
            case.query = dict(dice.sample(QUERIES[operation], dice.randint(0, 2)))

    def change(self, case: Any, operation: str, dice: random.Random) -> None:
        """The same for what changes customers: those that are deleted are fresh ones."""
        case.headers["MS-RequestId"] = str(uuid4())
        if operation == "DeleteCustomer" and case.path_parameters["customer_id"] in map(str, self.used):
            case.path_parameters["customer_id"] = str(next(self.fresh))
        if operation == "UpdateCustomerBillingProfile":
            case.headers.pop("If-Match", None)
            if dice.random() < 0.9:
                case.headers["If-Match"] = dice.choice(["*", "*", "*", 'W/"another"'])
        if operation == "AddVerifiedDomain" and dice.random() < 0.7:
            case.path_parameters["customer_id"] = str(self.used[0])
        if dice.random() < 0.8:
            number, address = dice.choice(REGISTERED)
            domain = dice.choice([None] * 5 + self.domains)
            case.body = {
                "CreateCustomer": customer(
                    domain, number=number, **{"defaultAddress": address} | dice.choice(PROFILES)
                ),
                "UpdateCustomerBillingProfile": billing(**dice.choice(PROFILES)),
                "AddVerifiedDomain": {"verifiedDomainName": dice.choice([*self.domains, "not-proven.invalid", "no"])},
                "DeleteCustomer": case.body,
            }[operation]

    def review(self, case: Any, operation: str, dice: random.Random) -> str | None:
        """The same for the review API: a few cases, which are claimed and decided in the course of it."""
        if "case_id" in case.path_parameters and dice.random() < 0.9:
            case.path_parameters["case_id"] = str(dice.choice(self.cases) if dice.random() < 0.9 else uuid4())
        if operation == "GetReviewCases" and dice.random() < 0.6:
            case.query = dict(dice.sample(LISTED, dice.randint(0, 3)))
            case.headers.pop("MS-ContinuationToken", None)
        else:
            case.headers["MS-RequestId"] = str(uuid4())
        if operation in ("ClaimReviewCase", "DecideReviewCase"):
            case.headers.pop("If-Match", None)
            if dice.random() < 0.8:
                case.headers["If-Match"] = dice.choice(["*", "*", "*", 'W/"another"'])
        if operation == "DecideReviewCase" and dice.random() < 0.9:
            case.body = dice.choice(DECISIONS)
        return self.tokens["reviewer" if dice.random() < 0.9 else dice.choice(list(self.tokens))]

    def form(self, target: str, dice: random.Random) -> dict[str, str]:
        """A token request that means something: half are granted."""
        application, user = self.partner.application_id, self.partner.user.id
        grant = RefreshGrant(partner_id=self.partner.id, application_id=application, user_id=user, mfa=True)
        aims = [AUDIENCE] if target == "resource" else [f"{AUDIENCE}/.default", f"openid {AUDIENCE}/user_impersonation"]
        return {
            "grant_type": dice.choice(["client_credentials", "refresh_token", "refresh_token", "password"]),
            "client_id": str(application),
            "client_secret": dice.choice([SECRET, SECRET, SECRET, "another"]),
            target: dice.choice([*aims, *aims, "nothing"]),
            "refresh_token": dice.choice([self.authority.issue_refresh_token(grant), "nonsense"]),
        }


REVIEWS = {"GetReviewCases", "GetReviewCase", "ClaimReviewCase", "ReleaseReviewCase", "DecideReviewCase"}
LISTED = [
    ("qualification", "education"), ("qualification", "None"), ("kind", "request"), ("partnerId", "1"),
    ("country", "US"), ("claimed", "true"), ("overdue", "maybe"), ("order", "newest"), ("size", "2"),
]  # fmt: skip
DECISIONS: list[Any] = [
    {"outcome": "Approved", "note": "\N{HEAVY CHECK MARK}"},
    {"Outcome": "denied", "REASON": "Not an eligible Museum"},
    {"outcome": "Denied", "reason": "Not a Government Customer"},
    {"outcome": "Denied"},
    {"outcome": "Refer"},
    [],
]

HUNGARIAN = {"country": "HU", "city": "Budapest", "addressLine1": "Kossuth ter 1", "postalCode": "1055"}
REACHABLE = HUNGARIAN | {"phoneNumber": "+36 1 441 4000"}
REGISTERED: list[tuple[str | None, dict[str, str]]] = [
    (None, ADDRESS), (None, ADDRESS), (None, ADDRESS), ("1234567890", ADDRESS), (None, REACHABLE), ("12", REACHABLE),
    ("1234567890", HUNGARIAN), ("1234567890", REACHABLE),
]  # fmt: skip
PROFILES: list[dict[str, Any]] = [
    {}, {}, {}, {}, {"email": "kim"}, {"culture": "en-us"}, {"language": 5}, {"defaultAddress": REACHABLE},
    {"defaultAddress": ADDRESS | {"postalCode": "1"}},
]  # fmt: skip
ADDRESSES: list[dict[str, Any]] = [{}, {}, {"postalCode": "1"}, {"state": "Washington"}, {"country": "ZZ"}, {"city": 5}]
QUERIES: dict[str, list[Any]] = {
    "GetCustomers": [
        ("size", "2"), ("size", "501"), ("filter", "[]"), ("filter", a_filter("CompanyName", "test")),
        ("filter", a_filter("Domain", "\0")),
    ],
    "GetAuditRecords": [
        ("size", "2"), ("startDate", "2020-03-01"), ("endDate", "03/01/2020 00:00:00"), ("startDate", "yesterday"),
        ("filter", a_filter("ResourceType", "Customer", "equals")), ("filter", a_filter("CustomerId", "5", "equals")),
    ],
}  # fmt: skip


CODES = ["1", "1", "2", "2", "3", "\N{ARABIC-INDIC DIGIT ONE}"]
OLDER_BODIES: list[Any] = [0, 1, 3, 3, 3, 4, "education", "government_community_cloud", GCC, "State_Owned_Entity"]

NAMES = ["Education", "education", GCC, GCC, GCC.lower(), "StateOwnedEntity", "Nonprofit"]
OPTIONAL: dict[str, list[Any]] = {
    "educationSegment": ["K12", "HigherEducation", "k12", None, "K-12", 12],
    "WEBSITE": ["school.edu", "https://school.k12.or.us/a?b#c", None, "school", []],
    "validationCode": ["1", 1, None, "2", "", 1.5],
}


def _body(dice: random.Random) -> dict[str, Any]:
    """A body of POST that means something, sometimes wrong in one way."""
    body: dict[str, Any] = {"qualification": dice.choice(NAMES)}
    for name, values in OPTIONAL.items():
        if dice.random() < 0.1:
            body[name] = dice.choice(values)
    return body


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    return json.loads(httpx.get(f"{service.url}/openapi.json").content)


@pytest.fixture(scope="module")
def world(service: Service, dns: DnsServer) -> World:
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
        "reviewer": partner.token(roles=("Reviewer",)),
        "nonsense": "nonsense",
        "none": None,
    }
    fresh = iter(partner.customers(4000))
    used = partner.customers(5, "{}.k12.or.us")
    cases = referred(partner, 12)
    with partner.client() as client:
        collections = {path: client.get(path, params={"size": 1}).json() for path in COLLECTIONS.values()}
        proven = f"d{uuid4().hex}.example"
        dns.publish(*wanted(client, used[0], proven))
    continuations = {path: token_of(page) for path, page in collections.items()}
    record_id = collections["/v1/auditrecords"]["items"][0]["id"]
    domains = [f"d{used[0].hex}.k12.or.us", proven]
    authority = LocalAuthority(service.home)
    return World(partner, authority, fresh, used, tokens, cases, domains, continuations, record_id)


def referred(partner: Partner, count: int) -> list[UUID]:
    """Cases that wait for a person."""
    with partner.service.database() as connection, partner.client() as client:
        connection.execute(f"LISTEN {REVIEW_CHANNEL}")
        for customer in partner.customers(count):
            client.post(f"/v1/customers/{customer}/qualifications", json={"qualification": "Education"})
        opened = connection.notifies(timeout=DEADLINE, stop_after=count)
        return [UUID(notice.payload.split()[0]) for notice in opened]


PLAIN = ("Live", "Ready", "Metrics")
OPERATIONS = [
    *sorted(COLLECTIONS),
    *sorted(CHANGES),
    "GetCustomer",
    "GetCustomerCompanyProfile",
    "GetCustomerBillingProfile",
    "ValidateAddress",
    "CheckDomainAvailability",
    "GetAuditRecord",
    "CreateCustomerQualification",
    "GetCustomerQualifications",
    "UpdateCustomerQualification",
    "GetCustomerQualification",
    "GetValidationCodes",
    "GetCustomerValidationCode",
    *sorted(REVIEWS),
    "TokenV1",
    "TokenV2",
    "DiscoveryV1",
    "DiscoveryV2",
    "KeysV1",
    "KeysV2",
    *PLAIN,
]
OF_READS = {"200", "400/3000", "401/400"}
OF_A_CUSTOMER = {"400/900118", "403/20002"}
OF_WRITES = {
    "401/400",
    *OF_A_CUSTOMER,
    *(f"400/{code}" for code in (3000, 900126, 800002, 700003)),
    *(f"409/{code}" for code in (700001, 700002, 700004)),
}
OF_TOKENS = {"200", "401/invalid_client"} | {
    f"400/{code}" for code in ("invalid_request", "invalid_grant", "unsupported_grant_type")
}
OF_CHANGES = {"401/400", "403/900329", "403/900150", "400/3000"}
OF_PROFILES = {f"400/{code}" for code in (800002, 600002, 600049, 600050, 600051)}
REACHED: dict[str, set[str]] = {
    "GetCustomers": OF_READS,
    "GetAuditRecords": OF_READS,
    "CreateCustomer": {"201", *OF_CHANGES, *OF_PROFILES},
    "DeleteCustomer": {"204", *OF_CHANGES, *OF_A_CUSTOMER},
    "UpdateCustomerBillingProfile": {"200", "400/600049", "412/2055", "428/2055", *OF_CHANGES, *OF_A_CUSTOMER},
    "AddVerifiedDomain": {"201", *OF_CHANGES, *OF_A_CUSTOMER},
    **{f"GetCustomer{which}": OF_READS | OF_A_CUSTOMER for which in ("", "CompanyProfile", "BillingProfile")},
    "ValidateAddress": {"200", "400/2007", "400/3000", "400/800002"},
    "CheckDomainAvailability": {"200", "404", "400"},
    "GetAuditRecord": OF_READS | {"404/1000"},
    "CreateCustomerQualification": {"201", *OF_WRITES},
    "UpdateCustomerQualification": {"200", *OF_WRITES},
    "GetCustomerQualifications": OF_READS | OF_A_CUSTOMER,
    "GetCustomerQualification": OF_READS | OF_A_CUSTOMER,
    "GetCustomerValidationCode": OF_READS | OF_A_CUSTOMER,
    "GetValidationCodes": OF_READS,
    "GetReviewCases": OF_READS | {"400/900126", "403/900150"},
    "GetReviewCase": OF_READS | {"404/700101"},
    "ClaimReviewCase": {"200", "404/700101", "412/2055", "428/2055"},
    "ReleaseReviewCase": {"200", "404/700101"},
    "DecideReviewCase": {
        "200",
        *(f"400/{code}" for code in (3000, 900126, 800002)),
        "404/700101",
        "409/700102",
        "412/2055",
        "428/2055",
    },
    "TokenV1": OF_TOKENS | {"400/invalid_target"},
    "TokenV2": OF_TOKENS | {"400/invalid_scope"},
} | {name: {"200", "400/invalid_request"} for name in ("DiscoveryV1", "DiscoveryV2", "KeysV1", "KeysV2")}
"""What the cases of an operation must have met at least, or they have not tried it."""


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_answer_is_outside_the_document(document: dict[str, Any], world: World, name: str) -> None:
    operation = schemathesis.openapi.from_dict(document).find_operation_by_id(name)
    dice, seen = random.Random(name), Counter[str]()
    # Most of the invalid cases stay as they are, or little of them would be left. What takes nothing has none.
    valid, invalid = (GenerationMode.POSITIVE, 0.9), (GenerationMode.NEGATIVE, 0.2)
    for mode, met in (valid,) if name in PLAIN else (valid, invalid):

        @settings(
            max_examples=EXAMPLES.get(name, 40),
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def attempt(case: Any) -> None:
            token = world.meet(case, dice) if dice.random() < met else world.tokens["good"]  # noqa: B023
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            response = case.call(base_url=world.partner.service.url, headers=headers)
            case.validate_response(response, checks=CHECKED)
            seen[outcome(response)] += 1

        attempt()
    missed = REACHED.get(name, {"200"}) - set(seen)
    assert not missed, f"no case got as far as {missed}: {seen}"


def outcome(response: Any) -> str:
    """The status and, of an error with a body, its code."""
    if response.status_code < 400 or not response.content:
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
