"""The review API over real HTTP: who may, what a case shows, claims, decisions, ETags, and that each happens once."""

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from accredit.qualifications.models import Qualification
from accredit.qualifications.rules import DENIAL_REASONS
from accredit.vetting.review.models import MadeDecision
from accredit.vetting.review.rules import parse_ruling, suggest
from accredit.wire.errors import ApiError
from tests.conftest import AUDIENCE, DEADLINE, Decisions, Partner, Service, running_service
from tests.test_contract import ETAG, GCC, JSON, Qualify, refused

CASES = "/review/v1/cases"
MUSEUM = "Not an eligible Museum"


@pytest.fixture
def reviewer(service: Service) -> Iterator[httpx.Client]:
    """A reviewer, of a partner that the customers are not of."""
    with reviewing(service.partner()) as client:
        yield client


def reviewing(partner: Partner, upn: str = "judy@vendor.example") -> httpx.Client:
    partner.user = type(partner.user)(uuid4(), upn, ("Reviewer",))
    return partner.client(partner.token(roles=("Reviewer",)))


@pytest.fixture
def case(service: Service, partner: Partner, qualify: Qualify) -> UUID:
    """A case that the policy referred: a customer without a domain."""
    return referred(service, partner, qualify, partner.customer())


def referred(
    service: Service, partner: Partner, qualify: Qualify, customer: UUID, *arguments: Any, **named: Any
) -> UUID:
    with partner.client() as client:
        assert qualify(client, customer, *arguments, **named).status_code == 201
    query = """
        SELECT review.qualification_id FROM review_cases AS review
        JOIN qualifications AS asked ON asked.id = review.qualification_id
        WHERE asked.customer_id = %s AND review.closed_at IS NULL
    """
    deadline = time.monotonic() + DEADLINE
    with service.database() as connection:
        while time.monotonic() < deadline:
            if row := connection.execute(query, (customer,)).fetchone():
                return row[0]
    raise TimeoutError(f"no case of {customer}")


def tag(client: httpx.Client, case: UUID) -> dict[str, str]:
    """The header that a change of the case needs."""
    return {"If-Match": client.get(f"{CASES}/{case}").headers["ETag"]}


def decide(
    client: httpx.Client, case: UUID, outcome: str = "Approved", *, headers: dict[str, str] | None = None, **body: Any
) -> httpx.Response:
    headers = tag(client, case) if headers is None else headers
    return client.post(f"{CASES}/{case}/decision", json={"outcome": outcome, **body}, headers=headers)


def test_a_case_is_listed_claimed_and_decided(
    service: Service, partner: Partner, reviewer: httpx.Client, qualify: Qualify, decisions: Decisions
) -> None:
    customer = partner.customer("{}.example.com", name="Contoso")
    case = referred(service, partner, qualify, customer, website="www.contoso.example", educationSegment="K12")
    listing = reviewer.get(CASES, params={"partnerId": str(partner.id)})
    assert (listing.status_code, listing.headers["content-type"]) == (200, JSON)
    body = listing.json()
    assert (body["totalCount"], body["attributes"], set(body["links"])) == (1, {"objectType": "Collection"}, {"self"})
    (item,) = body["items"]
    assert (item["id"], item["kind"], item["companyName"]) == (str(case), "request", "Contoso")
    assert (item["rule"], item["country"], item["waitingSince"]) == (
        "education.unknown-domain",
        "US",
        item["requestedAt"],
    )
    assert not {"claim", "escalatedAt"} & set(item) and item["overdue"] is False

    shown = reviewer.get(item["links"]["self"]["uri"])
    file = shown.json()
    assert shown.headers["ETag"] == file["attributes"]["etag"] == item["attributes"]["etag"]
    assert ETAG.fullmatch(shown.headers["ETag"])
    assert file["profile"] == {
        "customerId": str(customer),
        "companyName": "Contoso",
        "domain": f"c{customer.hex}.onmicrosoft.com",
        "address": {"country": "US"},
        "verifiedDomains": [f"d{customer.hex}.example.com"],
    }
    assert (file["open"], file["website"], file["educationSegment"]) == (True, "www.contoso.example", "K12")
    assert file["suggestion"]["outcome"] == "Refer"
    assert file["suggestion"]["explanation"] == item["explanation"]
    assert {one["source"] for one in file["evidence"]} >= {"domains", "institutions", "website"}
    assert [one["requestedBy"] for one in file["requests"]] == ["admin@partner.example"]
    (made,) = file["decisions"]
    assert (made["outcome"], made["cause"], made["decidedBy"]) == ("Refer", "request", "policy")

    claimed = reviewer.post(f"{CASES}/{case}/claim", headers={"If-Match": shown.headers["ETag"]})
    assert (claimed.status_code, claimed.json()["claim"]["by"]) == (200, "judy@vendor.example")
    assert claimed.headers["ETag"] != shown.headers["ETag"]
    note = "Spoke to the registrar.\nThey are one."
    headers = {"If-Match": claimed.headers["ETag"], "MS-CorrelationId": str(uuid4())}
    decided = decide(reviewer, case, "approved", note=note, headers=headers)
    assert (decided.status_code, decided.json()["open"], decided.json()["vettingStatus"]) == (200, False, "Approved")
    assert decided.json()["decisions"][-1]["note"] == note
    assert not {"claim", "suggestion", "kind", "dueAt"} & set(decided.json())
    assert decisions.wait(customer) == "Approved"
    with partner.client() as client:
        (one,) = client.get(f"/v1/customers/{customer}/qualifications").json()
    assert one["vettingStatus"] == "Approved"
    assert reviewer.get(CASES, params={"partnerId": str(partner.id)}).json()["totalCount"] == 0
    with service.database() as connection:
        query = """
            SELECT customized_data FROM audit_records
            WHERE customer_id = %s AND operation_type = 'update_customer_qualification'
              AND operation_status = 'succeeded'
        """
        ((data,),) = connection.execute(query, (customer,)).fetchall()
    details = {one["key"]: one["value"] for one in data}
    assert (details["DecidedBy"], details["Note"]) == ("judy@vendor.example", note)
    assert details["MS-CorrelationId"] == headers["MS-CorrelationId"]


def test_a_denial_and_its_history(
    service: Service, partner: Partner, reviewer: httpx.Client, qualify: Qualify, case: UUID
) -> None:
    denied = decide(reviewer, case, "Denied", reason=MUSEUM)
    assert (denied.json()["vettingStatus"], denied.json()["vettingReason"]) == ("Denied", MUSEUM)
    customer = UUID(denied.json()["profile"]["customerId"])
    assert referred(service, partner, qualify, customer) == case
    file = reviewer.get(f"{CASES}/{case}").json()
    assert [made["outcome"] for made in file["decisions"]] == ["Refer", "Denied", "Refer"]
    assert (file["requestNumber"], len(file["requests"])) == (2, 2)
    assert (file["suggestion"]["outcome"], file["suggestion"]["reason"]) == ("Denied", MUSEUM)
    again = decide(reviewer, case, "Denied", reason=MUSEUM)
    assert again.json()["vettingReason"] == "Not an Education Customer - After Review"


def test_who_may_review(service: Service, partner: Partner, case: UUID) -> None:
    operations = [("GET", ""), ("GET", f"/{case}")]
    operations += [("POST", f"/{case}/{what}") for what in ("claim", "release", "decision")]
    for token, status, code in (
        (partner.token(), 403, "900150"),
        (partner.token(roles=("AdminAgent", "reviewer")), 403, "900150"),
        (partner.token(app_only=True), 403, "900329"),
        (partner.token(roles=("Reviewer",), mfa=False), 403, "900308"),
        (partner.token(roles=("Reviewer",), audience="https://graph.windows.net"), 401, "900420"),
        (Partner(service).token(roles=("Reviewer",)), 401, "400"),
    ):
        with partner.client(token) as client:
            for method, path in operations:
                refused(client.request(method, CASES + path), status, code)
    with partner.client(partner.token(roles=("Reviewer",))) as client:
        assert client.get(f"{CASES}/{case}").status_code == 200
        customer = client.get(f"{CASES}/{case}").json()["profile"]["customerId"]
        refused(client.post(f"/v1/customers/{customer}/qualifications", json={"qualification": GCC}), 403, "900150")
    assert httpx.get(f"{service.url}{CASES}").status_code == 401


def test_every_answer_carries_the_contract_s_headers(reviewer: httpx.Client, case: UUID) -> None:
    sent = {"MS-RequestId": str(uuid4()), "MS-CorrelationId": str(uuid4()), "X-Locale": "de-DE"}
    for answer in (
        reviewer.get(CASES, headers=sent),
        reviewer.get(f"{CASES}/{case}", headers=sent),
        reviewer.get(f"{CASES}/{uuid4()}", headers=sent),
        reviewer.get(f"{CASES}/{case}", headers=sent | {"MS-Contract-Version": "v2"}),
    ):
        assert sent.items() <= {name: answer.headers[name] for name in sent}.items()
        assert answer.headers["MS-CV"] and answer.headers["MS-ServerId"] and answer.headers["Date"]
    refused(answer, 400, "3000", "MS-Contract-Version")
    refused(reviewer.get(CASES, headers={"Accept": "text/html"}), 406, "3000")


def test_a_claim_keeps_other_reviewers_out(service: Service, reviewer: httpx.Client, case: UUID) -> None:
    with reviewing(service.partner(), "eve@vendor.example") as other:
        assert reviewer.post(f"{CASES}/{case}/claim", headers=tag(reviewer, case)).status_code == 200
        for what in ("claim", "decision"):
            answer = other.post(f"{CASES}/{case}/{what}", json={"outcome": "Approved"}, headers=tag(other, case))
            refused(answer, 409, "700103", "judy@vendor.example")
        refused(other.post(f"{CASES}/{case}/release"), 409, "700103", "judy@vendor.example")
        mine = {"partnerId": reviewer.get(f"{CASES}/{case}").json()["partnerId"]}
        for parameters, count in (
            ({"claimedBy": "JUDY@vendor.example"}, 1),
            ({"claimedBy": "eve@vendor.example"}, 0),
            ({"claimed": "true"}, 1),
            ({"claimed": "false"}, 0),
        ):
            assert other.get(CASES, params=mine | parameters).json()["totalCount"] == count, parameters
        longer = reviewer.post(f"{CASES}/{case}/claim", headers=tag(reviewer, case))
        assert longer.status_code == 200
        assert "claim" not in reviewer.post(f"{CASES}/{case}/release").json()
        assert reviewer.post(f"{CASES}/{case}/release").status_code == 200, "there is nothing to give back"
        assert decide(other, case).status_code == 200


def test_a_closed_case_and_one_that_is_not_there(reviewer: httpx.Client, case: UUID) -> None:
    assert decide(reviewer, case).status_code == 200
    refused(decide(reviewer, case, "Denied", reason=MUSEUM), 409, "700102", "Approved")
    refused(reviewer.post(f"{CASES}/{case}/claim", headers=tag(reviewer, case)), 409, "700102", "Approved")
    missing, any_tag = f"{CASES}/{uuid4()}", {"If-Match": "*"}
    refused(reviewer.get(missing), 404, "700101")
    refused(reviewer.post(f"{missing}/claim", headers=any_tag), 404, "700101")
    refused(reviewer.post(f"{missing}/release"), 404, "700101")
    refused(reviewer.post(f"{missing}/decision", json={"outcome": "Approved"}, headers=any_tag), 404, "700101")
    refused(reviewer.get(f"{CASES}/not-a-guid"), 400, "3000", "case ID")


def test_what_changed_meanwhile_must_be_seen_first(
    service: Service, partner: Partner, reviewer: httpx.Client, case: UUID
) -> None:
    stale = tag(reviewer, case)
    refused(decide(reviewer, case, headers={}), 428, "2055", "If-Match")
    refused(reviewer.post(f"{CASES}/{case}/claim"), 428, "2055", "If-Match")
    assert reviewer.post(f"{CASES}/{case}/claim", headers=stale).status_code == 200
    refused(decide(reviewer, case, headers=stale), 412, "2055", "If-Match")
    refused(reviewer.post(f"{CASES}/{case}/claim", headers=stale), 412, "2055", "If-Match")
    assert decide(reviewer, case, headers={"If-Match": f'"x", {tag(reviewer, case)["If-Match"]}'}).status_code == 200


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        ({}, "3000", "outcome"),
        ({"outcome": None}, "3000", "outcome"),
        ({"outcome": 1}, "3000", "outcome"),
        ({"outcome": "Refer"}, "900126", "outcome"),
        ({"outcome": "Denied"}, "3000", "reason"),
        ({"outcome": "Denied", "reason": ""}, "3000", "reason"),
        ({"outcome": "Denied", "reason": []}, "3000", "reason"),
        ({"outcome": "Denied", "reason": "Not a Government Customer"}, "900126", "Not an eligible Library"),
        ({"outcome": "Approved", "reason": MUSEUM}, "3000", "reason"),
        ({"outcome": "Approved", "note": 1}, "3000", "note"),
        ({"outcome": "Approved", "note": "\0"}, "3000", "note"),
        ({"outcome": "Approved", "note": "x" * 4001}, "3000", "note"),
    ],
)
def test_a_decision_that_is_none(
    reviewer: httpx.Client, case: UUID, body: dict[str, Any], code: str, named: str
) -> None:
    refused(reviewer.post(f"{CASES}/{case}/decision", json=body, headers=tag(reviewer, case)), 400, code, named)
    assert reviewer.get(f"{CASES}/{case}").json()["open"]


def test_a_body_that_is_none(reviewer: httpx.Client, case: UUID) -> None:
    path, headers = f"{CASES}/{case}/decision", tag(reviewer, case)
    for content in (b"", b"[]", b'{"outcome": "Approved",}'):
        answer = reviewer.post(path, content=content, headers={**headers, "Content-Type": "application/json"})
        refused(answer, 400, "800002")
    refused(reviewer.post(path, content=b"{}", headers={**headers, "Content-Type": "text/plain"}), 415, "3000")


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"qualification": "StateOwnedEntity"}, "900126"),
        ({"kind": "both"}, "900126"),
        ({"claimed": "1"}, "900126"),
        ({"overdue": "maybe"}, "900126"),
        ({"order": "best"}, "900126"),
        ({"partnerId": "1"}, "3000"),
        ({"customerId": "1"}, "3000"),
        ({"country": "USA"}, "3000"),
        ({"rule": "\0"}, "3000"),
        ({"claimedBy": "x" * 300}, "3000"),
        ({"size": "501"}, "3000"),
        ({"seekOperation": "Next"}, "3000"),
    ],
)
def test_a_filter_that_is_none(reviewer: httpx.Client, parameters: dict[str, str], code: str) -> None:
    refused(reviewer.get(CASES, params=parameters), 400, code, next(iter(parameters)))


def test_pages_and_filters(service: Service, partner: Partner, reviewer: httpx.Client, qualify: Qualify) -> None:
    customers = partner.customers(5)
    cases = [str(referred(service, partner, qualify, customer)) for customer in customers]
    government = partner.customer()
    other = str(referred(service, partner, qualify, government, GCC, code=partner.code()))
    mine = {"partnerId": str(partner.id)}
    for parameters, expected in (
        ({}, [*cases, other]),
        ({"order": "newest"}, [other, *reversed(cases)]),
        ({"qualification": "education"}, cases),
        ({"rule": "government.no-domain"}, [other]),
        ({"customerId": str(government)}, [other]),
        ({"country": "us", "kind": "request", "overdue": "false"}, [*cases, other]),
        ({"kind": "revetting"}, []),
    ):
        found, path, headers = [], httpx.URL(CASES, params=mine | parameters | {"size": "2"}), {}
        while True:
            page = reviewer.get(path, headers=headers).json()
            assert page["totalCount"] == len(expected)
            assert len(page["items"]) <= 2
            found += [item["id"] for item in page["items"]]
            if "next" not in page["links"]:
                break
            follow = page["links"]["next"]
            path, headers = httpx.URL(follow["uri"]), {one["key"]: one["value"] for one in follow["headers"]}
        assert found == expected, parameters


def test_a_repeated_write_is_done_once(service: Service, reviewer: httpx.Client, case: UUID) -> None:
    seen = tag(reviewer, case)
    for path, body in (("claim", None), ("decision", {"outcome": "Denied", "reason": MUSEUM})):
        headers = tag(reviewer, case) | {"MS-RequestId": str(uuid4())}
        answers = [reviewer.post(f"{CASES}/{case}/{path}", json=body, headers=headers) for _ in range(3)]
        assert {(one.status_code, one.content, one.headers["ETag"]) for one in answers} == {
            (200, answers[0].content, answers[0].headers["ETag"])
        }
        refused(reviewer.post(f"{CASES}/{case}/release", headers=headers), 409, "700005")
    headers = seen | {"MS-RequestId": str(uuid4())}
    answers = [decide(reviewer, case, headers=headers) for _ in range(2)]
    assert {one.content for one in answers} == {answers[0].content}
    refused(answers[0], 412, "2055")
    with service.database() as connection:
        query = "SELECT count(*) FROM decisions WHERE qualification_id = %s AND outcome <> 'Refer'"
        assert connection.execute(query, (case,)).fetchone() == (1,)


def test_of_many_reviewers_at_once_one_claims_and_one_decides(
    service: Service, partner: Partner, qualify: Qualify, reviewer: httpx.Client
) -> None:
    case = referred(service, partner, qualify, partner.customer())
    reviewers = [service.partner() for _ in range(6)]

    async def all_at_once(path: str, body: Any) -> list[int]:
        headers = {"If-Match": "*"}

        async def one(number: int, partner: Partner) -> int:
            partner.user = type(partner.user)(uuid4(), f"r{number}@vendor.example", ("Reviewer",))
            token = {"Authorization": f"Bearer {partner.token(roles=('Reviewer',))}"}
            async with httpx.AsyncClient(base_url=service.url, timeout=DEADLINE, headers=token) as client:
                return (await client.post(f"{CASES}/{case}/{path}", json=body, headers=headers)).status_code

        return await asyncio.gather(*(one(number, partner) for number, partner in enumerate(reviewers)))

    assert sorted(asyncio.run(all_at_once("claim", None))) == [200, *[409] * 5]
    with service.database() as connection:
        connection.execute("UPDATE review_cases SET claim_expires_at = now() WHERE qualification_id = %s", (case,))
    assert sorted(asyncio.run(all_at_once("decision", {"outcome": "Approved"}))) == [200, *[409] * 5]
    file = reviewer.get(f"{CASES}/{case}").json()
    assert [made["outcome"] for made in file["decisions"]] == ["Refer", "Approved"]


def test_a_decision_whose_connection_is_cut_is_made_once(service: Service, reviewer: httpx.Client, case: UUID) -> None:
    """It is cut while the decision waits for the case, which somebody holds."""
    headers, answers = tag(reviewer, case), list[httpx.Response]()
    waiting = """
        SELECT pid FROM pg_stat_activity
        WHERE application_name = 'accredit-api' AND wait_event_type = 'Lock' AND query LIKE '%FROM qualifications%'
    """
    with service.database() as watching, service.database() as holding:
        with holding.transaction():
            holding.execute("SELECT FROM qualifications WHERE id = %s FOR UPDATE", (case,))
            request = threading.Thread(target=lambda: answers.append(decide(reviewer, case, headers=headers)))
            request.start()
            deadline = time.monotonic() + DEADLINE
            while not (row := watching.execute(waiting).fetchone()):
                assert time.monotonic() < deadline, "the decision does not wait"
            assert watching.execute("SELECT pg_terminate_backend(%s)", row).fetchone() == (True,)
        request.join(DEADLINE)
        assert [one.status_code for one in answers] == [200], answers
        query = "SELECT outcome FROM decisions WHERE qualification_id = %s AND outcome <> 'Refer'"
        assert watching.execute(query, (case,)).fetchall() == [("Approved",)]


def test_a_customer_that_changes_is_vetted_again_by_the_service(
    service: Service, partner: Partner, qualify: Qualify, decisions: Decisions, reviewer: httpx.Client
) -> None:
    customer = partner.customer("{}.k12.or.us")
    with partner.client() as client:
        assert qualify(client, customer).status_code == 201
        assert decisions.wait(customer) == "Approved"
        with service.database() as connection:
            connection.execute("DELETE FROM customer_domains WHERE customer_id = %s", (customer,))
        case = changed(service, customer)
        (one,) = client.get(f"/v1/customers/{customer}/qualifications").json()
        assert one["vettingStatus"] == "Approved", "until a person says otherwise"
        listed = reviewer.get(CASES, params={"customerId": str(customer)}).json()["items"]
        assert [(item["id"], item["kind"]) for item in listed] == [(str(case), "revetting")]
        suggestion = reviewer.get(f"{CASES}/{case}").json()["suggestion"]
        assert (suggestion["outcome"], suggestion["reason"]) == ("Denied", "No longer an Education Customer")
        denied = decide(reviewer, case, "Denied", reason=suggestion["reason"])
        assert denied.status_code == 200
        (one,) = client.get(f"/v1/customers/{customer}/qualifications").json()
        assert (one["vettingStatus"], one["vettingReason"]) == ("Denied", "No longer an Education Customer")


def changed(service: Service, customer: UUID) -> UUID:
    """Tell vetting of a change, as the customers feature does, and wait for the case that comes of it."""
    from psycopg import AsyncConnection

    from accredit.vetting.changes import customer_changed
    from accredit.vetting.store import REVIEW_CHANNEL

    async def tell() -> UUID:
        async with (
            await AsyncConnection.connect(service.database_url, autocommit=True) as listening,
            await AsyncConnection.connect(service.database_url, autocommit=True) as connection,
        ):
            await listening.execute(f"LISTEN {REVIEW_CHANNEL}")  # type: ignore[arg-type]
            async with connection.transaction():
                await customer_changed(connection, customer)
            query = "SELECT id FROM qualifications WHERE customer_id = %s"
            ((case,),) = await (await connection.execute(query, (customer,))).fetchall()
            async for notice in listening.notifies(timeout=DEADLINE):
                if notice.payload == f"{case} opened":
                    return UUID(str(case))
        raise TimeoutError("no case was opened")

    return asyncio.run(tell())


def test_the_metrics_tell_of_the_queue(service: Service, case: UUID) -> None:
    with service.database() as connection:
        connection.execute("UPDATE review_cases SET due_at = now() WHERE qualification_id = %s", (case,))
    text = httpx.get(f"{service.url}/metrics").text
    labels = 'kind="request",qualification="Education"'

    def value(name: str, more: str = "") -> float:
        line = re.search(rf"^{name}\{{{labels}{more}\}} (\S+)$", text, re.MULTILINE)
        assert line, f"{name} is not among the metrics"
        return float(line[1])

    assert value("accredit_review_cases") >= value("accredit_review_cases_overdue") >= 1
    assert value("accredit_review_cases_claimed") >= 0
    assert value("accredit_review_age_seconds", ',which="oldest"') >= value(
        "accredit_review_age_seconds", ',which="median"'
    )


@pytest.fixture(scope="module")
def issuer() -> Iterator[tuple[str, rsa.RSAPrivateKey]]:
    """An OIDC issuer on loopback, and the key it signs with."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            jwk = json.loads(RSAAlgorithm.to_jwk(key.public_key())) | {"kid": "1", "use": "sig"}
            found = {"issuer": url, "jwks_uri": f"{url}/keys"} if "well-known" in self.path else {"keys": [jwk]}
            content = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield url, key
    server.shutdown()


def foreign_token(issuer: tuple[str, rsa.RSAPrivateKey], tenant: UUID) -> str:
    claims = {
        "iss": issuer[0], "aud": AUDIENCE, "tid": str(tenant), "exp": time.time() + 600, "scp": "user_impersonation",
        "oid": str(uuid4()), "upn": "mallory@partner.example", "amr": ["mfa"], "roles": ["Reviewer"],
    }  # fmt: skip
    return jwt.encode(claims, issuer[1], algorithm="RS256", headers={"kid": "1"})


def test_a_partner_cannot_make_its_own_users_reviewers(
    service: Service, issuer: tuple[str, rsa.RSAPrivateKey], tmp_path: Path
) -> None:
    partner, vendor = service.partner(), service.partner()
    for tenants, expected in ((None, (403, 403)), (str(vendor.id), (403, 200))):
        options = {"database_url": service.database_url, "issuers": issuer[0], "host": "127.0.0.1"}
        options |= {"reviewer_tenants": tenants} if tenants else {}
        with running_service(tmp_path / str(tenants), **options) as running:
            for tenant, status in zip((partner.id, vendor.id), expected, strict=True):
                headers = {"Authorization": f"Bearer {foreign_token(issuer, tenant)}"}
                answer = httpx.get(f"{running.url}{CASES}", headers=headers, timeout=DEADLINE)
                assert answer.status_code == status, answer.text


def made(outcome: str, rule: str, number: int = 1) -> MadeDecision:
    reason = MUSEUM if outcome == "Denied" else None
    moment = time.gmtime()
    return MadeDecision(number, "request", outcome, reason, rule, "Why.", [], None, "1", "judy", None, moment)  # type: ignore[arg-type]


@pytest.mark.parametrize("qualification", [Qualification.EDUCATION, Qualification.GOVERNMENT_COMMUNITY_CLOUD])
def test_what_is_suggested(qualification: Qualification) -> None:
    assert suggest(qualification, "request", []) is None
    assert suggest(qualification, "request", [made("Refer", "a"), made("Denied", "review.denied")]) is None
    first = [made("Refer", "a"), made("Denied", "review.denied")]
    for history, expected in (
        ([made("Refer", "a")], "Refer"),
        ([*first, made("Refer", "a")], "Denied"),
        ([*first, made("Refer", "b")], "Refer"),
        ([made("Denied", "a"), made("Refer", "a")], "Refer"),
        ([made("Refer", "a"), made("Approved", "review.approved"), made("Refer", "a")], "Refer"),
    ):
        suggestion = suggest(qualification, "request", history)
        assert suggestion and (suggestion.outcome, suggestion.rule) == (expected, history[-1].rule)
    again = suggest(qualification, "revetting", [made("Approved", "a"), made("Refer", "b")])
    assert again and again.outcome == "Denied" and again.reason in DENIAL_REASONS[qualification]


def test_a_ruling_is_read_without_regard_to_case() -> None:
    assert parse_ruling({"outcome": "APPROVED"}).reason is None
    ruling = parse_ruling({"outcome": "denied", "reason": MUSEUM, "note": "a\tb\r\nc"})
    assert (ruling.reason, ruling.note) == (MUSEUM, "a\tb\r\nc")
    with pytest.raises(ApiError):
        parse_ruling({"outcome": "approve"})
