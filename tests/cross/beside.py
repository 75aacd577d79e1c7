# SPDX-License-Identifier: BSD-2-Clause
"""Two builds of weir for two machines, side by side: beside.py ROOT WEIR WEIR.

Both write a capture of every scenario, which must be the same to the last byte; both judge it, in IPv4 and IPv6, with and
without workers, and must give the same verdicts, blocks, reasons and features. scripts/cross runs this, with one of the two
under qemu's user mode. Exit status 1: something differs.
"""
import filecmp
import json
import pathlib
import subprocess
import sys
import tempfile

# What is another with each run, or each machine.
TIMES = ("evaluator", "elapsed_s", "packets_per_s", "bits_per_s", "ns_per_packet", "ns_by_stage", "latency_ns", "memory_bytes")


def said(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def scenarios(weir):
    lines = (line.split() for line in said(weir, "synth", "--list").splitlines())
    return [words[0] for words in lines if words[1:2] in (["benign"], ["attack"])]


def verdicts(weir, capture, *options):
    report = json.loads(said(weir, "replay", capture, *options, "--json"))
    return {key: value for key, value in report.items() if key not in TIMES}


class Beside:
    def __init__(self, root, programs):
        self.root, self.programs, self.differ = root, programs, 0

    def tell(self, equal, what):
        print("equal:" if equal else "different:", what, flush=True)
        self.differ += not equal

    def prints(self, what, *arguments):
        first, second = (said(weir, *arguments) for weir in self.programs)
        self.tell(first == second != "", what)

    def capture(self, folder, family, what):
        captures = [str(folder / f"capture{number}.pcapng") for number in range(2)]
        named = [word for name in scenarios(self.programs[0]) for word in ("--scenario", name)]
        for weir, capture in zip(self.programs, captures):
            said(weir, "synth", *named, *family, "--seed", "8", "--seconds", "60", "--packets", "50000", "--attack-share", "0.5",
                 "-o", capture)
        self.tell(filecmp.cmp(*captures, shallow=False), f"{what}: a capture of {len(named) // 2} scenarios, 50000 packets")
        return captures[0]

    def judge(self, folder, capture, what):
        rows = [str(folder / f"rows{number}.csv") for number in range(2)]
        for workers, write in (("0", ("--features",)), ("2", ())):
            first, second = (verdicts(weir, capture, "--workers", workers, *(word for flag in write for word in (flag, out)))
                             for weir, out in zip(self.programs, rows))
            for key in first:
                if first[key] != second.get(key):
                    print(f"  {key}: {str(first[key])[:200]} and {str(second.get(key))[:200]}")
            self.tell(first == second and first["dropped"] > 0 and first["blocks"] > 0,
                      f"{what}, {workers} workers: verdicts (digest {first['verdict_digest']}), blocks and reasons")
        self.tell(filecmp.cmp(*rows, shallow=False), f"{what}: features of {first['judged']} packets")
        self.prints(f"{what}: verdicts of a kernel model", "kernel-model", "check", str(self.root / "config/screen.json"), capture, "--json")


def main(root, *programs):
    beside = Beside(pathlib.Path(root), programs)
    beside.prints("version", "version")
    beside.prints("every key's default", "check", "--defaults")
    beside.prints("config/router.toml's check", "check", "--file-only", "-c", f"{root}/config/router.toml")
    with tempfile.TemporaryDirectory() as folder:
        for what, family in (("IPv4", []), ("IPv6", ["--ipv6"])):
            beside.judge(pathlib.Path(folder), beside.capture(pathlib.Path(folder), family, what), what)
    return 1 if beside.differ else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
