"""A map of England in tiles: one square an authority, in blocks by region.

Authorities differ a hundredfold in area; on a true map London's would be specks. The blocks stand
roughly where the regions lie, and within a block authorities go by name: positions inside a region
mean nothing. The first group is plain; tiles of further groups are framed and lettered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sos_analysis.charts import drawings as d
from sos_analysis.charts.svg import CLASSES, Canvas, colour, wrap
from sos_analysis.disclosure.safe import Cell, SafeFigure
from sos_analysis.formats import number, quantity

_COLUMNS = 18  # of the wide map
_GAP = 2.0
#: Region: column, band from the north, width of its block.
_BLOCKS: Mapping[str, tuple[int, int, int]] = {
    "North East": (9, 0, 4),
    "North West": (2, 1, 6),
    "Yorkshire and The Humber": (9, 1, 6),
    "West Midlands": (2, 2, 5),
    "East Midlands": (8, 2, 4),
    "East of England": (13, 2, 4),
    "South West": (0, 3, 5),
    "London": (6, 3, 7),
    "South East": (14, 3, 4),
}
_LONDON = ("Inner London", "Outer London")
_FRAMES = ("", "", "4 2", "1 2")


@dataclass(frozen=True)
class _Tile:
    row: int
    name: str
    value: Cell
    group: int
    letter: str


def draw(figure: SafeFigure, size: d.Size) -> Canvas:
    """The whole map, its key above it."""
    names = d.series_names(figure)
    blocks = _blocks(figure, names)
    limits = _limits(figure)
    step = size.width / (8 if size.narrow else _COLUMNS)
    high = step * 0.78
    key = _key(figure, names, limits, blocks)
    head = size.line + 4 if figure.origin == "synthetic" else 0
    top = head + _key_height(key, size)
    places, bottom = _places(blocks, size, step, high, top)
    c = Canvas(size.width, bottom)
    if figure.origin == "synthetic":
        c.text(4, size.font, d.MADE_UP, size.font, bold=True, colour=colour("muted"),
               role="sos-made-up")  # fmt: skip
    _draw_key(c, key, size, head)
    for region, tiles in blocks.items():
        left, y, wide = places[region]
        lines = wrap(region, size.width - left * step - 4, size.font - 1)
        for k, line in enumerate(lines[:1]):
            c.text(left * step, y + size.font + k * size.line, line, size.font - 1, bold=True)
        for i, tile in enumerate(tiles):
            x = (left + i % wide) * step
            _draw_tile(c, figure, tile, limits, x, y + size.line + 4 + i // wide * high, step, high,
                       size)  # fmt: skip
    return c


def _blocks(figure: SafeFigure, names: tuple[str, ...]) -> dict[str, list[_Tile]]:
    """Tiles by region, north to south; authorities by name, letters in the order of names."""
    data = figure.data
    groups = [0] * len(data.rows)
    if names != ("",):
        groups = [names.index(str(v)) for v in data.values("series")]
    marked = sorted((data.text(i, "label"), i) for i, g in enumerate(groups) if g)
    letters = {i: _letter(k) for k, (_, i) in enumerate(marked)}
    found: dict[str, list[_Tile]] = {}
    for i, value in enumerate(data.values("value")):
        region = data.text(i, "region")
        region = "London" if region in _LONDON else region
        tile = _Tile(i, data.text(i, "label"), value, groups[i], letters.get(i, ""))
        found.setdefault(region, []).append(tile)
    order = {name: k for k, name in enumerate(_BLOCKS)}
    known = sorted(found, key=lambda r: (order.get(r, len(order)), r))
    return {r: sorted(found[r], key=lambda t: (t.name, t.row)) for r in known}


def _letter(k: int) -> str:
    return chr(65 + k) if k < 26 else f"{chr(64 + k // 26)}{chr(65 + k % 26)}"


def _limits(figure: SafeFigure) -> list[float]:
    """Upper ends of the classes: fifths of the authorities, rounded as the values are shown."""
    values = sorted(v for v in figure.data.values("value") if not isinstance(v, str))
    if not values:
        return []
    cut = [values[min(len(values) - 1, len(values) * k // 5)] for k in range(1, 5)]
    ends = [round(float(v), figure.options.decimals) for v in cut]
    return sorted({*ends, float(values[-1])})


def _class(value: float, limits: list[float]) -> str:
    at = next((i for i, limit in enumerate(limits) if value <= limit), len(limits) - 1)
    # Fewer classes than five take the darker shades, so that they stay apart.
    return CLASSES[min(at + len(CLASSES) - len(limits), len(CLASSES) - 1)]


_Key = list[tuple[str, str, str]]  # (kind, what is drawn, words)


def _key(
    figure: SafeFigure,
    names: tuple[str, ...],
    limits: list[float],
    blocks: Mapping[str, list[_Tile]],
) -> _Key:
    o = figure.options
    key: _Key = [("words", "", d.axis_words(o))]
    values = [v for v in figure.data.values("value") if not isinstance(v, str)]
    low = float(min(values, default=0))
    for limit in limits:
        upto = quantity(limit, "", o.decimals)
        words = upto if low == limit else f"{number(low, o.decimals)} to {upto}"
        key.append(("class", _class(limit, limits), words))
        low = limit + 10.0**-o.decimals
    if len(values) < len(figure.data.rows):
        key.append(("none", "", "no figure given"))
    for group, name in enumerate(names):
        if group:
            tiles = sorted(
                (t.name, t.letter) for ts in blocks.values() for t in ts if t.group == group
            )
            key.append(("frame", str(group), f"{name}: " +
                        "; ".join(f"{letter} {who}" for who, letter in tiles)))  # fmt: skip
    return key


def _lines(words: str, size: d.Size) -> list[str]:
    return wrap(words, size.width - 44, size.font - 1)


def _key_height(key: _Key, size: d.Size) -> float:
    swatches = [k for k in key if k[0] in ("class", "none")]
    rows = -(-len(swatches) // _across(size))
    long = sum(len(_lines(words, size)) for kind, _, words in key if kind in ("frame", "words"))
    return (rows + long) * (size.line + 4) + 10


def _across(size: d.Size) -> int:
    return 2 if size.narrow else 5


def _draw_key(c: Canvas, key: _Key, size: d.Size, top: float) -> None:
    font, line = size.font - 1, size.line + 4
    y, column = top + size.font, 0
    wide = (size.width - 8) / _across(size)
    for kind, what, words in key:
        if kind in ("class", "none"):
            x = 6 + column * wide
            c.rect(x, y - 13, 22, 16, colour(what or "muted"), outline=kind == "none")
            c.text(x + 28, y, words, font)
            column += 1
            if column == _across(size):
                y, column = y + line, 0
            continue
        if column:
            y, column = y + line, 0
        if kind == "frame":
            c.frame(7.5, y - 12, 20, 14, 2.5, _FRAMES[int(what)])
        for text in _lines(words, size):
            c.text(36 if kind == "frame" else 6, y, text, font,
                   colour=colour("muted" if kind == "words" else "ink"))  # fmt: skip
            y += line


def _places(
    blocks: Mapping[str, list[_Tile]], size: d.Size, step: float, high: float, top: float
) -> tuple[dict[str, tuple[int, float, int]], float]:
    """Column, top and width of each block, and the height of it all."""
    head = size.line + 4
    found: dict[str, tuple[int, float, int]] = {}
    if size.narrow:
        y = top
        for region, tiles in blocks.items():
            found[region] = (0, y, 8)
            y += head + -(-len(tiles) // 8) * high + 10
        return found, y
    bands: dict[int, float] = {}
    for region, tiles in blocks.items():
        band, wide = _BLOCKS[region][1:] if region in _BLOCKS else (9, _COLUMNS)
        bands[band] = max(bands.get(band, 0.0), head + -(-len(tiles) // wide) * high + 12)
    starts, y = {}, top
    for band in sorted(bands):
        starts[band] = y
        y += bands[band]
    for region, tiles in blocks.items():
        if region in _BLOCKS:
            left, band, wide = _BLOCKS[region]
            found[region] = (left, starts[band], wide)
        else:
            found[region] = (0, y, _COLUMNS)
            y += head + -(-len(tiles) // _COLUMNS) * high + 12
    return found, y


def _draw_tile(
    c: Canvas,
    figure: SafeFigure,
    tile: _Tile,
    limits: list[float],
    x: float,
    y: float,
    step: float,
    high: float,
    size: d.Size,
) -> None:
    wide, tall = step - _GAP, high - _GAP
    given = not isinstance(tile.value, str)
    tint = colour(_class(float(tile.value), limits)) if given else colour("muted")
    names = d.series_names(figure)
    shown = figure.data.text(tile.row, "value")
    words = [tile.name, names[tile.group]] if tile.group else [tile.name]
    o = figure.options
    told = quantity(float(tile.value), o.unit, o.decimals) if given else "no figure given"
    c.rect(x, y, wide, tall, tint, outline=not given, tip=f"{', '.join(words)}: {told}",
           data=shown if given else "")  # fmt: skip
    if tile.group:
        # Paper under ink: the frame shows on the darkest shade too.
        c.frame(x + 1.5, y + 1.5, wide - 3, tall - 3, 5, tint=colour("paper"))
        c.frame(x + 1.5, y + 1.5, wide - 3, tall - 3, 2.5, _FRAMES[tile.group])
    if tile.letter:
        font, middle = size.font - 1, x + wide / 2
        room = 10.0 if len(tile.letter) == 1 else 15.0
        c.rect(middle - room, y + tall / 2 - 9, 2 * room, 18, colour("paper"))
        c.text(middle, y + tall / 2 + font * 0.35, tile.letter, font, anchor="middle", bold=True)
