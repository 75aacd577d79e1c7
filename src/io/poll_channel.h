// SPDX-License-Identifier: BSD-2-Clause
/// A channel over polled devices, with the native datapath in front of it, in software.
///
///   poll one queue of each side -> judge -> peer: sent at once, as it is
///                                        -> drop: released
///                                        -> steered: into a ring, that `Channel::receive` reads
///
/// The ring stands for an AF_XDP socket's: where it is full, or no frame is left for a packet, the
/// packet is lost and counted as a failed redirect; a channel that is starved or stuck withdraws
/// its heartbeat, and what is steered takes the fail mode. So ordinary traffic crosses even while
/// every batch is under way.
///
/// Start     the devices are left alone until somebody takes what is steered (NativeShared::connect):
///           no packet goes unjudged while weir starts.
/// Copies    none: a packet stays where the device put it, from its receive ring to the other
///           device's transmit ring.
/// Frames    numbers for the packets that are steered; places `fill`, `tx` and `completion` are the
///           device's own and always empty here.
/// Sleep     devices have no descriptor to wait on: a channel that found nothing sleeps `sleep_us`
///           and looks again; 0 polls without a pause.
/// Threads   as io/interface.h; one judge of the datapath belongs to the channel.
#pragma once

#include <memory>

#include "datapath/native_shared.h"
#include "io/interface.h"
#include "io/poll_device.h"

namespace weir::io {

struct PollChannelConfig {
  std::uint32_t frames = 8192;
  std::uint32_t ring = 2048;  ///< a power of two
  std::uint32_t sleep_us = 50;
};

/// `devices` and `judge` outlive it.
std::unique_ptr<Channel> make_poll_channel(const PollChannelConfig& config, PollDevices& devices,
                                           datapath::NativeShared::Judge& judge,
                                           std::uint32_t channel);

}  // namespace weir::io
