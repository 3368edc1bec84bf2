"""What an installation has of what packages ask for, from their metadata."""

from importlib import metadata

import pytest

from mfst_jax.program import installation
from mfst_jax.program.installation import Requirement, extras, requirements, satisfies, unmet

REQUIRES = {
    "mfst-jax": [
        "jax!=0.10.2,!=0.11.0,>=0.10",
        "numpy >= 2.0",
        'av>=17; extra == "video"',
        'jax[cuda12]; extra == "cuda12"',
        "mfst-jax[video]; extra == 'test'",
        "pytest (>=8.3); extra == 'test'",
        'winlib>=1; sys_platform == "win32"',
    ],
    "jax": ['jax-cuda12-plugin[with-cuda]<=0.12,>=0.11; extra == "cuda12"', "scipy>=1.13"],
    "jax-cuda12-plugin": ['nvidia-cublas-cu12; extra == "with-cuda"'],
}
INSTALLED = {"jax": "0.10.1", "numpy": "1.26.4", "jax-cuda12-plugin": "0.11.0", "pytest": "9.0"}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name not in INSTALLED:
            raise metadata.PackageNotFoundError(name)
        return INSTALLED[name]

    monkeypatch.setattr(metadata, "requires", lambda name: REQUIRES.get(name))
    monkeypatch.setattr(metadata, "version", version)


def test_requirements_are_read():
    assert requirements()[:3] == [
        Requirement("jax", (), "!=0.10.2,!=0.11.0,>=0.10", None),
        Requirement("numpy", (), ">= 2.0", None),
        Requirement("av", (), ">=17", "video"),
    ]
    assert requirements()[3] == Requirement("jax", ("cuda12",), "", "cuda12")
    assert requirements()[5] == Requirement("pytest", (), ">=8.3", "test")
    assert len(requirements()) == 6  # without what Windows alone needs
    assert extras() == ["video", "cuda12", "test"]


def test_what_is_missing_or_unsuitable_is_named():
    (numpy,), (av,) = unmet(None), unmet("video")
    assert (numpy.name, numpy.versions, numpy.found) == ("numpy", ">= 2.0", "1.26.4")
    assert (av.name, av.versions, av.found) == ("av", ">=17", None)


def test_extras_of_extras_are_looked_into():
    assert [each.name for each in unmet("cuda12")] == ["nvidia-cublas-cu12"]


def test_an_extra_of_this_package_is_looked_into(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(INSTALLED, "mfst-jax", "0.1.0")
    assert [each.name for each in unmet("test")] == ["av"]


@pytest.mark.parametrize(
    ("version", "versions", "expected"),
    [
        ("1.0", "", True),
        ("1.10", ">=1.9", True),
        ("1.8.9", ">=1.9", False),
        ("2", ">=2.0.0", True),
        ("2.0.0", "==2", True),
        ("2.0.1", "==2", False),
        ("2.0.1", "==2.*", True),
        ("0.10.2", ">=0.10,!=0.10.2", False),
        ("0.10.2.1", ">=0.10,!=0.10.2", True),
        ("0.12.0rc1", ">=0.12", True),
        ("3", "!=3.*", False),
        ("3", "<2", True),
    ],
)
def test_versions_are_compared(version: str, versions: str, expected: bool):
    assert satisfies(version, versions) is expected


def test_what_is_not_installed_has_no_version():
    assert installation.version("av") is None
    assert installation.version("jax") == "0.10.1"
