"""Reading the properties of a request body one by one, each error naming the property where it stands."""

from collections.abc import Mapping
from typing import Any

from accredit.wire.body import fold
from accredit.wire.errors import BAD_REQUEST, ApiError


class Fields:
    """A JSON object of a request. Names are matched without regard to case; ``null`` equals absent."""

    def __init__(self, value: Mapping[str, Any], place: str = "") -> None:
        self._values = fold(value)
        self._place = place

    def text(self, name: str, *, required: bool = False, most: int = 1024) -> str | None:
        """A string without the blanks around it; ``None`` where it is absent or empty.

        Raises ``ApiError`` (400 / 3000): it is required and missing, no string, longer than ``most`` characters, or not
        printable.
        """
        value = self._values.get(name.lower())
        if value is not None and not isinstance(value, str):
            raise self.refusal(name, "is not a string")
        value = (value or "").strip()
        if not value:
            if required:
                raise self.refusal(name, "is missing")
            return None
        if len(value) > most:
            raise self.refusal(name, f"is longer than {most} characters")
        if not value.isprintable():
            raise self.refusal(name, "has characters that are not printable")
        return value

    def required(self, name: str, *, most: int = 1024) -> str:
        """As :meth:`text`, for a property that must be there."""
        return self.text(name, required=True, most=most) or ""

    def object(self, name: str) -> "Fields":
        """An object that must be there. Raises ``ApiError`` (400 / 3000)."""
        found = self.optional(name)
        if found is None:
            raise self.refusal(name, "is missing")
        return found

    def optional(self, name: str) -> "Fields | None":
        """An object, or ``None`` where it is absent. Raises ``ApiError`` (400 / 3000) for anything else."""
        value = self._values.get(name.lower())
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.refusal(name, "is not an object")
        return Fields(value, f"{self._place}{name}.")

    def refusal(self, name: str, what: str) -> ApiError:
        """The error of a property."""
        return ApiError(BAD_REQUEST, f"The property {self._place}{name} {what}.")
