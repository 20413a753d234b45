"""``accredit seed``: what a seed file registers, that doing it again is harmless, and that a bad file does nothing."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from accredit.cli import exits
from accredit.identity.secrets import verify_secret
from accredit.partners import seed
from accredit.partners.seed import SeedError
from tests.conftest import DEADLINE, Partner, Service, environment, run_cli
from tests.test_worker import own_database

GCC = "GovernmentCommunityCloud"


@pytest.fixture(scope="module")
def database(service: Service) -> Iterator[str]:
    """A database of this module's own: the demo data is the same everywhere, and other tests may want it, too."""
    with own_database(service) as url:
        yield url


def rows(url: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query, parameters).fetchall()  # type: ignore[arg-type]  # the tests' own queries


def everything(url: str) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    tables = rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    return {
        table: sorted(text for (text,) in rows(url, f'SELECT one::text FROM "{table}" AS one')) for (table,) in tables
    }


def customer(**parts: Any) -> dict[str, Any]:
    return {"id": str(uuid4()), "companyName": "Contoso", "domain": f"c{uuid4().hex}.onmicrosoft.com", **parts}


def partner(**parts: Any) -> dict[str, Any]:
    return {"id": str(uuid4()), "name": "Fabrikam", **parts}


def encode(*partners: dict[str, Any]) -> bytes:
    return json.dumps({"partners": partners}).encode()


def register(url: str, *partners: dict[str, Any]) -> None:
    seed.register(url, seed.parse(encode(*partners)))


def test_the_demo_is_registered_and_again_without_change(database: str, tmp_path: Path) -> None:
    first = run_cli("seed", "--demo", "--database-url", database, home=tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == "registered 1 partners, 4 customers, 2 validation codes\n"
    before = everything(database)
    again = run_cli("seed", "--demo", home=tmp_path, database_url=database)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    after = everything(database)
    assert before == after
    assert [len(before[table]) for table in ("partners", "users", "customers", "customer_domains")] == [1, 3, 4, 4]
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_registered_whole(database: str, tmp_path: Path) -> None:
    address = {
        "country": "US",
        "city": "Salem",
        "state": "OR",
        "addressLine1": "1 School Way",
        "postalCode": "97301",
    }
    one = customer(companyName="Schule Zürich", customDomains=["Bücher.example", "k12.example."], address=address)
    user = {"id": str(uuid4()), "upn": "Admin@Fabrikam.example", "roles": ["AdminAgent", "SalesAgent"]}
    whole = partner(
        sandbox=True,
        applications=[{"id": str(uuid4()), "secret": "s3cret"}],
        users=[user, {"id": str(uuid4()), "upn": "nobody@fabrikam.example"}],
        validationCodes=[
            {"validationId": "12345", "organizationName": "Contoso County", "maxCreates": 5},
            {"validationId": "007", "organizationName": "Woodgrove"},
        ],
        customers=[one, customer(address=None)],
    )
    file = tmp_path / "seed.json"
    file.write_bytes(encode(whole, partner()))
    done = run_cli("seed", str(file), "--database-url", database, home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "registered 2 partners, 2 customers, 2 validation codes\n"
    id = whole["id"]
    assert rows(database, "SELECT name, sandbox FROM partners WHERE id = %s", id) == [("Fabrikam", True)]
    assert rows(database, "SELECT id::text, upn, roles FROM users WHERE partner_id = %s ORDER BY upn", id) == [
        (user["id"], "Admin@Fabrikam.example", ["AdminAgent", "SalesAgent"]),
        (whole["users"][1]["id"], "nobody@fabrikam.example", []),
    ]
    query = (
        "SELECT validation_id, max_creates, remaining_creates FROM validation_codes WHERE partner_id = %s ORDER BY 1"
    )
    assert rows(database, query, id) == [("007", None, None), ("12345", 5, 5)]
    query = "SELECT company_name, domain, address FROM customers WHERE id = %s"
    assert rows(database, query, one["id"]) == [("Schule Zürich", one["domain"], address)]
    query = "SELECT domain FROM customer_domains WHERE customer_id = %s ORDER BY 1"
    assert rows(database, query, one["id"]) == [("k12.example",), ("xn--bcher-kva.example",)]


def test_a_seed_comes_from_standard_input_too(database: str, tmp_path: Path) -> None:
    whole = partner()
    done = subprocess.run(
        [sys.executable, "-m", "accredit", "seed", "-"],
        env=environment(home=str(tmp_path), database_url=database),
        input=encode(whole),
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert rows(database, "SELECT name FROM partners WHERE id = %s", whole["id"]) == [("Fabrikam",)]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [((), exits.USAGE), (("seed.json", "--demo"), exits.USAGE), (("none.json",), exits.INPUT_REFUSED)],
)
def test_what_to_register_is_told_once(tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    refused = run_cli("seed", *arguments, home=tmp_path)
    assert (refused.returncode, refused.stdout) == (code, "")
    assert refused.stderr.startswith("accredit: ")
    assert list(tmp_path.iterdir()) == []


def test_what_is_registered_again_is_brought_up_to_date(database: str) -> None:
    one = customer(companyName="Before", customDomains=[f"{uuid4().hex}.example"])
    whole = partner(customers=[one], users=[{"id": str(uuid4()), "upn": "a@b.example", "roles": ["AdminAgent"]}])
    register(database, whole)
    one |= {"companyName": "After", "customDomains": [*one["customDomains"], f"{uuid4().hex}.example"]}
    whole |= {"name": "New", "sandbox": True}
    whole["users"][0] |= {"upn": "c@d.example", "roles": []}
    register(database, whole)
    assert rows(database, "SELECT name, sandbox FROM partners WHERE id = %s", whole["id"]) == [("New", True)]
    assert rows(database, "SELECT upn, roles FROM users WHERE partner_id = %s", whole["id"]) == [("c@d.example", [])]
    assert rows(database, "SELECT company_name FROM customers WHERE id = %s", one["id"]) == [("After",)]
    query = "SELECT count(*) FROM customer_domains WHERE customer_id = %s"
    assert rows(database, query, one["id"]) == [(2,)]


def test_a_changed_limit_keeps_what_was_taken(partner: Partner, qualify: Callable[..., Any]) -> None:
    def code() -> tuple[Any, ...]:
        query = "SELECT max_creates, remaining_creates FROM validation_codes WHERE partner_id = %s"
        ((most, remaining),) = rows(partner.service.database_url, query, partner.id)
        with partner.client() as client:
            ((listed),) = client.get("/v1/customers/all/validations").json()
        assert (listed.get("maxCreates"), listed.get("remainingCreates")) == (most, remaining)
        etags.append(listed["eTag"])
        return most, remaining

    etags: list[str] = []
    partner.code(creates=5)
    with partner.client() as client:
        for one in partner.customers(2):
            assert qualify(client, one, GCC, code="12345").status_code == 201
    assert code() == (5, 3)
    for most, remaining in ((10, 8), (2, 0), (3, 1), (None, None)):
        partner.code(creates=most)
        assert code() == (most, remaining)
    assert len(set(etags)) == 5
    partner.code(creates=None)
    assert code() == (None, None)
    assert etags[-1] == etags[-2]


def test_secrets_are_nowhere_in_the_database(database: str) -> None:
    secret = f"Secret-{uuid4().hex}"
    whole = partner(applications=[{"id": str(uuid4()), "secret": secret}])
    register(database, whole)
    assert not [table for table, texts in everything(database).items() if secret in "".join(texts)]
    ((hashed,),) = rows(database, "SELECT secret_hash FROM applications WHERE partner_id = %s", whole["id"])
    assert verify_secret(secret, hashed)
    assert not verify_secret(secret.lower(), hashed)


GOOD = "01234567-89ab-cdef-0123-456789abcdef"
OTHER = "fedcba98-7654-3210-fedc-ba9876543210"
PERSON = {"id": GOOD, "upn": "admin@fabrikam.example"}
COMPANY = {"id": GOOD, "companyName": "Contoso", "domain": "contoso.onmicrosoft.com"}
CODE = {"validationId": "12345", "organizationName": "Contoso County"}
MALFORMED = [
    (b"", "not JSON"),
    (b"{", "not JSON"),
    (b"\xff\xfe", "not JSON"),
    (b'{"partners": [],}', "not JSON"),
    (b"[]", "object"),
    (b"{}", "partners"),
    (b'{"partners": {}}', "$.partners"),
    (b'{"partners": [], "partner": []}', "partner"),
    (encode({"id": GOOD}), "$.partners[0]"),
    (encode({"id": GOOD, "name": None}), "$.partners[0].name"),
    (encode({"id": GOOD, "name": ""}), "$.partners[0].name"),
    (encode({"id": GOOD, "name": "Fabri\0kam"}), "$.partners[0].name"),
    (encode({"id": GOOD, "name": "\x1b[2J"}), "$.partners[0].name"),
    (encode({"id": "Fabrikam", "name": "F"}), "$.partners[0].id"),
    (encode({"id": 1, "name": "F"}), "$.partners[0].id"),
    (encode({"id": GOOD, "name": "F", "sandbox": "yes"}), "$.partners[0].sandbox"),
    (encode({"id": GOOD, "name": "F", "nane": "F"}), "nane"),
    (encode(partner(), partner(applications=[{"id": GOOD}])), "$.partners[1].applications[0]"),
    (encode(partner(applications=[{"id": GOOD, "secret": 7}])), "$.partners[0].applications[0].secret"),
    (encode(partner(users=[PERSON | {"roles": "AdminAgent"}])), "$.partners[0].users[0].roles"),
    (encode(partner(users=[PERSON | {"roles": ["AdminAgent", 1]}])), "$.partners[0].users[0].roles[1]"),
    (
        encode(partner(validationCodes=[CODE | {"validationId": 12345}])),
        "$.partners[0].validationCodes[0].validationId",
    ),
    (
        encode(partner(validationCodes=[CODE | {"validationId": "12a"}])),
        "$.partners[0].validationCodes[0].validationId",
    ),
    (
        encode(partner(validationCodes=[CODE | {"validationId": "1\n"}])),
        "$.partners[0].validationCodes[0].validationId",
    ),
    (encode(partner(validationCodes=[CODE | {"maxCreates": -1}])), "$.partners[0].validationCodes[0].maxCreates"),
    (encode(partner(validationCodes=[CODE | {"maxCreates": 2**31}])), "$.partners[0].validationCodes[0].maxCreates"),
    (encode(partner(validationCodes=[CODE | {"maxCreates": 1.5}])), "$.partners[0].validationCodes[0].maxCreates"),
    (encode(partner(validationCodes=[CODE | {"maxCreates": True}])), "$.partners[0].validationCodes[0].maxCreates"),
    (encode(partner(customers=[COMPANY | {"domain": "contoso"}])), "$.partners[0].customers[0].domain"),
    (encode(partner(customers=[COMPANY | {"domain": "con toso.com"}])), "$.partners[0].customers[0].domain"),
    (
        encode(partner(customers=[COMPANY | {"customDomains": "contoso.com"}])),
        "$.partners[0].customers[0].customDomains",
    ),
    (
        encode(partner(customers=[COMPANY | {"customDomains": ["contoso.com", "-.com"]}])),
        "$.partners[0].customers[0].customDomains[1]",
    ),
    (encode(partner(customers=[COMPANY | {"address": {}}])), "$.partners[0].customers[0].address"),
    (
        encode(partner(customers=[COMPANY | {"address": {"country": "US", "city": "\0"}}])),
        "$.partners[0].customers[0].address.city",
    ),
    (encode(partner(customers=[COMPANY | {"address": {"country": "US", "zip": "97301"}}])), "zip"),
    # What may not come twice, with both places.
    (encode(partner(id=GOOD), partner(id=GOOD.upper())), "$.partners[1].id"),
    (encode(partner(applications=[{"id": GOOD, "secret": "x"}] * 2)), "$.partners[0].applications[1].id"),
    (encode(partner(users=[PERSON, PERSON | {"upn": "other@fabrikam.example"}])), "$.partners[0].users[1].id"),
    (encode(partner(users=[PERSON, {"id": OTHER, "upn": "ADMIN@fabrikam.example"}])), "$.partners[0].users[1].upn"),
    (encode(partner(validationCodes=[CODE, CODE])), "$.partners[0].validationCodes[1].validationId"),
    (encode(partner(customers=[COMPANY]), partner(customers=[COMPANY])), "$.partners[1].customers[0].id"),
    (
        encode(
            partner(customers=[COMPANY | {"customDomains": ["Bücher.example"]}]),
            partner(customers=[COMPANY | {"id": OTHER, "customDomains": ["a.example", "xn--bcher-kva.EXAMPLE."]}]),
        ),
        "$.partners[1].customers[0].customDomains[1]",
    ),
]


@pytest.mark.parametrize(("content", "place"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_file_is_refused_with_the_place(content: bytes, place: str) -> None:
    with pytest.raises(SeedError, match=re.escape(place)):
        seed.parse(content)


def test_a_malformed_file_registers_nothing(database: str, tmp_path: Path) -> None:
    before = everything(database)
    file = tmp_path / "seed.json"
    file.write_bytes(encode(partner(customers=[customer()]), partner(customers=[customer(domain="contoso")])))
    refused = run_cli("seed", str(file), "--database-url", database, home=tmp_path)
    assert (refused.returncode, refused.stdout) == (exits.INPUT_REFUSED, "")
    assert str(file) in refused.stderr
    assert "$.partners[1].customers[0].domain" in refused.stderr
    assert "Nothing was registered" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert everything(database) == before


@pytest.mark.parametrize("what", ["customer", "domain", "user"])
def test_what_is_somebody_else_s_is_refused_and_nothing_registered(database: str, what: str) -> None:
    domain, person = f"{uuid4().hex}.example", {"id": str(uuid4()), "upn": f"{uuid4().hex}@fabrikam.example"}
    theirs = customer(customDomains=[domain])
    owner = partner(customers=[theirs], users=[person])
    register(database, owner)
    thief, named = {
        "customer": (partner(customers=[customer(), theirs | {"customDomains": []}]), theirs["id"]),
        "domain": (partner(customers=[customer(), customer(customDomains=[domain.upper()])]), domain),
        "user": (owner | {"name": "Stolen", "users": [{"id": str(uuid4()), "upn": person["upn"].upper()}]}, "user"),
    }[what]
    before = everything(database)
    with pytest.raises(SeedError, match=f"{named}.* belongs to another"):
        register(database, partner(), thief)
    assert everything(database) == before


def test_one_customer_s_domain_may_be_registered_again_but_not_moved(database: str) -> None:
    domain = f"{uuid4().hex}.example"
    first, second = customer(customDomains=[domain]), customer()
    whole = partner(customers=[first, second])
    register(database, whole)
    register(database, whole)
    first["customDomains"], second["customDomains"] = [], [domain]
    with pytest.raises(SeedError, match=domain):
        register(database, whole)
    assert rows(database, "SELECT customer_id FROM customer_domains WHERE domain = %s", domain) == [
        (UUID(first["id"]),)
    ]


def test_rows_are_locked_in_the_order_of_the_write_path(database: str) -> None:
    """Customers, then codes: the other way round, seeding while the service runs could deadlock with it."""
    whole = partner(
        customers=[customer()], validationCodes=[{"validationId": "1", "organizationName": "A", "maxCreates": 1}]
    )
    register(database, whole)
    whole["validationCodes"][0]["maxCreates"] = 2
    whole["customers"][0]["companyName"] = "After"
    seeding = threading.Thread(target=register, args=(database, whole), daemon=True)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with psycopg.connect(database) as writer:
        writer.execute("SELECT FROM customers WHERE id = %s FOR NO KEY UPDATE", (whole["customers"][0]["id"],))
        seeding.start()
        while rows(database, waiting) == [(0,)]:
            assert seeding.is_alive()
        writer.execute("SELECT FROM validation_codes WHERE partner_id = %s FOR NO KEY UPDATE NOWAIT", (whole["id"],))
    seeding.join(DEADLINE)
    query = "SELECT remaining_creates FROM validation_codes WHERE partner_id = %s"
    assert rows(database, query, whole["id"]) == [(2,)]
