"""A bar chart as SVG, in light and dark surroundings alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

#: Pixels: of the names, of the longest bar, of a row, between groups.
NAMES, BAR, ROW, GAP = 270, 380, 18, 30
#: Multiples of the floor beyond which bars are cut off.
MOST = 10.0
COLOURS = {"floor": "#8a8f98", "ours": "#1f7a4d"}


def draw(groups: Mapping[str, Sequence[tuple[str, float]]]) -> str:
    """A group of bars per key: names and lengths, 1 being the floor."""
    longest = min(MOST, max([value for bars in groups.values() for _, value in bars] or [1]))
    y, parts = 10, []
    for title, bars in groups.items():
        y += GAP
        parts.append(f'<text x="0" y="{y - 8}" font-weight="bold">{escape(title)}</text>')
        for name, value in bars:
            width = BAR * min(value, longest) / longest
            colour = COLOURS.get(name.split(",")[0], "#6d8fc7")
            parts.append(f'<text x="{NAMES - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
            parts.append(f'<rect x="{NAMES}" y="{y + 2}" width="{width:.1f}" height="{ROW - 4}" fill="{colour}"/>')
            parts.append(f'<text x="{NAMES + width + 5:.1f}" y="{y + 13}">{value:.2f}</text>')
            y += ROW
    style = 'font-family="sans-serif" font-size="12" fill="#57606a"'
    size = f'width="{NAMES + BAR + 60}" height="{y + 10}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n' + "\n".join(parts) + "\n</svg>\n"
