"""``python -m accredit``."""

from accredit.cli.main import main

main()
