#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Every rule of lint.py finds its fault, and finds nothing where there is none; and report.py counts right."""
import json
import pathlib
import sys
import tempfile
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parent.parent)]
import lint  # noqa: E402
import report  # noqa: E402

SPDX = "// SPDX-License-Identifier: BSD-2-Clause\n"
CLEAN = {
    ".clang-format": "BasedOnStyle: Google\n",
    "meson.build": "# SPDX-License-Identifier: BSD-2-Clause\n",
    "src/meson.build": "# SPDX-License-Identifier: BSD-2-Clause\nmodules = ['base', 'io']\n",
    "src/base/a.h": SPDX + "/// Makes a `Thing`.\n#pragma once\nstruct Thing {\n  int x;\n};\n",
    "src/io/b.cpp": SPDX + '#include "base/a.h"\n// ' + "iphdr in a comment is none\nThing thing;\n",
    "bpf/p.h": "/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */\n",
}
# Check: files that bring it one finding.
FAULTS = {
    "format": {"src/base/a.cpp": SPDX + "int  f( ) ;\n"},
    "includes": {"src/base/a.cpp": SPDX + '#include "io/b.h"\n'},
    "headers": {"src/base/c.h": SPDX + "#pragma once\n#include \"base/a.h\"\ninline std::string f(Thing);\n"},
    "third_party": {"src/io/c.cpp": SPDX + "#include <tbb/flow_graph.h>\n"},
    "pages": {"src/base/c.h": SPDX + "/// Makes it. Owner     the service.\n#pragma once\n"},
    "bpf": {"bpf/x.bpf.c": "/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */\n"
                           "int f(int x) { if (x) return 1; else return 1; }\t\n"},
    "length": {"src/io/c.cpp": SPDX + "\n" * 500},
    "names": {"src/base/c.h": SPDX + "/// See `nowhere`.\n#pragma once\n"},
    "top_level": {"notes.txt": "x\n"},
    "spdx": {"src/io/c.cpp": "int x;\n"},
    "parser": {"src/io/c.cpp": SPDX + "struct iphdr* header;\n"},
    "binaries": {"tests/x.txt": SPDX + "\0"},
    "results": {"perf/results/day.json": '{"commands": ["weir model=\\"/home/me/tree/config/model.json\\""]}\n'},
    "unfinished": {"src/io/c.cpp": SPDX + "// TO" + "DO: more\n"},
}


def tree(folder, files):
    for name, text in files.items():
        path = pathlib.Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return pathlib.Path(folder)


# Further faults that a check must find, each in a header of its own.
TORN = ("/// Makes it. Owner     the service.\n", "/// it holds the pid. Allow     which prefixes\n",
        "/// Owner     the one who\n/// made it\n///           and nobody else.\n")


class Lint(unittest.TestCase):
    def test_tidy_finds_a_fault_in_each_file_of_a_group(self):
        fault = "int NAME(const std::vector<std::string>& v) {\n  int n = 0;\n  for (const std::string s : v) n += s.empty();\n  return n;\n}\n"
        files = {f"src/io/{name}.cpp": SPDX + "#include <string>\n#include <vector>\n" + fault.replace("NAME", name)
                 for name in ("c", "d")}
        with tempfile.TemporaryDirectory() as folder:
            root = tree(folder, files | {
                ".clang-tidy": "Checks: '-*,performance-for-range-copy'\nHeaderFilterRegex: 'src/.*'\n"}).resolve()
            (root / "compile_commands.json").write_text(json.dumps(
                [{"directory": folder, "file": name, "command": f"c++ -std=c++20 -MD -MQ x -MF y -o z -c {name}"} for name in files]))
            self.assertEqual(len(list(lint.check_tidy(root, folder))), 2)

    def test_a_torn_page_is_found(self):
        for text in TORN:
            with tempfile.TemporaryDirectory() as folder:
                root = tree(folder, CLEAN | {"src/base/c.h": SPDX + text + "#pragma once\n"})
                self.assertEqual(len(list(lint.check_pages(root))), 1, text)

    def test_a_clean_tree_has_no_finding(self):
        with tempfile.TemporaryDirectory() as folder:
            root = tree(folder, CLEAN)
            for check in FAULTS:
                self.assertEqual(list(getattr(lint, "check_" + check)(root)), [], check)

    def test_each_fault_is_found_once(self):
        for check, files in FAULTS.items():
            with tempfile.TemporaryDirectory() as folder:
                found = list(getattr(lint, "check_" + check)(tree(folder, CLEAN | files)))
                self.assertTrue(found, check)
                self.assertIn(next(iter(files)), found[0])

    def test_a_binary_that_is_not_hardened_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            source = tree(folder, {"m.c": "int main(void) { return 0; }\n"}) / "m.c"
            lint.subprocess.run(["gcc", "-no-pie", "-Wl,-z,norelro", source, "-o", folder + "/m"], check=True)
            found = "\n".join(lint.check_hardening(None, folder + "/m"))
            for word in ("position-independent", "relro", "stack protector", "FORTIFY"):
                self.assertIn(word, found)


class Report(unittest.TestCase):
    @staticmethod
    def states(result, stdout):
        return [(name, state) for name, state, _ in report.cases({"name": "t", "result": result, "stdout": stdout})]

    def test_counts_each_test_of_a_program(self):
        stdout = ("[ RUN      ] A.x\n[       OK ] A.x (0 ms)\n[ RUN      ] A.y\nfile.cpp:1: Skipped\nno root\n\n"
                  "[  SKIPPED ] A.y (0 ms)\n[ RUN      ] B/A.z/0\n[  FAILED  ] B/A.z/0, where GetParam() = 1 (0 ms)\n"
                  "[  FAILED  ] 1 test, listed below:\n[  FAILED  ] B/A.z/0, where GetParam() = 1\n")
        self.assertEqual(self.states("FAIL", stdout), [("A.x", "passed"), ("A.y", "skipped"), ("B/A.z/0", "failed")])
        self.assertEqual(report.cause_of(stdout, "A.y"), "no root")

    def test_a_test_that_took_the_program_down_failed(self):
        stdout = "[ RUN      ] A.x\n[       OK ] A.x (0 ms)\n[ RUN      ] A.y\n"
        self.assertEqual(self.states("FAIL", stdout), [("A.x", "passed"), ("A.y", "failed")])

    def test_a_program_that_fails_after_its_tests_failed(self):
        stdout = "[ RUN      ] A.x\n[       OK ] A.x (0 ms)\n"
        self.assertEqual(self.states("FAIL", stdout), [("A.x", "passed"), ("t", "failed")])

    def test_other_programs_count_as_one(self):
        self.assertEqual(self.states("OK", ""), [("t", "passed")])
        self.assertEqual(self.states("SKIP", ""), [("t", "skipped")])
        self.assertEqual(self.states("TIMEOUT", ""), [("t", "failed")])


if __name__ == "__main__":
    unittest.main()
