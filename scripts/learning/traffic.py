# SPDX-License-Identifier: BSD-2-Clause
"""The traffic that weir's model is trained and judged on: which captures there are, and how each is made.

A capture belongs to a *kind*: an attack, a benign scenario, a family of devices, or a real capture. To leave a kind out
means to train without every capture of it. Captures for training and for judging differ in their seeds.
"""
import dataclasses
import pathlib
import struct
import subprocess
import sys

# Families of devices that live in captures of their own, so that each of them can be left out whole.
FAMILIES = ["television", "stick", "store", "bridge", "plug", "speaker", "console", "printer", "router", "camera"]
# Who lives in all other captures, and the control points of all.
COMMON = ["mediaserver", "computer", "phone", "browser", "windows", "automation", "finder"]

BENIGN = ["campus", "relay", "boot_storm", "multihomed", "scopes", "incoming", "late_replies", "segment", "clients"]
VOLUMETRIC = ["reflection", "reflection_spread", "reflection_ramp", "reflection_pulse", "diffraction", "padded", "fragmented",
              "carpet", "carpet_24", "answered", "search_flood", "search_group", "scan", "notify_flood", "notify_group", "malformed",
              "flood_to_1900", "flood_from_1900", "search_flood_out", "bot_flood_out"]
SLOW = ["slow_reflection", "slow_search", "slow_scan"]
ATTACKS = [*VOLUMETRIC, *SLOW, "imitation"]
# Judged, and never learned: each of its sources is like a device that starts, and a model that learns it drops announcements of
# real devices. The policy stops it by its numbers.
NOT_TRAINED = ["notify_group"]
# (packets a second, attackers): from a nuisance to a flood of so many reflectors that each is seen but a few times.
SIZES = [(60, 12), (1_000, 40), (5_000, 500), (50_000, 50_000)]
TEST_SIZES = [(2_000, 100), (12_000, 20_000)]
QUICK_SIZES = [(1_500, 200)]
LAN = "10.20.0.0/16"
# Captures whose authors state no licence serve the evaluation alone (names as in the data's README).
UNSTATED = "none stated"


def fail(message):
    sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {message}")


def run(arguments):
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True)
    if done.returncode != 0:
        fail(f"{' '.join(map(str, arguments))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@dataclasses.dataclass(frozen=True)
class Capture:
    """One capture. `make`: options of weir synth; else `files`, as (side, path), a side of "" being told by the capture."""
    name: str
    group: str  # attack, benign, family, real, given
    kind: str
    make: tuple = ()
    files: tuple = ()
    label: str = ""  # of all its packets, where they carry none
    licensed: bool = True

    def replay_inputs(self, weir, folder):
        """Arguments that name it to weir replay; a synthetic one is written first."""
        if self.make:
            path = folder / "capture.pcapng"
            run([weir, "synth", "--output", path, *self.make])
            return [path]
        return [word for side, path in self.files for word in ([f"--{side}", path] if side else [path])]


def words(option, names):
    return [word for name in names for word in (option, name)]


def synthetic(quick, split, world=0):
    """The captures of `split` ("train" or "test"), benign ones first. Each world has seeds of its own."""
    base = 1_000 if split == "train" else 500_000 + 400_000 * world
    packets = ("4000", "4000") if quick else ("15000", "15000" if split == "train" else "30000")
    captures = []

    def add(group, kind, number, *options):
        seed = base + 100 * len(captures) + number
        captures.append(Capture(f"{kind}-{number}", group, kind, ("--seed", str(seed), "--lan-prefix", LAN, *options)))

    for family in FAMILIES:
        scenes = words("--scenario", ["devices", "discovery", "late_replies", "segment"])
        who = words("--only", [family, "browser", "windows", "automation", "finder"])
        for number, (devices, searchers) in enumerate([(10, 6), (40, 12)][:1 if quick else 2]):
            add("family", family, number, *scenes, *who, "--seconds", "900", "--packets", packets[0], "--devices", str(devices),
                "--searchers", str(searchers))
    who = words("--only", COMMON)
    for kind in BENIGN:
        beside = [] if kind == "clients" else ["devices"]
        for number, (devices, searchers) in enumerate([(20, 6), (4, 3), (100, 20)][:2 if quick else 3]):
            add("benign", kind, number, *words("--scenario", [kind, *beside]), *who, "--seconds", "600", "--packets", packets[0],
                "--devices", str(devices), "--searchers", str(searchers))
    for kind in ATTACKS:
        if split == "train" and kind in NOT_TRAINED:
            continue
        for number, (rate, attackers) in enumerate(QUICK_SIZES if quick else SIZES if split == "train" else TEST_SIZES):
            lasts = kind in SLOW or kind == "imitation"
            # A thousand packets a second of clients would end a capture before what is slow has begun.
            beside = ["devices", "discovery"] if lasts or number % 2 else ["devices", "discovery", "clients"]
            add("attack", kind, number, *words("--scenario", [*beside, kind]), *who, "--seconds", "300" if lasts else "40",
                "--packets", packets[1], "--rate", str(rate), "--attackers", str(attackers), "--attack-after", "2" if quick else "8")
    return captures


def read_data_readme(readme):
    """(name, label, licensed) of each capture that the README of the data describes."""
    licences, repositories, labels = {}, {}, {}
    for line in readme.read_text(encoding="utf-8").splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if len(cells) == 3 and "/" in cells[0]:
            licences[cells[0]] = cells[2]
        elif len(cells) == 3 and "/" in cells[1]:
            repositories[cells[0]] = cells[1]
        elif len(cells) > 5 and cells[1] in ("benign", "mixed", "attack"):
            labels[cells[0]] = cells[1]
    for name, label in sorted(labels.items()):
        yield name, label, UNSTATED not in licences.get(repositories.get(name, ""), UNSTATED)


def real(data, folder, entries=("wan", "lan", "routed"), names=None):
    """The real benign captures, each once for every way in. They are copied to `folder` with gaps capped at a minute."""
    readme = data / "README.md"
    if not readme.is_file():
        return []
    captures = []
    for name, label, licensed in read_data_readme(readme):
        path = next((data / "pcaps").glob(name + ".pcap*"), None)
        if label != "benign" or path is None or (names is not None and name not in names):
            continue
        packets = read_pcap(path)
        for entry in entries:
            files = []
            for side, chosen in enter(packets, entry).items():
                files.append((side, folder / f"{name}-{entry}-{side}.pcap"))
                write_pcap(files[-1][1], chosen)
            captures.append(Capture(f"{name}/{entry}", "real", name, files=tuple(files), label="benign", licensed=licensed))
    return captures


def read_pcap(path):
    """[(seconds, frame)] of a classic pcap of Ethernet, gaps capped at 60 s."""
    raw = path.read_bytes()
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}.get(raw[:4])
    if order is None or struct.unpack(order + "I", raw[20:24])[0] != 1:
        fail(f"{path}: classic pcap of Ethernet frames in microseconds is expected")
    at, last, now, packets = 24, None, 0.0, []
    while at + 16 <= len(raw):
        seconds, micros, length, _ = struct.unpack(order + "IIII", raw[at:at + 16])
        time = seconds + micros * 1e-6
        now += min(max(time - last, 0.0), 60.0) if last is not None else 0.0
        last = time
        packets.append((now, raw[at + 16:at + 16 + length]))
        at += 16 + length
    return packets


def write_pcap(path, packets):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 262_144, 1))
        for time, frame in packets:
            micros = round(time * 1e6) + 1_767_225_600_000_000
            file.write(struct.pack("<IIII", micros // 1_000_000, micros % 1_000_000, len(frame), len(frame)) + frame)


def enter(packets, entry):
    """By which side each packet comes in. `routed`: half of the hosts live behind two routers on the WAN side."""
    if entry != "routed":
        return {entry: packets}
    sides = {"wan": [], "lan": []}
    for time, frame in packets:
        address = frame[26:30] if frame[12:14] == b"\x08\x00" else frame[22:38] if frame[12:14] == b"\x86\xdd" else frame[6:12]
        side = "wan" if sum(address) % 2 else "lan"
        routed = lower_ttl(frame, 2)
        if routed is not None:
            sides[side].append((time, routed))
    return sides


def lower_ttl(frame, hops):
    """The frame as it looks `hops` routers later; None where it did not get so far (announcements are relayed as new)."""
    changed = bytearray(frame)
    if frame[12:14] == b"\x08\x00":
        if changed[22] <= hops:
            changed[22] = hops + 1
        changed[22] -= hops
        changed[24:26] = b"\0\0"
        header = changed[14:14 + 4 * (changed[14] & 15)]
        total = sum(struct.unpack(f">{len(header) // 2}H", header[:len(header) // 2 * 2]))
        total = (total & 0xffff) + (total >> 16)
        total = (total & 0xffff) + (total >> 16)
        changed[24:26] = struct.pack(">H", ~total & 0xffff)
    elif frame[12:14] == b"\x86\xdd":
        if frame[20:21] == b"\x3a":
            return None  # neighbour discovery ends at a router
        changed[21] = max(changed[21] - hops, 1)
    return bytes(changed)
