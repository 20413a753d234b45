"""``accredit update --file``: nothing is sent twice as two, none is lost, whatever ends a run."""

import csv
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from accredit.cli import exits
from tests.cli import ACCREDIT, Cli
from tests.conftest import DEADLINE, Partner, Service
from tests.limiters import SlidingLog
from tests.partner_center import HELD, LOST, Ask, PartnerCenter, partner_center


@pytest.fixture
def stand_in() -> Iterator[PartnerCenter]:
    with partner_center() as running:
        yield running


@pytest.fixture
def cli(tmp_path: Path, stand_in: PartnerCenter) -> Cli:
    """The command line, pointed at the stand-in."""
    return Cli(tmp_path, {"endpoint": stand_in.url, "token": "a-token"})


def write(folder: Path, count: int, *, name: str = "customers.csv", qualification: str = "Education") -> list[str]:
    """Write a file of updates; return the customers."""
    customers = [str(uuid4()) for _ in range(count)]
    lines = ["customer,qualification", *(f"{customer},{qualification}" for customer in customers)]
    (folder / name).write_text("\n".join(lines) + "\n")
    return customers


def results(folder: Path) -> dict[str, dict[str, str]]:
    """The result file, by customer."""
    with (folder / "customers.result.csv").open(newline="") as file:
        return {row["customer"]: row for row in csv.DictReader(file)}


def each_asked_for_under_one_id(stand_in: PartnerCenter, customers: list[str]) -> None:
    """No update was sent twice as two, and none was left out; each was done once."""
    assert {key: len(ids) for key, ids in stand_in.request_ids().items()} == {(c, "Education"): 1 for c in customers}
    assert {key: len(ids) for key, ids in stand_in.done.items()} == {(c, "Education"): 1 for c in customers}


def test_a_file_is_sent_and_its_result_has_a_line_for_each_update(cli: Cli, stand_in: PartnerCenter) -> None:
    customers = write(cli.folder, 50)
    done = cli("update", "--file", "customers.csv", "-o", "json")
    assert json.loads(done.out) == {
        "updates": 50,
        "InReview": 50,
        "result": "customers.result.csv",
        "journal": "customers.csv.journal",
    }
    each_asked_for_under_one_id(stand_in, customers)
    rows = results(cli.folder)
    assert list(rows) == customers
    by_request = {ask.request_id: ask for ask in stand_in.posts()}
    for customer, row in rows.items():
        ask = by_request[row["request_id"]]
        assert (ask.customer, row["state"]) == (customer, "InReview")
        assert row["correlation_id"] == ask.headers["MS-CorrelationId"]


def test_all_columns_are_sent(cli: Cli, stand_in: PartnerCenter) -> None:
    one, other = str(uuid4()), str(uuid4())
    (cli.folder / "all.csv").write_bytes(
        b"\xef\xbb\xbfCode,Website,Segment,Qualification,Customer\r\n"
        + f",www.contoso.edu,k12,EDUCATION,{one.upper()}\r\n\r\n12345,,,GovernmentCommunityCloud,{other}\r\n".encode()
    )
    cli("update", "-f", "all.csv", "--concurrency", 1)
    education, government = stand_in.posts()
    assert (education.customer, education.query) == (one, {})
    assert education.body == {"Qualification": "Education", "EducationSegment": "K12", "Website": "www.contoso.edu"}
    assert (government.customer, government.query) == (other, {"code": "12345"})
    assert government.body == {"Qualification": "GovernmentCommunityCloud"}


def test_a_bad_file_is_named_line_by_line_and_nothing_is_sent(cli: Cli, stand_in: PartnerCenter) -> None:
    customers = write(cli.folder, 3)
    with (cli.folder / "customers.csv").open("a") as file:
        file.write(f"nonsense,Education\n{customers[1].upper()},education\n{uuid4()},Nonprofit\n")
    done = cli("update", "--file", "customers.csv", code=exits.INPUT_REFUSED)
    assert done.err.splitlines() == [
        "customers.csv:5: customer 'nonsense' is not a GUID",
        "customers.csv:7: qualification 'Nonprofit' is none of Education, GovernmentCommunityCloud, StateOwnedEntity",
        "customers.csv:6: asks for the same as line 3",
        "accredit: customers.csv: 3 bad lines; nothing was sent",
    ]
    assert (done.out, stand_in.asks) == ("", [])
    assert sorted(path.name for path in cli.folder.iterdir()) == ["customers.csv"]


def test_decisions_are_awaited_and_the_exit_code_tells_of_a_denial(cli: Cli, stand_in: PartnerCenter) -> None:
    customers = write(cli.folder, 40)
    stand_in.decide_after = 3
    stand_in.verdict = lambda customer: "Denied" if customer == customers[7] else "Approved"
    done = cli("update", "--file", "customers.csv", "--wait", "-o", "json", code=exits.DENIED)
    assert json.loads(done.out) | {"result": "", "journal": ""} == {
        "updates": 40,
        "Approved": 39,
        "Denied": 1,
        "result": "",
        "journal": "",
    }
    row = results(cli.folder)[customers[7]]
    assert (row["state"], row["reason"]) == ("Denied", "Not an Academic Domain")


def test_a_429_never_becomes_a_failure(cli: Cli, stand_in: PartnerCenter) -> None:
    customers = write(cli.folder, 120)
    stand_in.limiter = SlidingLog(50, window=1.0)
    cli("update", "--file", "customers.csv")
    assert stand_in.throttled > 0
    each_asked_for_under_one_id(stand_in, customers)


@pytest.mark.parametrize("fault", [500, 502, 503, 408, LOST])
def test_faults_are_survived_under_the_same_request_id(cli: Cli, stand_in: PartnerCenter, fault: str | int) -> None:
    customers = write(cli.folder, 30)
    stand_in.misbehave = lambda ask: fault if ask.number % 3 == 0 else None
    cli("update", "--file", "customers.csv")
    each_asked_for_under_one_id(stand_in, customers)
    assert {row["state"] for row in results(cli.folder).values()} == {"InReview"}


def test_an_endpoint_that_forgets_request_ids_shows_what_was_done(cli: Cli, stand_in: PartnerCenter) -> None:
    customers = write(cli.folder, 20)
    stand_in.idempotent = False
    seen: set[str] = set()

    def lose_the_first_answer(ask: Ask) -> str | None:
        first = ask.method == "POST" and ask.request_id not in seen
        seen.add(ask.request_id)
        return LOST if first else None

    stand_in.misbehave = lose_the_first_answer
    stand_in.decide_after = 100
    cli("update", "--file", "customers.csv")
    each_asked_for_under_one_id(stand_in, customers)
    assert {row["state"] for row in results(cli.folder).values()} == {"InReview"}


def test_what_the_endpoint_refuses_is_in_the_result_and_may_be_tried_again(cli: Cli, stand_in: PartnerCenter) -> None:
    customers = write(cli.folder, 10)
    stand_in.misbehave = lambda ask: 400 if ask.customer == customers[3] else None
    cli("update", "--file", "customers.csv", code=exits.SOME_FAILED)
    failed = results(cli.folder)[customers[3]]
    assert (failed["state"], failed["error_code"]) == ("Failed", "400")
    assert failed["error_description"] == "told to answer 400"
    stand_in.misbehave = lambda _: None
    cli("update", "--file", "customers.csv", code=exits.SOME_FAILED)
    assert len(stand_in.posts()) == 10
    cli("update", "--file", "customers.csv", "--retry-failed")
    assert len(stand_in.posts()) == 11
    assert results(cli.folder)[customers[3]]["state"] == "InReview"


@pytest.mark.parametrize(("status", "code"), [(401, exits.NOT_SIGNED_IN), (403, exits.REFUSED)])
def test_a_refusal_of_the_caller_ends_the_run(cli: Cli, stand_in: PartnerCenter, status: int, code: int) -> None:
    customers = write(cli.folder, 500)
    stand_in.misbehave = lambda ask: status if ask.number >= 20 else None
    done = cli("update", "--file", "customers.csv", "--concurrency", 4, code=code)
    assert "Run the same command to go on" in done.err
    assert len(stand_in.posts()) < 40
    stand_in.misbehave = lambda _: None
    cli("update", "--file", "customers.csv")
    each_asked_for_under_one_id(stand_in, customers)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_finishes_what_is_in_flight_and_goes_on_later(
    cli: Cli, stand_in: PartnerCenter, number: int
) -> None:
    customers = write(cli.folder, 60)
    stand_in.misbehave = lambda ask: HELD if ask.number >= 10 else None
    process = cli.start("update", "--file", "customers.csv", "--concurrency", 8)
    for _ in range(8):
        assert stand_in.in_hand.acquire(timeout=DEADLINE)
    process.send_signal(number)
    assert process.stderr is not None
    while "finishing what is in flight" not in process.stderr.readline():
        pass
    stand_in.release()
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == exits.INTERRUPTED, err
    assert "Run the same command to go on" in err
    states = [row["state"] for row in results(cli.folder).values()]
    assert states.count("InReview") == 18
    assert states.count("NotSent") == 42
    assert "18" in out
    cli("update", "--file", "customers.csv")
    each_asked_for_under_one_id(stand_in, customers)
    assert {row["state"] for row in results(cli.folder).values()} == {"InReview"}


def test_a_second_signal_stops_at_once_and_nothing_is_sent_twice(cli: Cli, stand_in: PartnerCenter) -> None:
    customers = write(cli.folder, 40)
    stand_in.misbehave = lambda ask: HELD if ask.number >= 5 else None
    process = cli.start("update", "--file", "customers.csv", "--concurrency", 4)
    for _ in range(4):
        assert stand_in.in_hand.acquire(timeout=DEADLINE)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "finishing what is in flight" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == exits.INTERRUPTED, err
    stand_in.release()
    cli("update", "--file", "customers.csv")
    each_asked_for_under_one_id(stand_in, customers)


def test_a_killed_run_goes_on_under_the_same_ids(cli: Cli, stand_in: PartnerCenter) -> None:
    customers = write(cli.folder, 60)
    stand_in.misbehave = lambda ask: HELD if ask.number >= 25 else None
    process = cli.start("update", "--file", "customers.csv", "--concurrency", 8)
    for _ in range(8):
        assert stand_in.in_hand.acquire(timeout=DEADLINE)
    process.kill()
    process.communicate(timeout=DEADLINE)
    stand_in.release()
    done = cli("update", "--file", "customers.csv")
    assert "going on with customers.csv" in done.err
    each_asked_for_under_one_id(stand_in, customers)
    # Those that were in flight were sent again; those whose answer was journaled were not.
    assert 60 < len(stand_in.posts()) <= 60 + 8 + 8


def test_two_runs_of_one_file_do_not_meet(cli: Cli, stand_in: PartnerCenter) -> None:
    write(cli.folder, 5)
    stand_in.misbehave = lambda _: HELD
    process = cli.start("update", "--file", "customers.csv", "--concurrency", 2)
    assert stand_in.in_hand.acquire(timeout=DEADLINE)
    done = cli("update", "--file", "customers.csv", code=exits.REFUSED)
    assert "is in use" in done.err
    stand_in.release()
    process.communicate(timeout=DEADLINE)
    assert process.returncode == 0


def test_a_journal_is_of_one_file_and_one_endpoint(cli: Cli, stand_in: PartnerCenter) -> None:
    write(cli.folder, 3)
    cli("update", "--file", "customers.csv")
    sent = len(stand_in.posts())
    original = (cli.folder / "customers.csv").read_text()
    (cli.folder / "customers.csv").write_text(original + f"{uuid4()},Education\n")
    assert "another content" in cli("update", "--file", "customers.csv", code=exits.REFUSED).err
    (cli.folder / "customers.csv").write_text(original)
    with partner_center() as other:
        cli.settings["endpoint"] = other.url
        assert stand_in.url in cli("update", "--file", "customers.csv", code=exits.REFUSED).err
        assert other.asks == []
    (cli.folder / "customers.csv.journal").write_text("not a journal at all, but text" * 100)
    assert "is no journal" in cli("update", "--file", "customers.csv", code=exits.REFUSED).err
    assert len(stand_in.posts()) == sent


def test_a_file_that_changes_while_it_is_sent_stops_the_run(cli: Cli, stand_in: PartnerCenter) -> None:
    write(cli.folder, 2000)
    stand_in.misbehave = lambda ask: HELD if ask.number >= 10 else None
    process = cli.start("update", "--file", "customers.csv", "--concurrency", 4)
    for _ in range(4):
        assert stand_in.in_hand.acquire(timeout=DEADLINE)
    with (cli.folder / "customers.csv").open("a") as file:
        file.write(f"{uuid4()},Education\n")
    stand_in.release()
    _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == exits.INPUT_REFUSED, err
    assert "was changed" in err
    assert len(stand_in.posts()) < 2000


def test_a_full_disk_stops_before_anything_is_sent_that_is_not_journaled(cli: Cli, stand_in: PartnerCenter) -> None:
    write(cli.folder, 3000)
    limited = ["bash", "-c", 'ulimit -f 64; exec "$0" "$@"']
    done = subprocess.run(
        [*limited, *ACCREDIT, "update", "--file", "customers.csv"],
        cwd=cli.folder,
        env=cli.environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == exits.FAILED, done.stderr
    assert "journal" in done.stderr
    sent = {ask.request_id for ask in stand_in.posts()}
    cli("update", "--file", "customers.csv")
    assert all(len(ids) == 1 for ids in stand_in.request_ids().values())
    assert sent <= {ask.request_id for ask in stand_in.posts()}


def test_it_drives_the_service(service: Service, partner: Partner, tmp_path: Path) -> None:
    cli = Cli(tmp_path, {"endpoint": service.url, "token": partner.token()})
    schools = partner.customers(30, "{}.k12.or.us")
    tutors = partner.customer("{}.gmail.com")
    lines = [f"{customer},Education,K12" for customer in [*schools, tutors]]
    (tmp_path / "customers.csv").write_text("customer,qualification,segment\n" + "\n".join(lines) + "\n")
    cli("update", "--file", "customers.csv", "--wait", code=exits.DENIED)
    rows = results(tmp_path)
    assert {rows[str(customer)]["state"] for customer in schools} == {"Approved"}
    assert rows[str(tutors)]["state"] == "Denied"
    assert rows[str(tutors)]["reason"]
    with service.database() as connection:
        asked = connection.execute(
            "SELECT count(*) FROM audit_records WHERE partner_id = %s AND operation_status = 'progress'", (partner.id,)
        ).fetchone()
    assert asked == (31,)
