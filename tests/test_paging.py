"""Pages, contract section 7: joined they are exactly the items, whatever comes and goes meanwhile; and tokens."""

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Partner, Service
from tests.test_contract import refused
from tests.test_customers import created, customer

CONTINUATION = "MS-ContinuationToken"
PROPERTY = settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def a_filter(field: str, value: str, operator: str = "starts_with") -> str:
    return json.dumps({"Field": field, "Value": value, "Operator": operator})


def follow(client: httpx.Client, page: dict[str, Any]) -> dict[str, Any] | None:
    """The next page, as the link says; ``None`` after the last."""
    link = page["links"].get("next")
    if link is None:
        return None
    assert link["method"] == "GET"
    assert [header["key"] for header in link["headers"]] == [CONTINUATION]
    assert "seekOperation=Next" in link["uri"]
    answer = client.get(link["uri"], headers={header["key"]: header["value"] for header in link["headers"]})
    assert answer.status_code == 200, answer.text
    return answer.json()


def token_of(page: dict[str, Any]) -> str:
    token: str = page["links"]["next"]["headers"][0]["value"]
    return token


def first_page(client: httpx.Client, path: str = "/v1/customers", **query: Any) -> dict[str, Any]:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def pages(client: httpx.Client, **query: Any) -> Iterator[dict[str, Any]]:
    page: dict[str, Any] | None = first_page(client, **query)
    while page is not None:
        yield page
        page = follow(client, page)


def ids(*all_pages: dict[str, Any]) -> list[str]:
    return [one["id"] for page in all_pages for one in page["items"]]


def register(partner: Partner, named: dict[str, tuple[str, str]], *, anew: bool = False) -> None:
    """Register customers, ID to company name and domain; ``anew``: those there were before are gone."""
    with partner.service.database() as connection, connection.transaction():
        if anew:
            connection.execute("DELETE FROM customers WHERE partner_id = %s", (partner.id,))
        connection.cursor().executemany(
            "INSERT INTO customers (id, partner_id, company_name, domain) VALUES (%s, %s, %s, %s)",
            [(id, partner.id, name, domain) for id, (name, domain) in named.items()],
        )


# Letters with and without case, what LIKE and JSON would take for signs, and the last code point that there is.
characters = st.sampled_from([*"aAbÉéЖж字 %_\\'\"+&", "\U0001f600", "\U0010ffff"])
labels = st.text("abz09", min_size=1, max_size=3)
entries = st.lists(st.tuples(st.text(characters, min_size=1, max_size=4), labels), max_size=12)
prefixes = {"CompanyName": st.text(characters, max_size=3), "Domain": st.text("aAzZ09%_.é", max_size=3)}


@pytest.mark.parametrize("field", [None, "CompanyName", "Domain"])
def test_pages_joined_are_exactly_the_items(partner: Partner, field: str | None) -> None:
    @PROPERTY
    @given(st.data())
    def attempt(data: st.DataObject) -> None:
        made = {str(uuid4()): (name, f"{label}{uuid4().hex}.example") for name, label in data.draw(entries)}
        register(partner, made, anew=True)
        which = {"CompanyName": 0, "Domain": 1, None: 0}[field]
        prefix, size = "", data.draw(st.integers(1, 5))
        if field:
            of_one = [parts[which][:length].swapcase() for parts in made.values() for length in range(3)]
            prefix = data.draw(st.sampled_from(of_one) | prefixes[field] if of_one else prefixes[field])
        query: dict[str, Any] = {"size": size} | ({"filter": a_filter(field, prefix)} if field else {})
        with partner.client() as client:
            found = list(pages(client, **query))
        wanted = {id for id, parts in made.items() if parts[which].lower().startswith(prefix.lower())}
        assert sorted(ids(*found)) == sorted(wanted)
        assert {page["totalCount"] for page in found} == {len(wanted)}
        assert all(len(page["items"]) == size for page in found[:-1])
        assert len(found) == max(1, -(-len(wanted) // size))

    attempt()


steps = st.lists(st.sampled_from(["page", "insert", "insert", "delete", "delete the last one shown"]), max_size=14)


@pytest.mark.parametrize("field", [None, "CompanyName", "Domain"])
def test_what_is_there_throughout_is_met_once_whatever_comes_and_goes(partner: Partner, field: str | None) -> None:
    @PROPERTY
    @given(steps, st.integers(1, 3), st.randoms(use_true_random=False))
    def attempt(plan: list[str], size: int, dice: Any) -> None:
        def some(count: int) -> dict[str, tuple[str, str]]:
            names = ("Xa", "xb", "XÉ", "x", "Y")
            return {
                str(uuid4()): (dice.choice(names), f"x{dice.choice('abc')}{uuid4().hex}.example") for _ in range(count)
            }

        made = some(8)
        register(partner, made, anew=True)
        throughout, ever, gone = set(made), set(made), set[str]()
        query: dict[str, Any] = {"size": size} | ({"filter": a_filter(field, "X")} if field else {})
        with partner.client() as client:
            page: dict[str, Any] | None = first_page(client, **query)
            seen = ids(page) if page else []
            for step in plan:
                if step == "page" and page is not None:
                    page = follow(client, page)
                    for id in ids(page) if page else []:
                        assert id not in gone
                        seen.append(id)
                elif step == "insert":
                    new = some(1)
                    register(partner, new)
                    made |= new
                    ever |= set(new)
                elif step.startswith("delete") and ever - gone:
                    last = seen[-1] if seen and step.endswith("shown") else dice.choice(sorted(ever - gone))
                    if last not in gone:
                        assert client.delete(f"/v1/customers/{last}").status_code == 204
                        gone.add(last)
            while page is not None:
                page = follow(client, page)
                seen += ids(page) if page else []
        matching = {id for id in ever if field != "CompanyName" or made[id][0].lower().startswith("x")}
        assert len(seen) == len(set(seen))
        assert set(seen) <= matching
        assert (throughout - gone) & matching <= set(seen)

    attempt()


def test_pages_hold_while_others_write(service: Service, partner: Partner) -> None:
    stay = {str(uuid4()): (f"Stays {number}", f"s{uuid4().hex}.example") for number in range(60)}
    register(partner, stay)
    stop, failures = threading.Event(), list[BaseException]()

    def churn() -> None:
        try:
            with partner.client() as client:
                while not stop.is_set():
                    id = created(client, customer(name="Stays, or not"))["id"]
                    assert client.delete(f"/v1/customers/{id}").status_code == 204
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=churn) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        with partner.client() as client:
            for query in ({}, {"filter": a_filter("CompanyName", "stays")}) * 3:
                seen = ids(*pages(client, size=7, **query))
                assert len(seen) == len(set(seen))
                assert set(stay) <= set(seen)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert failures == []
    with partner.client() as client:
        assert first_page(client)["totalCount"] == len(stay)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("Contoso", "contoso", True),
        ("contoso", "CONTOSO", True),
        ("École", "éCOLE", True),
        ("ЖУК", "жу", True),
        ("Contoso", "", True),
        ("Contoso", "Contoso ", False),
        ("Contoso", "ontoso", False),
        ("Contoso", "C%", False),
        ("Contoso", "C_ntoso", False),
        ("C%", "c%", True),
        ("C_", "c_", True),
        ("C\\", "c\\", True),
        ("C'; --", "c'", True),
        ("C\U0010ffff", "c", True),
        ("\U0010ffff", "", True),
        ("\U0010ffff" * 256, "\U0010ffff", True),
        ("Contoso", "Contoso" * 500, False),
    ],
)
def test_a_prefix_is_taken_as_it_stands(partner: Partner, name: str, value: str, found: bool) -> None:
    id = partner.customer(name=name)
    with partner.client() as client:
        page = first_page(client, filter=a_filter("CompanyName", value))
    assert (ids(page), page["totalCount"]) == ([str(id)] if found else [], int(found))


def test_a_domain_s_prefix(partner: Partner) -> None:
    domain = f"d{uuid4().hex}.example"
    id = str(uuid4())
    register(partner, {id: ("Contoso", domain)})
    with partner.client() as client:
        for value in ("", domain, domain.upper(), domain[:9], "D"):
            assert ids(first_page(client, filter=a_filter("Domain", value))) == [id]
        for value in (domain[1:], f"{domain}.", "d%", "_", "\U0010ffff", "contoso"):
            assert ids(first_page(client, filter=a_filter("Domain", value))) == []


# Size


@pytest.fixture(scope="module")
def crowd(service: Service) -> Partner:
    """A partner with 501 customers."""
    partner = service.partner()
    partner.customers(501)
    return partner


@pytest.mark.parametrize(
    ("size", "items"), [(None, 100), ("0", 100), ("", 100), ("1", 1), ("100", 100), ("499", 499), ("500", 500)]
)
def test_a_page_has_the_size_asked_for(crowd: Partner, size: str | None, items: int) -> None:
    with crowd.client() as client:
        page = first_page(client, **({} if size is None else {"size": size}))
        assert (len(page["items"]), page["totalCount"]) == (items, 501)
        following = follow(client, page)
        assert following is not None
        assert len(following["items"]) == min(items, 501 - items)
        assert not set(ids(page)) & set(ids(following))


@pytest.mark.parametrize("path", ["/v1/customers", "/v1/auditrecords"])
@pytest.mark.parametrize(
    "size", ["501", "-1", "1.5", "1e2", "ten", "\N{ARABIC-INDIC DIGIT THREE}", "99999999999", " 5 ", "0x5", "null"]
)
def test_another_size_is_refused(partner: Partner, path: str, size: str) -> None:
    with partner.client() as client:
        refused(client.get(path, params={"size": size}), 400, "3000", "size")


def test_a_parameter_that_comes_twice_is_refused(partner: Partner) -> None:
    with partner.client() as client:
        refused(client.get("/v1/customers?size=5&size=5"), 400, "3000", "size")
        both = f"filter={quote(a_filter('Domain', 'a'))}&Filter={quote(a_filter('Domain', 'b'))}"
        refused(client.get(f"/v1/customers?{both}"), 400, "3000", "filter")


# Filters


@pytest.mark.parametrize(
    "text",
    ["x", "{", "[]", "null", '"a"', "{}", '{"Field":"CompanyName"}', '{"Field":"CompanyName","Value":"a"}',
     '{"Field":"CompanyName","Operator":"starts_with"}', '{"Field":"Name","Value":"a","Operator":"starts_with"}',
     '{"Field":"CompanyName","Value":5,"Operator":"starts_with"}', '{"Field":[],"Value":"a","Operator":"starts_with"}',
     '{"Field":"CompanyName","Value":"a","Operator":"equals"}', '{"Field":"Domain","Value":"a","Operator":"substring"}',
     '{"Field":"CompanyName","Value":null,"Operator":"starts_with"}',
     '{"Field":"CompanyName","Value":"\\u0000","Operator":"starts_with"}',
     '{"Field":"CompanyName","Value":"\\ud800","Operator":"starts_with"}', "[" * 3000],
)  # fmt: skip
def test_a_filter_that_is_none_is_refused(partner: Partner, text: str) -> None:
    partner.customer()
    with partner.client() as client:
        refused(client.get("/v1/customers", params={"filter": text}), 400, "3000", "filter")


def test_a_filter_s_names_match_in_any_case_and_encoded_twice(partner: Partner) -> None:
    id = partner.customer(name="A+B & Söhne")
    partner.customer(name="A B")
    with partner.client() as client:
        for text in (
            '{"field":"companyname","VALUE":"a+b & SÖ","operator":"STARTS_WITH"}',
            '{"Field":"COMPANYNAME","Value":"A+B","Operator":"StartsWith","Other":1}',
        ):
            for given_as in (text, quote(text)):
                assert ids(first_page(client, filter=given_as)) == [str(id)]
                assert ids(first_page(client, FILTER=given_as)) == [str(id)]


# Tokens


@pytest.mark.parametrize("filtered", [False, True])
def test_the_token_alone_is_enough(crowd: Partner, filtered: bool) -> None:
    """As the official clients ask: the token, and ``seekOperation``, without the size and filter of the first page."""
    query: dict[str, Any] = {"size": 200} | ({"filter": a_filter("CompanyName", "test")} if filtered else {})
    with crowd.client() as client:
        expected = list(pages(client, **query))
        found = [expected[0]]
        while "next" in found[-1]["links"]:
            headers = {CONTINUATION: token_of(found[-1])}
            answer = client.get("/v1/customers", params={"seekOperation": "Next"}, headers=headers)
            assert answer.status_code == 200
            found.append(answer.json())
    assert [len(page["items"]) for page in found] == [200, 200, 101]
    assert ids(*found) == ids(*expected)
    assert {page["totalCount"] for page in found} == {501}


def test_a_token_may_be_used_again_and_with_another_size(crowd: Partner) -> None:
    with crowd.client() as client:
        first = first_page(client, size=10)
        second = follow(client, first)
        assert second == follow(client, first)
        answer = client.get("/v1/customers", params={"size": 3}, headers={CONTINUATION: token_of(first)})
        assert second is not None
        assert ids(answer.json()) == ids(second)[:3]


def test_a_token_goes_with_the_query_that_it_came_from(crowd: Partner) -> None:
    with crowd.client() as client:
        filtered = first_page(client, size=5, filter=a_filter("CompanyName", "test"))
        plain = first_page(client, size=5)
        for page, query in (
            (filtered, {"filter": a_filter("CompanyName", "t")}),
            (filtered, {"filter": a_filter("Domain", "test")}),
            (plain, {"filter": a_filter("CompanyName", "test")}),
        ):
            answer = client.get("/v1/customers", params=query, headers={CONTINUATION: token_of(page)})
            refused(answer, 400, "3000", CONTINUATION)


def test_tokens_of_others_are_refused(service: Service, partner: Partner, crowd: Partner) -> None:
    partner.customers(3)
    with crowd.client() as theirs, partner.client() as ours:
        customers = {CONTINUATION: token_of(first_page(theirs, size=5))}
        records = {CONTINUATION: token_of(first_page(theirs, "/v1/auditrecords", size=5))}
        for client, path, headers in (
            (ours, "/v1/customers", customers),
            (ours, "/v1/auditrecords", records),
            (theirs, "/v1/customers", records),
            (theirs, "/v1/auditrecords", customers),
        ):
            for query in ({}, {"seekOperation": "Next"}):
                refused(client.get(path, params=query, headers=headers), 400, "3000", CONTINUATION)


def test_a_token_that_was_changed_is_refused(crowd: Partner) -> None:
    with crowd.client() as client:
        token = token_of(first_page(client, size=5))
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))

        @PROPERTY
        @given(st.integers(0, len(raw) - 1), st.integers(1, 255))
        def attempt(place: int, change: int) -> None:
            changed = bytearray(raw)
            changed[place] ^= change
            for forged in (bytes(changed), raw[:place], raw[place + 1 :], raw + bytes(changed[place:])):
                text = base64.urlsafe_b64encode(forged).decode().rstrip("=")
                answer = client.get("/v1/customers", headers={CONTINUATION: text})
                refused(answer, 400, "3000", CONTINUATION)

        attempt()


@pytest.mark.parametrize("token", [b"x", b"====", b"\xff\xfe", b"AAAA", b"A" * 5000, b"null", b"'; --", b"a, b"])
def test_what_is_no_token_is_refused(partner: Partner, token: bytes) -> None:
    with partner.client() as client:
        for path in ("/v1/customers", "/v1/auditrecords"):
            refused(client.get(path, headers={CONTINUATION.encode(): token}), 400, "3000", CONTINUATION)


def test_seeking_needs_a_token_and_goes_forward_only(crowd: Partner) -> None:
    with crowd.client() as client:
        refused(client.get("/v1/customers?seekOperation=Next"), 400, "3000", CONTINUATION)
        headers = {CONTINUATION: token_of(first_page(client, size=5))}
        for way in ("Previous", "First", "Last", "0"):
            refused(
                client.get("/v1/customers", params={"seekOperation": way}, headers=headers),
                400,
                "3000",
                "seekOperation",
            )
        assert client.get("/v1/customers?SEEKOPERATION=next", headers=headers).status_code == 200


def test_a_token_outlives_the_customer_that_it_points_at(partner: Partner) -> None:
    partner.customers(4)
    with partner.client() as client:
        first = first_page(client, size=2)
        for id in ids(first):
            assert client.delete(f"/v1/customers/{UUID(id)}").status_code == 204
        rest = follow(client, first)
        assert rest is not None
        assert len(rest["items"]) == 2
        assert "next" not in rest["links"]


def test_a_link_that_the_java_client_puts_its_root_before_leads_there(partner: Partner) -> None:
    partner.customers(2)
    with partner.client() as client:
        page = first_page(client, size=1)
        link = page["links"]["next"]
        headers = {one["key"]: one["value"] for one in link["headers"]}
        answer = client.get(f"/v1/{link['uri']}", headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["items"] != page["items"]
        refused(client.get("/v1//customer"), 404, "1000")
