"""What this installation has of the packages that mfst_jax asks for: its own, and those of its extras."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

PACKAGE = "mfst-jax"
"""What this project is called where packages are installed from."""
_REQUIREMENT = re.compile(r"\s*([\w.-]+)\s*(?:\[([^\]]*)\])?\s*\(?([^;()]*)\)?\s*(?:;(.*))?")
_EXTRA = re.compile(r"""\s*extra\s*==\s*["']([\w.-]+)["']\s*""")


@dataclass(frozen=True)
class Requirement:
    """A package that another one asks for.

    Attributes:
      extras: Which extras of that package are asked for too.
      versions: Such as `>=0.10,!=0.10.2`; empty for any.
      extra: The extra that asks for it; None where it is always asked for.
    """

    name: str
    extras: tuple[str, ...]
    versions: str
    extra: str | None

    @property
    def found(self) -> str | None:
        """Which version is installed; None where none is."""
        return version(self.name)

    @property
    def is_met(self) -> bool:
        """Whether a version is installed that will do."""
        return self.found is not None and satisfies(self.found, self.versions)


def requirements(package: str = PACKAGE) -> list[Requirement]:
    """All that an installed package asks for; what it asks for on some platforms alone is left out.

    Raises:
      metadata.PackageNotFoundError: it is not installed.
    """
    found = []
    for line in metadata.requires(package) or ():
        match = _REQUIREMENT.fullmatch(line)
        marker = match and match[4] and _EXTRA.fullmatch(match[4].strip("() "))
        if match and (marker or not match[4]):
            extras = tuple(extra.strip() for extra in (match[2] or "").split(",") if extra.strip())
            found.append(Requirement(match[1], extras, match[3].strip(), marker[1] if marker else None))
    return found


def extras() -> list[str]:
    """The names of this package's extras."""
    return list(dict.fromkeys(each.extra for each in requirements() if each.extra))


def unmet(extra: str | None, package: str = PACKAGE) -> Iterator[Requirement]:
    """What is missing, or of an unsuitable version, of what a package asks for: always (None), or for an extra."""
    for requirement in requirements(package):
        if requirement.extra != extra:
            continue
        if not requirement.is_met:
            yield requirement
            continue
        for inner in requirement.extras:
            yield from unmet(inner, requirement.name)


def version(package: str) -> str | None:
    """Which version of a package is installed; None where none is."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def satisfies(version: str, versions: str) -> bool:
    """Whether `versions`, clauses apart by commas, allows a version. Clauses but `>=`, `==` and `!=` allow all."""
    numbers = _release(version)
    for clause in filter(None, (part.strip() for part in versions.split(","))):
        match = re.fullmatch(r"(>=|==|!=)\s*([\w.]+?)(\.\*)?", clause)
        if match is None:
            continue
        bound = _release(match[2])
        equal = numbers[: len(bound)] == bound if match[3] else numbers == bound
        if not {">=": numbers >= bound, "==": equal, "!=": not equal}[match[1]]:
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    """`0.12.0rc1` -> (0, 12): the leading numbers, without zeros at the end."""
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(number) for number in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
