#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Draws the curves of a result of compare.py as SVG: plot.py RESULT.json OUT.svg"""
import json
import math
import sys

WIDTH, HEIGHT, LEFT, TOP, GAP = 330, 240, 60, 40, 80
TITLES = {"trees": "trees (depth 6, 24 features, batch 256)", "depth": "depth (100 trees, 24 features, batch 256)",
          "features": "features (100 trees, depth 6, batch 256)", "batch": "batch (100 trees, depth 6, 24 features)"}
LINES = {"default": ("#1668b8", "weir"), "walk": ("#c05a1a", "weir, interleaved walk only"),
         "limit": ("#888888", "one byte compare a node, 64 rows an instruction, two a cycle at 3.2 GHz")}
LIMIT_NS_A_NODE = 1 / 64 / 2 / 3.2  # what an evaluator that compares bytes node by node cannot go below


def nodes(axis, at):
    trees = at if axis == "trees" else 100
    depth = at if axis == "depth" else 6
    return trees * (2 ** depth - 1)


def panel(axis, points, x0, y0):
    for point in points:
        point["limit"] = nodes(axis, point["at"]) * LIMIT_NS_A_NODE
    xs = [math.log2(p["at"]) for p in points]
    low = min(math.log10(p[k]) for p in points for k in LINES)
    high = max(math.log10(p[k]) for p in points for k in LINES)
    low, high = math.floor(low), math.ceil(high)

    def place(x, y):
        return (x0 + (x - xs[0]) / (xs[-1] - xs[0]) * WIDTH, y0 + HEIGHT - (math.log10(y) - low) / (high - low) * HEIGHT)

    out = [f'<text x="{x0}" y="{y0 - 12}" font-weight="bold">{TITLES[axis]}</text>',
           f'<rect x="{x0}" y="{y0}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#bbb"/>']
    for power in range(low, high + 1):
        y = place(xs[0], 10.0 ** power)[1]
        out.append(f'<line x1="{x0}" y1="{y:.1f}" x2="{x0 + WIDTH}" y2="{y:.1f}" stroke="#e4e4e4"/>'
                   f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0 ** power:g} ns</text>')
    for x, point in zip(xs, points):
        out.append(f'<text x="{place(x, 10.0 ** low)[0]:.1f}" y="{y0 + HEIGHT + 16}" text-anchor="middle">{point["at"]}</text>')
    for key, (colour, _) in LINES.items():
        line = " ".join("{:.1f},{:.1f}".format(*place(x, p[key])) for x, p in zip(xs, points))
        dash = ' stroke-dasharray="5 4"' if key == "limit" else ""
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
    return out


def main():
    with open(sys.argv[1]) as file:
        report = json.load(file)
    step_x, step_y = WIDTH + GAP, HEIGHT + GAP
    out = ['<!-- SPDX-License-Identifier: BSD-2-Clause -->',
           f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + 2 * step_x}" height="{TOP + 2 * step_y + 40}" '
           'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>']
    for i, axis in enumerate(TITLES):
        out += panel(axis, report["curves"][axis], LEFT + i % 2 * step_x, TOP + i // 2 * step_y)
    x = LEFT
    for colour, label in LINES.values():
        y = TOP + 2 * step_y
        out.append(f'<line x1="{x}" y1="{y}" x2="{x + 24}" y2="{y}" stroke="{colour}" stroke-width="2"/>'
                   f'<text x="{x + 30}" y="{y + 4}">{label}</text>')
        x += 60 + 6 * len(label)
    out.append(f'<text x="{LEFT}" y="{TOP + 2 * step_y + 24}">CPU time a row, one thread, {report["date"]}, '
               f'{report["machine"]["cpu"]}</text></svg>')
    with open(sys.argv[2], "w") as file:
        file.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
