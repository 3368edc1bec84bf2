"""Pages to scrub through a tracked video, each one self-contained HTML file: `mfst track --page` and `mfst view`."""

from mfst_jax.page.pictures import MOST_MAPS
from mfst_jax.page.writer import PageTarget, PageWriter

__all__ = ["MOST_MAPS", "PageTarget", "PageWriter"]
