"""Domains, contract section 7: who has one, and how control of one is proven, against a real DNS server on loopback."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import pytest

from tests.conftest import Decisions, Partner, Service
from tests.dns_server import DnsServer
from tests.test_contract import refused
from tests.test_customers import created, customer, records
from tests.test_operations import running_api
from tests.test_review import case_of

Qualify = Callable[..., httpx.Response]
RECORD = re.compile(r'type TXT, name (\S+), value "([^"\s]+)"')


@pytest.fixture
def client(partner: Partner) -> Iterator[httpx.Client]:
    with partner.client() as client:
        yield client


def new_domain() -> str:
    return f"d{uuid4().hex[:20]}.example"


def add(client: httpx.Client, id: UUID, domain: Any, **headers: str) -> httpx.Response:
    return client.post(f"/v1/customers/{id}/verifieddomain", json={"verifiedDomainName": domain}, headers=headers)


def wanted(client: httpx.Client, id: UUID, domain: str) -> tuple[str, str]:
    """Name and value of the record that a refusal asks for."""
    answer = add(client, id, domain)
    refused(answer, 400, "3000")
    found = RECORD.search(answer.json()["description"])
    assert found, answer.text
    return found[1], found[2]


def taken(client: httpx.Client, domain: str) -> bool:
    answer = client.head(f"/v1/domains/{quote(domain)}")
    assert answer.status_code in (200, 404)
    assert answer.content == b""
    return answer.status_code == 200


def custom_domains(client: httpx.Client, id: UUID) -> list[str]:
    domains: list[str] = client.get(f"/v1/customers/{id}").json()["customDomains"]
    return domains


def test_a_domain_is_added_once_its_record_is_published(partner: Partner, client: httpx.Client, dns: DnsServer) -> None:
    id, domain = partner.customer(), new_domain()
    name, value = wanted(client, id, domain)
    assert name.endswith(f".{domain}")
    assert wanted(client, id, domain) == (name, value)
    assert not taken(client, domain)
    assert records(client) == []
    dns.publish(name, value)
    answer = add(client, id, domain)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["name"], answer.json()["status"]) == (domain, "verified")
    assert custom_domains(client, id) == [domain]
    assert taken(client, domain)
    (record,) = records(client)
    assert (record["operationType"], record["customerId"]) == ("add_customer_domain", str(id))
    assert {"key": "Domain", "value": domain} in record["customizedData"]


def test_a_domain_that_the_customer_has_is_added_again_without_a_change(
    partner: Partner, client: httpx.Client, dns: DnsServer
) -> None:
    id, domain = partner.customer(), new_domain()
    dns.publish(*wanted(client, id, domain))
    answers = [add(client, id, spelling) for spelling in (domain, domain, domain.upper(), f"{domain}.")]
    assert {(one.status_code, one.content) for one in answers} == {(201, answers[0].content)}
    assert custom_domains(client, id) == [domain]
    assert len(records(client)) == 1


def test_the_record_is_of_one_customer_and_one_domain(partner: Partner, client: httpx.Client, dns: DnsServer) -> None:
    first, second = partner.customers(2)
    domain, other = new_domain(), new_domain()
    name, value = wanted(client, first, domain)
    values = {value, wanted(client, second, domain)[1], wanted(client, first, other)[1]}
    assert len(values) == 3
    for wrong in (*(values - {value}), "", value[:-1], value + "x", value.upper(), f" {value}"):
        dns.publish(name, wrong)
        assert wanted(client, first, domain) == (name, value)
    dns.publish(name)
    dns.publish(domain, value)
    assert wanted(client, first, domain) == (name, value)
    assert custom_domains(client, first) == []


@pytest.mark.parametrize("how", ["in several strings", "among others", "too long for a datagram"])
def test_a_record_is_found(partner: Partner, client: httpx.Client, dns: DnsServer, how: str) -> None:
    id, domain = partner.customer(), new_domain()
    name, value = wanted(client, id, domain)
    others = ["v=spf1 -all", "", "\N{SNOWMAN}"]
    if how == "in several strings":
        dns.publish(name, [value[:5], "", value[5:]])
    elif how == "among others":
        dns.publish(name, *others, value, "another")
    else:
        dns.publish(name, *(f"{number:0250}" for number in range(20)), value)
    assert add(client, id, domain).status_code == 201


@pytest.mark.parametrize("how", ["no such name", "no record", "a failure"])
def test_where_the_dns_has_nothing_the_record_is_asked_for(
    partner: Partner, client: httpx.Client, dns: DnsServer, how: str
) -> None:
    id, domain = partner.customer(), new_domain()
    name, value = wanted(client, id, domain)
    if how == "no record":
        dns.publish(name)
    elif how == "a failure":
        dns.fail(name)
    assert wanted(client, id, domain) == (name, value)
    assert name in dns.asked


def test_where_the_dns_is_silent_the_record_is_asked_for(
    service: Service, partner: Partner, client: httpx.Client, dns: DnsServer
) -> None:
    id, domain = partner.customer(), new_domain()
    record = wanted(client, id, domain)
    dns.ignore(record[0])
    settings = {"dns_servers": dns.address, "dns_timeout": "0.2"}
    with (
        running_api(service.home, service.database_url, **settings) as hasty,
        httpx.Client(base_url=hasty.url, headers=client.headers) as its_client,
    ):
        assert wanted(its_client, id, domain) == record
    assert record[0] in dns.asked


@pytest.mark.parametrize(
    "spell",
    [
        lambda name: name,
        str.upper,
        lambda name: f"{name}.",
        lambda name: name.encode("idna").decode(),
        lambda name: name.encode("idna").decode().upper(),
        lambda name: name.replace(".", "\N{IDEOGRAPHIC FULL STOP}"),
    ],
    ids=["Unicode", "upper case", "trailing dot", "A-labels", "A-labels in upper case", "ideographic full stop"],
)
def test_a_name_is_one_in_all_its_spellings(
    partner: Partner, client: httpx.Client, dns: DnsServer, spell: Callable[[str], str]
) -> None:
    id, domain = partner.customer(), f"bücher-{uuid4().hex[:20]}.example"
    a_labels = domain.encode("idna").decode()
    name, value = wanted(client, id, spell(domain))
    assert name.endswith(f".{a_labels}")
    assert wanted(client, id, domain) == (name, value)
    dns.publish(name, value)
    assert add(client, id, spell(domain)).json()["name"] == a_labels
    assert custom_domains(client, id) == [a_labels]
    assert taken(client, spell(domain))
    assert taken(client, a_labels)


def test_idna_is_that_of_2008(partner: Partner, client: httpx.Client) -> None:
    """The sharp s is a letter of its own: 2003's rules made it ``ss``, which is another domain."""
    name, _ = wanted(client, partner.customer(), f"straße{uuid4().hex[:8]}.example")
    assert re.search(r"\.xn--strae\d?", name)


@pytest.mark.parametrize(
    "domain",
    [None, "", "contoso", "192.0.2.1", "a b.example", "a..example", f"{'x' * 64}.example", f"{'x.' * 130}example",
     "-a.example", "a\u0000.example", "_a.example", "http://a.example", 5, ["a.example"]],
)  # fmt: skip
def test_what_is_no_domain_is_refused(partner: Partner, client: httpx.Client, dns: DnsServer, domain: Any) -> None:
    before = len(dns.asked)
    refused(add(client, partner.customer(), domain), 400, "3000", "verifiedDomainName")
    assert len(dns.asked) == before


def test_the_form_that_partner_center_s_clients_send(partner: Partner, client: httpx.Client, dns: DnsServer) -> None:
    id, domain = partner.customer(), new_domain()
    dns.publish(*wanted(client, id, domain))
    body = {
        "VerifiedDomainName": domain,
        "Domain": {
            "AuthenticationType": "Managed",
            "Capability": "Email",
            "Name": domain,
            "VerificationMethod": "None",
        },
    }
    answer = client.post(f"/v1/customers/{id}/verifieddomain", json=body)
    assert answer.status_code == 201


def test_a_domain_belongs_to_one_customer(
    service: Service, partner: Partner, client: httpx.Client, dns: DnsServer
) -> None:
    domain, stranger = new_domain(), service.partner()
    first, second = partner.customers(2)
    foreign = stranger.customer()
    with stranger.client() as other:
        proofs = [wanted(client, first, domain), wanted(client, second, domain), wanted(other, foreign, domain)]
        dns.publish(proofs[0][0], *(value for _, value in proofs))
        assert add(client, first, domain).status_code == 201
        refused(add(client, second, domain), 400, "3000", domain)
        refused(add(other, foreign, domain), 400, "3000", domain)
        assert client.post("/v1/customers", json=customer(domain)).status_code == 400
        assert [custom_domains(client, first), custom_domains(client, second)] == [[domain], []]
        assert custom_domains(other, foreign) == []
        assert records(other) == []
        assert client.delete(f"/v1/customers/{first}").status_code == 204
        assert not taken(client, domain)
        assert add(other, foreign, domain).status_code == 201


def test_the_domain_that_a_customer_was_made_with_is_its_own(
    partner: Partner, client: httpx.Client, dns: DnsServer
) -> None:
    domain = new_domain()
    owner, other = UUID(created(client, customer(domain))["id"]), partner.customer()
    assert taken(client, domain)
    proofs = [wanted(client, id, domain) for id in (owner, other)]
    dns.publish(proofs[0][0], *(value for _, value in proofs))
    refused(add(client, other, domain), 400, "3000", domain)
    assert add(client, owner, domain).status_code == 201


def test_of_many_that_add_or_create_at_once_one_gets_the_domain(
    service: Service, partner: Partner, dns: DnsServer
) -> None:
    domain, stranger = new_domain(), service.partner()
    ids = [*((partner, id) for id in partner.customers(4)), *((stranger, id) for id in stranger.customers(4))]
    with partner.client() as one, stranger.client() as other:
        clients = {partner.id: one, stranger.id: other}
        proofs = [wanted(clients[who.id], id, domain) for who, id in ids]
    dns.publish(proofs[0][0], *(value for _, value in proofs))

    async def scenario() -> list[int]:
        async with partner.async_client() as one, stranger.async_client() as other:
            clients = {partner.id: one, stranger.id: other}
            adding = [
                clients[who.id].post(f"/v1/customers/{id}/verifieddomain", json={"verifiedDomainName": domain})
                for who, id in ids
            ]
            creating = [one.post("/v1/customers", json=customer(domain)) for _ in range(2)]
            return [answer.status_code for answer in await asyncio.gather(*adding, *creating)]

    assert Counter(asyncio.run(scenario())) == {201: 1, 400: 9}


def test_a_referred_case_is_decided_by_the_domain(
    service: Service, partner: Partner, client: httpx.Client, dns: DnsServer, qualify: Qualify, decisions: Decisions
) -> None:
    id, domain = partner.customer(), f"d{uuid4().hex[:20]}.k12.or.us"
    assert qualify(client, id).status_code == 201
    case_of(service, id, referred=True)
    dns.publish(*wanted(client, id, domain))
    assert add(client, id, domain).status_code == 201
    assert decisions.wait(id) == "Approved"


def test_a_refusal_is_kept_under_its_request_id(partner: Partner, client: httpx.Client, dns: DnsServer) -> None:
    id, domain, request_id = partner.customer(), new_domain(), str(uuid4())
    first = add(client, id, domain, **{"MS-RequestId": request_id})
    dns.publish(*wanted(client, id, domain))
    again = add(client, id, domain, **{"MS-RequestId": request_id})
    assert (again.status_code, again.content) == (400, first.content)
    assert add(client, id, domain).status_code == 201


def test_nobody_looks_up_for_a_customer_that_is_not_the_partner_s(
    service: Service, client: httpx.Client, dns: DnsServer
) -> None:
    before = len(dns.asked)
    for id in (service.partner().customer(), uuid4()):
        refused(add(client, id, new_domain()), 403, "20002")
    assert len(dns.asked) == before


def test_whether_a_domain_is_taken(partner: Partner, client: httpx.Client) -> None:
    primary, custom = new_domain(), new_domain()
    created(client, customer(primary))
    partner.customer(custom)
    for domain in (primary, custom, primary.upper(), f"{custom}."):
        assert taken(client, domain)
    for domain in (new_domain(), f"www.{primary}", primary.removesuffix("e"), "%", f"{'x' * 30}.example"):
        assert client.head(f"/v1/domains/{quote(domain)}").status_code in (404, 400)
    assert not taken(client, f"www.{primary}")
    for wrong in ("contoso", "192.0.2.1", "a b.example", "%00.example"):
        answer = client.head(f"/v1/domains/{quote(wrong, safe='%')}")
        assert (answer.status_code, answer.content) == (400, b"")
    assert client.get(f"/v1/domains/{primary}").status_code == 405
