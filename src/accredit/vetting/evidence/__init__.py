"""Sources of evidence. They decide nothing; ``vetting.policy`` does.

A third party adds one as an entry point of the group ``accredit.evidence``: a :class:`Source`, or a function that makes
one of the settings. It runs as the built-in ones do.
"""

import asyncio
from collections.abc import Hashable, Sequence
from importlib.metadata import EntryPoint, entry_points

import msgspec
import structlog

from accredit.settings import Settings
from accredit.vetting.evidence.company import code_organization, company
from accredit.vetting.evidence.domains import domains, website
from accredit.vetting.evidence.institutions import Institutions, LookUp
from accredit.vetting.models import Case, Evidence, Found, Source

log = structlog.get_logger("accredit.vetting")

GROUP = "accredit.evidence"
"""The entry-point group of third parties' sources."""

_MOST_KEPT = 10_000


def built_in(look_up: LookUp, settings: Settings) -> list[Source]:
    """The sources that the policy's rules read."""
    return [
        Source("domains", domains, waits=False),
        Source("institutions", Institutions(look_up), settings.evidence_timeout),
        Source("company", company, waits=False),
        Source("website", website, waits=False),
        Source("code_organization", code_organization, waits=False),
    ]


def plugins(settings: Settings, taken: Sequence[str]) -> list[Source]:
    """Third parties' sources. One that cannot be loaded, or has a name that is taken, is a source that always fails."""
    found: list[Source] = []
    for point in sorted(entry_points(group=GROUP)):
        try:
            source = _load(point, settings)
            if source.name in {*taken, *(one.name for one in found)}:
                raise ValueError(f"there is another source named {source.name}")
        except Exception as error:
            log.error("evidence source cannot be loaded", entry_point=point.name, exc_info=error)
            source = _failing(point.name, error)
        found.append(source)
    return found


def _load(point: EntryPoint, settings: Settings) -> Source:
    made = point.load()
    source = made(settings) if callable(made) else made
    if not isinstance(source, Source):
        raise TypeError(f"{point.value} is neither a Source nor a function that makes one")
    return source


def _failing(name: str, error: Exception) -> Source:
    async def look(_: Case) -> Evidence:
        raise RuntimeError(f"not loaded: {type(error).__name__}: {error}")

    return Source(f"plugin {name}", look)


class Gatherer:
    """Asks all sources about a case, at the same time, each within its own time."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = tuple(sources)
        self._kept: dict[tuple[str, Hashable], tuple[float, Evidence]] = {}

    @classmethod
    def of(cls, look_up: LookUp, settings: Settings) -> "Gatherer":
        """With the built-in sources and the plugins that are installed."""
        known = built_in(look_up, settings)
        return cls([*known, *plugins(settings, [source.name for source in known])])

    async def __call__(self, case: Case) -> dict[str, Evidence]:
        """What each source says of ``case``, by the source's name; one that fails, or is too slow, is unavailable."""
        prompt = [await self._ask(source, case) for source in self._sources if not source.waits]
        waited = await asyncio.gather(*(self._ask(source, case) for source in self._sources if source.waits))
        return {evidence.source: evidence for evidence in (*prompt, *waited)}

    async def _ask(self, source: Source, case: Case) -> Evidence:
        key = (source.name, source.key(case)) if source.keep else None
        now = asyncio.get_running_loop().time()
        if key in self._kept and self._kept[key][0] > now:
            return self._kept[key][1]
        try:
            if source.waits:
                async with asyncio.timeout(source.timeout):
                    evidence = _checked(source, await source.look(case))
            else:
                evidence = _checked(source, await source.look(case))
        except Exception as error:
            log.warning("evidence unavailable", source=source.name, error=f"{type(error).__name__}: {error}")
            why = str(error) or f"no answer within {source.timeout:g} s"
            return Evidence(source.name, Found.UNAVAILABLE, {"error": f"{type(error).__name__}: {why}"})
        if key is not None:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = (now + source.keep, evidence)
        return evidence


def _checked(source: Source, evidence: Evidence) -> Evidence:
    """What a source said, if it can be stored. Raises ``TypeError`` or ``msgspec.ValidationError``."""
    if not isinstance(evidence, Evidence) or evidence.source != source.name:
        raise TypeError(f"the source {source.name} answered something else than its evidence")
    msgspec.to_builtins(evidence)
    return evidence
