"""Compare the app's use of Android's classes and members with the declarations of a recent Android.

The app is compiled against an old android.jar and our own stubs. This finds what that cannot: a stub that the real
platform lacks, a call that a later Android deprecated, a call that the oldest supported Android lacks.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from tools.android.classfile import ClassFile, Reference

DECLARATION = re.compile(r"(?:declare|export) (module|class|abstract class) ([\w.]+)(?:<.*?>)?(?: extends ([\w.$]+))?")
MEMBER = re.compile(r"public (?:static )?(?:abstract )?(?:readonly )?(\w+)(\(|[:<])?(.*)")
IMPLEMENTS = re.compile(r" implements (.*) \{")


@dataclass(frozen=True)
class Availability:
    """API levels from which a member exists, and from which it is deprecated. 0: always; None: never."""

    since: int = 0
    deprecated: int | None = None


@dataclass
class ApiClass:
    """A class of the platform. `members`: name and number of parameters (None: a field) to one entry per overload."""

    availability: Availability
    parents: list[str]
    members: dict[tuple[str, int | None], list[Availability]] = field(default_factory=dict)


Api = dict[str, ApiClass]
"""Class name, inner ones after a dot: android.os.Build.VERSION."""


def read_api(declarations: Path) -> Api:
    """The platform's classes, from its TypeScript declarations."""
    api: Api = {}
    stack: list[str | None] = []  # for each open brace the module or class, or None
    comment: list[str] = []
    for line in declarations.read_text().splitlines():
        line = line.strip()
        if line.startswith(("/**", "*")):
            comment.append(line)
            continue
        found = DECLARATION.match(line)
        inside = next((name for name in reversed(stack) if name is not None), "")
        if found and line.endswith("{"):
            name = f"{inside}.{found[2]}" if inside else found[2]
            if "class" in found[1]:
                parents = [found[3]] if found[3] else []
                if implemented := IMPLEMENTS.search(line):
                    parents += re.split(r", (?![^<]*>)", implemented[1])
                api[name] = ApiClass(_availability(comment), [re.sub(r"<.*", "", parent) for parent in parents])
            stack.append(name)
        else:
            member = MEMBER.match(line)
            if member and inside in api and (not stack or stack[-1] == inside):
                key = member[1], _parameters(line) if "(" in (member[2] or "") or _generic(member) else None
                api[inside].members.setdefault(key, []).append(_availability(comment))
            stack += [None] * (line.count("{") - line.count("}"))
            for _ in range(line.count("}") - line.count("{")):
                stack.pop()
        comment = []
    return api


def _generic(member: re.Match[str]) -> bool:
    return member[2] == "<" and "(" in member[3]


def _availability(comment: list[str]) -> Availability:
    text = " ".join(comment)
    since, deprecated = re.search(r"@since (\d+)", text), re.search(r"@deprecated Deprecated in API (\d+)", text)
    return Availability(int(since[1]) if since else 0, int(deprecated[1]) if deprecated else None)


def _parameters(line: str) -> int:
    """Number of parameters in `name(a: X<Y, Z>, b: (c, d) => void): T;`."""
    depth, count, empty = 0, 0, True
    for char in line[line.index("(") :].replace("=>", "  "):
        depth += (char in "(<[{") - (char in ")>]}")
        if depth == 0:
            break
        if depth == 1 and char == ",":
            count += 1
        elif char not in "( ":
            empty = False
    return 0 if empty else count + 1


def faults(classes: list[ClassFile], api: Api, minimum: int, target: int, guarded: set[str]) -> list[str]:
    """Uses of android.* in `classes` that are unknown, deprecated up to API `target`, or newer than API `minimum`.

    `guarded`: newer ones that the code uses only after a check of SDK_INT, as CLASS.member.
    """
    own = {one.name: one for one in classes}
    found = set()
    for one in classes:
        for reference, verb in [(r, "uses") for r in one.references] + [(r, "overrides") for r in one.declared]:
            owner = one.parent if verb == "overrides" else reference.owner
            while owner in own and not (verb == "uses" and _declares(owner, reference, own)):
                owner = own[owner].parent
            if owner is None or not owner.startswith("android/"):
                continue
            platform = owner.replace("/", ".").replace("$", ".")
            label = f"{platform}.{reference.name}"
            known = _lookup(reference, platform, api)
            if known and all(option.deprecated and option.deprecated <= target for option in known):
                found.add(f"{one.name} {verb} {label}, deprecated in API {known[0].deprecated}")
            elif verb == "overrides":
                continue
            elif not known:
                found.add(f"{one.name} uses {label}, which Android does not have")
            elif (since := min(option.since for option in known)) > minimum and label not in guarded:
                found.add(f"{one.name} uses {label}, which came with API {since}; the app runs on {minimum}")
    return sorted(found)


def _declares(name: str, reference: Reference, own: dict[str, ClassFile]) -> bool:
    """Whether our class, or one of our interfaces that it implements, has the member itself."""
    if name not in own:
        return False
    wanted = reference.name, reference.descriptor
    return any((r.name, r.descriptor) == wanted for r in own[name].declared) or any(
        _declares(interface, reference, own) for interface in own[name].interfaces
    )


def _lookup(reference: Reference, owner: str, api: Api) -> list[Availability]:
    """Each possible overload. Overloads of a class that came or was deprecated later inherit that."""
    platform = api.get(owner)
    if platform is None:
        return []
    name = "constructor" if reference.name == "<init>" else reference.name
    options = [
        Availability(
            max(option.since, platform.availability.since), option.deprecated or platform.availability.deprecated
        )
        for option in platform.members.get((name, reference.parameters), [])
    ]
    for parent in platform.parents:
        options += _lookup(reference, parent, api) if name != "constructor" else []
    return options
