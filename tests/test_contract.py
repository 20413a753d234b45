"""The operations of contract section 3 as a client sees them, with what sections 1, 2 and 5 ask of each."""

import re
from collections.abc import Callable

import httpx

from tests.conftest import Decisions, Partner

Qualify = Callable[..., httpx.Response]
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_an_education_customer_is_approved(partner: Partner, decisions: Decisions, qualify: Qualify) -> None:
    customer = partner.customer("{}.k12.or.us")
    with partner.client() as client:
        answer = qualify(client, customer)
        assert answer.status_code == 201
        body = answer.json()
        assert list(body) == ["qualification", "vettingStatus", "vettingCreateDate"]
        assert body["qualification"] == "Education"
        assert body["vettingStatus"] == "InReview"
        assert DATE.fullmatch(body["vettingCreateDate"])
        assert decisions.wait(customer) == "Approved"
        (listed,) = client.get(f"/v1/customers/{customer}/qualifications").json()
        assert listed == {
            "qualification": "Education",
            "vettingStatus": "Approved",
            "vettingCreateDate": body["vettingCreateDate"],
            "vettingCreatedDate": body["vettingCreateDate"],
        }
        assert client.get(f"/v1/customers/{customer}/qualification").json() == "education"
