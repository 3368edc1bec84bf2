"""`tools/versions.py`: which tests it runs, and what it makes of their reports."""

import importlib
import json
import sys
import tomllib
from pathlib import Path

from mfst_jax.jax_release import BAD_RELEASES

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

versions = importlib.import_module("versions")

REPORT = """<testsuites><testsuite>
<testcase classname="a" name="one"><properties>
<property name="largest difference of boxes" value="2e-06"/></properties></testcase>
<testcase classname="a" name="two"><properties>
<property name="largest difference of boxes" value="3e-06"/></properties></testcase>
<testcase classname="a" name="three"><skipped/></testcase>
<testcase classname="a" name="four"><failure/></testcase>
</testsuite></testsuites>"""


def test_the_numerics_come_first_and_every_test_is_in_one_group():
    groups = versions.groups(ROOT, None)
    assert groups[0] == "tests/parity/test_golden_case.py"
    assert versions.groups(ROOT, "numerics") == groups[: len(versions.groups(ROOT, "numerics"))]
    for file in (ROOT / "tests").rglob("test_*.py"):
        path = file.relative_to(ROOT).as_posix()
        assert sum(path == group or path.startswith(f"{group}/") for group in groups) == 1, path


def test_the_table_counts_and_takes_the_largest_difference(tmp_path: Path):
    found = {"python": "3.11.7", **dict.fromkeys(versions.PACKAGES, "1")}
    (tmp_path / "oldest.json").write_text(json.dumps(found))
    (tmp_path / "oldest.results").mkdir()
    (tmp_path / "oldest.results" / "tests.test_a.py.xml").write_text(REPORT)
    *_, row, failure = versions.table(tmp_path)
    assert row.endswith("| 2 | 1 | 1 | 3.0e-06 | - |")
    assert failure == "oldest: tests.test_a.py: a four"


def test_the_environments_are_the_pythons_that_we_name_and_a_jaxlib_that_is_refused():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {line.rsplit(" ", 1)[1] for line in project["classifiers"] if line.startswith("Programming Language :: Py")}
    assert {each.python for each in versions.ENVIRONMENTS.values()} == named
    assert versions.ENVIRONMENTS["oldest"].python == project["requires-python"].removeprefix(">=")
    assert versions.ENVIRONMENTS["forbidden"].forced[1].removeprefix("jaxlib==") in BAD_RELEASES
