"""The synchronous client."""

from collections.abc import Callable, Iterable
from datetime import date
from types import TracebackType
from typing import Any, Self, TypeVar

from azure.core.credentials import TokenCredential
from azure.core.paging import ItemPaged
from azure.core.pipeline import Pipeline
from azure.core.polling import LROPoller
from azure.core.tracing.decorator import distributed_trace

from accredit.client import _reconcile as reconcile
from accredit.client import _requests as requests
from accredit.client._exchange import Sender
from accredit.client._limits import LimitPolicy
from accredit.client._policies import INSTRUMENTATION, TokenPolicy, policies
from accredit.client._polling import Pace, QualificationPolling, Update
from accredit.client._requests import Id
from accredit.client._retry import RetryPolicy
from accredit.client._settings import CONNECTION_TIMEOUT, GLOBAL_ENDPOINT, READ_TIMEOUT, Endpoint
from accredit.client._transport import Transport
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
    """A client of Partner Center's customer-qualification API: Microsoft's, 21Vianet's, or accredit's own service.

    Safe to share between threads. Use it as a context manager, or close it.

    Every operation takes, beside its own keywords, those marked *, and ``headers``, ``raw_request_hook`` and
    ``raw_response_hook`` (azure-core's; called for each attempt); operations that write also take ``request_id``: the
    ``MS-RequestId`` of the write and its retries, where the caller wants to know it beforehand. A write that is sent
    again with the same ID within 24 hours, by this process or another, is done once.

    :param credential: anything with ``get_token``: of ``azure-identity``, or of ``accredit.client``.
    :keyword endpoint: ``https``; or ``http`` on a loopback host.
    :keyword credential_scopes: what to ask the credential for. By default ``….default`` of the endpoint's cloud.
    :keyword application: sent as ``MS-PartnerCenter-Application``; shows in the service's log and audit records.
    :keyword locale: sent as ``X-Locale``.
    :keyword timeout: * seconds for a call with all its attempts and waits. Default 300.
    :keyword attempt_timeout: * seconds for one attempt. Default 60.
    :keyword retry_total: * how many attempts may follow the first. Default 8.
    :keyword connection_timeout: * seconds to connect. Default 10.
    :keyword read_timeout: * seconds to wait for each piece of an answer. Default 30.
    :keyword connection_verify: a file of certificates to trust, for an endpoint of one's own.
    :keyword retry_policy: an :class:`~accredit.client._retry.RetryPolicy`, instead of one of the keywords above.
    :keyword logging_enable: * log bodies, at DEBUG; passwords and tokens are left out.
    :keyword user_agent: put before our own.
    :keyword proxies: by scheme; by default those of the environment.
    :keyword transport: an azure-core transport, instead of one of the three keywords above.

    Raises ``ValueError`` for an endpoint that a token must not be sent to.
    """

    def __init__(
        self,
        credential: TokenCredential,
        *,
        endpoint: str = GLOBAL_ENDPOINT,
        credential_scopes: Iterable[str] | None = None,
        application: str | None = None,
        locale: str = "en-US",
        transport: Any = None,
        retry_policy: RetryPolicy | None = None,
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
        self._pipeline: Pipeline[Any, Any] = Pipeline(
            transport,
            policies(
                where,
                retry=retry_policy or RetryPolicy(**options),
                token=TokenPolicy(credential, tuple(credential_scopes or (where.default_scope,)), where),
                limit=LimitPolicy(),
                application=application,
                locale=locale,
                **kept,
            ),
        )
        sender = Sender(self._pipeline, transport, where)
        self.customers = CustomerOperations(sender)
        self.qualifications = QualificationOperations(sender)
        self.validation_codes = ValidationCodeOperations(sender)
        self.audit = AuditOperations(sender)
        self.addresses = AddressOperations(sender)
        self.domains = DomainOperations(sender)

    def close(self) -> None:
        """Close the connections."""
        self._pipeline.__exit__()

    def __enter__(self) -> Self:
        self._pipeline.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._pipeline.__exit__(exc_type, exc_value, traceback)


class _Operations:
    _instrumentation_config = INSTRUMENTATION

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def _paged(self, page: Callable[[str | None], requests.Call[requests.Page[T]]], options: Any) -> ItemPaged[T]:
        def get_next(token: str | None) -> requests.Page[T]:
            return self._sender.send(page(token), **options)

        page(None)  # so that what is wrong with the arguments is raised here, not when the first page is asked for
        return ItemPaged(get_next, lambda answer: (answer.next, answer.items))


class QualificationOperations(_Operations):
    """Customers' qualifications."""

    @distributed_trace
    def list(self, customer_id: Id, **options: Any) -> list[CustomerQualification]:
        """The customer's qualifications, oldest first."""
        return self._sender.send(requests.list_qualifications(customer_id), **options)

    @distributed_trace
    def update(
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
        """Ask for a qualification, and do not wait: the answer is InReview, or has no status where none is needed.

        :param customer_id: the customer's tenant.
        :param qualification: ``Education``, ``GovernmentCommunityCloud`` or ``StateOwnedEntity``.
        :keyword education_segment: ``K12`` or ``HigherEducation``; only with ``Education``.
        :keyword website: host name or URL of the institution.
        :keyword validation_code: needed for ``GovernmentCommunityCloud``.

        Raises :class:`~accredit.client.errors.ConflictError` for what is InReview or Approved already, and the like.
        """
        call = requests.create_qualification(
            customer_id,
            qualification,
            education_segment=education_segment,
            website=website,
            validation_code=validation_code,
            request_id=request_id,
        )
        try:
            return self._sender.send(call, **options)
        except ConflictError as conflict:
            if not reconcile.may_be_ours(conflict):
                raise
            listed = self._sender.send(requests.list_qualifications(customer_id), **options)
            mine = reconcile.ours(listed, qualification, conflict)
            if mine is None:
                raise
            return mine

    @distributed_trace
    def begin_update(
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
    ) -> LROPoller[CustomerQualification]:
        """Ask for a qualification, and wait for the decision.

        The poller's result is the decided qualification: Approved or Denied; a denial raises nothing. Its
        ``continuation_token()`` lets another process go on waiting, with :meth:`resume_update` or the keyword.
        Waiting has no end of its own, since people may decide: ``result(timeout)`` and ``wait(timeout)`` have.

        :keyword polling_interval: seconds before the first look; each wait is half as long again as the one before, up
            to five minutes, and never shorter than the service asks. Default 5; for a loopback endpoint 0.1, up to 2.
        :keyword continuation_token: go on waiting for an update that was asked for; nothing is asked for again.

        The rest is as for :meth:`update`.
        """
        if continuation_token is not None:
            update = Update.of_token(continuation_token, self._sender.endpoint)
            update.check_is(customer_id, qualification)
            return self._poller(update, polling_interval, resumed=True)
        state = self.update(
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

    @distributed_trace
    def resume_update(
        self, continuation_token: str, *, polling_interval: float | None = None
    ) -> LROPoller[CustomerQualification]:
        """Go on waiting for an update, by a poller's continuation token. Raises ``ValueError`` for what is none."""
        update = Update.of_token(continuation_token, self._sender.endpoint)
        return self._poller(update, polling_interval, resumed=True)

    def _poller(self, update: Update, interval: float | None, *, resumed: bool) -> LROPoller[CustomerQualification]:
        polling = QualificationPolling(Pace.at(self._sender.endpoint, interval), resumed=resumed)
        return LROPoller(self._sender, update, _as_it_is, polling)


class CustomerOperations(_Operations):
    """The partner's customers."""

    def list(
        self, *, filter: CustomerFilter | None = None, size: int | None = None, **options: Any
    ) -> ItemPaged[Customer]:
        """The customers, page by page as they are iterated over.

        :keyword filter: only those of a company name or a domain.
        :keyword size: how many in a page, 1 to 500.
        """
        return self._paged(lambda token: requests.list_customers(filter=filter, size=size, token=token), options)

    @distributed_trace
    def get(self, customer_id: Id, **options: Any) -> Customer:
        """A customer, whole."""
        return self._sender.send(requests.get_customer(customer_id), **options)

    @distributed_trace
    def create(self, customer: Customer, *, request_id: Id | None = None, **options: Any) -> Customer:
        """Create a customer. The answer's ``user_credentials`` are given this once."""
        return self._sender.send(requests.create_customer(customer, request_id=request_id), **options)

    @distributed_trace
    def delete(self, customer_id: Id, *, request_id: Id | None = None, **options: Any) -> None:
        """Remove a customer; only partners of the sandbox may."""
        self._sender.send(requests.delete_customer(customer_id, request_id=request_id), **options)

    @distributed_trace
    def get_company_profile(self, customer_id: Id, **options: Any) -> CompanyProfile:
        """The customer's company profile."""
        return self._sender.send(requests.get_company_profile(customer_id), **options)

    @distributed_trace
    def get_billing_profile(self, customer_id: Id, **options: Any) -> BillingProfile:
        """The customer's billing profile, with its ETag."""
        return self._sender.send(requests.get_billing_profile(customer_id), **options)

    @distributed_trace
    def update_billing_profile(
        self,
        customer_id: Id,
        profile: BillingProfile,
        *,
        etag: str | None = None,
        request_id: Id | None = None,
        **options: Any,
    ) -> BillingProfile:
        """Replace the billing profile, if it has not changed since it was read.

        :keyword etag: the version to replace; by default the one of ``profile``.

        Raises :class:`~accredit.client.errors.PreconditionFailedError` where it has changed.
        """
        call = requests.update_billing_profile(customer_id, profile, etag=etag, request_id=request_id)
        return self._sender.send(call, **options)

    @distributed_trace
    def add_verified_domain(
        self, customer_id: Id, domain: str, *, request_id: Id | None = None, **options: Any
    ) -> VerifiedDomain:
        """Add a domain to the customer's, once DNS proves that it is its own."""
        return self._sender.send(requests.add_verified_domain(customer_id, domain, request_id=request_id), **options)


class ValidationCodeOperations(_Operations):
    """Validation codes, which allow to ask for GovernmentCommunityCloud."""

    @distributed_trace
    def list(self, **options: Any) -> list[ValidationCode]:
        """The partner's validation codes."""
        return self._sender.send(requests.list_codes(), **options)

    @distributed_trace
    def get_for_customer(self, customer_id: Id, **options: Any) -> ValidationCode | None:
        """The code that the customer's qualification used, if any."""
        return self._sender.send(requests.code_of_customer(customer_id), **options)


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
    ) -> ItemPaged[AuditRecord]:
        """The records of some days, by default the last 30, page by page as they are iterated over.

        :keyword customer_id: only of this customer.
        :keyword company_name: only of customers with this in their name.
        :keyword resource_type: only about this kind of resource. Of the three, at most one (``ValueError``).
        """
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

    @distributed_trace
    def get(self, record_id: str, **options: Any) -> AuditRecord:
        """A record."""
        return self._sender.send(requests.get_audit_record(record_id), **options)


class AddressOperations(_Operations):
    """Postal addresses."""

    @distributed_trace
    def validate(self, address: Address, **options: Any) -> AddressValidation:
        """Check an address. One that is wrong raises nothing: the result says what is, and what would be right."""
        return self._sender.send(requests.validate_address(address), **options)


class DomainOperations(_Operations):
    """Domains of the service."""

    @distributed_trace
    def exists(self, domain: str, **options: Any) -> bool:
        """Whether a domain, such as ``contoso.onmicrosoft.com``, is taken."""
        return self._sender.send(requests.domain_exists(domain), **options)


def _as_it_is(value: T) -> T:
    return value
