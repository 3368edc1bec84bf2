"""What several commands take."""

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import UseAppendAction

File = Annotated[Path | None, tyro.conf.arg(metavar="PATH")]
Settings = Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], tyro.conf.arg(metavar="KEY=VALUE")]
"""Every `--set` with all that follows it; `config.override` reads them one after the other."""
