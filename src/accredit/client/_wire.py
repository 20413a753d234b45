"""From JSON to typed models and back, by what the models' fields declare.

Reading is lenient, so that a service that grows new properties or values does not break its clients: names match
without regard to case, unknown properties are kept as they are, and unknown values of an enum stay strings.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Self

Read = Callable[[Any], Any]
_UNSET_YEAR = 1
"""The year of .NET's ``DateTime.MinValue``, which Partner Center writes where it means that there is no date."""


class OpenEnum(StrEnum):
    """An enum whose names are found without regard to case."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if isinstance(value, str):
            return next((member for member in cls if member.value.lower() == value.lower()), None)
        return None

    @classmethod
    def read(cls, value: Any) -> Self | str:
        """The member of this value; the text itself where there is none. Raises ``ValueError`` for what is no text."""
        text = _as_text(value)
        try:
            return cls(text)
        except ValueError:
            return text


@dataclass(frozen=True, kw_only=True)
class Model:
    """A JSON object of the API. ``additional_properties``: what came with it that the model does not name."""

    additional_properties: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    _known_properties: ClassVar[Mapping[str, "_Property"]]

    @classmethod
    def from_wire(cls, value: Any) -> Self:
        """Read a JSON object. Raises ``ValueError`` for anything that cannot be one of these."""
        if not isinstance(value, Mapping):
            raise ValueError(f"{cls.__name__} is {type(value).__name__}, not an object")
        properties = cls._properties()
        known: dict[str, Any] = {}
        unknown: dict[str, Any] = {}
        for name, item in value.items():
            part = properties.get(name.lower())
            if part is None:
                unknown[name] = item
            elif item is not None:
                known[part.name] = part.read(item)
        try:
            return cls(**known, additional_properties=unknown)
        except TypeError:
            missing = (part.wire_name for part in properties.values() if part.required and part.name not in known)
            raise ValueError(f"{cls.__name__} lacks {', '.join(missing)}") from None

    def to_wire(self) -> dict[str, Any]:
        """The JSON object, without the properties that are ``None``."""
        written = dict(self.additional_properties)
        for part in self._properties().values():
            value = getattr(self, part.name)
            if value is not None:
                written[part.wire_name] = _write(value)
        return written

    @classmethod
    def _properties(cls) -> Mapping[str, "_Property"]:
        """Its properties, by their wire names in lower case; worked out once for each model."""
        if "_known_properties" not in cls.__dict__:
            cls._known_properties = _properties(cls)
        return cls._known_properties


@dataclass(frozen=True, slots=True)
class _Property:
    name: str
    wire_name: str
    read: Read
    required: bool


def _properties(model: type[Model]) -> Mapping[str, _Property]:
    hints = typing.get_type_hints(model)
    found: dict[str, _Property] = {}
    for part in dataclasses.fields(model):
        if part.name == "additional_properties":
            continue
        names = part.metadata.get("wire", (_camel(part.name),))
        required = part.default is dataclasses.MISSING and part.default_factory is dataclasses.MISSING
        for name in names:
            found[name.lower()] = _Property(part.name, names[0], _reader(hints[part.name]), required)
    return found


def wire(*names: str) -> Mapping[str, Sequence[str]]:
    """A field's ``metadata``: its names in JSON. The first is the one to write."""
    return {"wire": names}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _reader(hint: Any) -> Read:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(hint) if option is not types.NoneType]
        enums = [option for option in options if isinstance(option, type) and issubclass(option, OpenEnum)]
        return _reader(enums[0] if enums else options[0])
    if origin is tuple:
        item = _reader(typing.get_args(hint)[0])
        return lambda value: tuple(item(one) for one in _as_list(value))
    if isinstance(hint, type) and issubclass(hint, OpenEnum):
        return hint.read
    if isinstance(hint, type) and issubclass(hint, Model):
        return hint.from_wire
    return _SCALARS[hint]


def _write(value: Any) -> Any:
    if isinstance(value, Model):
        return value.to_wire()
    if isinstance(value, tuple):
        return [_write(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value


def _as_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{type(value).__name__} where a list belongs")
    return value


def _as_text(value: Any) -> str:
    """Text; of a number, its digits: the service writes some identifiers either way."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{type(value).__name__} where text belongs")


def _as_int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{type(value).__name__} where an integer belongs")
    return int(value)


def _as_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{type(value).__name__} where true or false belongs")
    return value


def as_date(value: Any) -> datetime | None:
    """A moment in UTC; ISO 8601, in UTC where it names no offset. ``None`` for the date that means none."""
    moment = datetime.fromisoformat(_as_text(value))
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return None if moment.year <= _UNSET_YEAR else moment


_SCALARS: Mapping[Any, Read] = {
    str: _as_text,
    int: _as_int,
    bool: _as_bool,
    datetime: as_date,
    Any: lambda value: value,
}
