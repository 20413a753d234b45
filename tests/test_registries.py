"""Registries: their formats, imports that are whole or nothing, and look-ups that see a new import at once."""

import asyncio
import http.server
import json
import threading
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from typer.testing import CliRunner

from accredit.cli import exits
from accredit.cli.main import app
from accredit.database.pool import create_pool
from accredit.registries import formats, importing, store
from accredit.registries.formats import FormatError
from accredit.registries.importing import FetchError, Imported, Limits
from accredit.registries.models import Format, Institution, Kind
from accredit.registries.store import Answer, Lookup
from accredit.settings import Settings
from tests.conftest import DEADLINE, Service, run_cli
from tests.test_worker import own_database

LIMITS = Limits(timeout=5, size=1_000_000)
UNIVERSITIES: list[dict[str, Any]] = [
    {
        "name": "Universidade de São Paulo",
        "domains": ["usp.br", "www.usp.br/en", "not a domain"],
        "web_pages": ["https://www5.usp.br/"],
        "country": "Brazil",
        "alpha_two_code": "BR",
        "state-province": None,
    },
    {
        "name": "Contoso University",
        "domains": [],
        "web_pages": ["http://contoso.example.edu/x"],
        "state-province": "WA",
    },
]
DOTGOV = """Domain name,Domain type,Organization name,Suborganization name,City,State,Security contact email
CONTOSO.gov,County,Contoso County,(blank),Contoso,WA,(blank)
"woodgrove.gov",City,"Woodgrove, City of",Fire Department,Woodgrove,OR,x@example.com
"""
ROR: list[dict[str, Any]] = [
    {
        "names": [{"value": "MIT", "types": ["acronym"]}, {"value": "Massachusetts Institute of Technology"}],
        "types": ["education", "funder"],
        "status": "active",
        "domains": ["mit.edu"],
        "links": [{"type": "website", "value": "https://web.mit.edu"}],
        "locations": [{"geonames_details": {"country_code": "US", "country_subdivision_name": "Massachusetts"}}],
    },
    {
        "names": [{"value": "Contoso"}],
        "types": ["company"],
        "status": "active",
        "domains": [],
        "links": [{"type": "wikipedia", "value": "https://en.wikipedia.org/x"}, {"value": "http://contoso.com/"}],
    },
    {"names": [{"value": "Gone"}], "types": ["education"], "status": "withdrawn", "domains": ["gone.edu"]},
]
OWN = "name,domain,kind,country,state\nWoodgrove University | WU,Woodgrove.ORG,university,us,WA\n,bad.org,stop,,\n"


def read(format: Format, path: Path) -> tuple[list[Institution], list[str]]:
    skipped: list[str] = []
    return list(formats.read(format, path, skipped.append)), skipped


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """A file with this content."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / uuid4().hex
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


File = Callable[[str | bytes], Path]


def test_the_world_university_list(file: File) -> None:
    found, skipped = read(Format.UNIVERSITIES, file(json.dumps(UNIVERSITIES, indent=1)))
    sao_paulo = ("Universidade de São Paulo",)
    assert found == [
        Institution("usp.br", sao_paulo, Kind.UNIVERSITY, "BR"),
        Institution("www.usp.br", sao_paulo, Kind.UNIVERSITY, "BR"),
        Institution("contoso.example.edu", ("Contoso University",), Kind.UNIVERSITY, None, "WA"),
    ]
    assert skipped == ["line 2: “not a domain” is no domain name"]


def test_the_gov_list(file: File) -> None:
    found, _ = read(Format.DOTGOV, file("\ufeff" + DOTGOV))
    assert found == [
        Institution("contoso.gov", ("Contoso County",), Kind.GOVERNMENT, "US", "WA"),
        Institution("woodgrove.gov", ("Woodgrove, City of", "Fire Department"), Kind.GOVERNMENT, "US", "OR"),
    ]


@pytest.mark.parametrize("packed", [False, True])
def test_the_ror_dump(file: File, tmp_path: Path, packed: bool) -> None:
    path = file(json.dumps(ROR))
    if packed:
        with zipfile.ZipFile(tmp_path / "ror.zip", "w") as archive:
            archive.writestr("v1.9-ror-data.json", "[]")
            archive.write(path, "v1.9-ror-data_schema_v2.json")
        path = tmp_path / "ror.zip"
    found, _ = read(Format.ROR, path)
    names = ("MIT", "Massachusetts Institute of Technology")
    assert found == [
        Institution("mit.edu", names, Kind.EDUCATION, "US", "Massachusetts"),
        Institution("contoso.com", ("Contoso",), Kind.COMPANY),
    ]


SWOT = {
    "lib/domains/edu/mit.txt": "Massachusetts Institute of Technology\n",
    "lib/domains/uk/ac/ox.txt": "University of Oxford\n\n.group\nhttps://www.ox.ac.uk\nOxford University\n",
    "lib/domains/edu/empty.txt": "\n",
    "lib/domains/stoplist.txt": "sold.edu.cn\n",
    "lib/domains/tlds.txt": "edu.kg\n",
    "README.md": "swot",
}


@pytest.mark.parametrize("packed", [False, True])
def test_the_swot_tree(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "swot"
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in SWOT.items():
                archive.writestr(f"swot-master/{name}", content)
    else:
        for name, content in SWOT.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(content)
    found, skipped = read(Format.SWOT, path)
    assert sorted(found, key=lambda one: one.domain) == [
        Institution("mit.edu", ("Massachusetts Institute of Technology",), Kind.EDUCATION),
        Institution("ox.ac.uk", ("University of Oxford", "Oxford University"), Kind.EDUCATION),
        Institution("sold.edu.cn", (), Kind.STOP),
    ]
    assert skipped == ["edu/empty.txt: no name"]


def test_our_own_csv(file: File) -> None:
    found, _ = read(Format.CSV, file(OWN))
    assert found == [
        Institution("woodgrove.org", ("Woodgrove University", "WU"), Kind.UNIVERSITY, "US", "WA"),
        Institution("bad.org", (), Kind.STOP),
    ]


@pytest.mark.parametrize(
    ("format", "content", "message"),
    [
        (Format.UNIVERSITIES, "{}", "line 1: not a JSON array"),
        (Format.UNIVERSITIES, "", "line 1: not a JSON array"),
        (Format.UNIVERSITIES, '[\n{"name": "A", "domains": ["a.edu"]},\n{"name": 1}]', "line 3: Expected `str`"),
        (Format.UNIVERSITIES, '[\n{"name": "A"}]', "line 2: Object missing required field `domains`"),
        (Format.UNIVERSITIES, '[{"name": "", "domains": ["a.edu"]}]', "line 1: Expected `str` of length >= 1"),
        (Format.UNIVERSITIES, '[\n{"name": "A", "domains": []}\n{}]', "line 3: expected a comma"),
        (Format.UNIVERSITIES, '[\n{"name": "A", "domains": []},\n', "line 3: not JSON"),
        (Format.UNIVERSITIES, '[\n{"name": "A", "domains": []},\n{"name', "line 3: not JSON"),
        (Format.UNIVERSITIES, '[\n{"name": "A", "domains": []}\n', "line 3: expected a comma"),
        (Format.UNIVERSITIES, "[]\n[]", "line 2: something follows"),
        (Format.UNIVERSITIES, b"[\n\xff]", "line 2: not UTF-8"),
        (Format.ROR, '[{"names": [], "types": [], "status": "active"}]', "line 1: Expected `array` of length >= 1"),
        (Format.DOTGOV, "Domain,Type\n", "line 1: the column Domain name is missing"),
        (Format.DOTGOV, DOTGOV + "a.gov,City\n", "line 4: 2 values under 7 columns"),
        (Format.DOTGOV, DOTGOV + "a.gov,City,,,,,\n", "line 4: no organization name"),
        (Format.DOTGOV, DOTGOV + 'a.gov,City,"A', "line 4: unexpected end of data"),
        (Format.DOTGOV, DOTGOV.encode() + b"a.gov\0", "line 4: a NUL"),
        (Format.CSV, "domain,name,kind\na b,A,school\n", "line 2: “a b” is no domain name"),
        (Format.CSV, "domain,name,kind\na.org,A,casino\n", "line 2: the kind “casino”"),
        (Format.CSV, "domain,name,kind\na.org,,school\n", "line 2: no name"),
        (Format.CSV, "domain,name,kind,country\na.org,A,school,USA\n", "line 2: the country “USA”"),
        (Format.SWOT, "a text", "neither a folder nor a zip"),
    ],
)
def test_what_is_malformed_is_refused_with_its_place(
    file: File, format: Format, content: str | bytes, message: str
) -> None:
    with pytest.raises(FormatError) as refused:
        read(format, file(content))
    assert str(refused.value).startswith(message)


@pytest.fixture
def database(service: Service) -> Iterator[str]:
    """A database of the test's own."""
    with own_database(service) as url:
        yield url


def add(url: str, name: str, source: str | Path, format: Format = Format.CSV, limits: Limits = LIMITS) -> Imported:
    return importing.import_registry(url, name, format, str(source), limits, lambda _: None)


def contents(url: str) -> dict[str, list[str]]:
    with psycopg.connect(url) as connection:
        held = connection.execute("SELECT registry, domain FROM registry_institutions ORDER BY domain").fetchall()
        found = {one.name: one.entries for one in store.registries(connection)}
    domains = {name: [domain for registry, domain in held if registry == name] for name in found}
    assert {name: len(listed) for name, listed in domains.items()} == found
    return domains


def row(domain: str, name: str = "Woodgrove University", kind: str = "university") -> str:
    return f"{domain},{name},{kind}\n"


HEAD = "domain,name,kind\n"


def test_an_import_takes_the_place_of_the_last_and_leaves_the_others(database: str, file: File) -> None:
    add(database, "a", file(HEAD + row("one.org") + row("two.org")))
    add(database, "b", file(HEAD + row("one.org")))
    add(database, "a", file(HEAD + row("two.org") + row("three.org")))
    assert contents(database) == {"a": ["three.org", "two.org"], "b": ["one.org"]}


def test_the_same_again_changes_nothing(database: str, file: File) -> None:
    def versions() -> list[tuple[str, datetime]]:
        with psycopg.connect(database) as connection:
            return [(one.version, one.imported_at) for one in store.registries(connection)]

    path = file(HEAD + row("one.org"))
    assert add(database, "a", path).entries == 1
    before = versions()
    assert add(database, "a", path).entries is None
    assert versions() == before
    assert add(database, "a", file(HEAD + row("two.org"))).entries == 1
    assert versions() != before


@pytest.mark.parametrize("rest", ["x y,Bad,university\n", row("bad.org", kind="nothing")])
def test_an_import_that_is_refused_leaves_what_was_there(database: str, file: File, rest: str) -> None:
    add(database, "a", file(HEAD + row("one.org")))
    many = "".join(row(f"n{number}.org") for number in range(5000))
    with pytest.raises(FormatError, match="line 5002"):
        add(database, "a", file(HEAD + many + rest))
    with pytest.raises(store.NothingImportedError):
        add(database, "a", file(HEAD))
    with pytest.raises(FileNotFoundError):
        add(database, "a", "nowhere.csv")
    assert contents(database) == {"a": ["one.org"]}


def test_imports_at_the_same_time_follow_one_another(database: str, file: File) -> None:
    files = [file(HEAD + "".join(row(f"{name}{number}.org") for number in range(200))) for name in "abcd"]
    threads = [threading.Thread(target=add, args=(database, "a", path)) for path in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    (held,) = contents(database).values()
    assert len(held) == 200
    assert len({domain[0] for domain in held}) == 1


@asynccontextmanager
async def looking_up(url: str, most: int = 100) -> AsyncIterator[Lookup]:
    async with create_pool(url, most=2, timeout=5, name="test") as pool:
        yield Lookup(pool, most=most, timeout=5)


def found(answer: Answer, domain: str) -> list[tuple[str, str]]:
    return [(registry, one.domain) for registry, one in answer.institutions[domain]]


def test_the_nearest_above_is_found_and_nothing_above_an_owner(database: str, file: File) -> None:
    add(database, "a", file(HEAD + row("mit.edu") + row("lab.mit.edu") + row("edu").replace("edu,", "edu.hk,", 1)))
    add(database, "b", file(HEAD + row("mit.edu") + row("github.io")))

    async def scenario() -> None:
        async with looking_up(database) as look_up:
            answer = await look_up(["x.lab.mit.edu", "www.mit.edu", "contoso.edu.hk", "contoso.github.io", "a.org"])
            assert found(answer, "x.lab.mit.edu") == [("a", "lab.mit.edu"), ("b", "mit.edu")]
            assert found(answer, "www.mit.edu") == [("a", "mit.edu"), ("b", "mit.edu")]
            for domain in ("contoso.edu.hk", "contoso.github.io", "a.org"):
                assert found(answer, domain) == []
            assert set(answer.versions) == {"a", "b"}

    asyncio.run(scenario())


def test_a_new_import_and_a_removal_are_seen_at_once(database: str, file: File) -> None:
    add(database, "a", file(HEAD + row("one.org") + row("two.org")))

    async def scenario() -> None:
        async with looking_up(database) as look_up:
            first = await look_up(["one.org", "two.org"])
            assert found(first, "one.org") == [("a", "one.org")]
            await asyncio.to_thread(add, database, "a", file(HEAD + row("three.org") + row("two.org")))
            second = await look_up(["one.org", "two.org", "three.org"])
            assert [found(second, one) for one in ("one.org", "two.org", "three.org")] == [
                [],
                [("a", "two.org")],
                [("a", "three.org")],
            ]
            assert second.versions != first.versions
            with psycopg.connect(database) as connection:
                assert store.remove(connection, "a")
            third = await look_up(["two.org"])
            assert (found(third, "two.org"), third.versions) == ([], {})

    asyncio.run(scenario())


def test_what_is_known_is_not_asked_again_and_the_oldest_is_forgotten(
    database: str, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(database, "a", file(HEAD + "".join(row(f"n{number}.org") for number in range(9))))
    asked: list[set[str]] = []
    fetch = store.fetch

    async def spy(pool: Any, query: Any, parameters: Any, *, timeout: float) -> Any:
        asked.append(set(parameters[0]))
        return await fetch(pool, query, parameters, timeout=timeout)

    monkeypatch.setattr(store, "fetch", spy)

    async def scenario() -> None:
        async with looking_up(database, most=3) as look_up:
            for domain in ("n2.org", "n3.org", "n1.org"):
                await look_up([domain])
            asked.clear()
            for domains in (["n1.org"], ["n4.org"], ["n1.org"], ["n2.org"]):
                answer = await look_up(domains)
                assert found(answer, domains[0]) == [("a", domains[0])]

    asyncio.run(scenario())
    assert asked == [set(), {"n4.org"}, set(), {"n2.org"}]


def test_questions_that_come_together_are_few_queries(
    database: str, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(database, "a", file(HEAD + "".join(row(f"n{number}.org") for number in range(100))))
    queries = 0
    fetch = store.fetch

    async def spy(*arguments: Any, timeout: float) -> Any:
        nonlocal queries
        queries += 1
        return await fetch(*arguments, timeout=timeout)

    monkeypatch.setattr(store, "fetch", spy)

    async def scenario() -> None:
        async with looking_up(database) as look_up:
            answers = await asyncio.gather(*(look_up([f"n{number}.org"]) for number in range(100)))
            for number, answer in enumerate(answers):
                assert found(answer, f"n{number}.org") == [("a", f"n{number}.org")]

    asyncio.run(scenario())
    assert queries <= 4


def test_look_ups_use_the_index(database: str, file: File) -> None:
    many = "".join(row(f"n{number}.org") for number in range(20_000))
    add(database, "a", file(HEAD + many))
    with psycopg.connect(database) as connection:
        plan = connection.execute("EXPLAIN " + store._LOOK_UP, (["n1.org", "n2.org"],)).fetchall()
    assert any("registry_institutions_domain" in line for (line,) in plan), plan


@contextmanager
def serving(**pages: str) -> Iterator[tuple[str, dict[str, str]]]:
    """An HTTP server on loopback, and its pages, which may be changed."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = pages.get(self.path.strip("/"))
            self.send_response(200 if content else 404)
            self.end_headers()
            self.wfile.write((content or "").encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", pages
    finally:
        server.shutdown()
        server.server_close()


def test_a_url_is_fetched_within_limits(database: str) -> None:
    with serving(list=HEAD + row("one.org")) as (url, _):
        assert add(database, "a", f"{url}/list").entries == 1
        with pytest.raises(FetchError, match="404"):
            add(database, "a", f"{url}/nothing")
        with pytest.raises(FetchError, match="larger than 10 bytes"):
            add(database, "a", f"{url}/list", limits=Limits(timeout=5, size=10))
    with pytest.raises(FetchError):
        add(database, "a", f"{url}/list")
    assert contents(database) == {"a": ["one.org"]}


def test_a_refresh_fetches_what_is_due_and_survives_what_cannot_be(database: str, file: File) -> None:
    settings = Settings(registry_refresh_hours=24)
    with serving(list=HEAD + row("one.org"), bad=HEAD + row("bad.org")) as (url, pages):
        add(database, "good", f"{url}/list")
        add(database, "bad", f"{url}/bad")
        add(database, "file", file(HEAD + row("file.org")))
        pages |= {"list": HEAD + row("two.org"), "bad": "nonsense"}
        importing.refresh(database, settings)
        assert contents(database) == {"good": ["one.org"], "bad": ["bad.org"], "file": ["file.org"]}
        with psycopg.connect(database) as connection:
            connection.execute("UPDATE registries SET checked_at = checked_at - interval '25 hours'")
        importing.refresh(database, settings)
        assert contents(database) == {"good": ["two.org"], "bad": ["bad.org"], "file": ["file.org"]}
        with psycopg.connect(database) as connection:
            late = [one.name for one in store.registries(connection) if one.checked_at < one.imported_at]
        assert late == ["bad", "file"]


def test_the_commands(service: Service, file: File, tmp_path: Path) -> None:
    def run(*arguments: str) -> Any:
        return run_cli("registry", *arguments, home=service.home)

    path = str(file(json.dumps([*UNIVERSITIES, *[{"name": "X", "domains": ["? ?"]}] * 7])))
    name = f"test {uuid4()}"
    imported = run("import", "HIPO", path, "--name", name)
    assert (imported.returncode, imported.stdout) == (0, f"imported 3 domains into the registry {name}\n")
    assert imported.stderr.count("left out: line") == 5
    assert imported.stderr.endswith("left out: 3 more\n")
    again = run("import", "universities", path, "--name", name)
    assert (again.returncode, again.stdout) == (0, f"the registry {name} holds this already: nothing changed\n")
    listed = json.loads(run("list", "--json").stdout)
    (one,) = [one for one in listed if one["name"] == name]
    assert (one["format"], one["entries"], one["source"]) == ("universities", 3, path)
    assert name in run("list").stdout
    refused = run("import", "csv", str(file("nonsense")), "--name", name)
    assert (refused.returncode, refused.stdout) == (exits.INPUT_REFUSED, "")
    assert "line 1: the column domain is missing. Nothing was imported." in refused.stderr
    missing = run("import", "csv", str(tmp_path / "nowhere"))
    assert (missing.returncode, "No such file" in missing.stderr) == (exits.INPUT_REFUSED, True)
    unknown = run("import", "oracle", path)
    assert (unknown.returncode, "“oracle”" in unknown.stderr) == (exits.USAGE, True)
    removed = run("remove", name)
    assert (removed.returncode, removed.stdout) == (0, f"removed the registry {name}\n")
    assert run("remove", name).returncode == exits.NOT_FOUND


def test_the_help_names_the_commands() -> None:
    shown = CliRunner().invoke(app, ["registry", "--help"])
    assert shown.exit_code == 0
    assert all(command in shown.stdout for command in ("import", "list", "remove"))
