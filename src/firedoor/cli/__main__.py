"""``python -m firedoor.cli``."""

from firedoor.cli.main import main

main()
