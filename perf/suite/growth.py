# SPDX-License-Identifier: BSD-2-Clause
"""How weir's cost grows, and the figures that have a goal but no peer."""
import json
import os
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

from . import JUDGED, MODEL, REDIRECTED, SHADOW, WEIR, captures, spread
from .pairs import lossless_rate, run_line

UMEM_bytes = 8192 * 4096  # the lab's frames of a channel
MIB = 1 << 20
BLOCK_RUNS = 9
PASSES = 3  # over the points of the curves
PACKETS = 1_000_000  # of a point


@dataclass
class Curve:
    of: str  # what is varied
    points: dict  # value -> arguments of the line
    figure: Callable  # ns a packet, of a result
    beside: str = ""  # a second line, and how it is got: of another box with the same arguments, or of the same run
    beside_box: str = ""
    beside_figure: Callable | None = None


def sent(result):
    return 1e9 / result["sent_per_s"] if result["sent_per_s"] else None


def delivered(result):
    return 1e9 / result["delivered_per_s"] if result["delivered_per_s"] else None


def of_cpu(result):
    """What weir's threads and the softirqs on top of them took of a CPU, the kernel's half of the sockets with it."""
    return result["box_cpu_s"] * 1e9 / result["delivered"] if result["delivered"] else None


def not_steered(n):
    """Name -> curve of what the kernel sends on by itself. Frames that go round are made once: nothing of a sender is in the figure."""
    bare = {"figure": sent, "beside": "a bare redirect", "beside_box": "devmap"}
    return {
        "not steered, by blocks in the map": Curve("blocks", {
            b: ["weir", "udp", n, f"blocks={b}", "toml=[tables];blocks_max=1048576"]
            for b in (0, 1_000, 10_000, 100_000, 1_000_000)}, sent),
        "not steered, by bytes of the frame, which the generator copies": Curve("bytes", {
            b: ["weir", "udp", n, f"bytes={b}"] for b in (64, 512, 1500, 3392)}, **bare),
        "not steered, frames that go round, by bytes, of several buffers from 4,000 on": Curve("bytes", {
            b: ["weir-xdp", "udp", f"bytes={b}", "circle=64"] for b in (64, 1500, 3400, 4000, 6000, 9000)}, **bare),
        "not steered, spread over channels": Curve("channels", {
            c: ["weir", "udp", n, "sources=200", "spread=1", f"queues={c}"] for c in (1, 2, 4)}, **bare),
        "not steered, frames that go round on several CPUs, one channel each": Curve("CPUs", {
            c: ["weir-xdp", "udp", "circle=64", f"queues={c}", f"cpus={c}"] for c in range(1, min(os.cpu_count(), 4) + 1)}, **bare),
        "a blocked source dropped, by prefixes on the allowlist": Curve("prefixes", {
            p: ["weir", "ssdp", n, "blocks=1", "toml=[allow];prefixes=["
                + ",".join(f'"10.{i // 256}.{i % 256}.0/24"' for i in range(p)) + "]"]
            for p in (0, 100, 1_000, 4_000)}, sent),
        "a blocked source dropped, by blocks in the map": Curve("blocks", {
            b: ["weir", "ssdp", n, f"blocks={b}", f"sources={b}", "toml=[tables];blocks_max=1048576"]
            for b in (1, 1_000, 10_000, 100_000)}, sent),
    }


def judged(packets):
    """Name -> curve of what sockets take to userspace and back. The generator outruns it: what is delivered is what the box can do."""
    n = f"packets={packets}"
    both = {"figure": delivered, "beside": "CPU time of weir's threads", "beside_figure": of_cpu}
    return {
        "judged and forwarded, by sources": Curve("sources", {
            s: ["weir", "ssdp", f"packets={max(packets, 3 * s)}", f"sources={s}", JUDGED] for s in (1, 1_000, 100_000, 1_000_000)}, **both),
        "judged and forwarded, by workers": Curve("workers", {
            w: ["weir", "ssdp", n, "sources=200", JUDGED + f";[workers];count={w}"] for w in (0, 1, 2, 4)}, **both),
        "judged and forwarded, by bytes of the frame": Curve("bytes", {
            b: ["weir", "ssdp", n, "sources=200", f"bytes={b}", JUDGED] for b in (400, 1000, 2000, 3000)}, **both),
        "judged and forwarded, spread over channels": Curve("channels", {
            c: ["weir", "ssdp", n, "sources=200", "spread=1", f"queues={c}", JUDGED + ";io_cpus=[0]"] for c in (1, 2, 4)}, **both),
    }


def replays(folder, packets):
    """Name -> (what is varied, value -> command)."""
    capture, shadow = os.path.join(folder, "c.pcap"), os.path.join(folder, "s.toml")
    captures.synth(capture, "reflection", packets)
    with open(shadow, "w", encoding="utf-8") as file:
        file.write(f'[model]\npath = "{MODEL}"\n[policy]\nmode = "shadow"\n')
    return {f"replay, every packet judged, by {what}": (what, {
        value: [WEIR, "replay", capture, "-c", shadow, "--json", f"--{what}", str(value)] for value in values})
        for what, values in (("workers", (0, 1, 2, 4)), ("channels", (1, 2, 4, 8)))}


class Point:
    """What the passes have found at one value."""

    def __init__(self):
        self.ns, self.beside, self.trouble = [], [], None

    def run(self, curve, arguments):
        self.add(arguments, (curve.figure, self.ns), (curve.beside_figure, self.beside))
        if curve.beside_box:
            self.add([curve.beside_box, *arguments[1:]], (curve.figure, self.beside))

    def add(self, arguments, *figures):
        result, trouble = run_line(arguments)
        for figure, found in figures:
            value = figure(result) if result and figure else None
            if value is not None:
                found.append(value)
            elif figure:
                self.trouble = f"{arguments[0]}: {trouble or 'nothing was delivered'}"

    def row(self, value):
        if self.trouble:
            return {"at": value, "left_out": self.trouble}
        return {"at": value, "ns": spread(self.ns)} | ({"beside_ns": spread(self.beside)} if self.beside else {})


def curves(packets, passes, only, say):
    """All points of all curves in turn, and that so often: what a machine does for a while meets no curve alone."""
    wanted = lambda those: {name: curve for name, curve in those.items() if only in name}
    lines = wanted(not_steered(f"packets={packets}") | judged(packets))
    found = {name: {value: Point() for value in curve.points} for name, curve in lines.items()}
    with tempfile.TemporaryDirectory() as folder:
        played = wanted(replays(folder, packets))
        found |= {name: {value: Point() for value in values} for name, (_, values) in played.items()}
        for number in range(passes):
            for name, curve in lines.items():
                for value, arguments in curve.points.items():
                    say(f"pass {number + 1} of {passes}: {name}: {value}")
                    found[name][value].run(curve, arguments)
            for name, (_, commands) in played.items():
                for value, command in commands.items():
                    say(f"pass {number + 1} of {passes}: {name}: {value}")
                    _, ran = captures.timed(command)
                    ran.check_returncode()
                    found[name][value].ns.append(json.loads(ran.stdout)["ns_per_packet"])
    of = {name: {"of": curve.of, "beside": curve.beside} for name, curve in lines.items()}
    of |= {name: {"of": what, "beside": ""} for name, (what, _) in played.items()}
    return {name: about | {"points": [point.row(value) for value, point in found[name].items()]} for name, about in of.items()}


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
    steered = {"weir": ["weir", "ssdp", "sources=200", JUDGED],
               "weir, sent by redirect": ["weir", "ssdp", "sources=200", REDIRECTED], "testpmd": ["testpmd", "ssdp", "sources=200"]}
    for box, arguments in steered.items():
        rate, trouble = lossless_rate(arguments, 2_000_000, packets // 20, say)
        name = f"highest rate of SSDP without a loss, {box}"
        rows.append({"name": name, "left_out": trouble} if rate is None else
                    {"name": name, "unit": "Mpps", "goal": None, "value": rate * 1e-6, "less_is_better": False,
                     "command": "line " + " ".join(arguments)})
    return rows
