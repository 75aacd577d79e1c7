# SPDX-License-Identifier: BSD-2-Clause
"""What was measured, as a table for a terminal, and as one HTML file that needs nothing else (and a PNG of its pictures)."""
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


CURVE_WIDTH, CURVE_HEIGHT = 470, 210


def curve(name, found):
    """One SVG: ns a packet over what is varied, evenly spaced; medians, and least and most as whiskers. The second line is orange."""
    points = [p for p in found["points"] if "ns" in p]
    most = max((p[of]["max"] for p in points for of in ("ns", "beside_ns") if of in p), default=1)
    x = lambda i: 50 + i * (CURVE_WIDTH - 100) / max(len(points) - 1, 1)
    y = lambda ns: 170 - ns / most * 115
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{CURVE_WIDTH}" height="{CURVE_HEIGHT}" font-family="sans-serif" font-size="11">'
           f'<rect width="100%" height="100%" fill="#fff"/><text x="8" y="14" font-size="10">{html.escape(name)}</text>'
           f'<text x="8" y="30" fill="{WEIR_COLOUR}">ns a packet</text>']
    if found["beside"]:
        out.append(f'<text x="90" y="30" fill="{PEER_COLOUR}">{html.escape(found["beside"])}</text>')
    out.append(f'<line x1="30" x2="{CURVE_WIDTH - 20}" y1="170" y2="170" stroke="#999"/>')
    for of, other, colour in (("beside_ns", "ns", PEER_COLOUR), ("ns", "beside_ns", WEIR_COLOUR)):
        line = [(x(i), p[of], p.get(other)) for i, p in enumerate(points) if of in p]
        path = " ".join(f"{at:.1f},{y(s['median']):.1f}" for at, s, _ in line)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for at, s, beside in line:
            aside = 14 if beside and s["median"] < beside["median"] else -8
            middle = y(s["median"])
            out.append(f'<path d="M{at:.1f} {y(s["min"]):.1f}V{y(s["max"]):.1f}M{at - 4:.1f} {y(s["min"]):.1f}h8M{at - 4:.1f} {y(s["max"]):.1f}h8" '
                       f'stroke="{colour}"/><circle cx="{at:.1f}" cy="{middle:.1f}" r="3" fill="{colour}"/>'
                       f'<text x="{at + 6:.1f}" y="{middle + aside:.1f}" fill="{colour}">{s["median"]:.0f}</text>')
    out += [f'<text x="{x(i):.1f}" y="185" text-anchor="middle">{p["at"]:,}</text>' for i, p in enumerate(points)]
    out.append(f'<text x="{CURVE_WIDTH / 2}" y="201" text-anchor="middle">{html.escape(found["of"])}</text>')
    return "".join(out) + "</svg>"


def growth_lines(results):
    """Each curve in a line: value, median and, in brackets, least and most; what stands beside it behind a stroke."""
    told = lambda s: f"{s['median']:,.0f} ({s['min']:,.0f}-{s['max']:,.0f})"
    for name, found in results.get("growth", {}).items():
        cells = [f"{p['at']:,}: " + (p["left_out"] if "left_out" in p else
                                     told(p["ns"]) + (" / " + told(p["beside_ns"]) if "beside_ns" in p else ""))
                 for p in found["points"]]
        yield f"{name}{', / ' + found['beside'] if found['beside'] else ''}, ns a packet: " + "; ".join(cells)


def page(results):
    machine = results["machine"]
    out = ["<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>weir: figures</title>",
           "<style>body{font:14px sans-serif;margin:2em;max-width:80em}td,th{padding:.3em .8em;text-align:left;"
           "border-bottom:1px solid #ccc;vertical-align:top}</style>",
           f"<h1>weir beside its peers, {results['date']}</h1>",
           f"<p>{html.escape(machine['cpu'])}, {machine['cores']} cores, kernel {machine['kernel']}. Medians of alternating "
           "rounds; the black lines are the spread; blue is weir. Ratios, medians of those of each pair of runs, are what to take from it.</p>",
           "<table><tr><th>what<th>weir<th>peer<th>ratio<th>goal</tr>"]
    out += ["<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in row) + "</tr>" for row in table(results)]
    out += ["</table>", bars(results)]
    if "growth" in results:
        out.append("<h2>How the cost grows</h2><p>ns a packet: medians of alternating passes, with the least and the most.</p>" + "".join(curve(*item) for item in results["growth"].items()))
    out.append("<h2>Commands</h2><p>")
    for r in results.get("line", []):
        out += [f"<code>line {html.escape(c)}</code><br>" for c in r.get("commands", [])]
    return "\n".join(out) + "</html>\n"


def picture(results):
    """One SVG: the bars, and below them the curves, two in a row."""
    measured = sum("left_out" not in r for r in results.get("line", []))
    bars_height = measured * 46 + 30 if measured else 0
    found = list(results.get("growth", {}).items())
    height = bars_height + (len(found) + 1) // 2 * CURVE_HEIGHT
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="960" height="{height or 1}"><rect width="100%" height="100%" fill="#fff"/>']
    if measured:
        out.append(bars(results))
    for number, item in enumerate(found):
        at = f'x="{number % 2 * 480}" y="{bars_height + number // 2 * CURVE_HEIGHT}"'
        out.append(curve(*item).replace("<svg ", f"<svg {at} ", 1))
    return "".join(out) + "</svg>"


def write_png(results, path):
    """Bars and curves as PNG, where rsvg-convert (librsvg2-bin) is installed; False where it is not."""
    if not shutil.which("rsvg-convert"):
        return False
    subprocess.run(["rsvg-convert", "-o", str(path)], input=picture(results).encode(), check=True)
    return True
