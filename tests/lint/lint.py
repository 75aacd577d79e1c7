#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The rules of the source tree, one check a call.

usage: lint.py CHECK ROOT [ARGUMENT...]

Every finding is one line 'file:line: what is wrong'. The exit status is 0 where there is none.
"""
import json
import os
import pathlib
import platform
import re
import shlex
import subprocess
import sys
import tempfile

MACHINE_PATH = re.compile(r"""["'=\s](/(?!dev/|proc/|sys/|run/|usr/)[\w.-]+/[\w./-]*)""")
TOP_LEVEL = {"meson.build", "src", "bpf", "config", "tests", "perf", "scripts", "README.md", "LICENSE"}
LINES_MAX = 500
BPF_COLUMNS = 124
TIDY_TOGETHER = 8

# A library's own names, and the only files that may say them (in src; tests and perf use what they test with).
THIRD_PARTY = [
    ("oneTBB", r"#include <(oneapi/)?tbb/|\btbb::", r"pipeline/graph\.cpp"),
    ("Highway", r"#include [<\"]hwy/|\bhwy::|\bHWY_", r"forest/evaluate[^/]*|packet/text_marks[^/]*"),
    ("libbpf", r"#include <bpf/", r"datapath/kernel[^/]*\.(cpp|h)|kernel_model/(load|object)\.cpp|io/(xsk|af_xdp)[^/]*"),
    ("libxdp", r"#include <xdp/", r"io/(xsk|af_xdp)[^/]*|datapath/kernel[^/]*\.cpp"),
    ("DPDK", r"#include <rte_|\brte_\w+\(", r"io/dpdk[^/]*"),
    ("toml++", r"#include <toml|\btoml::", r"control/config[^/]*"),
    ("CLI11", r"#include <CLI/|\bCLI::", r"cli/command_line\.(cpp|h)"),
    ("zlib", r"#include <zlib", r"io/unpack\.cpp"),
    ("zstd", r"#include <zstd|\bZSTD_", r"io/unpack\.cpp"),
    ("spdlog", r"#include <spdlog/|\bspdlog::", r"control/[^/]*|cli/[^/]*|main\.cpp"),
]

# Headers and structs that a second packet parser would need.
PARSER = re.compile(r"\b(ethhdr|ether_header|vlan_hdr|iphdr|ipv6hdr|ip6_hdr|udphdr|tcphdr)\b|<netinet/(ip|ip6|udp|if_ether)\.h>"
                    r"|<linux/(ip|ipv6|udp|if_ether)\.h>")

# Words of unfinished work; written apart, so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|\bfor " r"now\b")


def tracked(root):
    """The files of the tree, as git knows them; without git, all but dot-folders and build folders."""
    try:
        # -c: a clone of another user's is read as well; it is listed, nothing in it is run.
        names = subprocess.run(["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z", "-c", "-o",
                                "--exclude-standard"], check=True, capture_output=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        names = [str(p.relative_to(root)) for p in root.rglob("*")]
        names = [n for n in names if not n.startswith((".git/", "build")) and "/__pycache__/" not in n]
    return sorted(n for n in names if n and (root / n).is_file())


def sources(root, suffixes=(".h", ".cpp"), folders=("src", "tests", "perf")):
    return [n for n in tracked(root) if n.endswith(suffixes) and n.split("/")[0] in folders]


def numbered(root, name):
    return enumerate((root / name).read_text(encoding="utf-8").splitlines(), 1)


def without_comments(text):
    """C++ text with comments blanked, lines kept."""
    blank = lambda m: "\n" * m.group().count("\n") if m.group().startswith("/") else m.group()
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def modules(root):
    """The modules of src in their order, read from where the build reads it."""
    return re.findall(r"'(\w+)'", re.search(r"modules = \[(.*?)\]", (root / "src/meson.build").read_text(), re.S).group(1))


def check_pages(root):
    """The columns of the headers' manual pages: no field begins amid a line, and none goes on in the first column."""
    for name in sources(root):
        in_field = False
        for number, line in numbered(root, name):
            if found := re.match(r"\s*/// .*(?:\S +(?=(?:Owner|Threads|Errors|Source|Shape|Units|Order|Needs) {2})|[.:;] +)"
                                 r"([A-Z][a-z]+) {2,}\S", line):
                yield f"{name}:{number}: '{found[1]}' begins amid a line; give it one of its own"
            if in_field and re.match(r"/// \S", line) and not re.match(r"/// [A-Z]", line):
                yield f"{name}:{number}: a field's text goes on in the first column; give it the field's"
            in_field = bool(re.match(r"/// ([A-Z][\w ]{0,8} {2,}| {10})\S", line))


def check_format(root):
    names = sources(root)
    ran = subprocess.run(["clang-format-14", "--dry-run", "-Werror", *names], cwd=root, capture_output=True, text=True)
    for line in re.findall(r"^(.*?:\d+):\d+: error:", ran.stderr, re.M):
        yield f"{line}: not as .clang-format has it; run clang-format-14 -i on the file"
    if ran.returncode != 0 and ": error:" not in ran.stderr:
        yield "clang-format-14 failed: " + ran.stderr.strip()


def check_includes(root):
    ranks = {module: rank for rank, module in enumerate(modules(root))}
    for name in sources(root, folders=("src",)):
        own = name.split("/")[1]
        for number, line in numbered(root, name):
            found = re.match(r'\s*#\s*include\s+"([\w.-]+)/', line)
            if not found or found[1] not in ranks or own not in ranks:
                continue
            if ranks[found[1]] > ranks[own]:
                yield f"{name}:{number}: {own} includes {found[1]}, which stands after it in src/meson.build"


def read_first(root, name):
    """Whether the header's own source reads it before all others: then the build has compiled it alone."""
    source = root / (name.removesuffix(".h") + ".cpp")
    first = re.search(r'^#include ["<](.*)[">]', source.read_text(), re.M) if source.exists() else None
    return bool(first) and name.endswith("/" + first[1])


def reads(root, name, known):
    """All that compiling this header reads, itself too: by their texts, so what is left out by a condition counts as read."""
    if name not in known:
        known[name] = {name}
        for sign, file in re.findall(r'^\s*#\s*include\s+(["<])(.+?)[">]', (root / name).read_text(), re.M):
            places = [os.path.normpath(os.path.join(folder, file)) for folder in (os.path.dirname(name), "src", "", "tests")]
            own = next((p for p in places if sign == '"' and (root / p).is_file()), None)
            known[name] = known[name] | (reads(root, own, known) if own else {file})
    return known[name]


def chains(root, names):
    """Lists of headers of which each reads all that stands before it: one behind the other, each is compiled as if alone."""
    known, made = {}, []
    for name in sorted(names, key=lambda n: len(reads(root, n, known))):
        fit = [chain for chain in made if known[chain[-1]] < known[name]]
        if not fit:
            made.append([])
        max(fit or made[-1:], key=len).append(name)
    return made


def alone(names):
    """The compiler's command for these headers, one behind the other."""
    c = names == ["perf/generator/layout.h"]
    return ["g++", "-x", "c" if c else "c++", "-std=gnu11" if c else "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
            "-I", "src", "-I", ".", "-I", "tests", *[word for name in names for word in ("-include", name)], "/dev/null"]


def check_headers(root):
    """Every header compiles alone."""
    names = [n for n in sources(root, suffixes=(".h",)) if not n.endswith(("-inl.h", ".skel.h")) and not read_first(root, n)]
    jobs = [(chain, alone(chain)) for chain in chains(root, names)]
    failed = [name for chain, ran in parallel(jobs, root) if ran.returncode != 0 for name in chain]
    for name, ran in parallel([(name, alone([name])) for name in failed], root):
        if ran.returncode != 0:
            first = next((l for l in ran.stderr.splitlines() if "error" in l), ran.stderr.strip())
            yield f"{name}:1: does not compile alone: {first}"


def parallel(jobs, root, at_once=2):
    from concurrent.futures import ThreadPoolExecutor
    run = lambda job: (job[0], subprocess.run(job[1], cwd=root, capture_output=True, text=True))
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(run, jobs)


def check_third_party(root):
    for name in sources(root, folders=("src",)):
        inner = name.removeprefix("src/")
        for number, line in enumerate(without_comments((root / name).read_text()).splitlines(), 1):
            for library, pattern, allowed in THIRD_PARTY:
                if re.search(pattern, line) and not re.fullmatch(allowed, inner):
                    yield f"{name}:{number}: {library} is for src/{allowed} alone"


def check_length(root):
    for name in tracked(root):
        if name == "LICENSE" or name.startswith("config/") and name.endswith(".json"):
            continue
        try:
            lines = (root / name).read_text(encoding="utf-8").count("\n")
        except UnicodeDecodeError:
            continue
        if lines > LINES_MAX:
            yield f"{name}:{lines}: longer than {LINES_MAX} lines"


def check_names(root):
    """What a header's comment puts in backticks exists, as code, somewhere in the tree."""
    words = set()
    for name in tracked(root):
        if name.endswith((".h", ".cpp", ".c")):
            words.update(re.findall(r"\w+", without_comments((root / name).read_text())))
        elif name.endswith((".toml", "meson.build", ".service", ".py")) or "/" in name and "." not in name.split("/")[-1]:
            words.update(re.findall(r"\w+", (root / name).read_text(errors="replace")))
    for name in sources(root, suffixes=(".h",), folders=("src", "bpf", "perf", "tests")):
        text = (root / name).read_text()
        comments = [(text.count("\n", 0, m.start()) + 1, m.group()) for m in re.finditer(r"//[^\n]*|/\*.*?\*/", text, re.S)]
        for line, comment in comments:
            for quoted in re.findall(r"`([^`\n]+)`", comment):
                if not re.fullmatch(r"[A-Za-z_][\w:.]*(\(\))?", quoted):
                    continue
                missing = [w for w in re.findall(r"\w+", quoted) if w not in words]
                if missing:
                    yield f"{name}:{line}: `{quoted}` names what is not in the code: {missing[0]}"


def check_top_level(root):
    for name in sorted({n.split("/")[0] for n in tracked(root)}):
        if not name.startswith(".") and name not in TOP_LEVEL:
            yield f"{name}:1: is not for the top level, which is {' '.join(sorted(TOP_LEVEL))} and dot-files"


def check_spdx(root):
    for name in tracked(root):
        if name == "LICENSE" or name.endswith((".md", ".json")) or name.split("/")[-1].startswith("."):
            continue
        head = "".join((root / name).read_text(errors="replace").splitlines(True)[:3])
        wanted = "(GPL-2.0-only OR BSD-2-Clause)" if name.endswith(".bpf.c") or name.startswith("bpf/") and name.endswith(
            (".h", ".c")) else "BSD-2-Clause"
        if f"SPDX-License-Identifier: {wanted}" not in head and not (
                "SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)" in head and name.endswith(".h")):
            yield f"{name}:1: has no line 'SPDX-License-Identifier: {wanted}' at its top"


def check_parser(root):
    for name in sources(root, folders=("src",)):
        for number, line in enumerate(without_comments((root / name).read_text()).splitlines(), 1):
            if found := PARSER.search(line):
                yield f"{name}:{number}: {found[0]}: packets are parsed in bpf/parse.h and nowhere else"


def check_binaries(root):
    for name in tracked(root):
        if name.endswith((".pcap", ".pcapng", ".o", ".so", ".a")) or b"\0" in (root / name).read_bytes():
            yield f"{name}:1: a binary or a capture; the tree holds text alone"


def check_results(root):
    """Figures are everybody's to repeat: what made them is said from the tree's top, not from one machine's folders."""
    for name in tracked(root):
        if not re.fullmatch(r"perf/.*results/.*\.json", name):
            continue
        for number, line in enumerate((root / name).read_text(errors="replace").splitlines(), 1):
            if found := MACHINE_PATH.search(line):
                yield f"{name}:{number}: '{found[1]}': a path of one machine; name it from the tree's top"


def check_unfinished(root):
    for name in tracked(root):
        if name == "LICENSE":
            continue
        for number, line in enumerate((root / name).read_text(errors="replace").splitlines(), 1):
            if found := UNFINISHED.search(line):
                yield f"{name}:{number}: '{found[0]}': finish it, or file it as an issue"


def check_tidy(root, build):
    """All of src/ but the commands, whose files name their own alike. Files that are compiled with the same options are
    looked at together: most of the time goes into headers that they share."""
    # The build asks g++ for warnings that clang does not know (-Wrestrict), or knows as another (-Wcast-align, which it
    # raises for netlink's own macros).
    tidy = ["clang-tidy-14", "--quiet", f"--config-file={root}/.clang-tidy", "--extra-arg=-Wno-unknown-warning-option",
            "--extra-arg=-Wno-cast-align"]
    with tempfile.TemporaryDirectory() as folder:
        commands = []
        for (directory, *options), members in compiled_alike(root, build).items():
            for first in range(0, len(members), TIDY_TOGETHER):
                file = pathlib.Path(folder, f"group{len(commands)}.cpp")
                file.write_text("".join(f'#include "{member}"  // NOLINT(bugprone-suspicious-include)\n'
                                        for member in members[first:first + TIDY_TOGETHER]))
                commands.append({"directory": directory, "file": str(file), "arguments": [*options, "-c", str(file)]})
        pathlib.Path(folder, "compile_commands.json").write_text(json.dumps(commands))
        yield from tidied([(c["file"], [*tidy, "-p", folder, c["file"]]) for c in commands], root)


def compiled_alike(root, build):
    """(folder, option...) -> the files of src/, but of src/cli/, that are compiled with these."""
    groups = {}
    for entry in json.loads(pathlib.Path(build, "compile_commands.json").read_text()):
        source = pathlib.Path(entry["directory"], entry["file"]).resolve()
        name = str(source.relative_to(root)) if source.is_relative_to(root) else ""
        if source.suffix != ".cpp" or not name.startswith("src/") or name.startswith("src/cli/"):
            continue
        words = shlex.split(entry["command"])
        of_the_file = [words.index(option) for option in ("-MQ", "-MF", "-o", "-c") if option in words]
        options = [w for at, w in enumerate(words) if at not in of_the_file and at - 1 not in of_the_file and w != "-MD"]
        groups.setdefault((entry["directory"], *options), []).append(source)
    return groups


def tidied(jobs, root):
    for name, ran in parallel(jobs, root):
        found = re.findall(r"^(\S+?:\d+):\d+: (?:error|warning): (.*)$", ran.stdout, re.M)
        yield from (f"{place}: {what}" for place, what in dict.fromkeys(found))
        if ran.returncode != 0 and not found:
            yield f"{name}:1: clang-tidy-14 failed: {(ran.stdout + ran.stderr).strip()[-500:]}"


def check_bpf(root):
    """The BPF programs: clang-format does not know their macros, clang-tidy does. (Warnings are errors in the build.)"""
    for name in tracked(root):
        if not name.startswith("bpf/") or not name.endswith((".h", ".c")):
            continue
        for number, line in numbered(root, name):
            if len(line) > BPF_COLUMNS or "\t" in line or line != line.rstrip():
                yield f"{name}:{number}: a tab, a space at its end, or longer than {BPF_COLUMNS} characters"
    # Equal branches come from the outcomes' list; the context's pointers are integers by the kernel's own definition.
    options = ["--checks=-bugprone-branch-clone,-performance-no-int-to-ptr", "--", "-target", "bpf", "-O2",
               "-idirafter", f"/usr/include/{platform.machine()}-linux-gnu"]
    jobs = [(n, ["clang-tidy-14", "--quiet", n, *options]) for n in tracked(root) if n.endswith(".bpf.c")]
    yield from tidied(jobs, root)


def check_hardening(_root, binary):
    read = lambda *options: subprocess.run(["readelf", "--wide", *options, binary], check=True, capture_output=True,
                                           text=True).stdout
    symbols, segments, dynamic = read("--symbols", "--dyn-syms"), read("--segments"), read("--dynamic")
    for what, there in {
            "a position-independent executable (-fPIE -pie)": "DYN" in read("--file-header"),
            "read-only relocations (-z relro)": "GNU_RELRO" in segments,
            "binding at start (-z now)": "BIND_NOW" in dynamic or "NOW" in dynamic,
            "a stack that is not executable (-z noexecstack)": re.search(r"GNU_STACK.*\sRW\s", segments),
            "the stack protector (-fstack-protector-strong)": "__stack_chk_fail" in symbols,
            "checked copies (_FORTIFY_SOURCE)": re.search(r"__\w+_chk@", symbols.replace("__stack_chk_fail", "")),
    }.items():
        if not there:
            yield f"{binary}:1: built without {what}"


def main(arguments):
    check = globals().get("check_" + arguments[0].replace("-", "_"))
    findings = list(check(pathlib.Path(arguments[1]).resolve(), *arguments[2:]))
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
