"""One self-contained HTML page to scrub through a tracked video: `mfst track --page` and `mfst view`."""

from mfst_jax.page.pictures import MOST_MAPS
from mfst_jax.page.writer import PageTarget, PageWriter

__all__ = ["MOST_MAPS", "PageTarget", "PageWriter"]
