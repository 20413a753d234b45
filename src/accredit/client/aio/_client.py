"""The asynchronous client: the synchronous one's operations, to be awaited. What they do is described there."""

from collections.abc import AsyncIterator, Callable, Iterable
from datetime import date
from types import TracebackType
from typing import Any, Self, TypeVar

from azure.core.async_paging import AsyncItemPaged, AsyncList
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.pipeline import AsyncPipeline
from azure.core.polling import AsyncLROPoller
from azure.core.tracing.decorator_async import distributed_trace_async

from accredit.client import _reconcile as reconcile
from accredit.client import _requests as requests
from accredit.client._exchange import AsyncSender
from accredit.client._limits import AsyncLimitPolicy
from accredit.client._policies import INSTRUMENTATION, AsyncTokenPolicy, policies
from accredit.client._polling import AsyncQualificationPolling, Pace, Update
from accredit.client._requests import Id
from accredit.client._retry import AsyncRetryPolicy
from accredit.client._settings import CONNECTION_TIMEOUT, GLOBAL_ENDPOINT, READ_TIMEOUT, Endpoint
from accredit.client.aio._transport import Transport
from accredit.client.errors import ConflictError
from accredit.client.models import (
    Address,
    AddressValidation,
    AuditRecord,
    BillingProfile,
    CompanyProfile,
    Customer,
    CustomerFilter,
    CustomerQualification,
    EducationSegment,
    Qualification,
    ResourceType,
    ValidationCode,
    VerifiedDomain,
)

T = TypeVar("T")


class PartnerCenterClient:
    """The asynchronous client. Takes what :class:`accredit.client.PartnerCenterClient` takes, with the aio credentials.

    Safe to share between the tasks of one loop. Use it with ``async with``, or close it.
    """

    def __init__(
        self,
        credential: AsyncTokenCredential,
        *,
        endpoint: str = GLOBAL_ENDPOINT,
        credential_scopes: Iterable[str] | None = None,
        application: str | None = None,
        locale: str = "en-US",
        transport: Any = None,
        retry_policy: AsyncRetryPolicy | None = None,
        connection_timeout: float = CONNECTION_TIMEOUT,
        read_timeout: float = READ_TIMEOUT,
        connection_verify: bool | str = True,
        **options: Any,
    ) -> None:
        where = Endpoint.of(endpoint)
        kept = {name: options.pop(name) for name in ("logging_enable", "user_agent", "proxies") if name in options}
        transport = transport or Transport(
            connection_timeout=connection_timeout, read_timeout=read_timeout, connection_verify=connection_verify
        )
        self._pipeline: AsyncPipeline[Any, Any] = AsyncPipeline(
            transport,
            policies(
                where,
                retry=retry_policy or AsyncRetryPolicy(**options),
                token=AsyncTokenPolicy(credential, tuple(credential_scopes or (where.default_scope,)), where),
                limit=AsyncLimitPolicy(),
                application=application,
                locale=locale,
                **kept,
            ),
        )
        sender = AsyncSender(self._pipeline, transport, where)
        self.customers = CustomerOperations(sender)
        self.qualifications = QualificationOperations(sender)
        self.validation_codes = ValidationCodeOperations(sender)
        self.audit = AuditOperations(sender)
        self.addresses = AddressOperations(sender)
        self.domains = DomainOperations(sender)

    async def close(self) -> None:
        """Close the connections."""
        await self._pipeline.__aexit__()

    async def __aenter__(self) -> Self:
        await self._pipeline.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._pipeline.__aexit__(exc_type, exc_value, traceback)


class _Operations:
    _instrumentation_config = INSTRUMENTATION

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    def _paged(self, page: Callable[[str | None], requests.Call[requests.Page[T]]], options: Any) -> AsyncItemPaged[T]:
        async def get_next(token: str | None) -> requests.Page[T]:
            return await self._sender.send(page(token), **options)

        async def extract(answer: requests.Page[T]) -> tuple[str | None, AsyncIterator[T]]:
            return answer.next, AsyncList(answer.items)

        page(None)  # so that what is wrong with the arguments is raised here, not when the first page is asked for
        return AsyncItemPaged(get_next, extract)


class QualificationOperations(_Operations):
    """Customers' qualifications."""

    @distributed_trace_async
    async def list(self, customer_id: Id, **options: Any) -> list[CustomerQualification]:
        """The customer's qualifications, oldest first."""
        return await self._sender.send(requests.list_qualifications(customer_id), **options)

    @distributed_trace_async
    async def update(
        self,
        customer_id: Id,
        qualification: Qualification | str,
        *,
        education_segment: EducationSegment | str | None = None,
        website: str | None = None,
        validation_code: str | int | None = None,
        request_id: Id | None = None,
        **options: Any,
    ) -> CustomerQualification:
        """Ask for a qualification, and do not wait: the answer is InReview, or has no status where none is needed."""
        call = requests.create_qualification(
            customer_id,
            qualification,
            education_segment=education_segment,
            website=website,
            validation_code=validation_code,
            request_id=request_id,
        )
        try:
            return await self._sender.send(call, **options)
        except ConflictError as conflict:
            if not reconcile.may_be_ours(conflict):
                raise
            listed = await self._sender.send(requests.list_qualifications(customer_id), **options)
            mine = reconcile.ours(listed, qualification, conflict)
            if mine is None:
                raise
            return mine

    @distributed_trace_async
    async def begin_update(
        self,
        customer_id: Id,
        qualification: Qualification | str,
        *,
        education_segment: EducationSegment | str | None = None,
        website: str | None = None,
        validation_code: str | int | None = None,
        request_id: Id | None = None,
        polling_interval: float | None = None,
        continuation_token: str | None = None,
        **options: Any,
    ) -> AsyncLROPoller[CustomerQualification]:
        """Ask for a qualification, and wait for the decision."""
        if continuation_token is not None:
            update = Update.of_token(continuation_token, self._sender.endpoint)
            update.check_is(customer_id, qualification)
            return self._poller(update, polling_interval, resumed=True)
        state = await self.update(
            customer_id,
            qualification,
            education_segment=education_segment,
            website=website,
            validation_code=validation_code,
            request_id=request_id,
            **options,
        )
        update = Update(self._sender.endpoint.url, str(customer_id), state)
        return self._poller(update, polling_interval, resumed=False)

    @distributed_trace_async
    async def resume_update(
        self, continuation_token: str, *, polling_interval: float | None = None
    ) -> AsyncLROPoller[CustomerQualification]:
        """Go on waiting for an update, by a poller's continuation token. Raises ``ValueError`` for what is none."""
        update = Update.of_token(continuation_token, self._sender.endpoint)
        return self._poller(update, polling_interval, resumed=True)

    def _poller(
        self, update: Update, interval: float | None, *, resumed: bool
    ) -> AsyncLROPoller[CustomerQualification]:
        polling = AsyncQualificationPolling(Pace.at(self._sender.endpoint, interval), resumed=resumed)
        return AsyncLROPoller(self._sender, update, _as_it_is, polling)


class CustomerOperations(_Operations):
    """The partner's customers."""

    def list(
        self, *, filter: CustomerFilter | None = None, size: int | None = None, **options: Any
    ) -> AsyncItemPaged[Customer]:
        """The customers, page by page as they are iterated over."""
        return self._paged(lambda token: requests.list_customers(filter=filter, size=size, token=token), options)

    @distributed_trace_async
    async def get(self, customer_id: Id, **options: Any) -> Customer:
        """A customer, whole."""
        return await self._sender.send(requests.get_customer(customer_id), **options)

    @distributed_trace_async
    async def create(self, customer: Customer, *, request_id: Id | None = None, **options: Any) -> Customer:
        """Create a customer. The answer's ``user_credentials`` are given this once."""
        return await self._sender.send(requests.create_customer(customer, request_id=request_id), **options)

    @distributed_trace_async
    async def delete(self, customer_id: Id, *, request_id: Id | None = None, **options: Any) -> None:
        """Remove a customer; only partners of the sandbox may."""
        await self._sender.send(requests.delete_customer(customer_id, request_id=request_id), **options)

    @distributed_trace_async
    async def get_company_profile(self, customer_id: Id, **options: Any) -> CompanyProfile:
        """The customer's company profile."""
        return await self._sender.send(requests.get_company_profile(customer_id), **options)

    @distributed_trace_async
    async def get_billing_profile(self, customer_id: Id, **options: Any) -> BillingProfile:
        """The customer's billing profile, with its ETag."""
        return await self._sender.send(requests.get_billing_profile(customer_id), **options)

    @distributed_trace_async
    async def update_billing_profile(
        self,
        customer_id: Id,
        profile: BillingProfile,
        *,
        etag: str | None = None,
        request_id: Id | None = None,
        **options: Any,
    ) -> BillingProfile:
        """Replace the billing profile, if it has not changed since it was read."""
        call = requests.update_billing_profile(customer_id, profile, etag=etag, request_id=request_id)
        return await self._sender.send(call, **options)

    @distributed_trace_async
    async def add_verified_domain(
        self, customer_id: Id, domain: str, *, request_id: Id | None = None, **options: Any
    ) -> VerifiedDomain:
        """Add a domain to the customer's, once DNS proves that it is its own."""
        return await self._sender.send(
            requests.add_verified_domain(customer_id, domain, request_id=request_id), **options
        )


class ValidationCodeOperations(_Operations):
    """Validation codes, which allow to ask for GovernmentCommunityCloud."""

    @distributed_trace_async
    async def list(self, **options: Any) -> list[ValidationCode]:
        """The partner's validation codes."""
        return await self._sender.send(requests.list_codes(), **options)

    @distributed_trace_async
    async def get_for_customer(self, customer_id: Id, **options: Any) -> ValidationCode | None:
        """The code that the customer's qualification used, if any."""
        return await self._sender.send(requests.code_of_customer(customer_id), **options)


class AuditOperations(_Operations):
    """Audit records: who changed what."""

    def list(
        self,
        *,
        start_date: date | None = None,
        end_date: date | None = None,
        customer_id: Id | None = None,
        company_name: str | None = None,
        resource_type: ResourceType | str | None = None,
        size: int | None = None,
        **options: Any,
    ) -> AsyncItemPaged[AuditRecord]:
        """The records of some days, by default the last 30, page by page as they are iterated over."""
        return self._paged(
            lambda token: requests.list_audit_records(
                start_date=start_date,
                end_date=end_date,
                customer_id=customer_id,
                company_name=company_name,
                resource_type=resource_type,
                size=size,
                token=token,
            ),
            options,
        )

    @distributed_trace_async
    async def get(self, record_id: str, **options: Any) -> AuditRecord:
        """A record."""
        return await self._sender.send(requests.get_audit_record(record_id), **options)


class AddressOperations(_Operations):
    """Postal addresses."""

    @distributed_trace_async
    async def validate(self, address: Address, **options: Any) -> AddressValidation:
        """Check an address. One that is wrong raises nothing: the result says what is, and what would be right."""
        return await self._sender.send(requests.validate_address(address), **options)


class DomainOperations(_Operations):
    """Domains of the service."""

    @distributed_trace_async
    async def exists(self, domain: str, **options: Any) -> bool:
        """Whether a domain, such as ``contoso.onmicrosoft.com``, is taken."""
        return await self._sender.send(requests.domain_exists(domain), **options)


def _as_it_is(value: T) -> T:
    return value
