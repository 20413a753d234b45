"""Puts the service together: what is made from the settings, and who gets it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from litestar import Litestar
from litestar.types import ASGIApp

from accredit.audit import api as audit
from accredit.customers import api as customers
from accredit.customers.dns import TxtLookup
from accredit.database.keys import ServiceKey
from accredit.database.pool import create_pool
from accredit.identity.api import authority_routes
from accredit.identity.authority import LocalAuthority
from accredit.identity.directory import PoolDirectory
from accredit.identity.gate import TokenGate
from accredit.identity.issuers import Issuers
from accredit.identity.openapi import describe as describe_authority
from accredit.identity.tokens import TokenVerifier
from accredit.limits.gate import LimitedGate
from accredit.limits.limiter import Limiter
from accredit.operations import api as operations
from accredit.operations.openapi import describe as describe_operations
from accredit.qualifications import api as qualifications
from accredit.qualifications.store import QualificationStore
from accredit.settings import Settings
from accredit.validations import api as validations
from accredit.vetting.review import api as reviews
from accredit.wire import openapi
from accredit.wire.middleware import EXCEPTION_HANDLERS, WireMiddleware


def create_app(settings: Settings, database_url: str) -> ASGIApp:
    """The ASGI application. It opens its connections when the server starts it, and closes them at the end."""
    timeout = settings.database_timeout
    pool = create_pool(database_url, most=settings.database_connections, timeout=timeout, name="accredit-api")
    directory = PoolDirectory(pool)
    authority = LocalAuthority(settings.home) if settings.local_authority_enabled else None
    issuers = Issuers(settings.issuers)
    identity = TokenGate(
        TokenVerifier(issuers, settings.audiences, directory.is_partner, authority),
        require_mfa=settings.require_mfa,
        reviewer_tenants=settings.reviewer_tenants,
    )
    limiter = Limiter(pool, customer=settings.rate_limit_customer, partner=settings.rate_limit_partner, timeout=timeout)
    gate = LimitedGate(identity, limiter)
    store = QualificationStore(pool, most=settings.write_batch, timeout=timeout)
    key = ServiceKey(pool, "continuation_tokens", timeout=timeout)
    lookup = TxtLookup(settings.dns_servers, timeout=settings.dns_timeout)
    document = openapi.document(
        [
            *customers.OPERATIONS,
            *qualifications.OPERATIONS,
            *validations.OPERATIONS,
            *reviews.OPERATIONS,
            *audit.OPERATIONS,
        ]
    )
    describe_operations(document)
    if authority:
        describe_authority(document)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with pool, limiter:
            yield

    app = Litestar(
        [
            *customers.routes(gate, pool, key, lookup, timeout=timeout),
            *qualifications.routes(gate, store),
            *validations.routes(gate, pool, timeout=timeout),
            *reviews.routes(gate, pool, key, claim_for=timedelta(minutes=settings.review_claim), timeout=timeout),
            *audit.routes(gate, pool, key, timeout=timeout),
            *operations.routes(pool, document),
            *(authority_routes(authority, directory) if authority else []),
        ],
        lifespan=[lifespan],
        exception_handlers=EXCEPTION_HANDLERS,
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,
    )
    return WireMiddleware(app)
