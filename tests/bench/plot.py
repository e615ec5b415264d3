"""Horizontal bars as SVG, plain enough to be read as text and on a dark page."""

import os
from html import escape

ROW, LEFT, WIDTH = 34, 150, 720


def bars(folder, name, title, values):
    """Writes FOLDER/NAME.svg: one bar a value, the longest over the whole width."""
    most, height = max(values.values()), 50 + ROW * len(values)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
             f'aria-label="{escape(title)}" font-family="sans-serif" font-size="14">',
             f"<title>{escape(title)}</title>",
             f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
             f'<text x="12" y="26" font-weight="bold" fill="#222">{escape(title)}</text>']
    for row, (label, value) in enumerate(values.items()):
        y, long = 42 + ROW * row, round((WIDTH - LEFT - 110) * value / most)
        lines += [f'<text x="{LEFT - 10}" y="{y + 16}" text-anchor="end" fill="#222">{escape(label)}</text>',
                  f'<rect x="{LEFT}" y="{y}" width="{long}" height="22" rx="2" fill="#3b6ea5"/>',
                  f'<text x="{LEFT + long + 8}" y="{y + 16}" fill="#222">{value:,.0f}</text>']
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name + ".svg"), "w", encoding="utf-8") as file:
        file.write("\n".join([*lines, "</svg>"]) + "\n")
