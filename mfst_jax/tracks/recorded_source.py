"""The source whose frames a table of boxes is about: where its record says, or where the caller does."""

from pathlib import Path

from mfst_jax.errors import InputError
from mfst_jax.media.source import Source
from mfst_jax.media.sources import open_source
from mfst_jax.tracks.files import Record, read_record, record_path


def open_frames(table: Path, source: str | None = None) -> Source:
    """Source of the frames that a table of boxes is about.

    Args:
      table: the table, as `mfst track --boxes` writes it.
      source: where its frames are; by default where the record beside the table says.

    Raises:
      InputError: the frames are not known, not there any more, or of another size than the record says.
    """
    return open_recorded(table, read_record(table), source, option="source")


def locate_source(table: Path, record: Record | None, *, option: str = "--source") -> str:
    """Path of the source of a table, by its record.

    Args:
      table: the table.
      record: its record; None where it has none.
      option: what the error names as the way to say where the frames are.

    Raises:
      InputError: there is no record, or the frames came live.
    """
    if record is None:
        where = record_path(table)
        raise InputError(f"{option}: expected where the frames of {table} are, as {where} is not there, found none")
    if (found := record.locate(table)) is None:
        raise InputError(f"{option}: expected where the frames of {table} are, as they came live, found none")
    return found


def open_recorded(table: Path, record: Record | None, source: str | None = None, *, option: str = "--source") -> Source:
    """Source of the frames of a table.

    Args:
      table: the table.
      record: its record; None where it has none.
      source: where the frames are; by default where the record says.
      option: what the error names as the way to say where the frames are.

    Raises:
      InputError: the frames are not known, not there any more, or of another size than the record says.
    """
    if source is not None:
        opened = open_source(source)
    else:
        found = locate_source(table, record, option=option)
        try:
            opened = open_source(found)
        except InputError as error:
            raise InputError(f"{option}: expected where the frames of {table} are now, found none; {error}") from None
    if record is not None and opened.size != record.size:
        (height, width), (found_height, found_width) = record.size, opened.size
        raise InputError(
            f"source {opened.name}: expected frames of {width}x{height} pixels, as {table} is about, "
            f"found {found_width}x{found_height}"
        )
    return opened
