"""The asynchronous client and its credentials. Models and errors are those of :mod:`accredit.client`."""

from accredit.client._retry import AsyncRetryPolicy
from accredit.client.aio._client import PartnerCenterClient
from accredit.client.aio.credentials import RefreshTokenCredential, StaticTokenCredential

__all__ = ["AsyncRetryPolicy", "PartnerCenterClient", "RefreshTokenCredential", "StaticTokenCredential"]
