"""The life of a qualification, contract section 4, as a state machine against the running service."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accredit.vetting.changes import customer_changed
from accredit.vetting.review import store as review
from accredit.vetting.store import REVIEW_CHANNEL
from tests.conftest import DEADLINE, Partner, Service

EDUCATION, GCC, STATE_OWNED = "Education", "GovernmentCommunityCloud", "StateOwnedEntity"
REASONS = {EDUCATION: "Not an Education Customer", GCC: "Not a Government Customer"}
CODE, CREATES = "12345", 2


@dataclass
class Modelled:
    """A qualification as the contract has it."""

    status: str | None
    reason: str | None
    requests: int
    moment: int


def machine(service: Service) -> type[RuleBasedStateMachine]:
    """The machine, over a running service."""

    class Life(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.customers: list[UUID] = []
            self.model: dict[tuple[UUID, str], Modelled] = {}
            self.sent: list[tuple[tuple[Any, ...], str, int, bytes]] = []
            self.transitions: Counter[UUID] = Counter()
            self.moments = 0

        @initialize()
        def register(self) -> None:
            self.partner: Partner = service.partner()
            self.partner.code(CODE, creates=CREATES)
            # Without a verified domain nothing is decided but by a person.
            self.customers = self.partner.customers(2)
            self.client = self.partner.client()

        def teardown(self) -> None:
            if self.customers:
                self.client.close()

        def held(self, customer: UUID, qualification: str) -> bool:
            one = self.model.get((customer, qualification))
            return one is not None and one.status in ("InReview", "Approved")

        def remaining(self) -> int:
            in_use = sum(self.held(customer, GCC) for customer in self.customers)
            return CREATES - in_use

        def expected(self, customer: UUID, qualification: str, code: str | None) -> tuple[int, str | None]:
            if qualification == STATE_OWNED:
                return 201, None
            if qualification == GCC and code != CODE:
                return 400, "700003"
            if self.held(customer, qualification):
                return 409, "700001"
            if self.held(customer, EDUCATION if qualification == GCC else GCC):
                return 409, "700002"
            before = self.model.get((customer, qualification))
            if before is not None and before.requests == 3:
                return 409, "700006"
            if qualification == GCC and self.remaining() == 0:
                return 409, "700004"
            return 201, None

        def ask(self, customer: UUID, qualification: str, code: str | None, request_id: str) -> httpx.Response:
            return self.client.post(
                f"/v1/customers/{customer}/qualifications",
                params={"code": code} if code else None,
                json={"Qualification": qualification},
                headers={"MS-RequestId": request_id},
            )

        @rule(
            which=st.integers(0, 1),
            qualification=st.sampled_from([EDUCATION, GCC, STATE_OWNED]),
            code=st.sampled_from([CODE, CODE, CODE, None, "999"]),
        )
        def request(self, which: int, qualification: str, code: str | None) -> None:
            customer, request_id = self.customers[which], str(uuid4())
            status, error = self.expected(customer, qualification, code)
            answer = self.ask(customer, qualification, code, request_id)
            assert (answer.status_code, answer.json().get("code")) == (status, error)
            self.sent.append(((customer, qualification, code), request_id, answer.status_code, answer.content))
            if status != 201:
                return
            before = self.model.get((customer, qualification))
            if qualification == STATE_OWNED and before:
                return
            self.moments += 1
            in_review = None if qualification == STATE_OWNED else "InReview"
            requests = before.requests + 1 if before else 1
            self.model[customer, qualification] = Modelled(in_review, None, requests, self.moments)
            self.transitions[customer] += 1

        @precondition(lambda self: self.sent)
        @rule(data=st.data())
        def repeat(self, data: st.DataObject) -> None:
            request, request_id, status, content = data.draw(st.sampled_from(self.sent))
            answer = self.ask(*request, request_id)
            assert (answer.status_code, answer.content) == (status, content)

        @precondition(lambda self: any(one.status == "InReview" for one in self.model.values()))
        @rule(data=st.data(), approve=st.booleans())
        def review(self, data: st.DataObject, approve: bool) -> None:
            in_review = [key for key, one in self.model.items() if one.status == "InReview"]
            customer, qualification = data.draw(st.sampled_from(in_review))
            one = self.model[customer, qualification]
            reason = None if approve else REASONS[qualification]
            asyncio.run(self.decide(customer, qualification, reason))
            one.status = "Approved" if approve else "Denied"
            one.reason = f"{reason} - After Review" if reason and one.requests > 1 else reason
            self.transitions[customer] += 1

        @precondition(lambda self: any(one.status == "Approved" for one in self.model.values()))
        @rule(data=st.data(), still=st.booleans())
        def vet_again(self, data: st.DataObject, still: bool) -> None:
            approved = [key for key, one in self.model.items() if one.status == "Approved"]
            customer, qualification = data.draw(st.sampled_from(approved))
            asyncio.run(self.change(customer, qualification))
            reason = None if still else REASONS[qualification]
            asyncio.run(self.decide(customer, qualification, reason))
            if not still:
                one = self.model[customer, qualification]
                one.status, one.reason = "Denied", reason
                self.transitions[customer] += 1

        async def change(self, customer: UUID, qualification: str) -> None:
            """Change the customer, as its feature does, and wait until a person is asked about what is Approved."""
            async with await psycopg.AsyncConnection.connect(service.database_url, autocommit=True) as connection:
                await connection.execute(f"LISTEN {REVIEW_CHANNEL}")  # type: ignore[arg-type]
                async with connection.transaction():
                    name = "UPDATE customers SET company_name = %s WHERE id = %s"
                    await connection.execute(name, (str(uuid4()), customer))
                    await customer_changed(connection, customer)
                    query = "SELECT id FROM qualifications WHERE customer_id = %s AND qualification = %s"
                    ((case,),) = await (await connection.execute(query, (customer, qualification))).fetchall()
                async for notice in connection.notifies(timeout=DEADLINE):
                    if notice.payload == f"{case} opened":
                        return
            raise TimeoutError("nobody is asked")

        async def decide(self, customer: UUID, qualification: str, reason: str | None) -> None:
            async with await psycopg.AsyncConnection.connect(service.database_url) as connection:
                query = "SELECT id FROM qualifications WHERE customer_id = %s AND qualification = %s"
                row = await (await connection.execute(query, (customer, qualification))).fetchone()
                assert row is not None
                await review.decide(connection, row[0], reason=reason, note=None, reviewer="tester")

        @invariant()
        def the_service_shows_the_model(self) -> None:
            for customer in self.customers:
                shown = self.client.get(f"/v1/customers/{customer}/qualifications").json()
                modelled = sorted(
                    ((name, one) for (owner, name), one in self.model.items() if owner == customer),
                    key=lambda entry: entry[1].moment,
                )
                assert [
                    (one["qualification"], one.get("vettingStatus"), one.get("vettingReason")) for one in shown
                ] == [(name, one.status, one.reason) for name, one in modelled]
                approved = [name.lower() for name, one in modelled if one.status == "Approved"]
                older = self.client.get(f"/v1/customers/{customer}/qualification").json()
                assert older == (approved[0] if approved else "none")

        @invariant()
        def the_code_counts_what_is_held(self) -> None:
            if self.customers:
                (code,) = self.client.get("/v1/customers/all/validations").json()
                assert code["remainingCreates"] == self.remaining() >= 0

        @invariant()
        def each_transition_has_one_audit_record(self) -> None:
            with service.database() as connection:
                for customer in self.customers:
                    query = (
                        "SELECT count(*) FROM audit_records WHERE customer_id = %s AND operation_type LIKE 'update%%'"
                    )
                    assert connection.execute(query, (customer,)).fetchone() == (self.transitions[customer],)

    return Life


@pytest.mark.timeout(300)
def test_the_life_of_qualifications(service: Service) -> None:
    run_state_machine_as_test(
        machine(service),
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
