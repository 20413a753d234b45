"""``accredit domain remove``: an operator takes a domain from a customer, and what rests on it is vetted again."""

import json
from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest

from accredit.cli import exits
from tests.conftest import Decisions, Partner, Service, run_cli


def remove(service: Service, *arguments: str) -> tuple[int, str]:
    done = run_cli("domain", "remove", *arguments, home=service.home, database_url=service.database_url)
    return done.returncode, done.stdout + done.stderr


def test_what_rests_on_a_removed_domain_goes_to_a_person(
    service: Service, partner: Partner, decisions: Decisions, qualify: Callable[..., httpx.Response]
) -> None:
    domain = f"d{uuid4().hex}.k12.or.us"
    customer = partner.customer(domain, name="Salem School District")
    with partner.client() as client, service.database() as listener:
        qualify(client, customer)
        assert decisions.wait(customer) == "Approved"
        listener.execute("LISTEN accredit_review")
        code, said = remove(service, str(customer), domain.upper())
        assert (code, said) == (0, f"removed the domain {domain} from the customer {customer}\n")
        assert client.get(f"/v1/customers/{customer}").json()["customDomains"] == []
        with service.database() as connection:
            ids = connection.execute("SELECT id::text FROM qualifications WHERE customer_id = %s", (customer,))
            (case,) = [id for (id,) in ids]
        next(notice for notice in listener.notifies(timeout=60) if notice.payload == f"{case} opened")
        text = json.dumps({"Field": "CustomerId", "Value": str(customer), "Operator": "equals"})
        records = client.get("/v1/auditrecords", params={"filter": text}).json()["items"]
        (removal,) = [one for one in records if one["operationType"] == "remove_customer_domain"]
        assert json.loads(removal["resourceOldValue"])["customDomains"] == [domain]
        assert json.loads(removal["resourceNewValue"])["customDomains"] == []
        assert (removal["applicationId"], removal["customizedData"]) == (
            "accredit",
            [{"key": "Domain", "value": domain}],
        )


@pytest.mark.parametrize("domain", ["elsewhere.example", "nothing"])
def test_what_is_not_there_is_not_removed(service: Service, partner: Partner, domain: str) -> None:
    customer = partner.customer(f"d{uuid4().hex}.example")
    expected = exits.NOT_FOUND if "." in domain else exits.USAGE
    code, said = remove(service, str(customer), domain)
    assert code == expected
    assert domain in said
    assert remove(service, str(uuid4()), "elsewhere.example")[0] == exits.NOT_FOUND
