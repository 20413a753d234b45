"""Places: whether a customer's and an institution's are the same."""

from functools import lru_cache

import pycountry

# Whose institutions write either code: a territory's is also its state's.
_TERRITORIES = {
    "US": ("PR", "GU", "VI", "AS", "MP", "UM"),
    "GB": ("GG", "JE", "IM", "GI", "BM", "KY", "VG", "TC", "FK", "MS", "AI", "SH"),
    "FR": ("GP", "MQ", "GF", "RE", "YT", "NC", "PF", "PM", "WF", "BL", "MF"),
    "NL": ("AW", "CW", "SX", "BQ"),
    "DK": ("FO", "GL"),
    "FI": ("AX",),
    "NO": ("SJ",),
    "CN": ("HK", "MO"),
    "AU": ("NF", "CX", "CC"),
    "RS": ("XK",),
    "NZ": ("CK", "NU", "TK"),
    "TR": ("CY",),  # the universities of the island's north are registered in Turkey
    "IT": ("VA", "SM"),
}
_STATE_OF = {territory: state for state, territories in _TERRITORIES.items() for territory in territories}
_NAMES = {"kosovo": "XK", "uk": "GB", "england": "GB", "scotland": "GB", "wales": "GB", "turkey": "TR", "russia": "RU",
          "south korea": "KR", "north korea": "KP", "iran": "IR", "syria": "SY", "usa": "US", "ivory coast": "CI",
          "palestine": "PS", "laos": "LA", "vietnam": "VN", "brunei": "BN", "macau": "MO", "swaziland": "SZ",
          "cape verde": "CV", "holy see (vatican city state)": "VA", "democratic republic of the congo": "CD",
          "czech republic": "CZ", "macedonia": "MK", "turkiye": "TR"}  # fmt: skip


@lru_cache(maxsize=1024)
def country_code(text: str) -> str | None:
    """The ISO 3166-1 alpha-2 code of a country, by its code (2 or 3 letters) or English name; ``None``: not known."""
    text = " ".join(text.split())
    if text.lower() in _NAMES:
        return _NAMES[text.lower()]
    try:
        return str(pycountry.countries.lookup(text).alpha_2)
    except LookupError:
        return None


def same_country(one: str, other: str) -> bool:
    """Whether two codes are of one country, or of a state and its territory."""
    return one == other or one == _STATE_OF.get(other) or other == _STATE_OF.get(one)


def compare(country: str | None, state: str | None, other_country: str | None, other_state: str | None) -> str:
    """``same``, ``differs`` or ``unknown``. States count within the US, where both are two-letter codes."""
    if not country or not other_country:
        return "unknown"
    if not same_country(country, other_country):
        return "differs"
    codes = [one.upper() for one in (state, other_state) if one and len(one) == 2]
    return "differs" if country == other_country == "US" and len(codes) == 2 and codes[0] != codes[1] else "same"
