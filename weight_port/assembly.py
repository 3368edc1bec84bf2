"""Weights by name: the published files of a set downloaded, checked and merged, and the result kept in the cache."""

from collections.abc import Callable
from pathlib import Path

from mfst_jax.cache import cache_folder
from mfst_jax.checkpoints import known_weights
from mfst_jax.checkpoints.files import known_contents
from mfst_jax.checkpoints.known_weights import PUBLISHED, downloads_folder
from mfst_jax.errors import InputError
from mfst_jax.locks import exclusive
from weight_port import conversion, fetching
from weight_port.downloads import DownloadError, Progress, storing
from weight_port.problems import SourceError

Say = Callable[[str], None]
"""Callback that takes progress messages, a line each."""


def get(
    name: str,
    *,
    source: str | Path | None = None,
    progress: Progress = lambda done, total: None,
    say: Say = lambda line: None,
) -> Path:
    """Path of the checkpoint of a known set (`known_weights.KNOWN`), put together from published files if need be.

    The published files are removed then, but for those that `fetch` has put into the cache. The SE-blocks of this
    package are not in the checkpoint: `mfst_jax.load` attaches those of its own version.

    Args:
      name: of the set.
      source: where the files are instead of at their authors': the address of a folder on the web, or a folder on disk,
        which stays as it is. Pinned digests stay pinned.
      progress: is called as bytes of a file arrive.
      say: takes progress messages.

    Raises:
      InputError: there is no such set; a file cannot be had, is not what it should be, or does not go with the others;
        or the cache has no room or cannot be written to.
    """
    known = known_weights.find(name)
    path = known_weights.place(name)
    downloads = [downloads_folder() / PUBLISHED[what].name for what in known.sources]
    if known.packaged or (_is_there(name, say) and not any(file.exists() for file in downloads)):
        say(f"{name} is here already: nothing to download")
        return path
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        waiting = "another process is downloading weights: waiting for it"
        with exclusive(path.parent / ".lock", lambda: say(waiting)):
            if not _is_there(name, say):
                place = None if source is None else str(source)
                files = [_find(what, name, place, progress, say) for what in known.sources]
                try:
                    conversion.convert(files, path)
                except SourceError as error:
                    problem = "; ".join(error.problems[:2])
                    expected = "expected files that make up the set"
                    raise InputError(f"weights {name!r}: {expected}, found {problem}") from error
            for file in downloads:  # also what a process has left that was killed here
                file.unlink(missing_ok=True)
    return path


def _is_there(name: str, say: Say) -> bool:
    """Whether a set is here, and whole."""
    contents, problem = known_contents(name)
    if problem is not None:
        say(f"{known_weights.place(name)}: damaged, so it is put together again")
    return contents is not None


def _find(what: str, name: str, source: str | None, progress: Progress, say: Say) -> Path:
    """Path of one of the set's published files, on disk."""
    published, downloads = PUBLISHED[what], downloads_folder()
    if source is not None and "://" not in source:
        path = Path(source, published.name)
        if not path.is_file():
            names = ", ".join(PUBLISHED[each].name for each in known_weights.find(name).sources)
            raise InputError(f"{source}: expected a folder with the files {names}, found no {published.name}")
        say(f"taking {path}")
        fetching.check(path, published, record=False)
        return path
    fetched = cache_folder() / published.name
    if source is None and fetched.exists():
        say(f"taking {fetched}")
        return fetching.fetch(what)
    url = published.url if source is None else f"{source.rstrip('/')}/{published.name}"
    if not (downloads / published.name).exists():
        size = f" ({published.size / 1e6:.0f} MB)" if published.size else ""
        say(f"downloading {url}{size}")
    try:
        waiting = "another process is downloading it: waiting for it"
        return fetching.fetch(what, cache=downloads, url=url, progress=progress, waiting=lambda: say(waiting))
    except DownloadError as error:
        raise InputError(_how_else(name, error)) from error


def _how_else(name: str, error: DownloadError) -> str:
    names = " and ".join(PUBLISHED[what].name for what in known_weights.find(name).sources)
    return (
        f"weights {name!r}: expected to download {error.url}, found {error.found}; try again, or bring {names} in a "
        f"folder by other means (mfst weights lists their addresses): mfst weights get {name} --from FOLDER"
    )
