"""The accounts of one process, those not used lately dropped. Pure, as ``limits.rules`` is."""

from collections.abc import Callable, Sequence

from accredit.limits.models import Key, Use
from accredit.limits.rules import WINDOW, Account

Debts = Sequence[tuple[Key, Use]]


class Ledger:
    """At most about ``most`` accounts, in two generations: whoever is used moves to the young one.

    The older generation is dropped when the young one is full or a minute old. ``on_drop`` gets the uses, reported by
    nobody, of the accounts that go too soon.
    """

    def __init__(self, most: int, on_drop: Callable[[Debts], None]) -> None:
        self._half = max(most // 2, 1)
        self._on_drop = on_drop
        self._young: dict[Key, Account] = {}
        self._old: dict[Key, Account] = {}
        self._turned = 0.0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def account(self, key: Key, now: float) -> Account:
        """The account of ``key``; a new one if there is none."""
        account = self._young.get(key)
        if account is None:
            if len(self._young) >= self._half or now - self._turned >= WINDOW:
                self._turn(now)
            account = self._old.pop(key) if key in self._old else Account()
            self._young[key] = account
        return account

    def debts(self, now: float) -> Debts:
        """The uses of all accounts that were not reported and still count."""
        return _debts(self._young, now) + _debts(self._old, now)

    def _turn(self, now: float) -> None:
        dropped, self._old, self._young = self._old, self._young, {}
        # An account that awaits the database's answer stays the one that gets it.
        for key, account in dropped.items():
            if account.asking:
                self._old[key] = account
        too_soon, self._turned = now - self._turned < WINDOW, now
        if too_soon and (debts := _debts(dropped, now)):
            self._on_drop(debts)


def _debts(accounts: dict[Key, Account], now: float) -> list[tuple[Key, Use]]:
    return [(key, use) for key, account in accounts.items() if not account.asking for use in account.unreported(now)]
