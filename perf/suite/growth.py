# SPDX-License-Identifier: BSD-2-Clause
"""How weir's cost grows, and the figures that have a goal but no peer."""
import json
import os
import statistics
import subprocess
import tempfile

from . import MODEL, SHADOW, WEIR, captures
from .pairs import lossless_rate, run_line

UMEM_bytes = 8192 * 4096  # the lab's frames of a channel
MIB = 1 << 20
BLOCK_RUNS = 9


def ns(result, of="sent_per_s"):
    return 1e9 / result[of] if result[of] else None


def on_the_line(packets):
    """Curve -> (what is varied, its unit, value -> arguments)."""
    n = f"packets={packets}"
    some = f"packets={packets // 10}"
    return {
        "not steered, by blocks in the map": ("blocks", {
            b: ["weir", "udp", n, f"blocks={b}", "toml=[tables];blocks_max=1048576"] for b in (0, 1_000, 10_000, 100_000, 1_000_000)}),
        "not steered, by bytes of the frame": ("bytes", {b: ["weir", "udp", n, f"bytes={b}"] for b in (64, 256, 512, 1024, 1500)}),
        "a blocked source dropped, by prefixes on the allowlist (looked up for a source that a block is of)": ("prefixes", {
            p: ["weir", "ssdp", n, "blocks=1", "toml=[allow];prefixes=["
                + ",".join(f'"10.{i // 256}.{i % 256}.0/24"' for i in range(p)) + "]"]
            for p in (0, 100, 1_000, 4_000)}),
        "a blocked source dropped, by blocks in the map": ("blocks", {
            b: ["weir", "ssdp", n, f"blocks={b}", f"sources={b}", "toml=[tables];blocks_max=1048576"]
            for b in (1, 1_000, 10_000, 100_000)}),
        "judged and forwarded, by sources": ("sources", {
            s: ["weir", "ssdp", some, f"sources={s}", SHADOW] for s in (1, 1_000, 100_000, 1_000_000)}),
        "judged and forwarded, by workers": ("workers", {
            w: ["weir", "ssdp", some, "sources=200", SHADOW + f";[workers];count={w}"] for w in (0, 1, 2, 4)}),
    }


def replay_curves(packets, say):
    with tempfile.TemporaryDirectory() as folder:
        capture, shadow = os.path.join(folder, "c.pcap"), os.path.join(folder, "s.toml")
        captures.synth(capture, "reflection", packets)
        with open(shadow, "w", encoding="utf-8") as file:
            file.write(f'[model]\npath = "{MODEL}"\n[policy]\nmode = "shadow"\n')
        found = {}
        for what, values in (("workers", (0, 1, 2, 4)), ("channels", (1, 2, 4, 8))):
            points = []
            for value in values:
                say(f"replay, every packet judged, {what}={value}")
                ran = subprocess.run([WEIR, "replay", capture, "-c", shadow, "--json", f"--{what}", str(value)], check=True,
                                     capture_output=True, text=True)
                points.append({"at": value, "ns": json.loads(ran.stdout)["ns_per_packet"]})
            found[f"replay, every packet judged, by {what}"] = {"of": what, "points": points}
    return found


def curves(packets, say):
    found = {}
    for name, (what, points) in on_the_line(packets).items():
        found[name] = {"of": what, "points": []}
        for value, arguments in points.items():
            say(f"{name}: {value}")
            result, trouble = run_line(arguments)
            found[name]["points"].append({"at": value, "left_out": trouble} if result is None else
                                         {"at": value, "ns": ns(result, "delivered_per_s" if "judged" in name else "sent_per_s")})
    return found | replay_curves(packets // 5, say)


def limits(packets, say):
    """Figures against a goal of their own: {name, value, unit, goal, less_is_better}, or {name, left_out}."""
    rows = []

    def add(name, unit, goal, value, less_is_better=True, command=""):
        rows.append({"name": name, "unit": unit, "goal": goal, "value": value, "less_is_better": less_is_better, "command": command})

    attack = ["weir", "ssdp", "packets=2000000", "rate=1000000", "sources=10000"]
    times, trouble = [], None  # a run has one block, of all sources' victim
    for number in range(BLOCK_RUNS):
        say(f"time to block: run {number + 1} of {BLOCK_RUNS}")
        result, trouble = run_line(attack)
        if result is None:
            break
        times.append(result["block_us"]["median"] * 1e-3)
    for what, goal, of in (("median", 1, statistics.median), ("the longest", 5, max)):
        name = f"first packet of a source to its block in the kernel, 1 Mpps from 10,000 sources, {what} of {BLOCK_RUNS} runs"
        if trouble:
            rows.append({"name": name, "left_out": trouble})
        else:
            add(name, "ms", goal, of(times), command="line " + " ".join(attack))
    full = ["weir", "ssdp", "packets=3000000", "sources=1000000", "blocks=100000", SHADOW]
    say("memory")
    result, trouble = run_line(full)
    name = "memory at 1,000,000 sources and 100,000 blocks, kernel maps included, without UMEM"
    if result is None:
        rows.append({"name": name, "left_out": trouble})
    else:
        add(name, "MiB", 192, (result["held_bytes"] - UMEM_bytes) / MIB, command="line " + " ".join(full))
    # What is not steered loses nothing at any rate: generator, program and sink take turns on one core.
    steered = {"weir": ["weir", "ssdp", "sources=200", SHADOW], "testpmd": ["testpmd", "ssdp", "sources=200"]}
    for box, arguments in steered.items():
        rate, trouble = lossless_rate(arguments, 2_000_000, packets // 20, say)
        name = f"highest rate of SSDP without a loss, {box}"
        rows.append({"name": name, "left_out": trouble} if rate is None else
                    {"name": name, "unit": "Mpps", "goal": None, "value": rate * 1e-6, "less_is_better": False,
                     "command": "line " + " ".join(arguments)})
    return rows
