# SPDX-License-Identifier: BSD-2-Clause
"""The unit tests of what needs no library of the target, on machines that this one is not, under qemu's user mode:
units.py ROOT.

  s390x     the other byte order
  aarch64   (the forest's vectors are in tests/forest/cross)

Addresses, headers, header features, the datapath, features and tables. scripts/cross runs all unit tests there.

Compiled here, through ccache where it is installed: the first run takes half a minute, later ones some seconds. fmt and
tl::expected are used as headers, Highway for one target, GoogleTest is compiled from its sources. Left out: tests that count threads' turns or do
a thing a million times, and those with RapidCheck, which is a library. Exit status 77: something that Debian has is
not installed.
"""
import concurrent.futures
import pathlib
import shutil
import subprocess
import sys
import tempfile

GOOGLETEST = pathlib.Path("/usr/src/googletest/googletest")
HEADERS = ["fmt", "gmock", "gtest", "hwy", "tl"]

# Sources and tests. All of either is compiled as one, so that headers are read and templates made once.
GROUPS = (
    ["src/base/address.cpp", "src/base/clock.cpp", "src/base/nearest.cpp", "src/base/populate.cpp",
     "src/base/result.cpp", "src/base/seed.cpp",
     "src/packet/*.cpp", "src/datapath/datapath.cpp", "src/datapath/native.cpp", "src/datapath/native_shared.cpp",
     "src/detect/*.cpp"],
    ["tests/packet/headers_test.cpp", "tests/cases/cases.cpp", "tests/cases/native_test.cpp",
     "tests/base/address_test.cpp", "tests/base/nearest_test.cpp", "tests/base/ring_test.cpp",
     "tests/packet/header_features_test.cpp", "tests/detect/extractor_test.cpp", "tests/detect/window_test.cpp",
     "tests/datapath/native_shared_test.cpp"])
SLOW = ("*.EqualAnIndependentReadersForGeneratedFrames:*.NoFreePassOntoAnOpenPort:*.SearchesOfTheWanCannotEvict*:"
        "*.AFloodThatBeganBeforeTheSearch*:*.LosesNothingBetweenTwoThreads:*.SaturatesAndForgets:"
        "*.AJudgeSeesAChangeWholeOrNotAtAll:AddressHash.*")
MACHINES = ("s390x", "aarch64")


def compile_group(command, root, folder, number, group):
    """One object of all the files of a group."""
    files = [file for pattern in group for file in sorted(root.glob(pattern))]
    source = folder / f"group{number}.cpp"
    source.write_text("".join(f'#include "{file}"\n' for file in files))
    output = source.with_suffix(".o")
    subprocess.run([*command, "-c", str(source), "-o", str(output)], check=True)
    return str(output)


def build(machine, root, folder):
    """The test program of a machine."""
    include = folder / "include"
    include.mkdir()
    for name in HEADERS:  # and nothing else of this machine's
        (include / name).symlink_to(pathlib.Path("/usr/include") / name)
    compiler = [f"{machine}-linux-gnu-g++", "-std=c++20", "-O0", "-DFMT_HEADER_ONLY", "-DGTEST_HAS_PTHREAD=1", "-Wall", "-DHWY_COMPILE_ONLY_STATIC",
                "-Werror", "-Wno-subobject-linkage",  # a source is no header, though it is included as one
                f'-DWEIR_SOURCE="{root}"', "-I", str(root), "-I", str(root / "src"), "-I", str(root / "tests"),
                "-I", str(root / "tests/cases"), "-idirafter", str(include)]
    ccache = shutil.which("ccache")
    command = [ccache, *compiler] if ccache else compiler
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        objects = [pool.submit(compile_group, command, root, folder, number, group)
                   for number, group in enumerate(GROUPS)]
        objects.append(pool.submit(compile_group, [*command, "-I", str(GOOGLETEST)], GOOGLETEST / "src", folder, "gtest",
                                   ["gtest-all.cc", "gtest_main.cc"]))
        program = folder / "units"
        subprocess.run([*compiler, "-static", *[done.result() for done in objects], "-o", str(program), "-pthread"],
                       check=True, stderr=subprocess.DEVNULL)  # the static C library warns of getaddrinfo
    return program


def main(root):
    missing = [tool for machine in MACHINES for tool in (f"{machine}-linux-gnu-g++", f"qemu-{machine}")
               if shutil.which(tool) is None]
    if missing or not GOOGLETEST.exists():
        print("skipped: not installed:", *missing, "" if GOOGLETEST.exists() else str(GOOGLETEST))
        return 77
    for machine in MACHINES:
        # A folder of the same name each time: ccache looks at it.
        folder = pathlib.Path(tempfile.gettempdir()) / f"weir-units-{machine}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            program = build(machine, root, folder)
            ran = subprocess.run([f"qemu-{machine}", str(program), f"--gtest_filter=-{SLOW}", "--gtest_brief=1"], check=False)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        print(f"{machine}: exit status {ran.returncode}", flush=True)
        if ran.returncode != 0:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]).resolve()))
