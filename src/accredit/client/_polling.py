"""Waiting for a decision: what is asked, how often, and when it is over. Both clients' pollers share this."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from azure.core.exceptions import AzureError, ClientAuthenticationError, DecodeError, HttpResponseError
from azure.core.polling import AsyncPollingMethod, PollingMethod

from accredit.client import _requests as requests
from accredit.client import _tokens as tokens
from accredit.client._responses import retry_after
from accredit.client._retry import RETRIED
from accredit.client._settings import Endpoint
from accredit.client.errors import UpdateLostError
from accredit.client.models import CustomerQualification, Qualification

GROWTH: Final = 1.5
"""By how much each wait is longer than the one before."""
MOST_ABSENCES: Final = 10
"""How many answers in a row may lack the update: a service may show a write late, but not for ever."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds from the start of waiting to the first look, and the most between two."""

    first: float
    longest: float

    @classmethod
    def at(cls, endpoint: Endpoint, first: float | None) -> "Pace":
        """The pace for an endpoint: a stand-in on this machine decides in milliseconds, people take days.

        Raises ``ValueError`` for a pace without rest.
        """
        if first is not None and first <= 0:
            raise ValueError("polling_interval must be above 0")
        usual = cls(0.1, 2.0) if endpoint.is_loopback else cls(5.0, 300.0)
        return usual if first is None else cls(first, max(first, usual.longest))


@dataclass(frozen=True, slots=True)
class Update:
    """An update that is waited for, as last seen: ``state.vetting_created_date`` tells it from earlier ones."""

    endpoint: str
    customer_id: str
    state: CustomerQualification

    def token(self) -> str:
        """What another process needs to go on waiting."""
        created = self.state.vetting_created_date
        return tokens.encode(
            {
                "endpoint": self.endpoint,
                "customer": self.customer_id,
                "qualification": str(self.state.qualification),
                "status": str(self.state.vetting_status) if self.state.vetting_status else None,
                "reason": str(self.state.vetting_reason) if self.state.vetting_reason else None,
                "created": created.isoformat() if created else None,
            }
        )

    @classmethod
    def of_token(cls, token: str, endpoint: Endpoint) -> Self:
        """Read a token. Raises ``ValueError`` for what is none, or is of another endpoint."""
        values = tokens.decode(token, "endpoint", "customer", "qualification", "status", "reason", "created")
        if values["endpoint"] != endpoint.url:
            raise ValueError(f"this continuation token is of {values['endpoint']}, not of {endpoint.url}")
        state = CustomerQualification.from_wire(
            {
                "qualification": values["qualification"],
                "vettingStatus": values["status"],
                "vettingReason": values["reason"],
                "vettingCreatedDate": values["created"],
            }
        )
        return cls(values["endpoint"], values["customer"], state)

    def check_is(self, customer_id: object, qualification: object) -> None:
        """Raises ``ValueError`` unless it is this customer's update to this qualification."""
        asked = (str(customer_id), Qualification.read(qualification))
        if asked != (self.customer_id, self.state.qualification):
            raise ValueError(
                f"this continuation token is of {self.state.qualification} of {self.customer_id}, "
                f"not of {qualification} of {customer_id}"
            )

    def seen_in(self, listed: Sequence[CustomerQualification]) -> CustomerQualification | None:
        """This update in what the service lists; ``None`` where only earlier ones of its kind are there."""
        for state in sorted(listed, key=_created, reverse=True):
            if state.qualification == self.state.qualification:
                return None if is_earlier(state.vetting_created_date, self.state.vetting_created_date) else state
        return None


def is_earlier(date: datetime | None, other: datetime | None) -> bool:
    """Whether a date is before another; to the second where one of them is not given finer, else to the millisecond."""
    if date is None or other is None:
        return False
    unit = 1_000_000 if 0 in (date.microsecond, other.microsecond) else 1000
    return _floor(date, unit) < _floor(other, unit)


class Watch:
    """The waiting, but for the sleeping: ``observe`` and ``excuse`` take what came, ``wait`` says how long to sleep."""

    def __init__(self, pace: Pace, *, resumed: bool) -> None:
        self._pace = pace
        self._next = 0.0 if resumed else pace.first
        self._told = 0.0
        self._absences = 0
        self._update: Update

    def initialize(self, client: Any, initial_response: Update, _: Callable[[Any], Any]) -> None:
        """Begin with the update's first answer."""
        self._client = client
        self._update = initial_response

    def call(self) -> requests.Call[list[CustomerQualification]]:
        """The call that looks."""
        return requests.list_qualifications(self._update.customer_id)

    def wait(self) -> float:
        """Seconds to wait before looking: longer each time, and at least as long as the service last asked."""
        wait = max(self._next * random.uniform(1, 1.25), self._told)  # noqa: S311
        self._next = min(max(self._next * GROWTH, self._pace.first), self._pace.longest)
        return wait

    def observe(self, listed: Sequence[CustomerQualification], headers: Mapping[str, str]) -> None:
        """Take in an answer. Raises :class:`UpdateLostError` where it has been missing for too long."""
        self._told = retry_after(headers) or 0.0
        state = self._update.seen_in(listed)
        if state is not None:
            self._absences = 0
            self._update = Update(self._update.endpoint, self._update.customer_id, state)
            return
        self._absences += 1
        if self._absences >= MOST_ABSENCES:
            raise UpdateLostError(
                f"{self._update.state.qualification} of {self._update.customer_id} was asked for, "
                f"but the last {MOST_ABSENCES} answers do not show it"
            )

    def excuse(self, error: AzureError) -> None:
        """Take in an error: one that may pass is waited out. Raises it otherwise."""
        passing = not isinstance(error, ClientAuthenticationError | UpdateLostError)
        if isinstance(error, HttpResponseError) and not isinstance(error, DecodeError):
            passing = error.status_code in RETRIED
        if not passing:
            raise error
        self._told = getattr(error, "retry_after", None) or 0.0

    def status(self) -> str:
        """The vetting status; ``Succeeded`` for what needs no vetting."""
        return str(self._update.state.vetting_status or "Succeeded")

    def finished(self) -> bool:
        """Whether nothing is awaited any more."""
        return self._update.state.is_decided

    def resource(self) -> CustomerQualification:
        """The qualification as last seen."""
        return self._update.state

    def get_continuation_token(self) -> str:
        """What another process needs to go on waiting."""
        return self._update.token()


class QualificationPolling(Watch, PollingMethod[CustomerQualification]):
    """Waits in a thread of its own."""

    def run(self) -> None:
        """Look until it is decided."""
        while not self.finished():
            self._client.sleep(self.wait())
            try:
                self.observe(*self._client.exchange(self.call(), retry_total=0))
            except AzureError as error:
                self.excuse(error)


class AsyncQualificationPolling(Watch, AsyncPollingMethod[CustomerQualification]):
    """Waits where it is awaited."""

    async def run(self) -> None:
        """Look until it is decided."""
        while not self.finished():
            await self._client.sleep(self.wait())
            try:
                self.observe(*await self._client.exchange(self.call(), retry_total=0))
            except AzureError as error:
                self.excuse(error)


def _created(state: CustomerQualification) -> float:
    return state.vetting_created_date.timestamp() if state.vetting_created_date else float("-inf")


def _floor(date: datetime, unit: int) -> datetime:
    return date.replace(microsecond=date.microsecond // unit * unit)
