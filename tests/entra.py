"""A stand-in for Entra ID on loopback, over TLS: device codes, the browser's redirect, refresh tokens."""

import asyncio
import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER = "admin@partner.example"
SCOPE = "https://api.partnercenter.microsoft.com/.default"


@dataclass
class Entra:
    """The stand-in. ``access_token`` is what it gives out; ``expires_in`` how long it says that lasts."""

    access_token: str
    url: str = ""
    tenant: str = field(default_factory=lambda: str(uuid4()))
    user_id: str = field(default_factory=lambda: str(uuid4()))
    expires_in: int = 3600
    grants: list[dict[str, str]] = field(default_factory=list)
    refusal: str | None = None
    scopes: list[str] = field(default_factory=list)

    async def discovery(self, _: web.Request) -> web.Response:
        base = f"{self.url}/{self.tenant}"
        return web.json_response(
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            }
        )

    async def device_code(self, request: web.Request) -> web.Response:
        self.scopes = str((await request.post())["scope"]).split()
        said = "To sign in, open https://entra.example/device and enter the code ABCD1234."
        answer = {"device_code": "d", "user_code": "ABCD1234", "verification_uri": "https://entra.example/device"}
        return web.json_response({**answer, "expires_in": 900, "interval": 1, "message": said})

    async def authorize(self, request: web.Request) -> web.Response:
        """The form that the browser sends on (``response_mode=form_post``): the user says yes at once."""
        answer = {"code": request.query["nonce"], "state": request.query["state"]}
        return web.json_response({"action": request.query["redirect_uri"], "fields": answer})

    async def token(self, request: web.Request) -> web.Response:
        grant = {name: str(value) for name, value in (await request.post()).items()}
        self.grants.append(grant)
        if self.refusal:
            return web.json_response({"error": "invalid_grant", "error_description": self.refusal}, status=400)
        now = int(time.time())
        claims: dict[str, Any] = {
            "aud": grant["client_id"],
            "iss": f"{self.url}/{self.tenant}/v2.0",
            "iat": now,
            "exp": now + 3600,
            "oid": self.user_id,
            "sub": self.user_id,
            "tid": self.tenant,
            "preferred_username": USER,
        }
        if "code" in grant:
            claims["nonce"] = grant["code"]
        return web.json_response(
            {
                "token_type": "Bearer",
                "scope": SCOPE,
                "expires_in": self.expires_in,
                "access_token": self.access_token,
                "refresh_token": "a-refresh-token",
                "id_token": f"{_encoded({'alg': 'none'})}.{_encoded(claims)}.",
                "client_info": _encoded({"uid": self.user_id, "utid": self.tenant}),
            }
        )


@contextmanager
def entra(folder: Path, access_token: str) -> Iterator[tuple[Entra, Path]]:
    """A stand-in that listens while the context lasts, and the certificate to trust it by."""
    stand_in = Entra(access_token)
    certificate = _certificate(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    loop, started = asyncio.new_event_loop(), threading.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", stand_in.discovery)
        app.router.add_post("/{tenant}/oauth2/v2.0/devicecode", stand_in.device_code)
        app.router.add_get("/{tenant}/oauth2/v2.0/authorize", stand_in.authorize)
        app.router.add_post("/{tenant}/oauth2/v2.0/token", stand_in.token)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        stand_in.url = f"https://localhost:{runner.addresses[0][1]}"
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    serving = loop.create_task(serve())

    def run() -> None:
        try:
            loop.run_until_complete(serving)
        except asyncio.CancelledError:
            loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    if not started.wait(30):
        raise TimeoutError("the stand-in did not start")
    try:
        yield stand_in, certificate
    finally:
        loop.call_soon_threadsafe(serving.cancel)
        thread.join(30)


def _certificate(folder: Path) -> Path:
    """A file with a key and a certificate of ``localhost``, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "localhost.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


def _encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
