# SPDX-License-Identifier: BSD-2-Clause
"""One capture through weir replay, tcpdump (which only reads and writes it) and suricata with one rule."""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import time

from . import MODEL, REPEATS_MAX, STOLEN_MAX, WEIR, spread

JUDGED = "weir, every packet judged, {} workers"
NOT_STEERED = "weir, 64-byte frames of which nothing is steered"
NOT_STEERED_MIX = "weir, a mix of lengths of which nothing is steered"


def cpu_times():
    """(stolen by the hypervisor, all), of all cores since the start."""
    fields = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return fields[7], sum(fields)


def timed(command):
    """Seconds and what ran; repeated while time is stolen from this machine."""
    for _ in range(REPEATS_MAX):
        before, start = cpu_times(), time.monotonic()
        ran = subprocess.run(command, capture_output=True, text=True)
        took, after = time.monotonic() - start, cpu_times()
        if after[0] - before[0] <= STOLEN_MAX * (after[1] - before[1]):
            break
    return took, ran


def synth(capture, scenario, packets):
    subprocess.run([WEIR, "synth", "--scenario", scenario, "--rate", "1000000", "--seconds", "1000", "--packets", str(packets),
                    "-o", capture], check=True, capture_output=True)


def small_frames(capture, packets):
    """UDP of 64 bytes (60 in a capture, which has no checksum of Ethernet) to port 443, of 251 sources, a microsecond apart."""
    with open(capture, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for first in range(0, packets, 100_000):
            rows = bytearray()
            for number in range(first, min(first + 100_000, packets)):
                seconds, micros = divmod(number, 1_000_000)
                rows += struct.pack("<IIII", 1_700_000_000 + seconds, micros, 60, 60)
                rows += b"\2\0\0\0\0\2\2\0\0\0\0\1\10\0\x45\0" + struct.pack(">HHHBBH", 46, number & 0xFFFF, 0, 64, 17, 0)
                rows += bytes((203, 0, 113, number % 251)) + b"\xc0\xa8\1\1" + struct.pack(">HHHH", 40_000, 443, 26, 0) + bytes(18)
            file.write(rows)


def ways(folder, packets):
    """Name -> command, and the captures that they read."""
    ssdp, small, other, shadow = (os.path.join(folder, name) for name in ("ssdp.pcap", "small.pcap", "other.pcap", "shadow.toml"))
    pathlib.Path(shadow).write_text(f'[model]\npath = "{MODEL}"\n[policy]\nmode = "shadow"\n')
    synth(ssdp, "reflection", packets)
    small_frames(small, packets)
    synth(other, "background", packets)
    replay = [str(WEIR), "replay", "--json"]
    found = {JUDGED.format(w): [*replay, ssdp, "-c", shadow, "--workers", str(w)] for w in (0, 1, 2)}
    found["weir, sources blocked as they are found"] = [*replay, ssdp, "-m", str(MODEL)]
    found[NOT_STEERED] = [*replay, small, "-m", str(MODEL)]
    found[NOT_STEERED_MIX] = [*replay, other, "-m", str(MODEL)]
    found["tcpdump -r to /dev/null"] = ["tcpdump", "-Z", "root", "-r", ssdp, "-w", "/dev/null"]  # else it gives /dev/null away
    rule = os.path.join(folder, "one.rules")
    pathlib.Path(rule).write_text('alert udp any 1900 -> any any (msg:"ssdp"; content:"HTTP/1.1 200"; sid:1;)\n')
    found["suricata, one rule"] = ["suricata", "-r", ssdp, "-S", rule, "-l", folder, "--runmode", "single"]
    return found


def measure(rounds, packets, say):
    with tempfile.TemporaryDirectory() as folder:
        commands = ways(folder, packets)
        rates = {way: [] for way, command in commands.items() if shutil.which(command[0])}
        for number in range(rounds):
            for way in rates:
                say(f"replay of {packets} packets: round {number + 1} of {rounds}, {way}")
                took, ran = timed(commands[way])
                if ran.returncode != 0:
                    raise SystemExit(f"perf/run: {' '.join(commands[way])}: {ran.stderr.strip()[-300:]}")
                inside = json.loads(ran.stdout) if way.startswith("weir") else {"packets": packets, "elapsed_s": took}
                rates[way].append(inside["packets"] / inside["elapsed_s"])
        rows = [{"name": way, "packets_per_s": spread(found)} for way, found in rates.items()]
        rows += [{"name": way, "left_out": "not installed"} for way in commands if way not in rates]
    return {"packets": packets, "rows": rows}
