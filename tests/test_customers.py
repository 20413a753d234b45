"""Customers and their profiles, contract section 7, with sections 1, 2, 5 and 6 as they apply to each operation."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accredit.database.pool import create_pool
from accredit.settings import Settings
from accredit.vetting import queue
from accredit.vetting.worker import Vetting
from tests.conftest import Decisions, Partner, Service, run_cli
from tests.test_contract import refused
from tests.test_operations import running_api
from tests.test_review import case_of
from tests.test_worker import own_database

Qualify = Callable[..., httpx.Response]
GCC = "GovernmentCommunityCloud"
ADDRESS = {
    "country": "US",
    "city": "Redmond",
    "state": "WA",
    "addressLine1": "1 Microsoft Way",
    "postalCode": "98052",
    "firstName": "Kim",
    "lastName": "Lee",
    "phoneNumber": "425-882-8080",
}
ELSEWHERE = {
    "country": "CA",
    "city": "Ottawa",
    "state": "ON",
    "addressLine1": "111 Wellington St",
    "postalCode": "K1A 0A9",
}


def billing(name: str = "Contoso", **changes: Any) -> dict[str, Any]:
    """A billing profile as a client sends it."""
    return {
        "firstName": "Kim",
        "lastName": "Lee",
        "email": "kim@contoso.example",
        "culture": "en-US",
        "language": "en",
        "companyName": name,
        "defaultAddress": ADDRESS,
    } | changes


def new_domain() -> str:
    return f"c{uuid4().hex}.onmicrosoft.com"


def customer(domain: str | None = None, *, number: str | None = None, **profile: Any) -> dict[str, Any]:
    """The body of POST."""
    company = {"domain": domain or new_domain(), "organizationRegistrationNumber": number}
    return {"companyProfile": company, "billingProfile": billing(**profile)}


def created(client: httpx.Client, body: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
    answer = client.post("/v1/customers", json=body or customer(), headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


def path_of(customer_id: object, profile: str = "billing") -> str:
    return f"/v1/customers/{customer_id}/profiles/{profile}"


def total(client: httpx.Client) -> int:
    count: int = client.get("/v1/customers", params={"size": 1}).json()["totalCount"]
    return count


def records(client: httpx.Client, operation: str | None = None) -> list[dict[str, Any]]:
    """The partner's audit records, newest first, but for those of its registration."""
    answer = client.get("/v1/auditrecords", params={"size": 500})
    assert answer.status_code == 200, answer.text
    return [
        one
        for one in answer.json()["items"]
        if one.get("applicationId") != "accredit seed" and one["operationType"] == (operation or one["operationType"])
    ]


@pytest.fixture
def client(partner: Partner) -> Iterator[httpx.Client]:
    with partner.client() as client:
        yield client


# Create, get, list, delete


def test_a_created_customer_is_told_whole(client: httpx.Client) -> None:
    domain = new_domain()
    answer = client.post("/v1/customers", json=customer(domain) | {"associatedPartnerId": "4847383"})
    assert answer.status_code == 201
    body = answer.json()
    id, credentials = body["id"], body.pop("userCredentials")
    assert set(credentials) == {"userName", "password"}
    assert len(credentials["password"]) >= 8
    tag = body["companyProfile"]["attributes"]["etag"]

    def links(uri: str) -> dict[str, Any]:
        return {"self": {"uri": uri, "method": "GET", "headers": []}}

    assert body == {
        "id": str(UUID(id)),
        "commerceId": str(UUID(body["commerceId"])),
        "companyProfile": {
            "tenantId": id,
            "domain": domain,
            "companyName": "Contoso",
            "address": ADDRESS,
            "email": "kim@contoso.example",
            "links": links(path_of(id, "company")),
            "attributes": {"etag": tag, "objectType": "CustomerCompanyProfile"},
        },
        "billingProfile": {
            "id": str(UUID(body["billingProfile"]["id"])),
            "firstName": "Kim",
            "lastName": "Lee",
            "email": "kim@contoso.example",
            "culture": "en-US",
            "language": "en",
            "companyName": "Contoso",
            "defaultAddress": ADDRESS,
            "links": links(path_of(id)),
            "attributes": {"etag": tag, "objectType": "CustomerBillingProfile"},
        },
        "relationshipToPartner": "reseller",
        "allowDelegatedAccess": True,
        "customDomains": [],
        "associatedPartnerId": "4847383",
        "links": links(f"/v1/customers/{id}"),
        "attributes": {"objectType": "Customer"},
    }
    assert client.get(f"/v1/customers/{id}").json() == body
    assert client.get(f"/v1/customers/{id.upper()}").json() == body
    for profile in ("company", "billing"):
        assert client.get(path_of(id, profile)).json() == body[f"{profile}Profile"]
    page = client.get("/v1/customers").json()
    assert page == {
        "totalCount": 1,
        "items": [
            {
                "id": id,
                "companyProfile": {
                    "tenantId": id,
                    "domain": domain,
                    "companyName": "Contoso",
                    "attributes": {"objectType": "CustomerCompanyProfile"},
                },
                "relationshipToPartner": "reseller",
                "attributes": {"objectType": "Customer"},
            }
        ],
        "links": links("/v1/customers"),
        "attributes": {"objectType": "Collection"},
    }


def test_passwords_differ_and_are_told_once(service: Service, client: httpx.Client) -> None:
    passwords = {created(client)["userCredentials"]["password"] for _ in range(3)}
    assert len(passwords) == 3
    seen = json.dumps([client.get("/v1/customers").json(), records(client)]) + "".join(service.log)
    assert not any(password in seen for password in passwords)


REQUIRED = [
    "companyProfile",
    "companyProfile.domain",
    "billingProfile",
    *(f"billingProfile.{name}" for name in ("email", "culture", "language", "companyName", "defaultAddress")),
    *(f"billingProfile.defaultAddress.{name}" for name in ("country", "addressLine1")),
]


@pytest.mark.parametrize("value", [None, "", 5, []], ids=["absent", "empty", "number", "array"])
def test_what_is_required_is_named(client: httpx.Client, value: Any) -> None:
    for place in REQUIRED:
        body = json.loads(json.dumps(customer()))
        *parents, last = place.split(".")
        holder = body
        for name in parents:
            holder = holder[name]
        holder[last] = value
        refused(client.post("/v1/customers", json=body), 400, "3000", last)
    assert total(client) == 0
    assert records(client) == []


@pytest.mark.parametrize(
    ("profile", "named"),
    [
        ({"email": "kim"}, "email"),
        ({"email": "kim lee@contoso.example"}, "email"),
        ({"culture": "English"}, "culture"),
        ({"language": "e"}, "language"),
        ({"companyName": "x" * 257}, "companyName"),
        ({"companyName": "Con\ttoso"}, "companyName"),
        ({"companyName": "Con\u0000toso"}, "companyName"),
        ({"firstName": "x" * 51}, "firstName"),
        ({"defaultAddress": ADDRESS | {"country": "USA"}}, "country"),
        ({"defaultAddress": ADDRESS | {"country": "ZZ"}}, "country"),
        ({"defaultAddress": ADDRESS | {"state": "WAS"}}, "state"),
        ({"defaultAddress": ADDRESS | {"postalCode": "9805"}}, "postalCode"),
        ({"defaultAddress": ADDRESS | {"addressLine1": "x" * 201}}, "addressLine1"),
        ({"defaultAddress": ADDRESS | {"addressLine2": "x" * 201}}, "addressLine2"),
        ({"defaultAddress": ADDRESS | {"lastName": "x" * 51}}, "lastName"),
        ({"defaultAddress": ADDRESS | {"middleName": "x" * 51}}, "middleName"),
        ({"defaultAddress": ADDRESS | {"phoneNumber": "12"}}, "phoneNumber"),
        ({"defaultAddress": ADDRESS | {"city": 5}}, "city"),
    ],
    ids=str,
)
def test_a_wrong_profile_is_refused_by_create_and_update_alike(
    client: httpx.Client, profile: dict[str, Any], named: str
) -> None:
    before = created(client)
    refused(
        client.post("/v1/customers", json=customer(**{"name": "Contoso", **profile_arguments(profile)})),
        400,
        "3000",
        named,
    )
    tag = before["billingProfile"]["attributes"]["etag"]
    put = client.put(path_of(before["id"]), json=billing() | profile, headers={"If-Match": tag})
    refused(put, 400, "3000", named)
    assert client.get(path_of(before["id"])).json() == before["billingProfile"]
    assert total(client) == 1


def profile_arguments(profile: dict[str, Any]) -> dict[str, Any]:
    """``profile`` as arguments of :func:`customer`."""
    return {"name" if name == "companyName" else name: value for name, value in profile.items()}


@pytest.mark.parametrize("domain", ["contoso", "", "a b.example", "192.0.2.1", "-x.example", f"{'x' * 64}.example"])
def test_what_is_no_domain_is_refused(client: httpx.Client, domain: str) -> None:
    body = customer()
    body["companyProfile"]["domain"] = domain
    refused(client.post("/v1/customers", json=body), 400, "3000", "domain")


@pytest.mark.parametrize("body", ["", "[]", "null", '{"companyProfile": {},}', "{", '{"a": 1} // b'])
def test_a_body_that_is_no_object_is_refused(client: httpx.Client, body: str) -> None:
    known = created(client)
    headers = {"Content-Type": "application/json"}
    refused(client.post("/v1/customers", content=body, headers=headers), 400, "800002")
    refused(client.post("/v1/validations/address", content=body, headers=headers), 400, "800002")
    refused(client.post(f"/v1/customers/{known['id']}/verifieddomain", content=body, headers=headers), 400, "800002")
    tag = known["billingProfile"]["attributes"]["etag"]
    put = client.put(path_of(known["id"]), content=body, headers=headers | {"If-Match": tag})
    refused(put, 400, "800002")


def test_names_match_in_any_case_null_is_absent_and_the_unknown_is_ignored(client: httpx.Client) -> None:
    def shout(value: Any) -> Any:
        return {name.upper(): shout(one) for name, one in value.items()} if isinstance(value, dict) else value

    body = shout(customer()) | {"id": str(uuid4()), "relationshipToPartner": "none", "ASSOCIATEDPARTNERID": None}
    answer = created(client, body)
    assert answer["id"] != body["id"]
    assert answer["relationshipToPartner"] == "reseller"
    assert "associatedPartnerId" not in answer
    assert answer["billingProfile"]["defaultAddress"] == ADDRESS


def test_what_a_client_read_it_may_send_back(client: httpx.Client) -> None:
    before = created(client)["billingProfile"]
    client_path = before["links"]["self"]["uri"]
    after = client.put(client_path, json=before, headers={"If-Match": before["attributes"]["etag"]})
    assert after.status_code == 200
    assert after.json() | {"attributes": {}} == before | {"attributes": {}}


def test_an_address_is_kept_normalised(client: httpx.Client) -> None:
    sent = {
        "country": " us ",
        "city": " Redmond ",
        "state": "wa",
        "addressLine1": "1  Microsoft Way",
        "postalCode": "98052 ",
    }
    answer = created(client, customer(defaultAddress=sent))
    assert answer["billingProfile"]["defaultAddress"] == {
        name: ADDRESS[name] for name in ("country", "city", "state", "addressLine1", "postalCode")
    }


@pytest.mark.parametrize("spelling", [str.upper, lambda domain: f"{domain}.", lambda domain: f" {domain} "])
def test_a_domain_that_is_taken_is_refused(
    service: Service, client: httpx.Client, spelling: Callable[[str], str]
) -> None:
    domain = f"bücher-{uuid4().hex}.example"
    assert created(client, customer(domain))["companyProfile"]["domain"].startswith("xn--")
    with service.partner().client() as other:
        for who in (client, other):
            refused(who.post("/v1/customers", json=customer(spelling(domain))), 400, "3000", "domain", "taken")


def test_of_many_that_ask_for_one_domain_at_once_one_gets_it(service: Service) -> None:
    partners = [service.partner() for _ in range(2)]
    body = customer()

    async def scenario() -> list[int]:
        async with partners[0].async_client() as one, partners[1].async_client() as other:
            answers = await asyncio.gather(*(who.post("/v1/customers", json=body) for who in [one, other] * 6))
        return [answer.status_code for answer in answers]

    assert Counter(asyncio.run(scenario())) == {201: 1, 400: 11}


NUMBER_COUNTRIES = {
    "AM": ("Yerevan", "0010"), "AZ": ("Baku", "1000"), "BY": ("Minsk", "220030"), "HU": ("Budapest", "1054"),
    "KZ": ("Almaty", "050000"), "KG": ("Bishkek", "720001"), "MD": ("Chisinau", "2001"), "RU": ("Moscow", "103132"),
    "TJ": ("Dushanbe", "734000"), "UZ": ("Tashkent", "100000"), "UA": ("Kyiv", "01001"),
}  # fmt: skip


@pytest.mark.parametrize("country", NUMBER_COUNTRIES)
def test_where_a_registration_number_is_required(client: httpx.Client, country: str) -> None:
    city, postal_code = NUMBER_COUNTRIES[country]
    address = {"country": country, "city": city, "postalCode": postal_code, "addressLine1": "1 Main Street"}
    with_phone = address | {"phoneNumber": "+1 425 882 8080"}
    for number, where, code in (
        (None, with_phone, "600049"),
        ("12", with_phone, "600050"),
        ("12345<>", with_phone, "600050"),
        ("1234567890", address, "600051"),
    ):
        answer = client.post("/v1/customers", json=customer(number=number, defaultAddress=where))
        refused(answer, 400, code)
    answer = created(client, customer(number="1234567890", defaultAddress=with_phone))
    assert answer["companyProfile"]["organizationRegistrationNumber"] == "1234567890"
    assert client.get(path_of(answer["id"], "company")).json()["organizationRegistrationNumber"] == "1234567890"
    tag = answer["billingProfile"]["attributes"]["etag"]
    put = client.put(path_of(answer["id"]), json=billing(defaultAddress=address), headers={"If-Match": tag})
    refused(put, 400, "600051")
    assert total(client) == 1


def test_elsewhere_a_registration_number_is_refused(client: httpx.Client) -> None:
    refused(client.post("/v1/customers", json=customer(number="1234567890")), 400, "600002")


def test_who_is_not_a_sandbox_partner_deletes_nobody(service: Service) -> None:
    partner = service.partner()
    id = partner.customer()
    partner.seed(sandbox=False)
    with partner.client() as client:
        answer = client.delete(f"/v1/customers/{id}")
        assert answer.status_code == 403
        assert "sandbox" in answer.json()["description"]
        assert client.get(f"/v1/customers/{id}").status_code == 200
        assert records(client) == []


def test_a_deleted_customer_is_gone_but_for_its_audit_records(
    partner: Partner, client: httpx.Client, qualify: Qualify
) -> None:
    domain, own = f"d{uuid4().hex}.example", partner.customer()
    id = created(client, customer(domain, name="Gone"))["id"]
    partner.code()
    assert qualify(client, UUID(id), GCC, code="12345").status_code == 201
    answer = client.delete(f"/v1/customers/{id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers
    for path in ("", "/profiles/company", "/profiles/billing", "/qualifications", "/qualification", "/validations"):
        refused(client.get(f"/v1/customers/{id}{path}"), 403, "20002")
    refused(client.delete(f"/v1/customers/{id}"), 403, "20002")
    assert [one["id"] for one in client.get("/v1/customers").json()["items"]] == [str(own)]
    assert total(client) == 1
    assert client.head(f"/v1/domains/{domain}").status_code == 404
    told = [one["operationType"] for one in records(client) if one["customerId"] == id]
    assert told == ["delete_customer", "update_customer_qualification", "add_customer"]
    assert created(client, customer(domain))["id"] != id


@pytest.fixture(scope="module")
def without_worker(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An API process over a database that no worker works on: what is queued stays."""
    with own_database(service) as url, running_api(tmp_path_factory.mktemp("home"), url) as alone:
        yield alone


def jobs(service: Service) -> list[tuple[UUID, int]]:
    """The cases that are queued, as often as they are."""
    with service.database() as connection:
        found = connection.execute("SELECT payload FROM pgqueuer ORDER BY id").fetchall()
    return [case for (payload,) in found for case in queue.decode(payload)]


def test_a_job_whose_case_was_deleted_is_harmless(without_worker: Service, qualify: Qualify) -> None:
    partner = without_worker.partner()
    gone, stays = partner.customers(2, "{}.k12.or.us")
    with partner.client() as client:
        for id in (gone, stays):
            assert qualify(client, id).status_code == 201
        cases = [(case_of(without_worker, id), 1) for id in (gone, stays)]
        assert client.delete(f"/v1/customers/{gone}").status_code == 204
        assert set(cases) <= set(jobs(without_worker))

        async def vet() -> None:
            async with create_pool(without_worker.database_url, most=2, timeout=5, name="test") as pool:
                await Vetting(pool, Settings()).vet(cases)
                await Vetting(pool, Settings()).vet(cases[:1])

        asyncio.run(vet())
        (state,) = client.get(f"/v1/customers/{stays}/qualifications").json()
        assert state["vettingStatus"] == "Approved"
        assert [one["operationType"] for one in records(client) if one["customerId"] == str(gone)] == [
            "delete_customer",
            "update_customer_qualification",
        ]


# Profiles, ETags, evidence


def test_the_billing_profile_is_replaced_and_both_profiles_show_it(client: httpx.Client) -> None:
    before = created(client)
    tag = before["billingProfile"]["attributes"]["etag"]
    new = billing("Fabrikam", email="lee@fabrikam.example", culture="fr-CA", language="fr", defaultAddress=ELSEWHERE)
    del new["firstName"]
    answer = client.put(path_of(before["id"]), json=new, headers={"If-Match": tag})
    assert answer.status_code == 200
    after = answer.json()
    assert after["attributes"]["etag"] != tag
    assert {name: after.get(name) for name in billing()} == new | {"firstName": None}
    assert "firstName" not in after
    assert client.get(path_of(before["id"])).json() == after
    company = client.get(path_of(before["id"], "company")).json()
    assert (company["companyName"], company["address"], company["email"]) == ("Fabrikam", ELSEWHERE, new["email"])
    assert company["attributes"]["etag"] == after["attributes"]["etag"]
    assert company["domain"] == before["companyProfile"]["domain"]
    assert client.get(f"/v1/customers/{before['id']}").json()["billingProfile"] == after


def test_an_update_needs_the_etag_that_was_read(client: httpx.Client) -> None:
    before = created(client)
    path, tag = path_of(before["id"]), before["billingProfile"]["attributes"]["etag"]
    for absent in ({}, {"If-Match": ""}):
        assert client.put(path, json=billing("Nobody"), headers=absent).status_code == 428
    for wrong in ("W/\"datetime'2026-11-23T09%3A00%3A00.1234560Z'\"", "x", tag[:-3], "W/", '""'):
        refused(client.put(path, json=billing("Nobody"), headers={"If-Match": wrong}), 412, "2055")
    assert client.get(path).json() == before["billingProfile"]
    first = client.put(path, json=billing("First"), headers={"If-Match": tag})
    assert first.status_code == 200
    refused(client.put(path, json=billing("Late"), headers={"If-Match": tag}), 412, "2055")
    assert client.get(path).json() == first.json()
    assert [one["operationStatus"] for one in records(client, "update_customer_billing_profile")] == ["succeeded"]


def test_two_updates_never_have_one_etag(client: httpx.Client) -> None:
    tags = [created(client)["billingProfile"]]
    for number in range(10):
        headers = {"If-Match": tags[-1]["attributes"]["etag"]}
        tags.append(client.put(tags[0]["links"]["self"]["uri"], json=billing(f"{number}"), headers=headers).json())
    assert len({one["attributes"]["etag"] for one in tags}) == len(tags)


rounds = st.lists(st.lists(st.booleans(), min_size=1, max_size=6), min_size=1, max_size=3)


def test_of_writers_at_once_one_wins_and_the_others_lose_nothing(partner: Partner) -> None:
    """In rounds, writers with the current ETag and with older ones: one of the former wins, and its values stand."""
    names = (f"Writer {number}" for number in itertools.count())

    async def race(id: str, etags: list[str]) -> tuple[list[tuple[str, httpx.Response]], dict[str, Any]]:
        async with partner.async_client() as client:
            wanted = [(next(names), tag) for tag in etags]
            sent = (client.put(path_of(id), json=billing(name), headers={"If-Match": tag}) for name, tag in wanted)
            answers = await asyncio.gather(*sent)
            return list(zip((name for name, _ in wanted), answers, strict=True)), (await client.get(path_of(id))).json()

    @settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(rounds)
    def attempt(writers: list[list[bool]]) -> None:
        with partner.client() as client:
            known = created(client)
        id, stands, older = known["id"], known["billingProfile"], "W/\"datetime'2026-01-01T00%3A00%3A00.0000000Z'\""
        wins = 0
        for fresh in writers:
            current = stands["attributes"]["etag"]
            outcomes, after = asyncio.run(race(id, [current if one else older for one in fresh]))
            won = [(name, answer.json()) for name, answer in outcomes if answer.status_code == 200]
            assert len(won) == any(fresh)
            assert {answer.status_code for _, answer in outcomes} <= {200, 412}
            for name, answer in won:
                assert answer == after
                assert after["companyName"] == name
                older = current
            if not won:
                assert after == stands
            stands, wins = after, wins + len(won)
        with partner.client() as client:
            told = client.get(
                "/v1/auditrecords",
                params={"filter": json.dumps({"Field": "CustomerId", "Value": id, "Operator": "equals"})},
            )
        assert told.json()["totalCount"] == 1 + wins

    attempt()


def test_a_change_is_audited_with_old_and_new_value(partner: Partner, client: httpx.Client) -> None:
    before = created(client)["billingProfile"]
    after = client.put(
        before["links"]["self"]["uri"],
        json=billing("Fabrikam", defaultAddress=ELSEWHERE),
        headers={"If-Match": before["attributes"]["etag"]},
    ).json()
    (record,) = records(client, "update_customer_billing_profile")
    assert json.loads(record["resourceOldValue"]) == before
    assert json.loads(record["resourceNewValue"]) == after
    assert (record["customerName"], record["userPrincipalName"]) == ("Fabrikam", partner.user.upn)


def test_a_referred_case_sees_the_new_name(
    service: Service, partner: Partner, client: httpx.Client, qualify: Qualify, decisions: Decisions
) -> None:
    id = partner.customer("{}.gov", name="Somebody Else")
    partner.code(organization="Contoso County")
    assert qualify(client, id, GCC, code="12345").status_code == 201
    case_of(service, id, referred=True)
    tag = client.get(path_of(id)).json()["attributes"]["etag"]
    put = client.put(path_of(id), json=billing("Contoso County"), headers={"If-Match": tag})
    assert put.status_code == 200
    assert decisions.wait(id, GCC) == "Approved"


def test_a_pending_case_is_looked_at_again_when_the_address_changes(without_worker: Service, qualify: Qualify) -> None:
    partner = without_worker.partner()
    id = partner.customer()
    with partner.client() as client:
        assert qualify(client, id).status_code == 201
        case = (case_of(without_worker, id), 1)
        assert jobs(without_worker).count(case) == 1
        tag = client.get(path_of(id)).json()["attributes"]["etag"]
        same_name = billing("Test Customer", defaultAddress=ELSEWHERE)
        assert client.put(path_of(id), json=same_name, headers={"If-Match": tag}).status_code == 200
        assert jobs(without_worker).count(case) == 2
    shown = run_cli(
        "review", "show", str(case[0]), "--json", home=without_worker.home, database_url=without_worker.database_url
    )
    assert json.loads(shown.stdout)["address"] == ELSEWHERE


# Addresses


def test_a_valid_address_has_no_answer_but_200(partner: Partner) -> None:
    for token in (partner.token(), partner.token(app_only=True), partner.token(roles=())):
        with partner.client(token) as client:
            answer = client.post("/v1/validations/address", json=ADDRESS)
            assert (answer.status_code, answer.content) == (200, b"")
            assert "content-type" not in answer.headers
    with partner.client() as client:
        assert records(client) == []


@pytest.mark.parametrize(
    ("change", "named", "corrected"),
    [
        ({"postalCode": "9805"}, "postal code", {}),
        ({"state": "Washington"}, "state", {"state": "WA"}),
        ({"country": "USA"}, "country", {}),
        ({"country": None}, "country", {}),
        ({"addressLine1": ""}, "address line 1", {}),
        ({"phoneNumber": "12"}, "phone number", {}),
    ],
    ids=str,
)
def test_a_refused_address_tells_why_and_what_is_right(
    client: httpx.Client, change: dict[str, Any], named: str, corrected: dict[str, str]
) -> None:
    answer = client.post("/v1/validations/address", json=ADDRESS | change)
    refused(answer, 400, "2007")
    told = json.loads(answer.json()["description"])
    assert named in told["reason"]
    assert told["corrected_address"].items() >= corrected.items()
    assert (told["object_type"], told["resource_status"]) == ("AddressValidation", "Active")


def test_an_address_of_wrong_types_is_a_bad_request(client: httpx.Client) -> None:
    refused(client.post("/v1/validations/address", json=ADDRESS | {"city": 5}), 400, "3000", "city")


# Repeats


@pytest.fixture(params=["create", "delete", "update", "add a domain"])
def write(request: pytest.FixtureRequest, client: httpx.Client) -> Callable[[str], httpx.Request]:
    """A write, by its ``MS-RequestId``; each of them changes something once."""
    known = created(client)
    id, tag = known["id"], known["billingProfile"]["attributes"]["etag"]
    parts: dict[str, Any] = {
        "create": ("POST", "/v1/customers", customer(), {}),
        "delete": ("DELETE", f"/v1/customers/{id}", None, {}),
        "update": ("PUT", path_of(id), billing("Fabrikam"), {"If-Match": tag}),
        "add a domain": (
            "POST",
            f"/v1/customers/{id}/verifieddomain",
            {"verifiedDomainName": "not-proven.invalid"},
            {},
        ),
    }[request.param]
    method, path, body, headers = parts
    return lambda id: client.build_request(method, path, json=body, headers=headers | {"MS-RequestId": id})


def test_repeats_get_the_first_answer_and_do_nothing(
    client: httpx.Client, write: Callable[[str], httpx.Request]
) -> None:
    id = str(uuid4())
    before = len(records(client))
    with ThreadPoolExecutor(8) as crowd:
        answers = list(crowd.map(lambda _: client.send(write(id)), range(8)))
    answers.append(client.send(write(id)))
    assert len({(answer.status_code, answer.content) for answer in answers}) == 1
    assert answers[0].status_code in (200, 201, 204) or b"TXT" in answers[0].content
    assert len(records(client)) - before == (answers[0].status_code < 400)
    other = client.post("/v1/customers", json=customer(), headers={"MS-RequestId": id})
    refused(other, 409, "700005")
    assert client.send(write(id)).content == answers[0].content


def test_a_repeat_answers_as_the_first_also_after_the_customer_is_gone(
    client: httpx.Client, write: Callable[[str], httpx.Request]
) -> None:
    request_id = str(uuid4())
    first = client.send(write(request_id))
    for one in client.get("/v1/customers").json()["items"]:
        assert client.delete(f"/v1/customers/{one['id']}").status_code == 204
    again = client.send(write(request_id))
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert total(client) == 0


def test_refusals_are_kept_but_not_those_at_the_door(partner: Partner, client: httpx.Client) -> None:
    known = created(client)
    path, tag, id = path_of(known["id"]), known["billingProfile"]["attributes"]["etag"], str(uuid4())
    with partner.client("nonsense") as stranger:
        assert stranger.put(path, json=billing("X"), headers={"MS-RequestId": id}).status_code == 401
    assert client.put(path, json=billing("X"), headers={"MS-RequestId": id}).status_code == 428
    assert client.put(path, json=billing("X"), headers={"MS-RequestId": id, "If-Match": tag}).status_code == 428
    assert client.put(path, json=billing("X"), headers={"If-Match": tag}).status_code == 200


# Who may


def operations(id: object) -> dict[str, tuple[str, str, Any, bool]]:
    """Every operation of customers and audit: method, path, body, and whether it writes."""
    return {
        "list": ("GET", "/v1/customers", None, False),
        "create": ("POST", "/v1/customers", customer(), True),
        "get": ("GET", f"/v1/customers/{id}", None, False),
        "company": ("GET", path_of(id, "company"), None, False),
        "billing": ("GET", path_of(id), None, False),
        "update": ("PUT", path_of(id), billing(), True),
        "add a domain": ("POST", f"/v1/customers/{id}/verifieddomain", {"verifiedDomainName": "a.invalid"}, True),
        "address": ("POST", "/v1/validations/address", ADDRESS, False),
        "domain": ("HEAD", "/v1/domains/contoso.onmicrosoft.com", None, False),
        "records": ("GET", "/v1/auditrecords", None, False),
        "record": ("GET", f"/v1/auditrecords/{uuid4()}", None, False),
        "delete": ("DELETE", f"/v1/customers/{id}", None, True),
    }


@pytest.mark.parametrize("name", operations(""))
def test_who_may_do_what(partner: Partner, name: str) -> None:
    method, path, body, writes = operations(partner.customer())[name]

    def outcome(token: str | None) -> tuple[int, str | None]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = httpx.request(method, partner.service.url + path, json=body, headers=headers)
        assert ("WWW-Authenticate" in answer.headers) == (answer.status_code == 401)
        code = answer.json()["code"] if answer.status_code >= 400 and answer.content else None
        return answer.status_code, code

    def shown(status: int, code: str) -> tuple[int, str | None]:
        return status, None if method == "HEAD" else code

    at_the_door = {shown(401, "400"), shown(401, "900420"), *(shown(403, f"900{n}") for n in (308, 329, 150))}
    assert outcome(None) == shown(401, "400")
    assert outcome("nonsense") == shown(401, "400")
    assert outcome(partner.token(audience="https://graph.windows.net")) == shown(401, "900420")
    assert outcome(partner.token(mfa=False)) == shown(403, "900308")
    if writes:
        assert outcome(partner.token(app_only=True)) == shown(403, "900329")
        assert outcome(partner.token(roles=("HelpdeskAgent",))) == shown(403, "900150")
    else:
        assert outcome(partner.token(app_only=True)) not in at_the_door
        assert outcome(partner.token(roles=())) not in at_the_door
    assert outcome(partner.token(roles=("SalesAgent",))) not in at_the_door


@pytest.mark.parametrize("name", [name for name, (_, path, _, _) in operations("{id}").items() if "{id}" in path])
def test_ids_of_nobody_and_of_no_form(client: httpx.Client, name: str) -> None:
    for id in ("5", "all", "{" + str(uuid4()) + "}", uuid4().hex, f"{uuid4()}%20"):
        method, path, body, _ = operations(id)[name]
        refused(client.request(method, path, json=body), 400, "900118")
    method, path, body, _ = operations(uuid4())[name]
    refused(client.request(method, path, json=body), 403, "20002")


@pytest.mark.parametrize("name", operations(""))
def test_every_answer_carries_the_headers(partner: Partner, client: httpx.Client, name: str) -> None:
    method, path, body, _ = operations(partner.customer())[name]
    ids = {"MS-RequestId": str(uuid4()), "MS-CorrelationId": str(uuid4())}
    answer = client.request(method, path, json=body, headers=ids | {"X-Locale": "fr-FR", "ValidateMfa": "true"})
    assert {name: answer.headers[name] for name in ids} == ids
    assert answer.headers["X-Locale"] == "fr-FR"
    assert answer.headers["isMfaCompliant"] == "true"
    assert {"ms-cv", "ms-serverid", "date"} <= set(answer.headers)
    if answer.content:
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    wrong = client.request(method, path, json=body, headers={"Accept": "text/html"})
    assert wrong.status_code == 406
    if body is not None:
        wrong = client.request(
            method, path, content=json.dumps(body), headers={"Content-Type": "text/plain", "If-Match": "*"}
        )
        assert wrong.status_code == 415
