"""Prints docs/settings.md, made from the settings' own declarations."""

from accredit.settings import Settings

INTRODUCTION = """# Settings

Every setting is an environment variable; those that a person would give by hand are options of the commands, too
(`accredit serve --help`), and the option wins. Lists are separated by commas. This page is made by
`scripts/settings_table.py`; a test keeps it true.

| variable | default | meaning |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = []
    for name, setting in Settings.model_fields.items():
        default = setting.get_default(call_default_factory=True)
        shown = ",".join(default) if isinstance(default, list) else str(default).lower()
        cell = f"`{shown}`" if default not in (None, []) else ""
        rows.append(f"| `ACCREDIT_{name.upper()}` | {cell} | {setting.description} |")
    return INTRODUCTION + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(page(), end="")
