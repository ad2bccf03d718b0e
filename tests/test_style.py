"""How our prose reads: the length of sentences, words nobody uses any more, and how much of it there is.

Documents, the docstrings of nelf/ and the help of its commands are held to all of it.
Messages, comments and configurations are held to the words.
"""

import ast
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean

import click
import pytest
import typer

from nelf.cli.main import app
from tests.test_repository import FILES, ROOT

MOST_WORDS_A_SENTENCE = 35
MEAN_WORDS_A_SENTENCE = 22
MOST_WORDS = 26_000
MOST_WORDS_OF_A_PAGE = {"docs/student.md": 1_200, "docs/gpu.md": 1_200}

FORBIDDEN = re.compile(
    r"\b(?:(?i:beside|such that|as far as|at hand|lest|hence|whoever|what is to be)|(?:is|are) none)\b".replace(
        " ",
        r"\s+(?:#\s+)?",  # a phrase goes on in the next line, of a comment too
    )
)  # "is None" is Python
ABBREVIATIONS = ("e.g.", "i.e.", "et al.", "vs.", "cf.", "approx.", "Fig.", "Eq.")

DOCUMENTS = [path for path in FILES if path.suffix == ".md"]
MODULES = [path for path in FILES if path.suffix == ".py" and path.is_relative_to(ROOT / "nelf")]
CONFIGS = [path for path in FILES if path.suffix == ".yaml" and path.is_relative_to(ROOT / "configs")]


@dataclass(frozen=True)
class Sentence:
    """A sentence and the line where it begins."""

    line: int
    text: str

    @property
    def words(self) -> int:
        return len(re.findall(r"\S*\w\S*", self.text))


def without(pattern: str, text: str, by: str = "", flags: re.RegexFlag = re.NOFLAG) -> str:
    """`text` with `by` for each match. The lines keep their numbers."""
    return re.sub(pattern, lambda match: match.expand(by) + "\n" * match[0].count("\n"), text, flags=flags)


def prose(markdown: str) -> str:
    """What is read as sentences, each line in its place. An inline code counts as one word."""
    text = without(r"^(```|~~~).*?^\1", markdown, flags=re.MULTILINE | re.DOTALL)
    text = without(r"(?:^|(?<=\n\n)) {4,}.*(?:\n+ {4,}.*)*", text)  # an indented block
    text = without(r"``?[^`]+``?", text, by="code")
    text = without(r"<!--.*?-->|</?[a-z][^>]*>|!\[[^\]]*\]\([^)]*\)", text, flags=re.DOTALL)
    text = without(r"\[([^\]]*)\]\([^)]*\)", text, by=r"\1")
    text = without(r"^ *(?:\||#{1,6} |:::).*$", text, flags=re.MULTILINE)  # tables, headings, directives
    text = without(r"^( *(?:[-*] )?)\*\*[^*]+[.:]\*\*", text, by=r"\1", flags=re.MULTILINE)  # a heading in the line
    return text.replace("**", "")


def sentences(markdown: str, first_line: int = 1) -> Iterator[Sentence]:
    """The sentences of a text in Markdown. An item of a list is at least one."""
    start, block = first_line, ""
    for number, line in enumerate([*prose(markdown).splitlines(), ""], first_line):
        item = re.match(r" *(?:[-*]|\d+\.) +", line)
        if item or not line.strip():
            yield from split(block, start)
            start, block = number, ""
        block += line[item.end() if item else 0 :] + "\n"


def split(block: str, line: int) -> Iterator[Sentence]:
    ends = [match.end() for match in re.finditer(r"[.!?][\"')\]*]*(?=\s)", block)]
    ends = [end for end in ends if not block[:end].endswith(ABBREVIATIONS)]
    for start, end in pairwise([0, *ends, len(block)]):
        text = block[start:end]
        if re.search(r"\w", text):
            before = block[:start] + text[: len(text) - len(text.lstrip())]
            yield Sentence(line + before.count("\n"), " ".join(text.split()))


def readable(source: str) -> str:
    """The strings and comments of Python, each in its line."""
    lines = [""] * (source.count("\n") + 1)
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}  # from 3.12 on
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in kinds:
            for number, line in enumerate(token.string.splitlines(), token.start[0] - 1):
                lines[number] += line + " "
    return "\n".join(lines)


def standing_strings(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of the docstrings of a module and of its fields."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, inspect.cleandoc(node.value.value)


def helps() -> Iterator[tuple[str, str]]:
    """(command, help) of every command, option and argument."""
    commands = [("nelf", typer.main.get_command(app))]
    for name, command in commands:
        yield name, command.help or ""
        for parameter in command.params:
            yield f"{name} {parameter.opts[0]}", getattr(parameter, "help", None) or ""
        if isinstance(command, click.Group):
            commands += [(f"{name} {inner}", value) for inner, value in command.commands.items()]


def too_long(name: str, found: list[Sentence]) -> list[str]:
    return [
        f"{name}:{sentence.line}: {sentence.words} words: {sentence.text}"
        for sentence in found
        if sentence.words > MOST_WORDS_A_SENTENCE
    ]


def forbidden(name: str, text: str) -> list[str]:
    lines = text.splitlines()
    numbers = [text.count("\n", 0, match.start()) for match in FORBIDDEN.finditer(text)]
    return [f"{name}:{number + 1}: {lines[number].strip()}" for number in numbers]


def none(problems: list[str]) -> None:
    assert not problems, "\n".join(problems)


def mean_words(found: list[Sentence]) -> float:
    return mean(sentence.words for sentence in found) if found else 0


def words(path: Path) -> int:
    return len(path.read_text().split())


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_a_page_reads_well(path: Path) -> None:
    found = list(sentences(path.read_text()))
    none(too_long(name_of(path), found) + forbidden(name_of(path), prose(path.read_text())))
    assert mean_words(found) <= MEAN_WORDS_A_SENTENCE


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_docstrings_read_well(path: Path) -> None:
    found = [sentence for line, text in standing_strings(path) for sentence in sentences(text, line)]
    none(too_long(name_of(path), found))
    assert mean_words(found) <= MEAN_WORDS_A_SENTENCE


@pytest.mark.parametrize("path", [*MODULES, *CONFIGS], ids=name_of)
def test_messages_and_comments_use_words_of_today(path: Path) -> None:
    text = path.read_text()
    none(forbidden(name_of(path), readable(text) if path.suffix == ".py" else text))


@pytest.mark.parametrize(("name", "text"), [pytest.param(*help_, id=help_[0]) for help_ in helps()])
def test_help_reads_well(name: str, text: str) -> None:
    found = list(sentences(inspect.cleandoc(text)))
    none(too_long(name, found) + forbidden(name, text))


def test_the_documents_are_short() -> None:
    assert sum(words(path) for path in DOCUMENTS) <= MOST_WORDS


@pytest.mark.parametrize(("name", "most"), MOST_WORDS_OF_A_PAGE.items())
def test_a_page_is_short(name: str, most: int) -> None:
    assert words(ROOT / name) <= most


PAGE = """# A heading of the page

First sentence, see `nelf run
x` and [a page](https://example.org). Second, by Cao et al.
2023, is here.

    code is not prose. At all.

- **Term.** One item
  of two lines.
- Another

| a table | is none |

```
lest
```
"""


def test_sentences_are_found_with_their_lines() -> None:
    assert [(sentence.line, sentence.text) for sentence in sentences(PAGE)] == [
        (3, "First sentence, see code and a page."),
        (4, "Second, by Cao et al. 2023, is here."),
        (9, "One item of two lines."),
        (11, "Another"),
    ]
    assert [sentence.words for sentence in sentences(PAGE)] == [7, 8, 5, 1]


def test_old_words_are_found() -> None:
    assert forbidden("x", "As\nfar as I see, besides\n# it is\n# none") == ["x:1: As", "x:3: # it is"]
    assert forbidden("x", prose(PAGE)) == []
    source = 'lest = "hence" if x is None else f"{least} where there is none"  # Whoever\n"""a\nlest"""\n'
    assert [hit.split(": ")[0] for hit in forbidden("x", readable(source))] == ["x:1", "x:1", "x:1", "x:3"]
