"""What several commands take."""

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import UseAppendAction

File = Annotated[Path | None, tyro.conf.arg(metavar="PATH")]
Settings = Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], tyro.conf.arg(metavar="KEY=VALUE")]
"""Every `--set` with all that follows it."""


def in_turn(settings: tuple[tuple[str, ...], ...]) -> list[str]:
    """The settings of a command line one after the other, as `config.override` reads them."""
    return [setting for group in settings for setting in group]
