"""SIGTERM: what is in flight is finished and answered, then everything stops."""

import threading
from pathlib import Path

import httpx

from tests.conftest import DEADLINE, running_service


def test_a_request_in_flight_is_answered(tmp_path: Path) -> None:
    with running_service(tmp_path / "home") as service:
        partner = service.partner()
        customer = partner.customer()
        answers: list[httpx.Response] = []

        def ask() -> None:
            with partner.client() as client:
                target = f"/v1/customers/{customer}/qualifications"
                answers.append(client.post(target, json={"qualification": "Education"}))

        with service.database() as holder:
            holder.execute("BEGIN")
            holder.execute("SELECT FROM customers WHERE id = %s FOR UPDATE", (customer,))
            request = threading.Thread(target=ask)
            request.start()
            with service.database() as observer:
                # The request is in flight once its transaction waits for ours.
                waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
                while observer.execute(waiting).fetchone() != (True,):
                    pass
            service.process.terminate()
            service.log.wait_for("stopping")
            holder.execute("ROLLBACK")
        request.join(DEADLINE)
        service.process.wait(DEADLINE)
        assert [answer.status_code for answer in answers] == [201]
        assert answers[0].json()["vettingStatus"] == "InReview"
