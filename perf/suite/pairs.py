# SPDX-License-Identifier: BSD-2-Clause
"""weir against one peer after the other: the same traffic through both, in turn."""
import json
import statistics
import subprocess
import threading
from dataclasses import dataclass

from . import ENVIRONMENT, JUDGED, LINE, REDIRECTED, REPEATS_MAX, ROOT, SHADOW, STOLEN_MAX, spread

# The generator has CPU 1, testpmd is started on CPU 0, and so is the I/O thread of weir: none is moved amid a run.
APART = ";[channels];io_cpus=[0];[workers]"
JUDGED_APART = JUDGED + ";io_cpus=[0];[workers]"
REDIRECTED_APART = REDIRECTED + ";io_cpus=[0];[workers]"
TURNS = 10
TURN_AT_MOST_s = 300
OVERLOAD = 1.2  # flat out, the generator and the kernel's half of the sockets leave nothing of their CPU to a worker


@dataclass
class Pair:
    name: str
    goal: float | None
    ours: list
    peer: list
    of: str = "delivered_per_s"  # the figure that is compared
    less_is_better: bool = False
    quick: bool = False  # part of the quick form, which fails where weir loses a packet
    judged: bool = False  # what weir delivers, it must have judged
    load: float = 0  # times what the peer delivers of all that the generator makes; 0: all of that
    turns: int = 0  # a round is so many turns of both boxes, which stand side by side. Not where one polls
    starts: int = 1  # so many times the rounds: for what differs more from start to start than within one


def pairs(packets):
    some = f"packets={max(packets // 10, 20000)}"
    n_turn = f"packets={max(packets // TURNS, 20000)}"
    kernel = {"turns": TURNS}
    found = [Pair(f"not steered, {kind}, against a bare devmap redirect", 0.93, ["weir", kind, n_turn], ["devmap", kind, n_turn],
                  quick=kind == "udp", **kernel) for kind in ("udp", "tcp", "ip6", "vlan")]
    found += [
        Pair("not steered, 100,000 blocks of scope ssdp, against a bare devmap redirect", 0.90,
             ["weir", "udp", n_turn, "blocks=100000"], ["devmap", "udp", n_turn], **kernel),
        Pair("not steered, 9,000 bytes in several buffers, going round, against a bare devmap redirect", None,
             ["weir-xdp", "udp", "bytes=9000", "circle=64"], ["devmap", "udp", "bytes=9000", "circle=64"], quick=True),
        Pair("start-line test on, against off", 0.97, ["weir", "udp", n_turn],
             ["weir", "udp", n_turn, "toml=[steer];ssdp_payload=false"], **kernel),
        Pair("not steered, against the kernel bridge", 6, ["weir", "udp", n_turn], ["bridge", "udp", n_turn], **kernel),
        Pair("the bare devmap redirect, against the kernel bridge", None, ["devmap", "udp", n_turn], ["bridge", "udp", n_turn],
             **kernel),
        Pair("not steered, 64 bytes, going round without a sender's cost, against the kernel bridge", 6,
             ["weir", "udp", "circle=64"], ["bridge", "udp", "circle=64"]),
        Pair("a blocked source dropped, against xdp-filter with one address", 1.0, ["weir", "ssdp", n_turn, "blocks=1"],
             ["xdp-filter", "ssdp", n_turn, "blocks=1"], of="sent_per_s", **kernel),
        Pair("100,000 blocked sources dropped, against xdp-filter with as many, whose tables are made as large as weir's (131,072)", 1.0,
             ["weir", "ssdp", n_turn, "blocks=100000", "sources=100000"],
             ["xdp-filter", "ssdp", n_turn, "blocks=100000", "sources=100000"], of="sent_per_s", starts=3, **kernel),
        Pair("10,000 blocked sources dropped, against xdp-filter with as many, both tables with room for these", 1.0,
             ["weir", "ssdp", n_turn, "blocks=10000", "sources=10000", "toml=[tables];blocks_max=10000"],
             ["xdp-filter", "ssdp", n_turn, "blocks=10000", "sources=10000"], of="sent_per_s", **kernel),
        Pair("the same, both tables as shipped: weir's with room for 131,072, xdp-filter's for 10,000", 1.0,
             ["weir", "ssdp", n_turn, "blocks=10000", "sources=10000"],
             ["xdp-filter", "ssdp", n_turn, "blocks=10000", "sources=10000"], of="sent_per_s", **kernel),
    ]
    for load, what in ((OVERLOAD, f"at {OVERLOAD} times what that takes"), (0, "flat out")):
        found += [Pair(f"steered, judged, sent by {way}, {workers} workers, against testpmd io over net_af_xdp, {what}",
                       1.0 if workers else None,
                       ["weir", "ssdp", some, "sources=200", keys + f";count={workers}"],
                       ["testpmd", "ssdp", some, "sources=200"], load=load, judged=True)
                  for way, keys in (("redirect", REDIRECTED_APART), ("the sockets", JUDGED_APART)) for workers in (0, 1, 2)]
    mix = ["weir", "mix", some, "sources=200"]
    screen = f';[screen];model="{ROOT / "config" / "screen.json"}"'
    found.append(Pair("steered, nine of ten packets found fine by a screen, against all of them judged in userspace", 2.0,
                      [*mix, JUDGED_APART + ";count=0" + screen], [*mix, JUDGED_APART + ";count=0"]))
    found += dpdk_pairs(f"packets={max(packets * 2 // 5, 20000)}")
    for quantile, of in (("median", "latency_us"), ("99th percentile", "latency_us.p99")):
        found.append(Pair(f"latency of a forwarded SSDP packet at 10,000 a second, {quantile}, against testpmd", 1.2,
                          ["weir", "ssdp", "packets=20000", "rate=10000", "latency=1", SHADOW + APART],
                          ["testpmd", "ssdp", "packets=20000", "rate=10000", "latency=1"], of=of, less_is_better=True, starts=3))
    return found


def dpdk_pairs(packets):
    """weir's own DPDK backend beside testpmd: the same virtual devices on the same interfaces. Only what is judged has a goal."""
    found = []
    for driver in ("net_af_xdp", "net_af_packet"):
        on = f"driver={driver}"
        peer = lambda kind: ["testpmd", kind, packets, on] + (["sources=200"] if kind == "ssdp" else [])
        found.append(Pair(f"DPDK, {driver}: not steered, against testpmd io", None,
                          ["weir-dpdk", "udp", packets, on, "toml=" + APART[1:]], peer("udp")))
        found += [Pair(f"DPDK, {driver}: steered, judged and forwarded, {workers} workers, against testpmd io", 1.0 if workers else None,
                       ["weir-dpdk", "ssdp", packets, on, "sources=200", JUDGED_APART + f";count={workers}"], peer("ssdp"), judged=True)
                  for workers in (0, 1, 2)]
    return found


def run_line(arguments):
    """One measurement, repeated while time is stolen from this machine; None and the reason where it cannot be had."""
    for _ in range(REPEATS_MAX):
        ran = subprocess.run([str(LINE), *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
        if ran.returncode != 0:
            return None, ran.stderr.strip().splitlines()[0] if ran.stderr.strip() else f"status {ran.returncode}"
        result = json.loads(ran.stdout)
        if result["stolen"] <= STOLEN_MAX:
            break
    return result, None


def figure(result, of):
    name, _, quantile = of.partition(".")
    value = result[name]
    return value[quantile or "median"] if isinstance(value, dict) else value


def as_typed(arguments):
    """A command as it is typed at the tree's top."""
    return " ".join(arguments).replace(f"{ROOT}/", "")


class Standing:
    """A box that stands ready until the end, and is measured whenever its turn comes."""

    def __init__(self, arguments):
        self.process = subprocess.Popen([str(LINE), *arguments, "turns=1"], env=ENVIRONMENT, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.trouble = None  # what it said where it has ended before its time
        self.ask("")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        if self.process.stdin.closed:
            return
        try:
            _, said = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()  # its namespaces go with it
            _, said = self.process.communicate()
        if self.trouble is not None or self.process.returncode:
            self.trouble = (said.strip().splitlines() or [f"status {self.process.returncode}"])[0]

    def ask(self, line):
        """The line that answers `line`; None where none comes."""
        late = threading.Timer(TURN_AT_MOST_s, self.process.kill)
        late.start()
        try:
            self.process.stdin.write(line)
            self.process.stdin.flush()
            told = self.process.stdout.readline()
        except BrokenPipeError:
            told = ""
        late.cancel()
        if told:
            return told
        self.trouble = "ended"
        self.end()
        return None

    def turn(self):
        told = None if self.trouble else self.ask("\n")
        return json.loads(told) if told else None


def in_turn(pair, number):
    """Results of both boxes, turn by turn (A B, B A, ...); a turn in which time was stolen is taken again. And the reason where there are none."""
    ours, peer = [], []
    with Standing(pair.ours) as a, Standing(pair.peer) as b:
        for turn in range(pair.turns):
            for _ in range(REPEATS_MAX):
                boxes = (a, b) if (number + turn) % 2 == 0 else (b, a)
                results = {box: box.turn() for box in boxes if not box.trouble}
                for side, box in ((pair.ours, a), (pair.peer, b)):
                    if box.trouble:
                        return ours, peer, f"{side[0]}: {box.trouble}"
                if all(result["stolen"] <= STOLEN_MAX for result in results.values()):
                    break
            ours.append(results[a])
            peer.append(results[b])
    return ours, peer, None


def one_by_one(pair, number):
    """The same of boxes that cannot stand side by side; which of them is first changes with the round."""
    rate = []
    if pair.load:
        result, trouble = run_line(pair.peer)
        if result is None:
            return [], [], f"{pair.peer[0]}: {trouble}"
        rate = [f"rate={pair.load * result['delivered_per_s']:.0f}"]
    results = {}
    for name in ("ours", "peer") if number % 2 == 0 else ("peer", "ours"):
        side = getattr(pair, name) + rate
        results[name], trouble = run_line(side)
        if trouble:
            return [], [], f"{side[0]}: {trouble}"
        if rate:
            results[name]["rate"] = float(rate[0].partition("=")[2])
    return [results["ours"]], [results["peer"]], None


def measure(pair, rounds, say):
    ours, peer = [], []
    rounds *= pair.starts
    for number in range(rounds):
        say(f"{pair.name}: round {number + 1} of {rounds}")
        a, b, trouble = (in_turn if pair.turns else one_by_one)(pair, number)
        if trouble:
            return {"name": pair.name, "left_out": trouble}
        ours += a
        peer += b
    for result in ours:
        if pair.judged and result["delivered"] > result["judged"]:
            return {"name": pair.name, "left_out": f"{pair.ours[0]}: {result['delivered']} packets were delivered, {result['judged']} judged"}
    a, b = [[figure(r, pair.of) for r in results] for results in (ours, peer)]
    ratios = [round(x / y, 4) for x, y in zip(a, b) if y]
    return {"name": pair.name, "of": pair.of, "goal": pair.goal, "less_is_better": pair.less_is_better, "rounds": rounds,
            "weir": spread(a), "peer": spread(b), "peer_name": pair.peer[0],
            "ratio": statistics.median(ratios) if ratios else None, "ratios": spread(ratios) if ratios else None,
            "commands": [as_typed(pair.ours), as_typed(pair.peer)], "rates": [r["rate"] for r in ours if "rate" in r],
            "lost": sum(r["sent"] - r["delivered"] for r in ours) if pair.quick else None,
            "stolen": max(r["stolen"] for r in ours + peer)}


def lossless_rate(arguments, most_pps, packets, say, steps=9):
    """The highest rate at which no packet is lost, by bisection; None and the reason where it cannot be had. The rate is what
    was sent, which is less than was asked for where the generator's CPU has other work."""
    low, high, sent = 0.0, float(most_pps), 0.0
    for step in range(steps):
        rate = (low + high) / 2
        say(f"highest rate without loss, {arguments[0]}: step {step + 1} of {steps}, {rate:,.0f} a second")
        result, trouble = run_line([*arguments, f"packets={packets}", f"rate={rate:.0f}"])
        if result is None:
            return None, trouble
        if result["delivered"] == result["sent"]:
            low, sent = rate, max(sent, result["sent_per_s"])
        else:
            high = rate
    return sent, None
