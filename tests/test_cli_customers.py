"""``accredit customers`` against the stand-in; the integrator may point it at the service."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from accredit.cli import exits
from tests.cli import Cli
from tests.partner_center import PartnerCenter, partner_center

NAMES = ("Contoso Schools", "Contoso County", "Fabrikam", "Woodgrove", "contoso tutors")


@pytest.fixture
def stand_in() -> Iterator[PartnerCenter]:
    with partner_center() as running:
        running.customers = [
            {
                "id": str(uuid4()),
                "companyProfile": {"companyName": name, "domain": f"{name.split()[-1].lower()}.onmicrosoft.com"},
                "relationshipToPartner": "reseller",
            }
            for name in NAMES
        ]
        yield running


@pytest.fixture
def cli(tmp_path: Path, stand_in: PartnerCenter) -> Cli:
    return Cli(tmp_path, {"endpoint": stand_in.url, "token": "a-token"})


def test_all_pages_are_listed(cli: Cli) -> None:
    listed = cli("customers", "list", "-o", "json").json()
    assert [one["companyName"] for one in listed] == list(NAMES)
    assert set(listed[0]) == {"id", "companyName", "domain", "relationship"}
    table = cli("customers", "list").out
    assert all(name in table for name in NAMES)
    assert len(cli("customers", "list", "-o", "csv").out.splitlines()) == 1 + len(NAMES)


def test_they_are_filtered_by_name_or_domain(cli: Cli, stand_in: PartnerCenter) -> None:
    listed = cli("customers", "list", "--filter-name", "CONTOSO", "-o", "json").json()
    assert [one["companyName"] for one in listed] == ["Contoso Schools", "Contoso County", "contoso tutors"]
    (only,) = cli("customers", "list", "--filter-domain", "wood", "-o", "json").json()
    assert only["companyName"] == "Woodgrove"
    assert json.loads(stand_in.asks[-1].query["filter"])["Operator"] == "starts_with"


def test_one_is_shown_whole(cli: Cli, stand_in: PartnerCenter) -> None:
    customer = stand_in.customers[1]
    assert cli("customers", "show", customer["id"], "-o", "json").json() == customer
    table = cli("customers", "show", customer["id"]).out
    assert "Contoso County" in table
    assert "403/20002" in cli("customers", "show", uuid4(), code=exits.NOT_FOUND).err
