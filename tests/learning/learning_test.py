#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The books of scripts/train and scripts/evaluate: what they count, leave out, weigh and write."""
import pathlib
import struct
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
try:
    import numpy

    from learning import forest, rivals, robust, traffic
    from learning.tally import Tally, interval, rank
except ImportError as error:
    print(f"skipped: {error.name} is not installed (python3-sklearn)")
    sys.exit(77)


class Packets:
    """Rows as Bench.universe gives them, of (time, source, source port, destination, destination port, attack, method)."""

    def __init__(self, packets):
        columns = list(zip(*packets))
        self.time_s = numpy.array(columns[0], dtype=float)
        self.source, self.destination = numpy.array(columns[1]), numpy.array(columns[3])
        self.source_port, self.destination_port = numpy.array(columns[2]), numpy.array(columns[4])
        self.attack = numpy.array(columns[5], dtype=bool)
        self.method = numpy.array(columns[6])
        self.ssdp = self.method > 0
        self.from_wan = numpy.ones(len(packets), dtype=bool)

    @staticmethod
    def number_of(addresses):
        return numpy.unique(addresses, return_inverse=True)[1]


def frame(ttl):
    header = bytearray(struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28, 1, 0, ttl, 17, 0, b"\x0a\0\0\1", b"\xef\xff\xff\xfa"))
    total = sum(struct.unpack(">10H", header))
    header[10:12] = struct.pack(">H", ~((total & 0xffff) + (total >> 16)) & 0xffff)
    return bytes(12) + b"\x08\0" + bytes(header) + bytes(8)


class Learning(unittest.TestCase):
    def test_no_capture_of_the_test_is_one_of_training(self):
        for quick in (False, True):
            train, test = (traffic.synthetic(quick, split) for split in ("train", "test"))
            self.assertFalse({c.make for c in train} & {c.make for c in test})
            seeds = [c.make[1] for c in train + test]
            self.assertEqual(len(set(seeds)), len(seeds))
            kinds = {(c.group, c.kind) for c in test} - {("attack", kind) for kind in traffic.NOT_TRAINED}
            self.assertEqual({(c.group, c.kind) for c in train}, kinds)

    def test_a_family_lives_in_captures_of_its_own(self):
        for capture in traffic.synthetic(False, "train"):
            who = {capture.make[i + 1] for i, word in enumerate(capture.make) if word == "--only"}
            wanted = {capture.kind} if capture.group == "family" else set()
            self.assertEqual(who & set(traffic.FAMILIES), wanted, capture)

    def test_every_kind_weighs_the_same(self):
        attack = numpy.array([False] * 6 + [True] * 4)
        kind = numpy.array(["a"] * 5 + ["b"] + ["c"] * 3 + ["d"])
        weight = forest.weights(attack, kind, 3)
        self.assertAlmostEqual(weight[:5].sum(), weight[5])
        self.assertAlmostEqual(weight[6:9].sum(), weight[9])
        self.assertAlmostEqual(weight[:6].sum(), 3 * weight[6:].sum())
        self.assertAlmostEqual(weight.sum(), 10)

    def test_routed_frames_have_a_lower_ttl_and_a_valid_header(self):
        for ttl, later in ((64, 62), (4, 2), (1, 1)):
            changed = traffic.lower_ttl(frame(ttl), 2)
            self.assertEqual(changed[22], later)
            total = sum(struct.unpack(">10H", changed[14:34]))
            self.assertEqual((total & 0xffff) + (total >> 16), 0xffff)

    def test_captures_are_read_as_they_are_written_with_gaps_capped(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a.pcap"
            traffic.write_pcap(path, [(0.0, b"a" * 60), (0.5, b"b" * 61), (86_400.0, b"c" * 62)])
            read = traffic.read_pcap(path)
        self.assertEqual([data[:1] for _, data in read], [b"a", b"b", b"c"])
        self.assertEqual([round(time, 3) for time, _ in read], [0, 0.5, 60.5])

    def test_unlicensed_captures_do_not_train(self):
        with tempfile.TemporaryDirectory() as folder:
            readme = pathlib.Path(folder) / "README.md"
            readme.write_text("| file | label | packets | link | M | what |\n| x | benign | 1 | Ethernet | 1 | it |\n"
                              "| y | benign | 1 | Ethernet | 1 | it |\n| a/b | 0123 | none stated, public corpus |\n| c/d | 0123 | MIT |\n"
                              "| x | a/b | x.pcap |\n| y | c/d | y.pcap |\n", encoding="utf-8")
            self.assertEqual(list(traffic.read_data_readme(readme)), [("x", "benign", False), ("y", "benign", True)])

    def test_counts_of_a_judge(self):
        rows = Packets([(0.0, "1.1.1.1", 1900, "10.0.0.1", 5000, False, 3), (0.1, "9.9.9.9", 1900, "10.0.0.1", 5000, True, 3),
                        (0.2, "9.9.9.9", 1900, "10.0.0.1", 5000, True, 3), (1.5, "9.9.9.9", 1900, "10.0.0.1", 5000, True, 3),
                        (1.6, "8.8.8.8", 53, "10.0.0.2", 1900, False, 0), (1.7, "10.0.0.2", 1900, "8.8.8.8", 53, False, 0)])
        dropped = numpy.array([False, False, True, True, False, True])
        tally = Tally()
        tally.add(rows, dropped, dropped, {"block_list": [{"source": "9.9.9.9", "time_ns": 2_000_000_000, "first_seen_ns": 0}]})
        self.assertEqual((tally.benign, tally.benign_dropped, tally.sources, tally.sources_blocked), (1, 0, 1, 0))
        self.assertEqual((tally.flows, tally.flows_broken), (1, 1))
        self.assertEqual((tally.attack, tally.attack_passed, tally.later, tally.later_passed), (3, 1, 1, 0))
        self.assertEqual((tally.passed_by_source, tally.block_times_s), ([1], [2.0]))

    def test_intervals_hold_their_share(self):
        self.assertAlmostEqual(interval(0, 100)[1], 0.0362, places=3)  # 1 - 0.025 ** (1 / 100)
        low, high = interval(50, 100)
        self.assertTrue(0.39 < low < 0.5 < high < 0.61)
        self.assertEqual(rank([3, 1, 2], 0.5), 2)
        self.assertIsNone(rank([], 0.5))

    def test_simple_rules(self):
        rows = Packets([(0.1 * i, "1.1.1.1", 1000 + 50 * i, "10.0.0.1", 1900, False, 1) for i in range(4)]
                       + [(0.5, "2.2.2.2", 1234, "10.0.0.1", 5000, False, 3)])
        self.assertEqual(rivals.hundredth_port(rows)[0].tolist(), [True, True, True, True, False])
        self.assertEqual(rivals.no_port_1900(rows)[0].tolist(), [True, True, True, True, False])
        self.assertEqual(rivals.nth_in_second(rows.time_s, rows.number_of(rows.source)).tolist(), [1, 2, 3, 4, 1])

    def test_a_changed_field_changes_what_it_counts_for(self):
        names = ["is_search", "is_notify", "is_reply", "is_malformed", "to_multicast", "source_packets", "source_searches",
                 "source_unsolicited", "destination_packets", "destination_searches", "destination_unsolicited", "ttl"]
        quiet = {name: 1.0 for name in names} | {"group:" + name: 2.0 for name in names}
        fields = robust.Fields(names, quiet)
        row = numpy.array([[0, 0, 1, 0, 0, 900, 0, 800, 5_000, 0, 4_000, 57]], dtype=numpy.float32)
        fields.fresh_source(row)
        fields.kind_change(1)(row)
        self.assertEqual(row[0].tolist(), [1, 0, 0, 0, 0, 1, 1, 0, 5_000, 1, 3_999, 57])
        fields.to_group(row)
        self.assertEqual(row[0].tolist(), [1, 0, 0, 0, 1, 1, 1, 0, 2, 2, 2, 57])

    def test_a_model_file_knows_its_hash_and_size(self):
        tree = {"feature": [0, -1, 1, -1, -1], "threshold": [1, 0, 2, 0, 0], "left": [1, -1, 3, -1, -1], "right": [2, -1, 4, -1, -1],
                "values": [0.1, 0.2, 0.3]}
        document = {"format": "weir-model", "trees": [tree]}
        self.assertEqual(forest.size(document), (1, 3, 2))
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "m.json"
            forest.write(document, path)
            self.assertIn('"sha256":"', path.read_text(encoding="ascii"))


if __name__ == "__main__":
    unittest.main(verbosity=1)
