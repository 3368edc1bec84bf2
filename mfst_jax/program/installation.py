"""Packages that mfst_jax and its extras ask for, and which of them this installation has."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

PACKAGE = "mfst-jax"
"""Name of this project's package."""
_REQUIREMENT = re.compile(r"\s*([\w.-]+)\s*(?:\[([^\]]*)\])?\s*\(?([^;()]*)\)?\s*(?:;(.*))?")
_EXTRA = re.compile(r"""extra\s*==\s*["']([\w.-]+)["']""")


@dataclass(frozen=True)
class Requirement:
    """Requirement of a package: another package, in some versions.

    Attributes:
      name: Name of the package that is asked for.
      extras: Extras of that package that are asked for too.
      versions: Version specifier, such as `>=0.10,!=0.10.2`; empty for any version.
      extra: Extra that asks for it; None where it is always asked for.
      everywhere: Whether all platforms and all versions of Python need it.
    """

    name: str
    extras: tuple[str, ...]
    versions: str
    extra: str | None
    everywhere: bool = True

    @property
    def found(self) -> str | None:
        """Installed version; None where it is not installed."""
        return version(self.name)

    @property
    def is_met(self) -> bool:
        """Whether a suitable version is installed."""
        return self.found is not None and satisfies(self.found, self.versions)


def requirements(package: str = PACKAGE, *, everywhere: bool = True) -> list[Requirement]:
    """Requirements of an installed package.

    Args:
      package: the package.
      everywhere: whether to leave out those for some platforms or versions of Python alone.

    Raises:
      metadata.PackageNotFoundError: it is not installed.
    """
    found = []
    for line in metadata.requires(package) or ():
        match = _REQUIREMENT.fullmatch(line)
        if match is None:
            continue
        extras = tuple(extra.strip() for extra in (match[2] or "").split(",") if extra.strip())
        marker = (match[4] or "").strip("() ")
        extra = _EXTRA.search(marker)
        always = not marker or _EXTRA.fullmatch(marker) is not None
        found.append(Requirement(match[1], extras, match[3].strip(), extra and extra[1], always))
    return [each for each in found if each.everywhere or not everywhere]


def extras() -> list[str]:
    """Names of this package's extras."""
    return list(dict.fromkeys(each.extra for each in requirements() if each.extra))


def unmet(extra: str | None, package: str = PACKAGE) -> Iterator[Requirement]:
    """Requirements of a package that are missing or of an unsuitable version.

    Args:
      extra: the extra that asks for them; None for those that are always asked for.
      package: the package.
    """
    for requirement in requirements(package):
        if requirement.extra != extra:
            continue
        if not requirement.is_met:
            yield requirement
            continue
        for inner in requirement.extras:
            yield from unmet(inner, requirement.name)


def version(package: str) -> str | None:
    """Installed version of a package; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def satisfies(version: str, versions: str) -> bool:
    """Whether a version satisfies a specifier of clauses separated by commas. Only `>=`, `==` and `!=` restrict it."""
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
    """Leading numbers of a version, without zeros at the end: `0.12.0rc1` -> (0, 12)."""
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(number) for number in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
