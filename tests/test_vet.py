"""``accredit vet --dry-run``: rows in, decisions out, by the code of the service; bad input is refused whole."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from accredit.cli import exits
from accredit.vetting import dry_run
from accredit.vetting.dry_run import Reader, RowError
from tests.conftest import DEADLINE, Service, environment, run_cli

HEAD = "company,domain,verified,website,country,segment,qualification\n"
ROWS = (
    "Massachusetts Institute of Technology,mit.edu,true,https://web.mit.edu/,US,HigherEducation,Education\n"
    "Contoso,gmail.com,true,,US,,Education\n"
    "Contoso University,contoso.university,true,,US,,Education\n"
    "Harvard University,harvard.edu,false,https://harvard.edu,US,,Education\n"
)

Vet = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def vet(service: Service) -> Vet:
    """Run the command over the service's database."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return run_cli("vet", "--dry-run", *map(str, arguments), home=service.home)

    return run


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """A file with this content."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / f"{uuid4().hex}.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


File = Callable[[str | bytes], Path]


def decided(output: str) -> list[tuple[str, str]]:
    return [(row["decision"], row["rule"]) for row in csv.DictReader(io.StringIO(output))]


def test_rows_come_out_with_what_was_decided(vet: Vet, file: File) -> None:
    ran = vet(file(HEAD + ROWS))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines()[0] == HEAD.strip() + ",decision,reason,rule"
    assert decided(ran.stdout) == [
        ("Approved", "education.registered-institution"),
        ("Denied", "education.free-or-stop-listed"),
        ("Refer", "education.unknown-domain"),
        ("Refer", "education.no-domain"),
    ]
    rows = list(csv.DictReader(io.StringIO(ran.stdout)))
    assert rows[1]["reason"] == "Not an Academic Domain"
    assert rows[3]["website"] == "https://harvard.edu"


def test_nothing_is_stored(vet: Vet, file: File, service: Service) -> None:
    def counts() -> list[tuple[int, ...]]:
        tables = ("customers", "qualifications", "decisions", "audit_records", "pgqueuer")
        query = ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
        with service.database() as connection:
            return connection.execute(f"SELECT {query}").fetchall()  # type: ignore[arg-type]

    before = counts()
    vet(file(HEAD + ROWS))
    assert counts() == before


def test_a_file_takes_the_place_of_the_last_one_whole(vet: Vet, file: File, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("the last")
    refused = vet(file(HEAD + ROWS + "a,b.org,perhaps,,,,\n"), "--out", out)
    assert (refused.returncode, out.read_text()) == (exits.INPUT_REFUSED, "the last")
    ran = vet(file(HEAD + ROWS), "--out", out)
    assert (ran.returncode, ran.stdout) == (0, "")
    assert len(decided(out.read_text())) == 4
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]
    nowhere = vet(file(HEAD + ROWS), "--out", tmp_path / "nowhere" / "out.csv")
    assert (nowhere.returncode, "nowhere" in nowhere.stderr) == (exits.INPUT_REFUSED, True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: the column company is missing"),
        ("company,domain\na,b.org\n", "line 1: the column verified is missing"),
        ("company,domain,verified,Domain\n", "line 1: a column comes twice"),
        ("company,domain,verified,rule\n", "line 1: there is a column rule already"),
        (HEAD + ROWS + "a,b.org,perhaps,,,,\n", "line 6: verified is “perhaps”, none of true, 1"),
        (HEAD + "a,b.org,yes,,,Kindergarten,\n", "line 2: segment is “Kindergarten”, none of k12, highereducation"),
        (HEAD + "a,b.org,yes,,,,StateOwnedEntity\n", "line 2: qualification is “StateOwnedEntity”"),
        (HEAD + "a,b.org\n", "line 2: 2 values under 7 columns"),
        (HEAD + '"a,b.org,yes,,,,\n', "line 2: unexpected end of data"),
        (HEAD.encode() + b"\xff,b.org,yes,,,,\n", "line 2: not UTF-8"),
        ("expected," + HEAD + "Perhaps,a,b.org,yes,,,,\n", "line 2: expected is “Perhaps”"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_line(
    vet: Vet, file: File, content: str | bytes, message: str, tmp_path: Path
) -> None:
    path = file(content)
    ran = vet(path)
    assert (ran.returncode, ran.stdout) == (exits.INPUT_REFUSED, "")
    assert f"{path}: {message}" in ran.stderr
    assert "Nothing was written" in ran.stderr


def read(content: str) -> list[dry_run.Row]:
    return list(Reader(io.StringIO(content)))


@pytest.mark.parametrize(
    ("text", "verified"),
    [
        ("true", True),
        ("TRUE", True),
        ("1", True),
        ("yes", True),
        ("false", False),
        ("0", False),
        ("No", False),
        ("", False),
    ],
)
def test_ways_to_say_verified(text: str, verified: bool) -> None:
    (row,) = read(f"company,domain,verified\nA,a.org,{text}\n")
    assert row.case.domains == (("a.org",) if verified else ())


@pytest.mark.parametrize(
    ("cell", "domains"),
    [
        ("a.org", ("a.org",)),
        ('"a.org, b.org"', ("a.org", "b.org")),
        ("a.org;b.org|c.org d.org a.org", tuple("abcd")),
        ("", ()),
    ],
)
def test_several_domains_in_a_cell(cell: str, domains: tuple[str, ...]) -> None:
    (row,) = read(f"company,domain,verified\nA,{cell},yes\n")
    assert row.case.domains == tuple(one if "." in one else f"{one}.org" for one in domains)


def test_columns_in_any_case_and_order_with_others_kept(vet: Vet, file: File) -> None:
    content = "\ufeffNote,VERIFIED,Domain,Company,Country\r\nof mine,1,mit.edu,MIT,United States\r\n\r\n"
    ran = vet(file(content))
    assert ran.returncode == 0
    header, row = csv.reader(io.StringIO(ran.stdout))
    assert header == ["Note", "VERIFIED", "Domain", "Company", "Country", "decision", "reason", "rule"]
    assert row[:6] == ["of mine", "1", "mit.edu", "MIT", "United States", "Approved"]


def test_expected_against_decided(vet: Vet, file: File) -> None:
    expected = [row + f",{outcome}" for row, outcome in zip(ROWS.splitlines(), ("Approved", "refer", "Refer", ""))]  # noqa: B905
    ran = vet(file(HEAD.strip() + ",expected\n" + "\n".join(expected) + "\n"))
    assert ran.returncode == 0
    assert [line.split() for line in ran.stderr.splitlines()] == [
        ["expected", "Approved", "Denied", "Refer"],
        ["Approved", "1", "0", "0"],
        ["Denied", "0", "0", "0"],
        ["Refer", "0", "1", "1"],
        "2 of 3 as expected".split(),
    ]


def test_standard_input(service: Service) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "accredit", "vet", "--dry-run", "-"],
        env=environment(home=str(service.home)),
        input=HEAD + ROWS,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    assert len(decided(ran.stdout)) == 4


def test_a_progress_bar_on_a_terminal_only(service: Service, file: File) -> None:
    screen, stderr = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "accredit", "vet", "--dry-run", str(file(HEAD + ROWS))],
        env=environment(home=str(service.home)) | {"TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    output, _ = process.communicate(timeout=DEADLINE)
    os.close(stderr)
    shown = os.read(screen, 1 << 16).decode()
    os.close(screen)
    assert "Vetting" in shown
    assert "Vetting" not in output
    assert len(decided(output)) == 4


def test_without_dry_run_and_without_a_file(service: Service, vet: Vet, file: File) -> None:
    ran = run_cli("vet", str(file(HEAD)), home=service.home)
    assert (ran.returncode, "--dry-run" in ran.stderr) == (exits.USAGE, True)
    missing = vet("nowhere.csv")
    assert (missing.returncode, "nowhere.csv: No such file" in missing.stderr) == (exits.INPUT_REFUSED, True)


def test_registries_count_and_are_named(vet: Vet, service: Service, file: File) -> None:
    name = f"d{uuid4().hex}"
    registry = json.dumps([{"name": "Woodgrove University", "domains": [f"{name}.org"], "alpha_two_code": "DE"}])
    row = f"Universität Woodgrove,{name}.org,yes,,Germany,,Education\n"
    assert decided(vet(file(HEAD + row)).stdout) == [("Refer", "education.unknown-domain")]
    arguments = ("registry", "import", "universities", str(file(registry)), "--name", name)
    assert run_cli(*arguments, home=service.home).returncode == 0
    assert decided(vet(file(HEAD + row)).stdout) == [("Approved", "education.registered-institution")]
    assert decided(vet(file(HEAD + row.replace("Germany", "FR"))).stdout) == [("Refer", "education.country-differs")]


def test_a_fresh_home_needs_no_database(tmp_path: Path, file: File) -> None:
    home = tmp_path / "home"
    ran = run_cli("vet", "--dry-run", str(file(HEAD + ROWS)), home=home)
    assert (ran.returncode, len(decided(ran.stdout))) == (0, 4)


def test_a_row_error_is_a_value_error() -> None:
    with pytest.raises(RowError, match="line 2"):
        read("company,domain,verified\nA,a.org,maybe\n")
