"""References of compiled classes, read from their constant pools (JVM specification, chapter 4)."""

import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

UTF8, CLASS, STRING, FIELD, METHOD, INTERFACE_METHOD, NAME_AND_TYPE = 1, 7, 8, 9, 10, 11, 12
WIDE = {5, 6}  # long and double take two places
SIZES = {3: 4, 4: 4, 5: 8, 6: 8, CLASS: 2, STRING: 2, FIELD: 4, METHOD: 4, INTERFACE_METHOD: 4, NAME_AND_TYPE: 4} | {
    **{15: 3, 16: 2, 17: 4, 18: 4, 19: 2, 20: 2}  # method handles and types, dynamic calls, modules
}


@dataclass(frozen=True)
class Reference:
    """A field or method that some class uses. `descriptor` is the JVM's: (ILjava/lang/String;)V."""

    owner: str
    name: str
    descriptor: str

    @property
    def parameters(self) -> int | None:
        """Number of parameters of a method; None for a field."""
        if not self.descriptor.startswith("("):
            return None
        count, inside, at = 0, self.descriptor[1 : self.descriptor.index(")")], 0
        while at < len(inside):
            while inside[at] == "[":
                at += 1
            at = inside.index(";", at) + 1 if inside[at] == "L" else at + 1
            count += 1
        return count


@dataclass(frozen=True)
class ClassFile:
    """One class, its binary name with slashes: its own members, and everything it refers to."""

    name: str
    parent: str | None
    interfaces: list[str]
    declared: set[Reference]
    references: set[Reference]


def read_jar(jar: Path) -> list[ClassFile]:
    """The classes in `jar`."""
    with zipfile.ZipFile(jar) as archive:
        return [read_class(archive.read(name)) for name in archive.namelist() if name.endswith(".class")]


def read_class(data: bytes) -> ClassFile:
    """One .class file."""
    count = struct.unpack_from(">H", data, 8)[0]
    pool: dict[int, tuple[int, bytes]] = {}
    at, index = 10, 1
    while index < count:
        tag = data[at]
        size = 2 + int(struct.unpack_from(">H", data, at + 1)[0]) if tag == UTF8 else SIZES[tag]
        pool[index] = (tag, data[at + 1 : at + 1 + size])
        at += 1 + size
        index += 2 if tag in WIDE else 1

    def number(entry: bytes, place: int = 0) -> int:
        return int(struct.unpack_from(">H", entry, 2 * place)[0])

    def text(place: int) -> str:
        return pool[place][1][2:].decode("utf-8", "replace")

    def class_name(place: int) -> str:
        return text(number(pool[place][1]))

    references = set()
    for tag, entry in pool.values():
        if tag in (FIELD, METHOD, INTERFACE_METHOD):
            signature = pool[number(entry, 1)][1]
            references.add(Reference(class_name(number(entry)), text(number(signature)), text(number(signature, 1))))
    this, parent, interfaces = struct.unpack_from(">HHH", data, at + 2)
    at += 8
    names = [class_name(number(data[at + 2 * i :])) for i in range(interfaces)]
    at += 2 * interfaces
    declared = set()
    for _ in ("fields", "methods"):
        members = number(data[at:])
        at += 2
        for _ in range(members):
            name, descriptor, attributes = struct.unpack_from(">HHH", data, at + 2)
            declared.add(Reference(class_name(this), text(name), text(descriptor)))
            at += 8
            for _ in range(attributes):
                at += 6 + int(struct.unpack_from(">I", data, at + 2)[0])
    return ClassFile(class_name(this), class_name(parent) if parent else None, names, declared, references)
