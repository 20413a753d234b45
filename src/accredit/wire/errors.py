"""The errors a client can meet, contract section 5: one name for each status and code."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

SOURCE = "accredit"
_LONGEST_DESCRIPTION = 1024


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every error answer."""

    code: str
    description: str
    data: list[str] = msgspec.field(default_factory=list)
    source: str = SOURCE


class RateLimitBody(msgspec.Struct, frozen=True, rename="camel"):
    """The body of a 429: not ours but a gateway's, as Partner Center's is."""

    status_code: int
    message: str


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """A row of the contract's error table: the HTTP status, Partner Center's code, and when it is given."""

    status: int
    code: str
    when: str


UNAUTHORIZED = ErrorKind(401, "400", "no token, or one that is malformed, forged, expired or from an unknown issuer")
WRONG_AUDIENCE = ErrorKind(401, "900420", "the token is for another audience")
MFA_REQUIRED = ErrorKind(403, "900308", "the App+User token does not say that the user passed MFA")
APP_ONLY_REFUSED = ErrorKind(403, "900329", "this operation takes App+User tokens, not app-only ones")
ROLE_REQUIRED = ErrorKind(403, "900150", "the user's role may not do this")

BAD_CUSTOMER_ID = ErrorKind(400, "900118", "the customer ID is not a GUID")
NO_RELATIONSHIP = ErrorKind(403, "20002", "the partner has no relationship with that customer, or there is none such")
MALFORMED_BODY = ErrorKind(400, "800002", "the body is missing, not JSON, or not an object")
BAD_REQUEST = ErrorKind(400, "3000", "a property or header is missing, of the wrong type, or not allowed here")
NOT_IN_ENUM = ErrorKind(400, "900126", "a string that is none of the enum's names")
BAD_VALIDATION_CODE = ErrorKind(400, "700003", "no validation code of this partner for GovernmentCommunityCloud")
ALREADY_QUALIFIED = ErrorKind(409, "700001", "that qualification is InReview or Approved already")
NOT_COMBINABLE = ErrorKind(409, "700002", "Education and GovernmentCommunityCloud exclude each other")
NO_CREATES_LEFT = ErrorKind(409, "700004", "the validation code has no creates left")
REQUEST_ID_REUSED = ErrorKind(409, "700005", "the same MS-RequestId came with a different request")
TOO_MANY_REQUESTS_FOR_ONE = ErrorKind(409, "700006", "it was asked for three times and denied three times")

ADDRESS_INVALID = ErrorKind(400, "2007", "the address is not valid; the description is a JSON string that says why")
REGISTRATION_NUMBER_REFUSED = ErrorKind(400, "600002", "an organization registration number, where none is taken")
REGISTRATION_NUMBER_REQUIRED = ErrorKind(400, "600049", "the organization registration number is missing")
REGISTRATION_NUMBER_MALFORMED = ErrorKind(400, "600050", "the organization registration number has a wrong form")
PHONE_NUMBER_REQUIRED = ErrorKind(400, "600051", "the phone number is missing")

NO_SUCH_CASE = ErrorKind(404, "700101", "there is no such review case")
CASE_CLOSED = ErrorKind(409, "700102", "the review case is closed: there is nothing to claim or decide")
CASE_CLAIMED = ErrorKind(409, "700103", "another reviewer has claimed the review case")

NOT_A_SANDBOX = ErrorKind(403, "700007", "customers can be deleted by sandbox partners only")

NO_SUCH_PATH = ErrorKind(404, "1000", "no such path")
NO_SUCH_RECORD = ErrorKind(404, "1000", "the partner has no such audit record")
DOMAIN_FREE = ErrorKind(404, "1000", "the domain is free")
METHOD_NOT_ALLOWED = ErrorKind(405, "3000", "the path has no such method; `Allow` names those it has")
NOT_ACCEPTABLE = ErrorKind(406, "3000", "`Accept` asks for something other than JSON")
BODY_TOO_LARGE = ErrorKind(413, "3000", "the body is over 1 MiB")
UNSUPPORTED_MEDIA_TYPE = ErrorKind(415, "3000", "`Content-Type` is not JSON")
IF_MATCH_FAILED = ErrorKind(412, "2055", "`If-Match` no longer matches")
IF_MATCH_REQUIRED = ErrorKind(428, "2055", "`If-Match` is required, and absent")
RATE_LIMITED = ErrorKind(429, "", "too many requests within a minute; see `Retry-After`")
SERVER_FAULT = ErrorKind(500, "800003", "a fault of the service; nothing is half-done")
UNAVAILABLE = ErrorKind(503, "800003", "the database, or the token issuer, cannot be reached; see `Retry-After`")


@dataclass(eq=False)
class ApiError(Exception):
    """An answer other than success. ``description`` is for the caller: no token, stack or SQL belongs in it."""

    kind: ErrorKind
    description: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        return self.kind.status

    def body(self) -> bytes:
        """The answer's body as JSON; the description is cut to the contract's 1,024 characters."""
        if self.kind is RATE_LIMITED:
            return msgspec.json.encode(RateLimitBody(self.status, self.description))
        return msgspec.json.encode(ErrorBody(self.kind.code, self.description[:_LONGEST_DESCRIPTION]))

    def __str__(self) -> str:
        return f"{self.kind.status}/{self.kind.code}: {self.description}"

    @classmethod
    def rate_limited(cls, seconds: int) -> "ApiError":
        """A 429: in ``seconds`` a request will be taken again."""
        message = f"Rate limit is exceeded. Try again in {seconds} seconds."
        return cls(RATE_LIMITED, message, {"Retry-After": str(seconds)})

    @classmethod
    def no_relationship(cls) -> "ApiError":
        """One answer for a customer that is another partner's and for one that does not exist, so nothing leaks."""
        return cls(NO_RELATIONSHIP, "You have no relationship with this customer, or there is no such customer.")
