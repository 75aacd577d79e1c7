// SPDX-License-Identifier: BSD-2-Clause
/// Every section and key of weir.toml, once: parsing, validation, `config/weir.toml` and
/// `weir check --defaults` all come from these two lists.
///
/// Section   X(name, help)
/// Key       X(section, key, kind, default, allowed, help)
///           default and allowed are TOML text; a kind says what `allowed` means:
///   interface  a name of an interface; the default is only an example, the key must be given
///   spare      a name of an interface; empty: none
///   device     a device as its backend names it; empty: none
///   text       a string that is not empty
///   path       an absolute path
///   file       a path; a relative one starts at the configuration file's folder
///   flag       true or false
///   number     an integer, "least..most"
///   power      an integer that is a power of two, "least..most"
///   real       a number, "least..most"
///   level      "auto" or a number, "least..most" (-1 in `Settings` means auto)
///   choice     one of the strings "a|b|c"
///   quantity   "auto" or an integer, "least..most" (0 in `Settings` means auto)
///   numbers    a list of integers without duplicates, each "least..most"
///   ports      "all" or a list as `numbers` (in `Settings` all of them are the one number 0)
///   prefixes   a list of addresses or prefixes without duplicates
///   words      a list of strings
///   label      a string; empty: none
///   names      a table of strings, each by a name
/// Units     stand at the end of a key's name (`_ms`); a bare number is a count.
#pragma once

#define WEIR_CONFIG_SECTIONS(X)                                                                  \
  X(interfaces,                                                                                  \
    "The two interfaces that weir joins into a wire, or the one of this machine that it looks "  \
    "after. They must exist and be up.")                                                         \
  X(host, "With interfaces.mode = \"host\"; else nothing of this is read.")                      \
  X(steer, "Which packets are looked at by userspace; all else goes straight to the peer.")      \
  X(fail, "What happens to steered packets while userspace is dead, stuck or overloaded.")       \
  X(channels, "A channel is one rx/tx queue of both interfaces, with one I/O thread.")           \
  X(workers, "Threads that score batches of packets.")                                           \
  X(model, "The forest that scores packets.")                                                    \
  X(screen,                                                                                      \
    "A small model over header features, run inside the kernel on what is steered and came in "  \
    "by the WAN: what it finds fine goes on at once, and [model] judges the rest alone.")        \
  X(policy, "When a packet is dropped, and when its source is blocked.")                         \
  X(scope,                                                                                       \
    "What is dropped for its direction alone, whatever its score. Solicited answers never.")     \
  X(allow, "Sources that are never dropped and never blocked.")                                  \
  X(tables, "Bounds of everything that is remembered. Memory is taken at start.")                \
  X(control, "Where weir keeps its files.")                                                      \
  X(dpdk, "DPDK's devices, where interfaces.backend is \"dpdk\"; else nothing of this is read.") \
  X(log, "Messages on stderr.")

#define WEIR_CONFIG_KEYS(X)                                                                        \
  X(interfaces, wan, interface, "\"eth0\"", "", "The side that attacks come from.")                \
  X(interfaces, lan, interface, "\"eth1\"", "", "The side that is protected.")                     \
  X(interfaces, mode, choice, "\"inline\"", "inline|host",                                         \
    "inline: a wire between wan and lan; host: what comes in by the interface host is judged for " \
    "this machine, whose addresses and connections stay as they are.")                             \
  X(interfaces, host, spare, "\"\"", "", "The interface of host mode, in place of wan and lan.")   \
  X(interfaces, backend, choice, "\"af_xdp\"", "af_xdp|dpdk",                                      \
    "af_xdp: interfaces of the kernel, which go on forwarding whatever happens to weir; dpdk: "    \
    "the devices of [dpdk], polled by weir itself, which is the wire while it runs.")              \
  X(interfaces, xdp, choice, "\"auto\"", "auto|generic",                                           \
    "auto: the driver's native XDP, or the kernel's slower generic XDP where there is none.")      \
  X(host, judge, choice, "\"observe\"", "observe|guard",                                           \
    "observe: a copy is judged, so that a packet is not delayed, and its source is blocked for "   \
    "what follows; guard: a packet is delivered once it was judged.")                              \
  X(steer, udp_ports, ports, "[1900]", "1..65535",                                                 \
    "UDP ports, source or destination, whose packets are judged.")                                 \
  X(steer, ssdp_payload, flag, "true", "",                                                         \
    "Judge packets that start like SSDP on any other port too: half of real replies do.")          \
  X(steer, protocols, choice, "\"udp\"", "udp|all",                                                \
    "udp: the above; all: every IPv4 and IPv6 packet is judged, TCP, ICMP and fragments too, by "  \
    "a "                                                                                           \
    "model over features of the group header.")                                                    \
  X(steer, fragments, choice, "\"pass\"", "pass|blocked|drop",                                     \
    "UDP fragments after the first have no ports: pass them all, drop those of blocked sources "   \
    "(whatever protocol they are of), or drop them all.")                                          \
  X(fail, fail_mode, choice, "\"open\"", "open|closed",                                            \
    "open: steered packets go on to the peer unjudged; closed: they are dropped.")                 \
  X(fail, heartbeat_limit_ms, number, "200", "20..60000",                                          \
    "A channel without progress for so long is stalled. Smaller reacts sooner; below 50 a busy "   \
    "machine may look stalled.")                                                                   \
  X(channels, count, quantity, "\"auto\"", "1..64",                                                \
    "auto: as many as the interface with fewer rx queues has. Packets of a queue without a "       \
    "channel take fail_mode.")                                                                     \
  X(channels, io_cpus, numbers, "[]", "0..4095",                                                   \
    "CPUs for the I/O threads, in channel order and round robin; empty: not pinned.")              \
  X(channels, frames, power, "8192", "1024..1048576",                                              \
    "Frames of 4 KiB in a channel's memory, for both interfaces; at least 4 x ring.")              \
  X(channels, ring, power, "2048", "64..65536",                                                    \
    "Entries of each of a socket's rings. Larger rides out longer pauses, smaller stays in "       \
    "cache.")                                                                                      \
  X(channels, batch, number, "256", "1..256",                                                      \
    "Packets that travel together at most; a batch never waits to be full.")                       \
  X(channels, batches, number, "16", "2..1024",                                                    \
    "Batches of a channel that may be under way at once, where there are workers; more only "      \
    "deepens the queue.")                                                                          \
  X(channels, overload, choice, "\"forward\"", "forward|drop|leave",                               \
    "What happens, unjudged, to the excess: where a ring is nearly full, forward its oldest (in "  \
    "order, as fast as userspace can) or drop them; or leave all in it, so that the newest find "  \
    "no room, which takes no time from judging.")                                                  \
  X(channels, copy, choice, "\"auto\"", "auto|always",                                             \
    "auto: zero-copy where the driver has it; always: copy mode.")                                 \
  X(channels, hugepages, flag, "false", "",                                                        \
    "Frames in reserved hugepages (vm.nr_hugepages): fewer TLB misses, and no start without "      \
    "them.")                                                                                       \
  X(channels, busy_poll, flag, "false", "",                                                        \
    "Poll the driver from the I/O thread, which then never sleeps: lower latency, and a CPU a "    \
    "channel that is always busy. weir status says whether it was granted.")                       \
  X(channels, busy_poll_budget, number, "64", "1..1024", "Packets a busy poll takes at most.")     \
  X(channels, busy_poll_us, number, "20", "1..10000", "How long a busy poll goes on.")             \
  X(channels, napi_defer_hard_irqs, number, "2", "0..1000",                                        \
    "With busy_poll: empty polls before a NIC's interrupts come back, a setting of both "          \
    "interfaces that is given back on exit. 0: left as it is.")                                    \
  X(channels, gro_flush_us, number, "200", "0..100000",                                            \
    "With busy_poll: after so long without a poll a NIC's interrupts come back (its "              \
    "gro_flush_timeout), given back on exit. 0: left as it is.")                                   \
  X(channels, spin_us, number, "200", "0..10000",                                                  \
    "I/O threads wait awake for packets that come within this of each other on average, up to "    \
    "five times as long, before they sleep; 0: they sleep at once.")                               \
  X(channels, tx_budget, number, "32", "1..1024",                                                  \
    "Packets that one send may pass on in copy mode, where the kernel can change it (6.17).")      \
  X(channels, transmit, choice, "\"socket\"", "socket|redirect",                                   \
    "How forwarded packets leave in copy mode. socket: by AF_XDP; redirect: 32 and more at once "  \
    "as XDP redirects what is not steered (native XDP, Linux 5.18), for a fraction of the CPU "    \
    "time; without io_cpus packets may overtake others.")                                          \
  X(workers, count, number, "0", "0..256",                                                         \
    "0: score on the I/O threads, best for light load and few cores; several channels then "       \
    "take turns at the tables.")                                                                   \
  X(workers, cpus, numbers, "[]", "0..4095",                                                       \
    "CPUs for the workers, round robin; empty: not pinned.")                                       \
  X(model, path, file, "\"model.json\"", "", "A relative path starts at this file's folder.")      \
  X(model, attack, label, "\"\"", "",                                                              \
    "The class of the model that is the attack, where it is not the last of two.")                 \
  X(model, features, names, "{}", "",                                                              \
    "What features are called in the model's file, each with its name here, for instance "         \
    "{ \"Source Port\" = \"source_port\" }; usual names are known.")                               \
  X(screen, model, label, "\"\"", "",                                                              \
    "The screen's file, as of model.path, of features of the group header; empty: no screen. "     \
    "Needs Linux 5.13.")                                                                           \
  X(screen, threshold, level, "\"auto\"", "0.0..1.0",                                              \
    "A packet is suspicious above this probability. auto: where the model itself decides. Lower "  \
    "lets fewer packets pass unseen.")                                                             \
  X(screen, suspicious, words, "[]", "",                                                           \
    "The classes of the model that are suspicious; empty: the last.")                              \
  X(screen, features, names, "{}", "", "As model.features.")                                       \
  X(screen, ssdp, flag, "false", "",                                                               \
    "Screen announcements and answers of SSDP too, of which userspace then sees but what is "      \
    "suspicious. Searches, and all of the LAN, always go to userspace: it must know who asked.")   \
  X(policy, mode, choice, "\"active\"", "active|shadow",                                           \
    "shadow: judge, count and report; drop nothing, block nothing, and leave the blocks that "     \
    "there are out of effect.")                                                                    \
  X(policy, threshold, real, "0.5", "0.0..1.0",                                                    \
    "Score from which a packet is dropped. Higher drops less.")                                    \
  X(policy, rules, flag, "true", "",                                                               \
    "false: a packet is dropped where its score is above the threshold, and for nothing else, as " \
    "a kernel model drops it: no rule of this section or of [scope], and no block has an effect.") \
  X(policy, evidence_packets, number, "3", "2..10000",                                             \
    "Attack packets of one source within evidence_ms before it is blocked: never one alone, "      \
    "for its address may be forged.")                                                              \
  X(policy, evidence_ms, number, "10000", "100..3600000", "The window for evidence_packets.")      \
  X(policy, evidence_span_ms, number, "1000", "0..3600000",                                        \
    "These must be spread over so long: devices announce themselves by many packets at once.")     \
  X(policy, burst_packets, number, "64", "2..100000",                                              \
    "So many block a source however quick they come; real devices send up to 52 in a second.")     \
  X(policy, trusted_times, number, "10", "1..1000",                                                \
    "A source that lately answered what it was asked needs so many times the evidence.")           \
  X(policy, others, choice, "\"auto\"", "auto|floods|pass|model",                                  \
    "What the score may say of what is no SSDP and of no flow of the LAN. floods: what comes in "  \
    "numbers (other_packets) is dropped; pass: the same on port 1900, and all else passes; "       \
    "model: it is judged as SSDP is. auto: model where the model asks for features of the group "  \
    "header, else pass where udp_ports is \"all\", else floods.")                                  \
  X(policy, other_packets, number, "100", "0..1000000",                                            \
    "Of policy.others: so many packets of its source or destination in about a second are a "      \
    "flood; other protocols use these ports too.")                                                 \
  X(policy, late_answers, number, "40", "0..1000000",                                              \
    "Unasked answers that a host may get in about half a minute, and a side accused ones in "      \
    "about a second, before a score alone drops one: the search may not have been seen; 0: none.") \
  X(policy, group_searches, number, "60", "0..1000000",                                            \
    "Searches to a group that one source may send in about a second; 0: no limit. Real ones send " \
    "9 at most; a proxy searches for many.")                                                       \
  X(policy, group_notifies, number, "400", "0..1000000",                                           \
    "Announcements to a group that one source may send in about a second; 0: no limit. Real "      \
    "devices send up to 52, a proxy for forty of them 220.")                                       \
  X(policy, repeated_searches, number, "30", "0..1000000",                                         \
    "Searches of one source to the same single address in about half a minute; 0: no limit.")      \
  X(policy, blind_searches, number, "8", "0..1000000",                                             \
    "Searches from one side to single addresses where no device was ever heard, in about half a "  \
    "minute: what is over it is a scan; 0: no limit.")                                             \
  X(policy, crowd_packets, number, "400", "0..1000000",                                            \
    "Announcements, searches or unasked answers of strangers from one side in about a second: "    \
    "from there on all of them are dropped until it is over, and who was known before is not; 0: " \
    "never.")                                                                                      \
  X(policy, block_scope, choice, "\"ssdp\"", "ssdp|all",                                           \
    "What a block of a source drops: SSDP and what else is steered, or all of its traffic. all "   \
    "is for those who cannot be sent forged packets: a forged address is cut off as well.")        \
  X(policy, block_ms, number, "600000", "1000..86400000",                                          \
    "How long a first block lasts; each repeat doubles it.")                                       \
  X(policy, block_max_ms, number, "86400000", "1000..2592000000", "The longest block.")            \
  X(policy, blocks_per_s, number, "100000", "1..10000000",                                         \
    "New blocks a second at most; what is over it is dropped packet by packet.")                   \
  X(policy, network_sources, number, "16", "0..100000",                                            \
    "With so many blocks in an hour out of one /24 or /64, all of it is blocked; 0: never. Not "   \
    "one with an allowed address, or whose hosts answered what they were asked.")                  \
  X(policy, victim_sources, number, "4096", "0..30000",                                            \
    "Where so many sources attack one LAN address at once, unasked SSDP to that address is "       \
    "blocked and not source by source; 0: never.")                                                 \
  X(policy, victim_block_ms, number, "60000", "1000..86400000",                                    \
    "How long the first block of a victim lasts; each repeat doubles it.")                         \
  X(policy, immune_lan, flag, "true", "",                                                          \
    "Sources of the LAN are judged packet by packet and never blocked.")                           \
  X(scope, wan, choice, "\"routed\"", "routed|internet",                                           \
    "What the WAN is, for the rules that are auto. routed: networks of the same house or campus, " \
    "so all is judged; internet: all that these rules name is dropped.")                           \
  X(scope, wan_search, choice, "\"auto\"", "auto|judge|drop",                                      \
    "A search from the WAN to one address: a scan, or one that makes the LAN a reflector.")        \
  X(scope, wan_multicast, choice, "\"auto\"", "auto|judge|drop", "SSDP to a group from the WAN.")  \
  X(scope, wan_unasked, choice, "\"auto\"", "auto|judge|drop",                                     \
    "An answer or announcement from the WAN to one address that did not ask.")                     \
  X(scope, wan_private, choice, "\"auto\"", "auto|judge|drop",                                     \
    "SSDP from the WAN by a private or link-local address.")                                       \
  X(scope, lan_unasked, choice, "\"auto\"", "auto|judge|drop",                                     \
    "An answer of the LAN that the WAN did not ask for.")                                          \
  X(allow, own, flag, "true", "",                                                                  \
    "The addresses of this machine and its gateways are never blocked.")                           \
  X(allow, prefixes, prefixes, "[]", "",                                                           \
    "Addresses or prefixes, for instance [\"192.0.2.1\", \"2001:db8::/32\"].")                     \
  X(tables, blocks_max, number, "131072", "1024..4194304",                                         \
    "Blocks in the kernel for each of IPv4 and IPv6; fast while at most half full.")               \
  X(tables, allow_max, number, "4096", "1..1048576", "Prefixes of the allowlist a family.")        \
  X(tables, sources_max, number, "1000000", "1024..16777216",                                      \
    "Sources that are remembered, at 104 bytes each.")                                             \
  X(tables, destinations_max, number, "16384", "256..16777216",                                    \
    "Destinations that are remembered, at 176 bytes each.")                                        \
  X(tables, networks_max, number, "4096", "256..16777216",                                         \
    "Networks of destinations, a /24 or /64 each, that are remembered.")                           \
  X(tables, suspects_max, number, "131072", "1024..16777216",                                      \
    "Sources with evidence against them.")                                                         \
  X(tables, expectations_max, number, "32768", "256..16777216",                                    \
    "Searches and flows of the LAN whose answers are awaited.")                                    \
  X(tables, expectation_ms, number, "30000", "1000..600000",                                       \
    "How long the answer to a search is awaited; real devices answer up to 22 s late.")            \
  X(tables, blocks_kept, number, "1024", "16..1048576",                                            \
    "Blocks whose reasons are kept for weir why, at some 300 bytes each.")                         \
  X(tables, report_sources, number, "4096", "256..1048576",                                        \
    "Sources that weir report counts by themselves.")                                              \
  X(control, run_dir, path, "\"/run/weir\"", "",                                                   \
    "Folder for the lock and for the host settings that weir gives back at its end.")              \
  X(control, socket, path, "\"/run/weir/control.sock\"", "",                                       \
    "Unix socket that weir status, block, allow, report and why talk to.")                         \
  X(control, pin_directory, path, "\"/sys/fs/bpf/weir\"", "",                                      \
    "Folder in a BPF file system for the kernel's tables: one for each pair of interfaces.")       \
  X(dpdk, wan, device, "\"\"", "",                                                                 \
    "The side that attacks come from: a PCI address bound to vfio-pci, as \"0000:03:00.0\", or a " \
    "virtual device, as \"net_af_packet0,iface=eth0\".")                                           \
  X(dpdk, lan, device, "\"\"", "", "The side that is protected.")                                  \
  X(dpdk, hugepages, flag, "true", "",                                                             \
    "Packet memory in hugepages, which PCI devices need; false: ordinary memory.")                 \
  X(dpdk, memory_mb, number, "512", "64..65536", "Ordinary memory for DPDK, without hugepages.")   \
  X(dpdk, mtu, number, "1500", "1280..9600", "Of both devices, set at the start.")                 \
  X(dpdk, sleep_us, number, "50", "0..10000",                                                      \
    "How long a channel sleeps that found nothing; 0: never, a CPU a channel that is always "      \
    "busy.")                                                                                       \
  X(dpdk, flow_rules, choice, "\"off\"", "off|auto",                                               \
    "auto: what the busiest blocked sources send to wan is dropped by the NIC itself, by rules "   \
    "of "                                                                                          \
    "rte_flow, where its driver has them (weir status says so); off: no rule is made.")            \
  X(dpdk, flow_rules_max, number, "512", "2..65536",                                               \
    "Rules in the NIC at most; a source takes two for each steered port.")                         \
  X(dpdk, eal, words, "[]", "",                                                                    \
    "More arguments for DPDK's EAL, as they are, for instance [\"--iova-mode=pa\"].")              \
  X(log, level, choice, "\"info\"", "debug|info|warning|error",                                    \
    "Lines below this level are not written.")
