# SPDX-License-Identifier: BSD-2-Clause
"""What was measured, as a table for a terminal, and as one HTML file that needs nothing else (and a PNG of its bars)."""
import html
import shutil
import subprocess

from . import captures

WEIR_COLOUR, PEER_COLOUR = "#0072b2", "#e69f00"


def verdict(value, goal, less_is_better):
    if goal is None:
        return ""
    met = value is not None and (value <= goal if less_is_better else value >= goal)
    return f"{'at most' if less_is_better else 'at least'} {goal}: {'met' if met else 'missed'}"


def table(results):
    """Rows of (what, weir, peer, ratio, goal)."""
    rows = []
    for r in results.get("line", []):
        if "left_out" in r:
            rows.append((r["name"], "", "", "left out", r["left_out"]))
            continue
        unit, scale = ("us", 1) if r["less_is_better"] else ("Mpps", 1e-6)
        rows.append((r["name"], f"{r['weir']['median'] * scale:.2f} {unit}", f"{r['peer']['median'] * scale:.2f} {unit}",
                     f"{r['ratio']:.2f}" if r["ratio"] else "none", verdict(r["ratio"], r["goal"], r["less_is_better"])))
    if "replay" in results:
        rates = {r["name"]: r["packets_per_s"]["median"] for r in results["replay"]["rows"] if "packets_per_s" in r}
        ours = rates[captures.JUDGED.format(0)]
        goals = {captures.JUDGED.format(0): (4, "Mpps"), captures.NOT_STEERED: (20, "Mpps"), "suricata, one rule": (10, "times")}
        for r in results["replay"]["rows"]:
            name = "replay: " + r["name"]
            if "left_out" in r:
                rows.append((name, "", "", "left out", r["left_out"]))
                continue
            mine = r["name"].startswith("weir")
            rate, ratio = rates[r["name"]] * 1e-6, ours / rates[r["name"]]
            goal, unit = goals.get(r["name"], (None, ""))
            rows.append((name, f"{rate if mine else ours * 1e-6:.2f} Mpps", "" if mine else f"{rate:.2f} Mpps",
                         "" if mine else f"{ratio:.2f}",
                         verdict(rate if mine else ratio, goal, False) + (f" ({unit})" if goal else "")))
    for r in results.get("limits", []):
        rows.append((r["name"], "", "", "left out", r["left_out"]) if "left_out" in r else
                    (r["name"], f"{r['value']:.2f} {r['unit']}", "", "", verdict(r["value"], r["goal"], r["less_is_better"])))
    return rows


def bars(results):
    """One SVG: the pairs, weir above its peer, each pair on its own scale."""
    measured = [r for r in results.get("line", []) if "left_out" not in r]
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="960" height="{len(measured) * 46 + 30}" font-family="sans-serif" '
           'font-size="12"><rect width="100%" height="100%" fill="#fff"/>']
    for number, r in enumerate(measured):
        top = number * 46 + 20
        most = max(r["weir"]["max"], r["peer"]["max"]) or 1
        out.append(f'<text x="8" y="{top}">{html.escape(r["name"])}: {r["ratio"] or 0:.2f}</text>')
        for row, (s, colour) in enumerate(((r["weir"], WEIR_COLOUR), (r["peer"], PEER_COLOUR))):
            y = top + 5 + row * 12
            x = lambda value: 8 + value / most * 900
            out.append(f'<rect x="8" y="{y}" width="{x(s["median"]) - 8:.1f}" height="10" fill="{colour}"/>'
                       f'<line x1="{x(s["min"]):.1f}" x2="{x(s["max"]):.1f}" y1="{y + 5}" y2="{y + 5}" stroke="#000" stroke-width="2"/>')
    return "".join(out) + "</svg>"


def curve(name, found):
    """One SVG: ns a packet over what is varied, evenly spaced."""
    points = [p for p in found["points"] if p.get("ns")]
    most = max((p["ns"] for p in points), default=1)
    place = lambda i, p: (60 + i * 300 / max(len(points) - 1, 1), 150 - p["ns"] / most * 120)
    line = " ".join("{:.1f},{:.1f}".format(*place(i, p)) for i, p in enumerate(points))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="420" height="190" font-family="sans-serif" font-size="11"><text x="8" y="14">'
           f'{html.escape(name)}: ns a packet</text><polyline points="{line}" fill="none" stroke="{WEIR_COLOUR}" stroke-width="2"/>']
    for i, p in enumerate(points):
        x, y = place(i, p)
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{WEIR_COLOUR}"/>'
                   f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle">{p["ns"]:.0f}</text>'
                   f'<text x="{x:.1f}" y="170" text-anchor="middle">{p["at"]:,}</text>')
    return "".join(out) + "</svg>"


def page(results):
    machine = results["machine"]
    out = ["<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>weir: figures</title>",
           "<style>body{font:14px sans-serif;margin:2em;max-width:80em}td,th{padding:.3em .8em;text-align:left;"
           "border-bottom:1px solid #ccc;vertical-align:top}</style>",
           f"<h1>weir beside its peers, {results['date']}</h1>",
           f"<p>{html.escape(machine['cpu'])}, {machine['cores']} cores, kernel {machine['kernel']}. Medians of {results['rounds']} "
           "alternating rounds; the black lines are the spread; blue is weir. Ratios are what to take from it.</p>",
           "<table><tr><th>what<th>weir<th>peer<th>ratio<th>goal</tr>"]
    out += ["<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in row) + "</tr>" for row in table(results)]
    out += ["</table>", bars(results)]
    if "growth" in results:
        out.append("<h2>How the cost grows</h2>" + "".join(curve(*item) for item in results["growth"].items()))
    out.append("<h2>Commands</h2><p>")
    for r in results.get("line", []):
        out += [f"<code>line {html.escape(c)}</code><br>" for c in r.get("commands", [])]
    return "\n".join(out) + "</html>\n"


def write_png(results, path):
    """The bars as PNG, where rsvg-convert (librsvg2-bin) is installed; False where it is not."""
    if not shutil.which("rsvg-convert"):
        return False
    subprocess.run(["rsvg-convert", "-o", str(path)], input=bars(results).encode(), check=True)
    return True
