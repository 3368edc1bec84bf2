"""`mfst doctor --licences`: every package that is needed, through others too, with the licence that it says it has."""

import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest

from mfst_jax import cli
from mfst_jax.checkpoints.known_weights import PUBLISHED
from mfst_jax.program import installation, licences


def install(folder: Path, name: str, requires: Sequence[str] = (), fields: str = "", text: str | None = None) -> None:
    """An installed package, as far as its metadata go."""
    info = folder / f"{name.replace('-', '_')}-1.2.dist-info"
    info.mkdir(parents=True)
    lines = [f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.2", *([fields] if fields else [])]
    lines += [f"Requires-Dist: {each}" for each in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    record = [f"{info.name}/METADATA,,"]
    if text is not None:
        (info / "licenses").mkdir()
        (info / "licenses" / "LICENSE.txt").write_text(text)
        record.append(f"{info.name}/licenses/LICENSE.txt,,")
    (info / "RECORD").write_text("\n".join(record) + "\n")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that goes before all others: mfst-jax, and what it needs there."""
    folder = tmp_path / "site"
    monkeypatch.syspath_prepend(str(folder))
    requires = [
        "zz-always",
        "zz-some[more]; extra == 'some'",
        "mfst-jax[some]; extra == 'all'",
        "zz-far; extra == 'far'",
    ]
    install(folder, "mfst-jax", [*requires, "zz-only-there; sys_platform == 'nowhere'"], "License-Expression: 0BSD")
    install(folder, "zz-always", ["zz_Through.it>=1"], "License-Expression: MIT", "all of it")
    install(folder, "zz-through-it", fields="License: Apache 2.0\nClassifier: License :: OSI Approved :: BSD License")
    install(folder, "zz-some", ["zz-silent; extra == 'more'", "zz-other; extra == 'unasked'"], "License: UNKNOWN")
    install(folder, "zz-silent")
    return folder


def test_what_is_needed_is_found_through_others_and_through_extras(installed: Path):
    found = {each.name: each for each in licences.needed()}
    assert list(found) == ["zz-always", "zz-far", "zz-silent", "zz-some", "zz-through-it"]
    assert {name: each.extras for name, each in found.items()} == {
        "zz-always": (),
        "zz-far": ("far",),
        "zz-silent": ("some", "all"),
        "zz-some": ("some", "all"),
        "zz-through-it": (),
    }
    assert found["zz-always"].version == "1.2"
    assert found["zz-always"].licence == "MIT"
    (text,) = found["zz-always"].files
    assert Path(text).read_text() == "all of it"
    assert found["zz-through-it"].licence == "Apache 2.0"
    assert (found["zz-far"].version, found["zz-far"].licence) == (None, None)


def test_what_one_platform_needs_counts_where_it_is_installed(installed: Path):
    install(installed, "zz-only-there", fields="License-Expression: Zlib")
    assert {each.name: each.licence for each in licences.needed()}["zz-only-there"] == "Zlib"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: BSD", "MIT OR Apache-2.0"),
        ("License: BSD 3-Clause\nClassifier: License :: OSI Approved :: BSD License", "BSD 3-Clause"),
        (
            "License: =====\n        The Terms\n        Redistribution and use\n"
            "Classifier: License :: OSI Approved :: MIT License\nClassifier: License :: Public Domain",
            "MIT License or Public Domain",
        ),
        ("License: ===\n        Apache License\n        Version 2.0", "Apache License"),
        ("License: UNKNOWN", None),
        ("", None),
    ],
)
def test_a_licence_is_what_the_metadata_say(tmp_path: Path, fields: str, expected: str | None):
    install(tmp_path, "zz-one", fields=fields)
    (package,) = metadata.distributions(path=[str(tmp_path)])
    assert licences.licence_of(package) == expected


def test_what_is_unknown_is_named_and_fails(installed: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["doctor", "--licences"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mfst_jax 1.2: 0BSD"
    assert [line.split() for line in lines if line.startswith("  zz-")] == [
        ["zz-always", "1.2", "MIT"],
        ["zz-silent", "1.2", "some,", "all", "UNKNOWN"],
        ["zz-some", "1.2", "some,", "all", "UNKNOWN"],
        ["zz-through-it", "1.2", "Apache", "2.0"],
    ]
    assert lines[-2:] == [
        "unknown: zz-silent, zz-some",
        "not installed, so not known, as is what they need: zz-far",
    ]
    assert cli.main(["doctor", "--licences", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["unknown"], found["not_installed"]) == (["zz-silent", "zz-some"], ["zz-far"])


def test_without_metadata_of_this_package_nothing_is_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(installation, "PACKAGE", "zz-not-installed")
    assert cli.main(["doctor", "--licences"]) == 1
    assert "not installed as a package" in capsys.readouterr().out


def test_all_that_is_installed_here_has_a_licence_and_what_is_always_needed_is_under_no_gpl(
    capsys: pytest.CaptureFixture[str],
):
    status = cli.main(["doctor", "--licences", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert status == int(bool(found["unknown"]))
    extras = {each["name"]: each["extras"] for each in found["packages"]}
    # Some PyTorch brings a package of NVIDIA's, cuda-toolkit, whose metadata name no licence.
    assert not [name for name in found["unknown"] if extras[name] != ["parity"]]
    always = {each["name"]: each["licence"] for each in found["packages"] if not each["extras"]}
    assert {"jax", "jaxlib", "flax", "numpy", "orbax-checkpoint", "tensorstore"} <= always.keys()
    assert not {name: licence for name, licence in always.items() if "GPL" in licence or "GNU" in licence}
    assert found["weights"].keys() == PUBLISHED.keys()


def test_what_ffmpeg_says_of_itself_is_told(monkeypatch: pytest.MonkeyPatch):
    core = pytest.importorskip("av._core")
    meta = {"libavcodec": {"license": "GPL version 2 or later", "configuration": "--enable-gpl --enable-libx264"}}
    monkeypatch.setattr(core, "library_meta", meta)
    assert licences._ffmpeg() == ("FFmpeg: GPL version 2 or later", "libx264: GPL-2.0-or-later")
    monkeypatch.delattr(core, "library_meta")
    assert licences._ffmpeg() == ("FFmpeg, whose licence this PyAV does not say",)
