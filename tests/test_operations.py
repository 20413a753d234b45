"""For those who run the service: health, metrics, logs, the API's description, and the table of settings."""

import http.client
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import jsonschema_rs
import psycopg
import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from psycopg.conninfo import conninfo_to_dict

from accredit.operations.logs import redact
from accredit.settings import Settings
from tests.conftest import DEADLINE, Log, Partner, Service, environment
from tests.test_worker import own_database


def test_a_live_service_is_ready(service: Service) -> None:
    assert httpx.get(f"{service.url}/health/live").json() == {"status": "live"}
    ready = httpx.get(f"{service.url}/health/ready")
    assert ready.status_code == 200
    assert ready.json() == {"status": "ready", "checks": {"database": True, "migrations": True, "worker": True}}


@contextmanager
def running_api(home: Path, database_url: str, **settings: str) -> Iterator[Service]:
    """``accredit api`` by itself; its log is whole once it has stopped."""
    process = subprocess.Popen(
        [sys.executable, "-m", "accredit", "api", "--port", "0"],
        env=environment(home=str(home), database_url=database_url, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stderr
    log = Log()
    following = threading.Thread(target=log.follow, args=(process.stderr,), daemon=True)
    following.start()
    try:
        url = process.stdout.readline().removeprefix("accredit is listening on ").strip()
        yield Service(url, database_url, home, process, log)
    finally:
        process.terminate()
        code = process.wait(DEADLINE)
        following.join(DEADLINE)
    assert code == 0, "".join(log)


@pytest.fixture
def database(service: Service) -> Iterator[str]:
    """A database that no worker works on."""
    with own_database(service) as url:
        yield url


def test_ready_is_who_has_database_schema_and_worker(service: Service, database: str, tmp_path: Path) -> None:
    def ready() -> tuple[int, str, dict[str, bool]]:
        answer = client.get("/health/ready")
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert client.get("/health/live").json() == {"status": "live"}
        return answer.status_code, answer.json()["status"], answer.json()["checks"]

    def checks(database: bool, migrations: bool, worker: bool) -> dict[str, bool]:
        return {"database": database, "migrations": migrations, "worker": worker}

    beat = "INSERT INTO workers (id, host, seen_at) VALUES (gen_random_uuid(), 'test', now() - %s::interval)"
    with running_api(tmp_path, database) as alone, httpx.Client(base_url=alone.url, timeout=DEADLINE) as client:
        assert ready() == (503, "not ready", checks(True, True, False))
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(beat, ("1 minute",))
            assert ready() == (503, "not ready", checks(True, True, False))
            connection.execute(beat, ("1 second",))
            assert ready() == (200, "ready", checks(True, True, True))
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
            assert ready() == (503, "not ready", checks(True, False, True))
            connection.execute("DROP TABLE alembic_version")
            assert ready() == (503, "not ready", checks(True, False, False))
        with service.database() as server:
            drop(server, database)
        assert ready() == (503, "not ready", checks(False, False, False))
        assert "accredit_request_seconds_bucket" in client.get("/metrics").text


HOSTILE_PATH = "/v1/nothing%0A2026-11-24T00:00:00Z%20error%20forged%1b[31m"
HOSTILE_HEADERS = {
    "MS-PartnerCenter-Application": 'Bearer x","level":"forged","z":"',
    "MS-PartnerCenter-Client": 'http://x", "a":"b:c@d',
    "MS-SdkVersion": "\\",
}


@dataclass
class Troubled:
    """What an API process met and logged: a hostile request, a fault, its repetition, and a lost database."""

    token: str
    hostile: httpx.Response
    fault: httpx.Response
    repeated: httpx.Response
    lost: httpx.Response
    log: list[str]

    def line(self, answer: httpx.Response, event: str) -> str:
        """The one line of ``event`` for this answer's request."""
        (line,) = [one for one in self.log if answer.headers["MS-CorrelationId"] in one and event in one]
        return line


@pytest.fixture(scope="module", params=["json", "text"])
def troubled(request: pytest.FixtureRequest, service: Service, tmp_path_factory: pytest.TempPathFactory) -> Troubled:
    settings = {"log_format": request.param, "database_timeout": "0.3"}
    home = tmp_path_factory.mktemp("home")
    with own_database(service) as database, running_api(home, database, **settings) as alone:
        partner = Partner.register(alone)
        path, token = f"/v1/customers/{partner.customer()}/qualifications", partner.token()
        body, headers = {"qualification": "Education"}, {"MS-RequestId": str(uuid4())}
        with partner.client(token) as client, psycopg.connect(database, autocommit=True) as connection:
            hostile = client.get(HOSTILE_PATH, headers=HOSTILE_HEADERS)
            connection.execute("ALTER TABLE qualifications RENAME TO elsewhere")
            fault = client.post(path, json=body, headers=headers)
            connection.execute("ALTER TABLE elsewhere RENAME TO qualifications")
            repeated = client.post(path, json=body, headers=headers)
            with service.database() as server:
                drop(server, database)
            lost = client.get(path)
    return Troubled(token, hostile, fault, repeated, lost, list(alone.log))


def drop(server: psycopg.Connection[Any], database: str) -> None:
    server.execute(f"DROP DATABASE {conninfo_to_dict(database)['dbname']} WITH (FORCE)")  # type: ignore[arg-type]


def test_a_fault_is_told_to_the_log_alone(troubled: Troubled) -> None:
    assert (troubled.fault.status_code, troubled.fault.json()["code"]) == (500, "800003")
    for secret in ("qualifications", "SELECT", "Traceback", "psycopg"):
        assert secret not in troubled.fault.text
    text = "".join(troubled.log)
    assert "UndefinedTable" in text
    assert troubled.line(troubled.fault, "fault")
    # What variables hold is nobody's business: no rich traceback.
    assert "locals" not in text
    assert "admin@partner.example" not in text
    assert troubled.token[:20] not in text


def test_after_a_fault_nothing_is_half_done_and_the_same_request_is_done(troubled: Troubled) -> None:
    assert troubled.repeated.status_code == 201


def test_a_lost_database_is_503_and_told_to_the_log(troubled: Troubled) -> None:
    assert (troubled.lost.status_code, troubled.lost.json()["code"]) == (503, "800003")
    assert int(troubled.lost.headers["Retry-After"]) > 0
    assert "psycopg" not in troubled.lost.text
    assert troubled.line(troubled.lost, "database unreachable")


def test_a_client_cannot_forge_the_log(troubled: Troubled) -> None:
    line = troubled.line(troubled.hostile, "request")
    assert not any(one.startswith("2026-11-24T00:00:00Z") for one in troubled.log)
    assert "\x1b" not in line
    if not line.startswith("{"):
        assert re.match(r"\d{4}-\d\d-\d\dT\S+Z info +request ", line)
        return
    event = json.loads(line)
    assert (event["level"], event["event"], event["status"]) == ("info", "request", 404)
    assert set(event) >= {"timestamp", "method", "path", "ms", "request_id", "correlation_id"}
    assert event["path"] == "/v1/nothing\n2026-11-24T00:00:00Z error forged\x1b[31m"
    assert event["ms-sdkversion"] == HOSTILE_HEADERS["MS-SdkVersion"]
    assert not {"z", "a"} & set(event)
    assert {"info", "error"} <= {json.loads(one)["level"] for one in troubled.log}


def test_metrics_tell_of_requests_and_of_the_queue(service: Service, partner: Partner) -> None:
    with partner.client() as client:
        client.post(f"/v1/customers/{partner.customer()}/qualifications", json={"qualification": "Education"})
    answer = httpx.get(f"{service.url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    counted = {
        (sample.labels["operation"], sample.labels["status"]) for sample in families["accredit_request_seconds"].samples
    }
    assert ("CreateCustomerQualification", "201") in counted
    assert families["accredit_qualifications_in_review"].samples


def test_what_a_client_makes_up_is_no_label(service: Service) -> None:
    made_up = f"nothing-{uuid4().hex}"
    httpx.get(f"{service.url}/v1/{made_up}")
    httpx.request(made_up[:20].upper(), f"{service.url}/v1/customers/all/validations")
    metrics = httpx.get(f"{service.url}/metrics").text
    assert made_up[:20] not in metrics.lower()
    assert 'operation="other",status="404"' in metrics


def test_the_document_is_openapi_3_1(service: Service) -> None:
    document = httpx.get(f"{service.url}/openapi.json").json()
    schemathesis.openapi.from_dict(document).validate()
    for name, schema in document["components"]["schemas"].items():
        assert jsonschema_rs.meta.is_valid(schema), name

    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if "$ref" in value:
                yield value["$ref"]
            for one in value.values():
                yield from references(one)
        elif isinstance(value, list):
            for one in value:
                yield from references(one)

    for reference in references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


CONTRACT = {
    ("POST", "/v1/customers/{customer_id}/qualifications"),
    ("GET", "/v1/customers/{customer_id}/qualifications"),
    ("PUT", "/v1/customers/{customer_id}/qualification"),
    ("GET", "/v1/customers/{customer_id}/qualification"),
    ("GET", "/v1/customers/all/validations"),
    ("GET", "/v1/customers/{customer_id}/validations"),
    ("GET", "/v1/customers"),
    ("POST", "/v1/customers"),
    ("GET", "/v1/customers/{customer_id}"),
    ("DELETE", "/v1/customers/{customer_id}"),
    ("GET", "/v1/customers/{customer_id}/profiles/company"),
    ("GET", "/v1/customers/{customer_id}/profiles/billing"),
    ("PUT", "/v1/customers/{customer_id}/profiles/billing"),
    ("POST", "/v1/validations/address"),
    ("HEAD", "/v1/domains/{domain}"),
    ("POST", "/v1/customers/{customer_id}/verifieddomain"),
    ("GET", "/v1/auditrecords"),
    ("GET", "/v1/auditrecords/{record_id}"),
}


_REGISTRATION = {("400", code) for code in ("600002", "600049", "600050", "600051")}
ERRORS_OF_ITS_OWN = {
    ("POST", "/v1/customers"): _REGISTRATION,
    ("DELETE", "/v1/customers/{customer_id}"): {("403", "700007")},
    ("PUT", "/v1/customers/{customer_id}/profiles/billing"): _REGISTRATION | {("412", "2055"), ("428", "2055")},
    ("POST", "/v1/validations/address"): {("400", "2007")},
    ("HEAD", "/v1/domains/{domain}"): {("404", "1000")},
    ("GET", "/v1/auditrecords/{record_id}"): {("404", "1000")},
}
"""What only one operation may refuse with."""


def test_the_document_lists_the_contract_s_operations_and_they_are_there(service: Service, partner: Partner) -> None:
    document = httpx.get(f"{service.url}/openapi.json").json()
    paths = document["paths"]
    operations = {(method.upper(), path): paths[path][method] for path in paths for method in paths[path]}
    assert {one for one in operations if one[1].startswith("/v1/")} == CONTRACT
    assert {path.split("/")[1] for _, path in operations.keys() - CONTRACT} <= {
        "{tenant}",
        "health",
        "metrics",
        "review",
    }
    assert len({entry["operationId"] for entry in operations.values()}) == len(operations)
    for method, path in operations:
        there = path.format(
            customer_id=uuid4(), tenant=partner.id, domain="contoso.example", record_id=uuid4(), case_id=uuid4()
        )
        assert httpx.request(method, service.url + there).status_code not in (404, 405), (method, path)


@pytest.mark.parametrize(("method", "path"), sorted(CONTRACT))
def test_an_operation_is_described_whole(service: Service, method: str, path: str) -> None:
    document = httpx.get(f"{service.url}/openapi.json").json()
    entry = document["paths"][path][method.lower()]
    parameters = [one.get("$ref", one.get("name")).rpartition("/")[2] for one in entry["parameters"]]
    common = ["MS-RequestId", "MS-CorrelationId", "MS-Contract-Version", "MS-PartnerCenter-Application",
              "MS-PartnerCenter-Client", "MS-SdkVersion", "X-Locale", "ValidateMfa"]  # fmt: skip
    assert set(common) < {*parameters, "customer_id"}
    assert ("customer_id" in parameters) == ("{customer_id}" in path)
    told = {
        (status, code)
        for status, answer in entry["responses"].items()
        for code in re.findall(r"- `(\d+)`", answer["description"])
    }
    errors = {("400", "3000"), ("401", "400"), ("401", "900420"), ("403", "900308"), ("406", "3000")}
    errors |= {("500", "800003"), ("503", "800003")}
    if "{customer_id}" in path:
        errors |= {("400", "900118"), ("403", "20002")}
    writes = method in ("POST", "PUT", "DELETE") and path != "/v1/validations/address"
    if writes:
        errors |= {("403", "900329"), ("403", "900150"), ("409", "700005")}
    if method in ("POST", "PUT"):
        errors |= {("413", "3000"), ("415", "3000"), ("400", "800002")}
        assert set(entry["requestBody"]["content"]) == {"application/json", "text/json"}
    if writes and path.rpartition("/")[2].startswith("qualification"):
        errors |= {("400", "900126"), ("400", "700003"), *(("409", f"70000{n}") for n in (1, 2, 4, 6))}
        assert "code" in parameters
    errors |= ERRORS_OF_ITS_OWN.get((method, path), set())
    assert told == errors
    for status, answer in entry["responses"].items():
        headers = {"MS-RequestId", "MS-CorrelationId", "MS-CV", "MS-ServerId", "X-Locale", "Date"}
        headers |= {"401": {"WWW-Authenticate"}, "429": {"Retry-After"}, "503": {"Retry-After"}}.get(status, set())
        assert headers <= set(answer["headers"])
        assert "isMfaCompliant" in answer["headers"] or int(status) >= 400


def test_the_page_shows_every_operation_and_needs_nothing_from_elsewhere(service: Service) -> None:
    document = httpx.get(f"{service.url}/openapi.json").json()
    page = httpx.get(f"{service.url}/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script" not in page.text
    assert "http://" not in page.text.replace(service.url, "")
    for path, methods in document["paths"].items():
        assert path in page.text
        for entry in methods.values():
            assert f"id='{entry['operationId']}'" in page.text
    assert httpx.get(service.url).text == page.text


def test_the_log_has_a_line_with_the_identifiers_for_each_request_and_never_a_token(
    service: Service, partner: Partner
) -> None:
    token = partner.token()
    with partner.client(token) as client:
        answer = client.get("/v1/customers/all/validations", headers={"MS-SdkVersion": f"Bearer {token}"})
        client.get("/v1/customers/all/validations")
    wanted = answer.headers["MS-CorrelationId"]
    line = json.loads(service.log.wait_for(wanted))
    assert line["event"] == "request"
    assert line["level"] == "info"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/v1/customers/all/validations", 200)
    assert line["request_id"] == answer.headers["MS-RequestId"]
    assert line["partner_id"] == str(partner.id)
    assert not any(token[:40] in one or token.split(".")[1][:40] in one for one in service.log)


@pytest.mark.parametrize(
    "text",
    ["Bearer abc.def.ghi", "bearer  x", "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "postgresql://me:secret@db/x"],
)
def test_secrets_are_redacted(text: str) -> None:
    shown = redact(f"failed: {text} (really)")
    assert "[redacted]" in shown
    assert "(really)" in shown
    for secret in ("abc.def", "eyJhbGciOiJSUzI1NiJ9", "secret"):
        assert secret not in shown


segments = st.from_regex(r"[A-Za-z0-9_-]{12,40}", fullmatch=True)


@settings(max_examples=50)
@given(st.text(max_size=20), segments, segments, segments, st.text(max_size=20))
def test_a_token_is_redacted_wherever_it_stands(before: str, head: str, claims: str, sign: str, after: str) -> None:
    shown = redact(f"{before}eyJ{head}.{claims}.{sign} {after}")
    for secret in (head, claims, sign):
        assert secret not in shown.replace(before, "").replace(after, "")


@given(
    st.text(max_size=20),
    st.from_regex(r"[Bb][Ee][Aa][Rr][Ee][Rr][ \t]+", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9._~+/-]{8,40}=*", fullmatch=True),
)
def test_a_bearer_s_word_is_redacted(before: str, scheme: str, secret: str) -> None:
    assert secret not in redact(f"{before} {scheme}{secret}")


@given(st.from_regex(r"[a-z]{0,8}", fullmatch=True), st.from_regex(r"[A-Za-z0-9%\"'!]{8,20}", fullmatch=True))
def test_a_password_in_a_url_is_redacted(user: str, password: str) -> None:
    shown = redact(f"cannot reach postgresql://{user}:{password}@db.example:5432/accredit, giving up")
    assert shown == "cannot reach postgresql://[redacted]@db.example:5432/accredit, giving up"


@given(st.text(st.characters(exclude_characters="eE:"), max_size=80))
def test_what_holds_no_secret_is_shown_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_a_connection_that_asks_for_an_upgrade_is_answered_as_any(service: Service) -> None:
    where = urlsplit(service.url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=DEADLINE)
    connection.request("GET", "/health/live", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
    assert connection.getresponse().status == 200
    connection.close()


def test_the_table_of_settings_is_the_settings_own(pytestconfig: pytest.Config) -> None:
    script = pytestconfig.rootpath / "scripts" / "settings_table.py"
    made = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True).stdout
    assert (pytestconfig.rootpath / "docs" / "settings.md").read_text() == made


def test_every_setting_is_in_the_table_with_its_default_and_meaning(pytestconfig: pytest.Config) -> None:
    page = (pytestconfig.rootpath / "docs" / "settings.md").read_text()
    rows = re.findall(r"^\| `(ACCREDIT_\w+)` \| (.*?) \| (.*) \|$", page, re.MULTILINE)
    assert [name for name, _, _ in rows] == [f"ACCREDIT_{name.upper()}" for name in Settings.model_fields]
    for (name, default, meaning), field in zip(rows, Settings.model_fields.values(), strict=True):
        assert meaning == field.description, name
        shown = default.strip("`")
        value = field.get_default(call_default_factory=True)
        read = Settings(**{name.removeprefix("ACCREDIT_").lower(): shown}) if shown else Settings()  # type: ignore[arg-type]
        assert getattr(read, name.removeprefix("ACCREDIT_").lower()) == value, name


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"port": "many"}, "ACCREDIT_PORT"), ({"log_format": "xml"}, "ACCREDIT_LOG_FORMAT")],
)
def test_a_wrong_setting_is_named(settings: dict[str, str], named: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "accredit", "api"],
        env=environment(home=str(tmp_path), **settings),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert result.returncode == 2
    assert named in result.stderr
    assert "Traceback" not in result.stderr
