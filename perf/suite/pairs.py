# SPDX-License-Identifier: BSD-2-Clause
"""weir against one peer after the other: the same traffic through both, in turn."""
import json
import subprocess
from dataclasses import dataclass

from . import ENVIRONMENT, LINE, REPEATS_MAX, ROOT, SHADOW, STOLEN_MAX, spread

# The generator has CPU 1, testpmd is started on CPU 0, and so is the I/O thread of weir: none is moved amid a run.
APART = ";[channels];io_cpus=[0];[workers]"


@dataclass
class Pair:
    name: str
    goal: float | None
    ours: list
    peer: list
    of: str = "delivered_per_s"  # the figure that is compared
    less_is_better: bool = False
    quick: bool = False  # part of the quick form, which fails where weir loses a packet


def pairs(packets):
    n = f"packets={packets}"
    some = f"packets={max(packets // 10, 20000)}"
    found = [Pair(f"not steered, {kind}, against a bare devmap redirect", 0.93, ["weir", kind, n], ["devmap", kind, n],
                  quick=kind == "udp") for kind in ("udp", "tcp", "ip6", "vlan")]
    found += [
        Pair("not steered, 100,000 blocks of scope ssdp, against a bare devmap redirect", 0.90,
             ["weir", "udp", n, "blocks=100000"], ["devmap", "udp", n]),
        Pair("not steered, 9,000 bytes in several buffers, going round, against a bare devmap redirect", None,
             ["weir-xdp", "udp", "bytes=9000", "circle=64"], ["devmap", "udp", "bytes=9000", "circle=64"], quick=True),
        Pair("start-line test on, against off", 0.97, ["weir", "udp", n],
             ["weir", "udp", n, "toml=[steer];ssdp_payload=false"]),
        Pair("not steered, against the kernel bridge", 6, ["weir", "udp", n], ["bridge", "udp", n]),
        Pair("a blocked source dropped, against xdp-filter with one address", 1.0, ["weir", "ssdp", n, "blocks=1"],
             ["xdp-filter", "ssdp", n, "blocks=1"], of="sent_per_s"),
        Pair("10,000 blocked sources dropped, against xdp-filter with as many (its table holds no more)", 1.0,
             ["weir", "ssdp", n, "blocks=10000", "sources=10000"],
             ["xdp-filter", "ssdp", n, "blocks=10000", "sources=10000"], of="sent_per_s"),
    ]
    for workers in (0, 1, 2):
        found.append(Pair(f"steered, judged and forwarded, {workers} workers, against testpmd io over net_af_xdp", 1.0,
                          ["weir", "ssdp", some, "sources=200", SHADOW + APART + f";count={workers}"],
                          ["testpmd", "ssdp", some, "sources=200"]))
    mix = ["weir", "mix", some, "sources=200"]
    screen = f';[screen];model="{ROOT / "config" / "screen.json"}"'
    found.append(Pair("steered, nine of ten packets found fine by a screen, against all of them judged in userspace", 2.0,
                      [*mix, SHADOW + APART + ";count=0" + screen], [*mix, SHADOW + APART + ";count=0"]))
    found += dpdk_pairs(f"packets={max(packets * 2 // 5, 20000)}")
    for quantile, of in (("median", "latency_us"), ("99th percentile", "latency_us.p99")):
        found.append(Pair(f"latency of a forwarded SSDP packet at 10,000 a second, {quantile}, against testpmd", 1.2,
                          ["weir", "ssdp", "packets=20000", "rate=10000", "latency=1", SHADOW + APART],
                          ["testpmd", "ssdp", "packets=20000", "rate=10000", "latency=1"], of=of, less_is_better=True))
    return found


def dpdk_pairs(packets):
    """weir's own DPDK backend beside testpmd: the same virtual devices on the same interfaces. Only what is judged has a goal."""
    found = []
    for driver in ("net_af_xdp", "net_af_packet"):
        on = f"driver={driver}"
        peer = lambda kind: ["testpmd", kind, packets, on] + (["sources=200"] if kind == "ssdp" else [])
        found.append(Pair(f"DPDK, {driver}: not steered, against testpmd io", None,
                          ["weir-dpdk", "udp", packets, on, "toml=" + APART[1:]], peer("udp")))
        found += [Pair(f"DPDK, {driver}: steered, judged and forwarded, {workers} workers, against testpmd io", 1.0,
                       ["weir-dpdk", "ssdp", packets, on, "sources=200", SHADOW + APART + f";count={workers}"], peer("ssdp"))
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


def measure(pair, rounds, say):
    ours, peer = [], []
    for number in range(rounds):
        for side, found in ((pair.ours, ours), (pair.peer, peer)):
            say(f"{pair.name}: round {number + 1} of {rounds}, {side[0]}")
            result, trouble = run_line(side)
            if result is None:
                return {"name": pair.name, "left_out": f"{side[0]}: {trouble}"}
            found.append(result)
    a = spread([figure(r, pair.of) for r in ours])
    b = spread([figure(r, pair.of) for r in peer])
    ratio = a["median"] / b["median"] if b["median"] else None
    return {"name": pair.name, "of": pair.of, "goal": pair.goal, "less_is_better": pair.less_is_better, "weir": a, "peer": b,
            "peer_name": pair.peer[0], "ratio": ratio, "commands": [as_typed(pair.ours), as_typed(pair.peer)],
            "lost": sum(r["sent"] - r["delivered"] for r in ours) if pair.quick else None,
            "stolen": max(r["stolen"] for r in ours + peer)}


def lossless_rate(arguments, most_pps, packets, say, steps=9):
    """The highest rate at which no packet is lost, by bisection; None and the reason where it cannot be had."""
    low, high = 0.0, float(most_pps)
    for step in range(steps):
        rate = (low + high) / 2
        say(f"highest rate without loss, {arguments[0]}: step {step + 1} of {steps}, {rate:,.0f} a second")
        result, trouble = run_line([*arguments, f"packets={packets}", f"rate={rate:.0f}"])
        if result is None:
            return None, trouble
        if result["delivered"] == result["sent"]:
            low = rate
        else:
            high = rate
    return low, None
