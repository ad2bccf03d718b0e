"""Builds the site: python -m tools.docs

Gathers the pages in build/pages, which has the repository's folders so that links stay as they are, and lets MkDocs
build build/site from them. A dead link or a page that the navigation lacks is an error: exit code 1.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tools.docs.reference import pages
from tools.setting_up import ROOT

PAGES = ROOT / "build" / "pages"
LINK = re.compile(r"\]\(([^):#]+)(?:#[^)]*)?\)")


def nav_pages(nav: list) -> list[str]:
    """The pages that the `nav` of mkdocs.yml names, in its order."""
    found = []
    for entry in nav:
        inside = [entry] if isinstance(entry, str) else [page for part in entry.values() for page in nav_pages(part)]
        found += inside
    return found


def navigation() -> list[str]:
    return nav_pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])


def generated() -> dict[str, str]:
    """Path -> text of the pages that the repository does not hold."""
    from nelf.pipeline.settings_page import as_markdown

    return {"docs/settings.md": as_markdown(), **pages()}


def linked_files(page: str, text: str) -> set[Path]:
    """The files, other than pages, that a page shows or leads to."""
    found = {(ROOT / page).parent / link for link in LINK.findall(text)}
    return {path.resolve() for path in found if path.is_file() and path.suffix != ".md"}


def gather(folder: Path) -> None:
    """Every page of the site in `folder`, with the files that they link to."""
    shutil.rmtree(folder, ignore_errors=True)
    made = generated()
    texts = {page: (ROOT / page).read_text() for page in navigation() if page not in made and (ROOT / page).is_file()}
    for page, text in {**texts, **made}.items():
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        (folder / page).write_text(text)
        for file in linked_files(page, text):
            copy = folder / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)


def main() -> int:
    gather(PAGES)
    return subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
