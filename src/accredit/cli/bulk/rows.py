"""What a line of a bulk file may say. Pure rules, from the contract's sections 3 and 5."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

COLUMNS = ("customer", "qualification", "segment", "website", "code")
REQUIRED = ("customer", "qualification")
QUALIFICATIONS = ("Education", "GovernmentCommunityCloud", "StateOwnedEntity")
SEGMENTS = ("K12", "HigherEducation")

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_CODE = re.compile(r"[0-9]{1,64}")
_HOST = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_][\w-]*[^\W_]\.?")
_LONGEST_WEBSITE = 2048
_LONGEST_QUOTED = 60


class RowError(ValueError):
    """A line is wrong; the message names everything that is."""


@dataclass(frozen=True, slots=True)
class Update:
    """One update of one customer. ``customer`` is a GUID in lower case; names are spelled as the contract does."""

    customer: str
    qualification: str
    segment: str | None = None
    website: str | None = None
    code: str | None = None

    @property
    def key(self) -> bytes:
        """What two lines of a file must not have in common: customer and qualification, in 17 bytes."""
        return bytes.fromhex(self.customer.replace("-", "")) + bytes([QUALIFICATIONS.index(self.qualification)])


def columns(header: Sequence[str]) -> list[str]:
    """The columns that a file's first line names, in its order. Raises :class:`RowError`."""
    names = [name.strip().lower() for name in header]
    wrong = [f"unknown column {_quoted(name)}" for name in names if name not in COLUMNS]
    wrong += [f"column {name} comes twice" for name in COLUMNS if names.count(name) > 1]
    wrong += [f"column {name} is missing" for name in REQUIRED if name not in names]
    if wrong:
        hint = "; fields are separated by commas" if len(names) == 1 and re.search("[;\t]", names[0]) else ""
        raise RowError("; ".join(wrong) + f" (the first line names the columns: {', '.join(COLUMNS)}){hint}")
    return names


def parse(fields: Mapping[str, str]) -> Update:
    """An update from a line's fields by column; blanks around a field do not count. Raises :class:`RowError`."""
    given = {name: fields.get(name, "").strip() for name in COLUMNS}
    wrong: list[str] = []
    customer = given["customer"].lower()
    if not _GUID.fullmatch(customer):
        wrong.append(f"customer {_quoted(given['customer'])} is not a GUID" if customer else "customer is missing")
    qualification = _name(given, "qualification", QUALIFICATIONS, wrong)
    if not given["qualification"]:
        wrong.append("qualification is missing")
    segment = _name(given, "segment", SEGMENTS, wrong)
    if segment and qualification not in (None, "Education"):
        wrong.append("segment goes with Education only")
    website = given["website"] or None
    if website and not is_website(website):
        wrong.append(f"website {_quoted(website)} is neither a host name nor an http(s) URL")
    code = given["code"] or None
    if code and not _CODE.fullmatch(code):
        wrong.append(f"code {_quoted(code)} is not a string of digits")
    if qualification == "GovernmentCommunityCloud" and not code:
        wrong.append("code is missing: GovernmentCommunityCloud needs a validation code")
    if wrong or qualification is None:
        raise RowError("; ".join(wrong))
    return Update(customer, qualification, segment, website, code)


def is_website(text: str) -> bool:
    """Whether ``text`` is a host name of at least two labels, or an http(s) URL with such a one."""
    if len(text) > _LONGEST_WEBSITE or any(letter.isspace() or not letter.isprintable() for letter in text):
        return False
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, user, _ = parts.hostname or "", parts.username, parts.port
    except ValueError:
        return False
    return parts.scheme in ("", "http", "https") and user is None and _HOST.fullmatch(host) is not None


def _name(given: Mapping[str, str], column: str, names: Sequence[str], wrong: list[str]) -> str | None:
    """The name meant, case ignored; ``None`` for an empty field, and for a wrong one, which is noted."""
    text = given[column]
    for name in names:
        if name.lower() == text.lower():
            return name
    if text:
        wrong.append(f"{column} {_quoted(text)} is none of {', '.join(names)}")
    return None


def _quoted(text: str) -> str:
    """A text from the file as a message can bear it."""
    return repr(text if len(text) <= _LONGEST_QUOTED else f"{text[:_LONGEST_QUOTED]}…")
