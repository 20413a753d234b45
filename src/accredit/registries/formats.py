"""The published formats of registries, read into institutions.

Each reader yields as it goes and raises :class:`FormatError`, which names the place, for what is not its format. The
public lists hold a few domains that are none (``www.x.edu/en``, an address): they are made whole where that is plain
and otherwise left out and counted; only in a CSV of our own they are refused.
"""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from accredit.registries.domains import domain_name
from accredit.registries.models import Format, Institution, Kind

T = TypeVar("T")
Skipped = Callable[[str], None]
"""Told of an entry that was left out, with its place."""

_SWOT_LISTS = {"stoplist.txt": Kind.STOP, "abused.txt": Kind.STOP, "tlds.txt": None}


class FormatError(ValueError):
    """The content is not of the format. The message names the line, or the file of a tree."""


class _University(msgspec.Struct):
    """An entry of the world university list (github.com/Hipo/university-domains-list)."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    domains: list[str]
    web_pages: list[str] = []
    alpha_two_code: str | None = None
    state_province: str | None = msgspec.field(name="state-province", default=None)


class _RorName(msgspec.Struct):
    value: str


class _RorLink(msgspec.Struct):
    value: str
    type: str | None = None


class _RorPlace(msgspec.Struct):
    country_code: str | None = None
    country_subdivision_name: str | None = None


class _RorLocation(msgspec.Struct):
    geonames_details: _RorPlace = msgspec.field(default_factory=_RorPlace)


class _RorRecord(msgspec.Struct):
    """A record of the Research Organization Registry's dump, schema 2 (ror.readme.io)."""

    names: Annotated[list[_RorName], msgspec.Meta(min_length=1)]
    types: list[str]
    status: str
    domains: list[str] = []
    links: list[_RorLink] = []
    locations: list[_RorLocation] = []


_ROR_KINDS = {
    "education": Kind.EDUCATION,
    "government": Kind.GOVERNMENT,
    "company": Kind.COMPANY,
}


def read(format: Format, path: Path, skipped: Skipped) -> Iterator[Institution]:
    """The institutions of a file, or of a folder for swot. Raises :class:`FormatError` and ``OSError``."""
    return _READERS[format](path, skipped)


def _universities(path: Path, skipped: Skipped) -> Iterator[Institution]:
    for place, entry in _elements(_text(path), _University):
        pages = [] if entry.domains else [_host(page) for page in entry.web_pages]
        for domain in _domains([*entry.domains, *pages], place, skipped):
            yield Institution(
                domain, (entry.name,), Kind.UNIVERSITY, _country(entry.alpha_two_code), entry.state_province
            )


def _ror(path: Path, skipped: Skipped) -> Iterator[Institution]:
    for place, record in _elements(_ror_text(path), _RorRecord):
        if record.status != "active":
            continue
        sites = [] if record.domains else [_host(link.value) for link in record.links if link.type in (None, "website")]
        where = record.locations[0].geonames_details if record.locations else _RorPlace()
        kind = next((_ROR_KINDS[type] for type in record.types if type in _ROR_KINDS), Kind.OTHER)
        names = tuple(dict.fromkeys(name.value for name in record.names if name.value))
        for domain in _domains([*record.domains, *sites], place, skipped):
            yield Institution(domain, names, kind, _country(where.country_code), where.country_subdivision_name)


def _ror_text(path: Path) -> str:
    """The dump's JSON, also out of the zip that it is published in."""
    if not zipfile.is_zipfile(path):
        return _text(path)
    with zipfile.ZipFile(path) as archive:
        dumps = [name for name in archive.namelist() if name.endswith(".json")]
        # Until 2025 a release held the older schema, too.
        dumps = [name for name in dumps if name.endswith("_schema_v2.json")] or dumps
        if len(dumps) != 1:
            raise FormatError(f"the archive holds {len(dumps)} JSON files, not one")
        return _decode(archive.read(dumps[0]), dumps[0])


def _elements(text: str, type: type[T]) -> Iterator[tuple[str, T]]:
    """The elements of a JSON array, one by one, each with its place."""
    decoder = json.JSONDecoder()
    skip = json.decoder.WHITESPACE.match  # type: ignore[attr-defined]
    line, counted = 1, 0

    def place(position: int) -> str:
        nonlocal line, counted
        line += text.count("\n", counted, position)
        counted = position
        return f"line {line}"

    position = skip(text, 0).end()
    if text[position : position + 1] != "[":
        raise FormatError(f"{place(position)}: not a JSON array")
    position = skip(text, position + 1).end()
    first = True
    while text[position : position + 1] != "]":
        if not first:
            if text[position : position + 1] != ",":
                raise FormatError(f"{place(position)}: expected a comma or the array's end")
            position = skip(text, position + 1).end()
        first = False
        where = place(position)
        try:
            element, position = decoder.raw_decode(text, position)
            converted = msgspec.convert(element, type)
        except json.JSONDecodeError as error:
            raise FormatError(f"line {error.lineno}: not JSON: {error.msg}") from None
        except msgspec.ValidationError as error:
            raise FormatError(f"{where}: {error}") from None
        yield where, converted
        position = skip(text, position).end()
    rest = skip(text, position + 1).end()
    if rest != len(text):
        raise FormatError(f"{place(rest)}: something follows the array")


def _swot(path: Path, skipped: Skipped) -> Iterator[Institution]:
    """JetBrains swot: ``edu/mit.txt`` below ``lib/domains`` holds the names of mit.edu, one a line."""
    for parts, content in _swot_files(path):
        place = "/".join(parts)
        lines = [line.strip() for line in _decode(content, place).splitlines()]
        if len(parts) == 1 and parts[0] in _SWOT_LISTS:
            if kind := _SWOT_LISTS[parts[0]]:
                for domain in _domains([line for line in lines if line], place, skipped):
                    yield Institution(domain, (), kind)
            continue
        # A line may also be a mark (".group") or the school's page.
        names = tuple(dict.fromkeys(line for line in lines if line and not line.startswith((".", "http"))))
        if not names:
            skipped(f"{place}: no name")
            continue
        labels = [*parts[:-1], parts[-1].removesuffix(".txt")]
        for domain in _domains([".".join(reversed(labels))], place, skipped):
            yield Institution(domain, names, Kind.EDUCATION)


def _swot_files(path: Path) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """The text files of a tree, or of its zip, in order, with their paths below ``lib/domains``."""
    found: list[tuple[tuple[str, ...], Callable[[], bytes]]] = []
    archive = None
    if path.is_dir():
        root = next((one for one in (path / "lib" / "domains", path / "domains") if one.is_dir()), path)
        found = [(one.relative_to(root).parts, one.read_bytes) for one in root.rglob("*.txt") if one.is_file()]
    elif zipfile.is_zipfile(path):
        archive = zipfile.ZipFile(path)
        for name in archive.namelist():
            parts = PurePosixPath(name).parts
            below = next((i + 2 for i in range(len(parts)) if parts[i : i + 2] == ("lib", "domains")), None)
            if below is not None and name.endswith(".txt"):
                found.append((parts[below:], lambda name=name: archive.read(name)))  # type: ignore[misc]
    else:
        raise FormatError("neither a folder nor a zip archive")
    if not found:
        raise FormatError("no text files below lib/domains")
    try:
        for parts, content in sorted(found, key=lambda one: one[0]):
            yield parts, content()
    finally:
        if archive:
            archive.close()


def _dotgov(path: Path, skipped: Skipped) -> Iterator[Institution]:
    columns = ("Domain name", "Domain type", "Organization name", "City", "State")
    for place, row in _rows(path, columns):
        names = [row["Organization name"], row.get("Suborganization name") or ""]
        if not names[0]:
            raise FormatError(f"{place}: no organization name")
        for domain in _domains([row["Domain name"]], place, skipped):
            named = tuple(name for name in names if name not in ("", "(blank)"))
            yield Institution(domain, named, Kind.GOVERNMENT, "US", row["State"] or None)


def _csv(path: Path, _: Skipped) -> Iterator[Institution]:
    """Our own: ``domain,name,kind`` and, where known, ``country,state``; several names are separated by ``|``."""
    for place, row in _rows(path, ("domain", "name", "kind")):
        names = tuple(name.strip() for name in row["name"].split("|") if name.strip())
        try:
            kind = Kind(row["kind"].lower())
        except ValueError:
            raise FormatError(f"{place}: the kind “{row['kind']}” is none of {', '.join(Kind)}") from None
        if not names and kind is not Kind.STOP:
            raise FormatError(f"{place}: no name")
        country = row.get("country") or None
        if country and not _country(country):
            raise FormatError(f"{place}: the country “{country}” is no two-letter code")
        domain = domain_name(row["domain"])
        if domain is None:
            raise FormatError(f"{place}: “{row['domain']}” is no domain name")
        yield Institution(domain, names, kind, _country(country), row.get("state") or None)


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file, stripped, with their places; ``columns`` must be there, in any case and order."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        known = {column.lower(): column for column in columns}
        header = [known.get(name.lower(), name) for name in header]
        missing = [column for column in columns if column not in header]
        if missing:
            raise FormatError(f"line 1: the column {missing[0]} is missing")
        for values in reader:
            if not values:
                continue
            place = f"line {reader.line_num}"
            if len(values) != len(header):
                raise FormatError(f"{place}: {len(values)} values under {len(header)} columns")
            yield place, dict(zip(header, (value.strip() for value in values), strict=True))
    except csv.Error as error:
        raise FormatError(f"line {reader.line_num}: {error}") from None


def _text(path: Path) -> str:
    return _decode(path.read_bytes(), None)


def _decode(content: bytes, place: str | None) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"{place or _line(content, error.start)}: not UTF-8") from None
    if "\0" in text:
        raise FormatError(f"{place or _line(content, content.index(0))}: a NUL character")
    return text


def _line(content: bytes, position: int) -> str:
    number = content.count(b"\n", 0, position) + 1
    return f"line {number}"


def _domains(raw: Sequence[str], place: str, skipped: Skipped) -> list[str]:
    domains: dict[str, None] = {}
    for one in raw:
        domain = domain_name(_host(one))
        if domain is None:
            skipped(f"{place}: “{one}” is no domain name")
        else:
            domains[domain] = None
    return list(domains)


def _host(page: str) -> str:
    """The host of a page's address, or what was given."""
    page = page.strip()
    try:
        return urlsplit(page if "://" in page else f"//{page}").hostname or page
    except ValueError:
        return page


def _country(code: str | None) -> str | None:
    code = (code or "").strip().upper()
    return code if len(code) == 2 and code.isascii() and code.isalpha() else None


_READERS: dict[Format, Callable[[Path, Skipped], Iterator[Any]]] = {
    Format.UNIVERSITIES: _universities,
    Format.SWOT: _swot,
    Format.DOTGOV: _dotgov,
    Format.ROR: _ror,
    Format.CSV: _csv,
}
