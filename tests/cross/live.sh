#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# weir with the router's profile on a kernel of another machine: live.sh WEIR, as root in a guest of perf/guest, which has no
# other network. A flood comes in by a veth pair; its sources must be blocked in the kernel, and SSDP's searches not lost.
# Says what weir and the machine take of memory. Exit status 1: it did not start, block or end as it should.
set -euo pipefail
weir=$1 config=$(dirname "$0")/../../config/router.toml
failed() { echo "failed: $*"; exit 1; }
field() { grep -oE "\"$1\": *[0-9]+" <<<"$status" | head -n 1 | grep -oE '[0-9]+$'; }
taken() {
  grep -E 'VmRSS|RssAnon|RssFile|RssShmem' "/proc/$process/status" | tr -s '\t ' ' ' | tr '\n' ';'
  free -k | awk -v before="$1" '/^Mem/ {printf " the machine: %d kB less available than before weir\n", before - $7}'
}

ip link add eth0 type veth peer name peer0
ip link set eth0 up
ip link set peer0 up
ip addr add 192.168.1.20/24 dev eth0
"$weir" synth --scenario reflection --seconds 4 --rate 2000 --attackers 60 --packets 6000 -o /run/flood.pcapng >/dev/null
available=$(free -k | awk '/^Mem/ {print $7}')
"$weir" run -c "$config" >/run/out 2>/run/log &
process=$!
for ((i = 0; i < 300; ++i)); do
  "$weir" status >/dev/null 2>&1 && break
  sleep 0.2
done
head -n 3 /run/log
taken "$available"
"$weir" replay /run/flood.pcapng --live peer0 --rate 1500 >/dev/null 2>&1 || failed "the flood could not be sent"
sleep 2
status=$("$weir" status --json) || failed "weir does not answer: $(tail -n 3 /run/log)"
taken "$available"
echo "blocks: $(field standing); packets that these dropped in the kernel: $("$weir" report --json | grep -oE '"hit_packets": *[0-9]+' | grep -oE '[0-9]+$' | awk '{n += $1} END {print n + 0}')"
[[ $(field standing) -gt 40 ]] || failed "of 60 sources too few are blocked"
kill "$process"
wait "$process" || failed "weir ended with exit status $?"
echo "weir ended as asked"
