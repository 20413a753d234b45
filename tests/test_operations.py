"""For those who run the service: health, metrics, logs, the API's description, and the table of settings."""

import http.client
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from accredit.operations.logs import redact
from tests.conftest import DEADLINE, Partner, Service, environment


def test_a_live_service_is_ready(service: Service) -> None:
    assert httpx.get(f"{service.url}/health/live").json() == {"status": "live"}
    ready = httpx.get(f"{service.url}/health/ready")
    assert ready.status_code == 200
    assert ready.json() == {"status": "ready", "checks": {"database": True, "migrations": True, "worker": True}}


def api_alone(home: Path, database_url: str) -> tuple[subprocess.Popen[str], str]:
    """Start `accredit api`; return it and where it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "accredit", "api", "--port", "0"],
        env=environment(home=str(home), database_url=database_url),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return process, (process.stdout.readline() if process.stdout else "").split()[-1]


def test_a_service_without_a_worker_is_live_but_not_ready(service: Service, tmp_path: Path) -> None:
    with service.database() as connection:
        connection.execute("CREATE DATABASE without_worker")
    url = service.database_url.replace("/accredit?", "/without_worker?")
    subprocess.run([sys.executable, "-m", "accredit", "migrate", "--database-url", url], check=True, timeout=DEADLINE)
    process, base = api_alone(tmp_path / "home", url)
    try:
        answer = httpx.get(f"{base}/health/ready")
        assert answer.status_code == 503
        assert answer.json()["checks"] == {"database": True, "migrations": True, "worker": False}
        assert httpx.get(f"{base}/health/live").status_code == 200
    finally:
        process.terminate()
        assert process.wait(DEADLINE) == 0


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
