"""Audit records, contract section 8: how they are asked for, and that every change in the system has exactly one."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.audit import rules
from accredit.partners import seed
from accredit.vetting.review.rules import CaseClosedError
from tests.conftest import Decisions, Partner, Service
from tests.dns_server import running_dns_server
from tests.test_contract import decide, refused
from tests.test_customers import ELSEWHERE, billing, created, customer, path_of
from tests.test_operations import running_api
from tests.test_paging import PROPERTY, a_filter, first_page, follow, ids
from tests.test_review import case_of
from tests.test_worker import own_database

Qualify = Callable[..., httpx.Response]
GCC = "GovernmentCommunityCloud"
PATH = "/v1/auditrecords"
DAY = timedelta(days=1)


@pytest.fixture
def client(partner: Partner) -> Iterator[httpx.Client]:
    with partner.client() as client:
        yield client


def put(partner: Partner, moment: datetime, **columns: Any) -> str:
    """Put a record of that moment into the partner's history; return its ID."""
    row = {"customer_id": None, "customer_name": None, "resource_type": "customer"} | columns
    id = str(uuid4())
    with partner.service.database() as connection:
        connection.execute(
            "INSERT INTO audit_records (id, partner_id, operation_type, operation_status, operation_date, "
            "customer_id, customer_name, resource_type) VALUES (%s, %s, 'tested', 'succeeded', %s, %s, %s, %s)",
            (id, partner.id, moment, row["customer_id"], row["customer_name"], row["resource_type"]),
        )
    return id


def queried(client: httpx.Client, **query: Any) -> list[str]:
    """The IDs of the records that :func:`put` made, as a query finds them."""
    page = first_page(client, PATH, size=500, **query)
    assert page["totalCount"] == len(page["items"])
    return [one["id"] for one in page["items"] if one["operationType"] == "tested"]


# Queries


def test_a_record_is_told_whole(partner: Partner, client: httpx.Client) -> None:
    sent = {"MS-RequestId": str(uuid4()), "MS-CorrelationId": str(uuid4()), "MS-PartnerCenter-Application": "A test"}
    answer = created(client, customer(name="Contoso"), **sent)
    answer.pop("userCredentials")
    page = first_page(client, PATH, filter=a_filter("CustomerId", answer["id"], "equals"))
    (record,) = page["items"]
    value, data = json.loads(record.pop("resourceNewValue")), record.pop("customizedData")
    moment = datetime.fromisoformat(record.pop("operationDate"))
    assert value == answer
    assert {one["key"]: one["value"] for one in data}.items() >= {
        "MS-RequestId": sent["MS-RequestId"],
        "MS-CorrelationId": sent["MS-CorrelationId"],
    }.items()
    assert "A test" in {one["value"] for one in data}
    assert abs(datetime.now(UTC) - moment) < DAY
    assert record == {
        "id": str(UUID(record["id"])),
        "partnerId": str(partner.id),
        "customerId": answer["id"],
        "customerName": "Contoso",
        "userPrincipalName": partner.user.upn,
        "applicationId": str(partner.application_id),
        "resourceType": "customer",
        "operationType": "add_customer",
        "operationStatus": "succeeded",
        "attributes": {"objectType": "AuditRecord"},
    }
    assert (page["totalCount"], page["attributes"]) == (1, {"objectType": "Collection"})
    assert set(page["links"]) == {"self"}
    for id in (record["id"], record["id"].upper()):
        assert client.get(f"{PATH}/{id}").json() == page["items"][0] | {
            "resourceNewValue": json.dumps(value, separators=(",", ":"), ensure_ascii=False),
            "customizedData": data,
            "operationDate": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }


def test_another_s_record_and_none_at_all_are_one_answer(service: Service, client: httpx.Client) -> None:
    foreign = put(service.partner(), datetime.now(UTC))
    answers = [client.get(f"{PATH}/{id}") for id in (foreign, uuid4())]
    for answer in answers:
        refused(answer, 404, "1000")
    assert answers[0].content == answers[1].content
    for id in ("5", "all", uuid4().hex, f"{uuid4()}0"):
        refused(client.get(f"{PATH}/{id}"), 400, "3000", "GUID")


FORMS = [
    "2020-03-01",
    "03/01/2020 00:00:00",  # .NET's DateTime.ToString with the invariant culture
    "03/01/2020 15:30:00",
    "3/1/2020 12:00:00 AM",  # the example in the public documentation
    "2020-03-01T00:00:00Z",
    "2020-03-01T00:00:00",
    "2020-03-01T00:00:00.000Z",  # Joda-Time's, in the Java client
    "2020-03-01T00:00:00.000+01:00",
    "2020-03-01T00:00:00.000-08:00",
    "2020-03-01T00:00:00.000 01:00",  # the same client does not encode its plus sign
]


@pytest.mark.parametrize("form", FORMS)
def test_dates_as_the_contract_and_the_official_clients_write_them(
    partner: Partner, client: httpx.Client, form: str
) -> None:
    first = datetime(2020, 3, 1, tzinfo=UTC)
    moments = [first - timedelta(microseconds=1), first, first + DAY - timedelta(microseconds=1), first + DAY]
    before, morning, night, after = [put(partner, moment) for moment in moments]
    assert queried(client, startDate=form, endDate=form) == [night, morning]
    assert queried(client, startDate=form) == [after, night, morning]
    assert queried(client, STARTDATE="2020-01-31", EndDate=form) == [night, morning, before]
    assert queried(client, endDate=form) == [night, morning, before]


@pytest.mark.parametrize(
    "date",
    ["yesterday", "2020-02-30", "2020-13-01", "13/01/2020", "2020", "1583020800", "20200301T", "0000-01-01",
     "9999-12-31", "2020-03-01T25:00:00Z", "2020-03-01; --", "\N{ARABIC-INDIC DIGIT TWO}020-03-01x", "-2020-03-01"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["startDate", "endDate"])
def test_what_is_no_date_is_refused(client: httpx.Client, name: str, date: str) -> None:
    refused(client.get(PATH, params={name: date}), 400, "3000", name)


def test_a_period_that_ends_before_it_begins_is_refused(client: httpx.Client) -> None:
    refused(client.get(PATH, params={"startDate": "2020-03-02", "endDate": "2020-03-01"}), 400, "3000", "startDate")


def test_without_dates_the_last_thirty_days_are_meant(partner: Partner, client: httpx.Client) -> None:
    now = datetime.now(UTC)
    today, recent, old = [put(partner, now - days * DAY) for days in (0, 29, 32)]
    assert queried(client) == [today, recent]
    assert queried(client, startDate=f"{now - 40 * DAY:%Y-%m-%d}") == [today, recent, old]
    end = f"{now - 20 * DAY:%Y-%m-%d}"
    assert queried(client, endDate=end) == [recent, old]


@PROPERTY
@given(st.dates(), st.dates(), st.datetimes(timezones=st.just(UTC)))
def test_a_period_is_whole_days_in_any_form(start: Any, end: Any, now: datetime) -> None:
    if not all(1900 <= one.year < 9999 for one in (start, end)) or start > end:
        return
    asked = rules.period(start.isoformat(), f"{end:%m/%d/%Y} 23:59:59", now=now)
    assert asked == (
        datetime(start.year, start.month, start.day, tzinfo=UTC),
        datetime(end.year, end.month, end.day, tzinfo=UTC) + DAY,
    )
    again = rules.as_given(asked)
    assert rules.period(again["startDate"], again["endDate"], now=now) == asked


@pytest.mark.parametrize(
    ("field", "value", "operator", "found"),
    [
        ("CustomerId", "{0}", "equals", [0]),
        ("customerid", "{1}", "EQUALS", [1]),
        ("CompanyName", "abri", "substring", [0]),
        ("CompanyName", "FABRIKAM", "Substring", [0]),
        ("CompanyName", "éco", "substring", [1]),
        ("CompanyName", "", "substring", [1, 0]),
        ("CompanyName", "%", "substring", [0]),
        ("CompanyName", "_", "substring", []),
        ("CompanyName", "Contoso", "substring", []),
        ("ResourceType", "customer", "equals", [1, 0]),
        ("ResourceType", "Customer", "equals", [1, 0]),
        ("ResourceType", "partner_user", "equals", [2]),
        ("ResourceType", "PartnerUser", "equals", [2]),
        ("ResourceType", "custom", "equals", []),
        ("ResourceType", "%", "equals", []),
    ],
)
def test_filters(
    partner: Partner, client: httpx.Client, field: str, value: str, operator: str, found: list[int]
) -> None:
    now, customers = datetime.now(UTC), [uuid4(), uuid4()]
    made = [
        put(partner, now - timedelta(hours=3), customer_id=customers[0], customer_name="Fabrikam 100%"),
        put(partner, now - timedelta(hours=2), customer_id=customers[1], customer_name="École"),
        put(partner, now - timedelta(hours=1), resource_type="partner_user"),
    ]
    text = a_filter(field, value.format(*(str(id).upper() for id in customers)), operator)
    assert queried(client, filter=text) == [made[number] for number in found]


@pytest.mark.parametrize(
    ("field", "value", "operator", "named"),
    [
        ("CustomerId", "5", "equals", "GUID"),
        ("CustomerId", str(uuid4()), "substring", "Operator"),
        ("CompanyName", "a", "equals", "Operator"),
        ("CompanyName", "a", "starts_with", "Operator"),
        ("Domain", "a", "starts_with", "Field"),
        ("ResourceType", "a", "substring", "Operator"),
        ("CompanyName", "\0", "substring", "Value"),
    ],
)
def test_filters_that_are_refused(client: httpx.Client, field: str, value: str, operator: str, named: str) -> None:
    refused(client.get(PATH, params={"filter": a_filter(field, value, operator)}), 400, "3000", named)


def test_a_customer_of_nobody_has_no_records(service: Service, client: httpx.Client) -> None:
    for id in (uuid4(), service.partner().customer()):
        page = first_page(client, PATH, filter=a_filter("CustomerId", str(id), "equals"))
        assert (page["items"], page["totalCount"]) == ([], 0)


@pytest.mark.parametrize("filtered", [False, True])
def test_pages_joined_are_the_records_newest_first(partner: Partner, filtered: bool) -> None:
    """Records of one moment, too, and with more coming in while the pages are read."""
    base, plan = datetime(2020, 3, 1, tzinfo=UTC), st.lists(st.integers(0, 3), max_size=9)

    @PROPERTY
    @given(plan, st.integers(1, 4), st.lists(st.integers(0, 5), max_size=3))
    def attempt(offsets: list[int], size: int, late: list[int]) -> None:
        with partner.service.database() as connection:
            connection.execute("DELETE FROM audit_records WHERE partner_id = %s", (partner.id,))
        moments = {
            put(partner, base + offset * DAY, customer_name="A" if filtered else None): offset for offset in offsets
        }
        query: dict[str, Any] = {"startDate": "2020-03-01", "endDate": "2020-03-09", "size": size}
        if filtered:
            query["filter"] = a_filter("CompanyName", "a", "substring")
            put(partner, base, customer_name="Other")
        coming, added = list(late), set[str]()
        with partner.client() as client:
            page: dict[str, Any] | None = first_page(client, PATH, **query)
            seen = []
            while page is not None:
                seen += ids(page)
                if coming:
                    added.add(put(partner, base + coming.pop() * DAY, customer_name="A" if filtered else None))
                page = follow(client, page)
        assert len(seen) == len(set(seen))
        assert set(moments) <= set(seen) <= set(moments) | added
        told = [moments[id] for id in seen if id in moments]
        assert told == sorted(told, reverse=True)

    attempt()


def test_the_token_alone_keeps_dates_filter_and_size(partner: Partner, client: httpx.Client) -> None:
    moment = datetime(2020, 3, 1, tzinfo=UTC)
    made = [put(partner, moment + timedelta(hours=hour), customer_name="A") for hour in range(5)]
    put(partner, moment, customer_name="B")
    text = a_filter("CompanyName", "a", "substring")
    page = first_page(client, PATH, startDate="2020-03-01", endDate="2020-03-01", size=2, filter=text)
    seen = ids(page)
    while "next" in page["links"]:
        headers = {"MS-ContinuationToken": page["links"]["next"]["headers"][0]["value"]}
        page = client.get(PATH, params={"seekOperation": "Next"}, headers=headers).json()
        assert len(page["items"]) <= 2
        seen += ids(page)
    assert seen == made[::-1]


# What is recorded


def operations(partner: Partner, since: int = 0) -> Counter[str]:
    """What the partner's records tell was done, but for the first ``since`` of them."""
    with partner.client() as client:
        items = first_page(client, PATH, size=500)["items"]
    return Counter(one["operationType"] for one in items[: len(items) - since])


def test_every_change_over_http_has_one_record_and_nothing_else_has(
    service: Service, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        running_dns_server() as dns,
        own_database(service) as url,
        running_api(tmp_path_factory.mktemp("home"), url, dns_servers=dns.address) as alone,
    ):
        partner = alone.partner()
        start = sum(operations(partner).values())
        with partner.client() as client:
            known = created(client)
            path, tag = path_of(known["id"]), known["billingProfile"]["attributes"]["etag"]
            domain = {"verifiedDomainName": f"d{uuid4().hex[:8]}.example"}
            adding = f"/v1/customers/{known['id']}/verifieddomain"
            told = client.post(adding, json=domain).json()["description"]
            dns.publish(f"_accredit.{domain['verifiedDomainName']}", told.split('"')[1])
            refusals = [
                client.post("/v1/customers", json={}),
                client.post("/v1/customers", json=customer(known["companyProfile"]["domain"])),
                client.put(path, json=billing()),
                client.put(path, json=billing(), headers={"If-Match": "x"}),
                client.delete(f"/v1/customers/{uuid4()}"),
                client.post(f"/v1/customers/{uuid4()}/qualifications", json={"qualification": "Education"}),
                client.post(f"/v1/customers/{known['id']}/qualifications", json={"qualification": "Other"}),
            ]
            reads = [client.get(one) for one in ("/v1/customers", path, PATH, f"/v1/customers/{known['id']}")]
            assert {answer.status_code // 100 for answer in (*refusals, *reads)} == {2, 4}
            assert operations(partner, start) == {"add_customer": 1}
            new = billing("Fabrikam", defaultAddress=ELSEWHERE)
            assert client.put(path, json=new, headers={"If-Match": tag}).status_code == 200
            for _ in range(2):
                assert client.post(adding, json=domain).status_code == 201
            for _ in range(2):
                client.post(f"/v1/customers/{known['id']}/qualifications", json={"qualification": "StateOwnedEntity"})
            client.post(f"/v1/customers/{known['id']}/qualifications", json={"qualification": "Education"})
            assert client.delete(f"/v1/customers/{known['id']}").status_code == 204
        assert operations(partner, start) == {
            "add_customer": 1,
            "update_customer_billing_profile": 1,
            "add_customer_domain": 1,
            "update_customer_qualification": 2,
            "delete_customer": 1,
        }


def transitions(client: httpx.Client, id: UUID) -> list[tuple[str, str | None, str]]:
    """Of each recorded transition, oldest first: the status before and after, and the operation's."""
    page = first_page(client, PATH, filter=a_filter("CustomerId", str(id), "equals"))
    found = []
    for one in reversed(page["items"]):
        if one["operationType"] == "update_customer_qualification":
            old, new = (json.loads(one.get(f"resource{which}Value") or "{}") for which in ("Old", "New"))
            found.append((old.get("vettingStatus", "None"), new.get("vettingStatus"), one["operationStatus"]))
    return found


def test_every_transition_has_one_record(
    service: Service, partner: Partner, client: httpx.Client, qualify: Qualify, decisions: Decisions
) -> None:
    school, shop, unknown = partner.customer("{}.k12.or.us"), partner.customer("{}.gmail.com"), partner.customer()
    for id, verdict in ((school, "Approved"), (shop, "Denied")):
        assert qualify(client, id).status_code == 201
        assert decisions.wait(id) == verdict
    assert qualify(client, unknown).status_code == 201
    case_of(service, unknown, referred=True)
    asked = ("None", "InReview", "progress")
    assert transitions(client, school) == [asked, ("InReview", "Approved", "succeeded")]
    assert transitions(client, shop) == [asked, ("InReview", "Denied", "failed")]
    assert transitions(client, unknown) == [asked]
    decide(service, unknown, reason="Not an eligible Museum")
    with pytest.raises(CaseClosedError):
        decide(service, unknown)
    assert transitions(client, unknown) == [asked, ("InReview", "Denied", "failed")]
    page = first_page(client, PATH, filter=a_filter("CustomerId", str(unknown), "equals"))
    data = {one["key"]: one["value"] for one in page["items"][0]["customizedData"]}
    assert data["DecidedBy"] == "a test"


def entry(partner: Partner) -> dict[str, Any]:
    """A seed file's entry with something of everything."""
    return {
        "id": str(partner.id),
        "name": "Fabrikam",
        "sandbox": True,
        "applications": [{"id": str(uuid4()), "secret": "the first secret"}],
        "users": [{"id": str(uuid4()), "upn": "kim@fabrikam.example", "roles": ["AdminAgent"]}],
        "validationCodes": [{"validationId": "12345", "organizationName": "Contoso County", "maxCreates": 5}],
        "customers": [{"id": str(uuid4()), "companyName": "Contoso", "domain": f"c{uuid4().hex}.example"}],
    }


def test_what_a_seed_changes_is_recorded_once_and_the_rest_not(service: Service) -> None:
    partner = Partner(service)
    file = entry(partner)

    def sow() -> Counter[str]:
        before = sum(operations(partner).values()) if partner.id in known else 0
        seed.register(service.database_url, seed.parse(json.dumps({"partners": [file]}).encode()))
        known.add(partner.id)
        return operations(partner, before)

    known = set[UUID]()
    assert sow() == {
        "register_partner": 1,
        "register_application": 1,
        "create_partner_user": 1,
        "add_validation_code": 1,
        "add_customer": 1,
    }
    assert sow() == {}
    for part, change, operation in (
        ("name", "Fabrikam Ltd", "update_partner"),
        ("sandbox", False, "update_partner"),
        ("applications", {"secret": "the second secret"}, "add_application_credential"),
        ("users", {"roles": ["SalesAgent"]}, "update_partner_user"),
        ("users", {"upn": "lee@fabrikam.example"}, "update_partner_user"),
        ("validationCodes", {"maxCreates": 6}, "update_validation_code"),
        ("validationCodes", {"organizationName": "Contoso City"}, "update_validation_code"),
        ("customers", {"companyName": "Contoso Ltd"}, "update_customer_billing_profile"),
        ("customers", {"address": {"country": "US"}}, "update_customer_billing_profile"),
    ):
        if isinstance(change, dict):
            file[part][0] |= change
        else:
            file[part] = change
        assert sow() == {operation: 1}, (part, change)
        assert sow() == {}, (part, change)


def test_a_seed_that_is_refused_leaves_no_record(service: Service, partner: Partner) -> None:
    before = operations(partner)
    file = entry(partner)
    file["customers"].append({"id": str(service.partner().customer()), "companyName": "X", "domain": "x.example"})
    with pytest.raises(seed.SeedError):
        seed.register(service.database_url, seed.parse(json.dumps({"partners": [file]}).encode()))
    assert operations(partner) == before


def test_no_record_tells_a_secret(service: Service, partner: Partner) -> None:
    seed.register(service.database_url, seed.parse(json.dumps({"partners": [entry(partner)]}).encode()))
    with partner.client() as client:
        password = created(client)["userCredentials"]["password"]
        token = client.headers["Authorization"].removeprefix("Bearer ")
        text = client.get(PATH, params={"size": 500}).text
    with service.database() as connection:
        ((hashed,),) = connection.execute(
            "SELECT secret_hash FROM applications WHERE partner_id = %s", (partner.id,)
        ).fetchall()
        stored = json.dumps(
            connection.execute(
                "SELECT to_jsonb(record) FROM audit_records AS record WHERE partner_id = %s",
                (partner.id,),
            ).fetchall()
        )
    for secret in (password, "the first secret", hashed, token, token.rpartition(".")[2]):
        assert secret not in text
        assert secret not in stored
        assert json.dumps(secret)[1:-1] not in stored


def test_a_change_and_its_record_are_one_act(service: Service, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where the record cannot be written, nothing is changed."""
    with own_database(service) as url, running_api(tmp_path_factory.mktemp("home"), url) as alone:
        partner = alone.partner()
        with partner.client() as client, psycopg.connect(url, autocommit=True) as connection:
            known = created(client)
            tag = known["billingProfile"]["attributes"]["etag"]
            connection.execute("ALTER TABLE audit_records ADD CONSTRAINT none CHECK (false) NOT VALID")
            answers = [
                client.post("/v1/customers", json=customer()),
                client.put(path_of(known["id"]), json=billing("Fabrikam"), headers={"If-Match": tag}),
                client.delete(f"/v1/customers/{known['id']}"),
                client.post(f"/v1/customers/{known['id']}/qualifications", json={"qualification": "Education"}),
            ]
            for answer in answers:
                refused(answer, 500, "800003")
            with pytest.raises(psycopg.errors.CheckViolation):
                partner.seed(name="Another")
            connection.execute("ALTER TABLE audit_records DROP CONSTRAINT none")
            assert first_page(client)["totalCount"] == 1
            assert client.get(path_of(known["id"])).json() == known["billingProfile"]
            assert client.get(f"/v1/customers/{known['id']}/qualifications").json() == []
            name = connection.execute("SELECT name FROM partners WHERE id = %s", (partner.id,)).fetchone()
            assert name == ("Test Partner",)
            request_id = {"MS-RequestId": answers[2].headers["MS-RequestId"]}
            assert client.delete(f"/v1/customers/{known['id']}", headers=request_id).status_code == 204
