"""The files around the code: change log, citation, hooks, templates, release steps, and the links between pages."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from code_blocks import PAGES, ROOT, package, prose

import mfst_jax

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINKED = [*PAGES, *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "RELEASE.md", "SECURITY.md"))]
GROUPS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """What a link may name behind `#`: headings in small letters, without punctuation, with hyphens for spaces; ids."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_a_page_links_to_files_and_headings_that_are_there(page: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not target.startswith(("http://", "https://")):
            name, _, anchor = target.partition("#")
            found = (page.parent / name).resolve() if name else page
            assert found.exists(), target
            assert not anchor or anchor in anchors(found), target
            # What is installed lies elsewhere, where neither the site nor a reader of these pages finds it.
            assert found.relative_to(ROOT.resolve()).parts[0] not in {"mfst_jax", "train", "weight_port"}, target


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_lines_are_as_short_as_those_of_the_code(page: Path):
    """All but rows of tables and tags, which cannot be broken."""
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 120 and not line.lstrip().startswith(("|", "<"))] == []


def test_the_vot_toolkits_entry_in_the_docs_is_the_packages():
    entry = "\n".join(
        line
        for line in (package("mfst_jax") / "evaluation" / "trackers.ini").read_text().splitlines()
        if line[:1] != "#"
    )
    assert entry in "\n".join(line[4:] for line in read("docs/toolkits.md").splitlines())


def test_the_change_log_begins_with_what_is_unreleased_and_keeps_to_its_groups():
    titles = re.findall(r"^## (.+)$", read("CHANGELOG.md"), re.MULTILINE)
    assert titles[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", title) for title in titles[1:])
    for section in re.split(r"^## .+$", read("CHANGELOG.md"), flags=re.MULTILINE)[1:]:
        groups = re.findall(r"^### (.+)$", section, re.MULTILINE)
        assert groups == [group for group in GROUPS if group in groups]


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["version"] == mfst_jax.__version__
    assert citation["abstract"] == PROJECT["description"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]
    (paper,) = citation["references"]
    assert paper["title"] in read("README.md")
    for author in paper["authors"]:
        assert f"{author['given-names']} {author['family-names']}" in " ".join(read("README.md").split())


def test_hooks_download_nothing_and_run_what_the_extra_dev_brings():
    (repository,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert repository["repo"] == "local"
    extra = [re.split(r"[\[>=<]", each)[0] for each in PROJECT["optional-dependencies"]["dev"]]
    assert "pre-commit" in extra
    assert [hook["entry"].split()[:2] for hook in repository["hooks"]] == [
        ["ruff", "check"],
        ["ruff", "format"],
        ["pyrefly", "check"],
    ]
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].split()[0] in extra


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda path: path.stem
)
def test_an_issue_template_asks_something_and_names_its_fields_once(path: Path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= form.keys()
    names = [field["id"] for field in form["body"]]
    assert len(set(names)) == len(names) > 0
    assert any(field.get("validations", {}).get("required") for field in form["body"])
    assert all(field["type"] in ("input", "textarea") and field["attributes"]["label"] for field in form["body"])


def test_release_steps_name_what_there_is():
    steps = read("RELEASE.md")
    assert "mfst_jax-VERSION" in steps
    packages = tomllib.loads(read("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packages == ["mfst_jax", "weight_port"]  # and no module called `train`
    assert all(f"`{folder}/`" in steps for folder in packages)
    assert "[project.urls]" in steps or "urls" in PROJECT  # no public address is known yet
    for name in ("mfst_jax/version.py", "CITATION.cff", "CHANGELOG.md", "mfst_jax/assets/demo.mp4", ".ci/run"):
        assert name in steps
        assert (package("mfst_jax").parent / name if name.startswith("mfst_jax/") else ROOT / name).is_file()
