"""Draws docs/images/architecture.svg from the import table of tests/test_imports.py: python -m tools.docs.architecture

Packages are boxes in layers; an arrow leads from a package to one that it may import. Drawing layers: Sugiyama et al.,
Methods for Visual Understanding of Hierarchical System Structures, 1981.
"""

import itertools
from collections.abc import Iterator, Mapping
from html import escape

from tools.setting_up import ROOT

PICTURE = ROOT / "docs" / "images" / "architecture.svg"
WHAT = {
    "cli": "the command line",
    "pipeline": "configuration, runs, stages",
    "fit": "a student for a device",
    "benchmark": "how fast a bundle is",
    "export": "student to bundles",
    "bundle": "manifest, files, checks",
    "compatibility": "will the phone take it?",
    "distill": "pseudo views",
    "train": "trains the student",
    "capture": "raw photos, video",
    "teacher": "NeRFs",
    "student": "neural light fields",
    "evaluate": "metrics, report",
    "scene": "photos with poses",
    "kernels": "fast operations",
    "runtime": "executes model files",
    "viewer": "shows bundles",
    "core": "errors, files, settings, cameras, devices; every package may import it",
}
"""Package -> what is in it, in a few words."""

WIDTH, HEIGHT = 168, 48  # of a box
GAP, LANE = 24, 28  # between boxes; the room of an arrow that passes a layer
ROW = 104  # from one layer to the next
MARGIN = 16

Edge = tuple[str, str]
Node = str | tuple[str, str, int]
"""A package, or the place where the arrow (from, to) passes a layer."""


def arrows(table: Mapping[str, frozenset[str]]) -> dict[Edge, bool]:
    """(package, what it may import) -> whether all of it. An arrow that a longer way implies is left out."""
    found: dict[Edge, bool] = {}
    for package, targets in table.items():
        for target in targets:
            edge = package, target.partition(".")[0]
            found[edge] = found.get(edge, False) or "." not in target
    return {edge: whole for edge, whole in found.items() if not is_implied(edge, whole, found)}


def is_implied(edge: Edge, whole: bool, edges: Mapping[Edge, bool]) -> bool:
    """Whether other arrows lead there too. For a whole package, arrows that stand for whole packages."""

    def reaches(start: str) -> bool:
        onward = [to for (source, to), all_of_it in edges.items() if source == start and (all_of_it or not whole)]
        return any(to == edge[1] or reaches(to) for to in onward if (start, to) != edge)

    return reaches(edge[0])


def layers_of(edges: Mapping[Edge, bool], packages: list[str]) -> dict[str, int]:
    """Package -> its layer, counted from below: one above the highest that it imports."""

    def layer(package: str) -> int:
        return max((layer(to) + 1 for source, to in edges if source == package), default=0)

    return {package: layer(package) for package in packages}


def chains(edges: Mapping[Edge, bool], layer: Mapping[str, int]) -> dict[Edge, list[Node]]:
    """Each arrow as the nodes that it visits, one a layer."""
    return {(a, b): [a, *((a, b, height) for height in range(layer[a] - 1, layer[b], -1)), b] for a, b in sorted(edges)}


class Layout:
    """Where each node stands. rows: from below, each from left to right. x: of a node's middle."""

    def __init__(self, edges: Mapping[Edge, bool], packages: list[str]) -> None:
        self.layer = layers_of(edges, packages)
        self.chains = chains(edges, self.layer)
        self.links = [pair for chain in self.chains.values() for pair in itertools.pairwise(chain)]
        self.rows: list[list[Node]] = [[] for _ in range(max(self.layer.values()) + 1)]
        for package in packages:
            self.rows[self.layer[package]].append(package)
        for chain in self.chains.values():
            for node in chain[1:-1]:
                self.rows[node[2]].append(node)  # type: ignore[arg-type]
        self.order()
        self.x = self.place()

    def crossings(self) -> int:
        """How often two arrows cross."""
        at = {node: index for row in self.rows for index, node in enumerate(row)}
        height = {node: number for number, row in enumerate(self.rows) for node in row}
        pairs = itertools.combinations(self.links, 2)
        return sum(height[a] == height[c] and (at[a] - at[c]) * (at[b] - at[d]) < 0 for (a, b), (c, d) in pairs)

    def length(self) -> float:
        """How far arrows go sideways, in boxes: decides between orders with as many crossings."""
        middle = {node: index - (len(row) - 1) / 2 for row in self.rows for index, node in enumerate(row)}
        return sum(abs(middle[a] - middle[b]) for a, b in self.links)

    def order(self) -> None:
        """Move single nodes within their rows while that helps."""
        best = (self.crossings(), self.length())
        improved = True
        while improved:
            improved = False
            for row in self.rows:
                for source, target in itertools.permutations(range(len(row)), 2):
                    row.insert(target, row.pop(source))
                    cost = (self.crossings(), self.length())
                    if cost < best:
                        best, improved = cost, True
                    else:
                        row.insert(source, row.pop(target))

    def place(self) -> dict[Node, float]:
        """Each node above the middle of its neighbours, as far as its row has room there."""
        near: dict[Node, list[Node]] = {node: [] for row in self.rows for node in row}
        for a, b in self.links:
            near[a].append(b)
            near[b].append(a)
        x = {node: index * (WIDTH + GAP) for row in self.rows for index, node in enumerate(row)}
        for _ in range(100):
            for row in self.rows:
                wanted = [sum(x[n] for n in near[node]) / len(near[node]) if near[node] else x[node] for node in row]
                x.update(zip(row, spread(wanted, [half(node) for node in row]), strict=True))
        left = min(x[node] - half(node) for node in x)
        return {node: round(value - left + MARGIN) for node, value in x.items()}


def half(node: Node) -> float:
    """Half of the room that a node takes in its row."""
    return (WIDTH + GAP) / 2 if isinstance(node, str) else LANE / 2


def spread(wanted: list[float], halves: list[float]) -> list[float]:
    """The nearest places (least squares) that keep the order and do not overlap: pool adjacent violators."""
    offsets = [0.0, *itertools.accumulate(a + b for a, b in itertools.pairwise(halves))]
    blocks: list[list[float]] = []  # sum and number of the places that have to move together
    for value, offset in zip(wanted, offsets, strict=True):
        blocks.append([value - offset, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, number = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += number
    starts = [total / number for total, number in blocks for _ in range(int(number))]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]


def draw(table: Mapping[str, frozenset[str]]) -> str:
    """The picture, as SVG."""
    edges = arrows(table)
    layout = Layout(edges, sorted(table))
    top = len(layout.rows) - 1
    width = round(max(layout.x[node] + half(node) for node in layout.x)) + MARGIN
    height = 2 * MARGIN + len(layout.rows) * ROW + HEIGHT

    def y(node: Node) -> float:
        return MARGIN + HEIGHT / 2 + (top - (layout.layer[node] if isinstance(node, str) else node[2])) * ROW

    def lines() -> Iterator[str]:
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'font-family="system-ui, -apple-system, Helvetica, Arial, sans-serif" text-anchor="middle">'
        )
        yield "<title>Packages of nelf: an arrow leads to what a package may import</title>"
        yield (
            '<defs><marker id="head" viewBox="0 0 10 10" refX="10" refY="5" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0 1 L10 5 L0 9 z" fill="#546e7a"/></marker></defs>'
        )
        yield f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
        for edge, chain in layout.chains.items():
            way = path([(layout.x[node], y(node)) for node in chain])
            dashes = "" if edges[edge] else ' stroke-dasharray="5 4"'
            yield f'<path d="{way}" fill="none" stroke="#546e7a"{dashes} marker-end="url(#head)"/>'
        for package in sorted(table):
            yield from box(package, layout.x[package], y(package), WIDTH)
        yield from box("core", width / 2, height - MARGIN - HEIGHT / 2, width - 2 * MARGIN)
        yield "</svg>"

    return "\n".join(lines()) + "\n"


def path(points: list[tuple[float, float]]) -> str:
    """From the lower edge of the first box, past the places between, to the upper edge of the last one."""
    (x, y), *between, (end_x, end_y) = points
    stops = [(x, y + HEIGHT / 2)]
    for middle_x, middle_y in between:
        stops += [(middle_x, middle_y - HEIGHT / 2), (middle_x, middle_y + HEIGHT / 2)]
    stops.append((end_x, end_y - HEIGHT / 2))
    text = f"M{stops[0][0]:g} {stops[0][1]:g}"
    for number, ((ax, ay), (bx, by)) in enumerate(itertools.pairwise(stops)):
        bend = (ay + by) / 2
        text += f" L{bx:g} {by:g}" if number % 2 else f" C{ax:g} {bend:g} {bx:g} {bend:g} {bx:g} {by:g}"
    return text


def box(package: str, x: float, y: float, width: float) -> Iterator[str]:
    yield (
        f'<rect x="{x - width / 2:g}" y="{y - HEIGHT / 2:g}" width="{width:g}" height="{HEIGHT}" rx="6" '
        'fill="#e8f0fe" stroke="#3f51b5"/>'
    )
    yield f'<text x="{x:g}" y="{y - 4:g}" font-size="15" font-weight="600" fill="#1a237e">{package}</text>'
    yield f'<text x="{x:g}" y="{y + 14:g}" font-size="12" fill="#37474f">{escape(WHAT[package])}</text>'


def picture() -> str:
    """Of the table as it is, without the module that `python -m nelf` runs."""
    from tests.test_imports import STAGES

    return draw({package: targets for package, targets in STAGES.items() if package != "__main__"})


if __name__ == "__main__":
    PICTURE.write_text(picture())
