"""The client's commands against the running service: one customer at a time."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from accredit.cli import exits
from tests.cli import ACCREDIT, Cli
from tests.conftest import DEADLINE, Partner, Service

Qualify = Callable[..., httpx.Response]


@pytest.fixture
def cli(service: Service, partner: Partner, tmp_path: Path) -> Cli:
    """The command line as a script has it: an endpoint and a token in the environment."""
    return Cli(tmp_path, {"endpoint": service.url, "token": partner.token()})


def test_an_update_is_awaited_and_then_listed(cli: Cli, partner: Partner) -> None:
    customer = partner.customer("{}.k12.or.us")
    (updated,) = cli("update", customer, "education", "--segment", "k12", "--wait", "-o", "json").json()
    assert updated | {"vettingCreatedDate": ""} == {
        "customer": str(customer),
        "qualification": "Education",
        "vettingStatus": "Approved",
        "vettingCreatedDate": "",
    }
    assert cli("qualifications", "list", customer, "-o", "json").json() == [updated]
    lines = cli("qualifications", "list", customer, "-o", "csv").out.splitlines()
    assert lines[0] == "customer,qualification,vettingStatus,vettingReason,vettingCreatedDate"
    assert lines[1] == f"{customer},Education,Approved,,{updated['vettingCreatedDate']}"
    assert str(customer) in cli("qualifications", "list", customer).out


def test_a_denial_has_its_exit_code(cli: Cli, partner: Partner) -> None:
    customer = partner.customer("{}.gmail.com")
    done = cli("update", customer, "Education", "--wait", "-o", "jsonl", code=exits.DENIED)
    assert json.loads(done.out)["vettingStatus"] == "Denied"
    assert json.loads(cli("watch", customer, "-o", "jsonl", code=exits.DENIED).out) == json.loads(done.out)


def test_without_wait_the_answer_is_what_the_service_says_at_once(cli: Cli, partner: Partner) -> None:
    customer = partner.customer()
    (updated,) = cli("update", customer, "Education", "-o", "json").json()
    assert updated["vettingStatus"] == "InReview"
    (set_at_once,) = cli("update", customer, "StateOwnedEntity", "--wait", "-o", "json").json()
    assert set_at_once == {"customer": str(customer), "qualification": "StateOwnedEntity"}


def test_waiting_may_be_bounded(cli: Cli, partner: Partner) -> None:
    customer = partner.customer()  # without a domain, a person has to decide
    done = cli("update", customer, "Education", "--wait", "--timeout", 0.2, code=exits.STILL_IN_REVIEW)
    assert "InReview" in done.out
    done = cli("watch", customer, "--timeout", 0.2, "-o", "json", code=exits.STILL_IN_REVIEW)
    assert json.loads(done.out)[0]["vettingStatus"] == "InReview"
    assert "still in review" in done.err


def test_watch_waits_for_all(cli: Cli, partner: Partner, qualify: Qualify) -> None:
    customers = partner.customers(3, "{}.k12.or.us")
    with partner.client() as client:
        for customer in customers:
            assert qualify(client, customer).status_code == 201
    watched = [json.loads(line) for line in cli("watch", *customers, "-o", "jsonl").out.splitlines()]
    assert {one["customer"]: one["vettingStatus"] for one in watched} == {str(c): "Approved" for c in customers}


def test_codes_are_listed(cli: Cli, partner: Partner) -> None:
    partner.code("12345", organization="Contoso County", creates=5)
    (code,) = cli("codes", "list", "-o", "json").json()
    assert (code["validationId"], code["organizationName"], code["remainingCreates"]) == ("12345", "Contoso County", 5)
    assert "Contoso County" in cli("codes", "list").out


def test_a_validation_code_is_sent(cli: Cli, partner: Partner) -> None:
    customer = partner.customer("{}.gov", name="Contoso County")
    partner.code("4711", organization="Contoso County", creates=1)
    cli("update", customer, "GovernmentCommunityCloud", "--code", "4711", "--wait")
    (code,) = cli("codes", "list", "-o", "json").json()
    assert code["remainingCreates"] == 0


def test_what_the_service_refuses_is_said_with_its_ids(cli: Cli, partner: Partner) -> None:
    stranger = cli("qualifications", "list", uuid4(), code=exits.NOT_FOUND)
    assert "403/20002" in stranger.err
    assert "MS-CorrelationId" in stranger.err
    customer = partner.customer()
    cli("update", customer, "Education")
    assert "409/700001" in cli("update", customer, "Education", code=exits.REFUSED).err


def test_a_token_that_is_refused(cli: Cli, partner: Partner) -> None:
    cli.settings["token"] = partner.token(mfa=False)
    assert "403/900308" in cli("codes", "list", code=exits.REFUSED).err
    cli.settings["token"] = "nonsense"
    assert "401/400" in cli("codes", "list", code=exits.NOT_SIGNED_IN).err


def test_an_endpoint_that_does_not_answer(cli: Cli) -> None:
    cli.settings["endpoint"] = "http://127.0.0.1:9"
    done = cli("codes", "list", code=exits.UNREACHABLE)
    assert "127.0.0.1" in done.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["update"], "give a customer and a qualification, or --file"),
        (["update", str(uuid4()), "Nonprofit"], "qualification 'Nonprofit'"),
        (["update", str(uuid4()), "Education", "--file", "a.csv"], "--file says all"),
        (["update", str(uuid4()), "Education", "--retry-failed"], "goes with --file"),
        (["update", str(uuid4()), "GovernmentCommunityCloud"], "code is missing"),
        (["update", "not-a-guid", "Education"], "Invalid value for 'customer'"),
        (["customers", "list", "--filter-name", "a", "--filter-domain", "b"], "not both"),
        (["login", "--local", "--device-code"], "--local goes without"),
        (["login", "--user", "a@b.example"], "go with --local"),
        (["login"], "give --client-id"),
    ],
)
def test_wrong_usage_is_said(cli: Cli, arguments: list[str], named: str) -> None:
    done = cli(*arguments, code=exits.USAGE)
    assert named in " ".join(done.err.split())
    assert done.out == ""


def test_debug_shows_the_exchange_but_no_token(cli: Cli, partner: Partner) -> None:
    customer = partner.customer()
    done = cli("update", customer, "Education", "--debug", "-o", "json")
    assert f"{cli.settings['endpoint']}/v1/customers/{customer}/qualifications" in done.err
    for text in ("POST", "201", '{"Qualification": "Education"}', "MS-CorrelationId", '"vettingStatus":"InReview"'):
        assert text in done.err
    for part in cli.settings["token"].split("."):
        assert part not in done.err
    assert json.loads(done.out)


def test_a_reader_that_goes_away_is_no_error_of_ours(cli: Cli, partner: Partner) -> None:
    customer = partner.customer()
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*ACCREDIT, "qualifications", "list", str(customer), "-o", "csv"],
        env=cli.environment(),
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    os.close(writer)
    assert "Traceback" not in done.stderr
