// SPDX-License-Identifier: BSD-2-Clause
/// What a start asks of this machine before it changes anything: `weir run` and `weir check` ask
/// the same, so that what the one calls good the other does not refuse.
///
/// Left out  what only a start can tell: queues that another program holds, frames that get no
///           memory, a control socket at which another weir answers.
/// Needs     nothing; which program is on an interface is only asked with the privileges of a
///           start, and `try_datapath` takes them.
/// Errors    one sentence with the remedy; the first fault ends it.
/// Threads   the main thread.
#pragma once

#include "control/config.h"
#include "kernel_model/screen.h"

namespace weir::control {

/// Interfaces, queues, pin directory, run directory and control socket.
Status check_machine(const Config& config);

/// Whether the kernel takes the XDP program, with the screen that `config.datapath` has; a start
/// tries by doing it. Nothing to ask of DPDK's backend, whose datapath is in this process.
Status try_datapath(const Config& config);

/// The model of a file as this configuration means it: its attack last, its features by their names
/// here.
Result<forest::Model> load_judge(const Config& config, const std::string& path);

/// What is probably not meant of a model that judges by this configuration: a sentence each.
std::vector<std::string> judge_warnings(const Config& config, const forest::Model& model);

/// The screen that the configuration names, none where it names none.
Result<std::shared_ptr<const kernel_model::Screen>> load_screen(const Config& config);

/// What the screen, or a key of one that is not there, would have no effect by: a sentence each.
/// `screen`: what `load_screen` gave.
std::vector<std::string> screen_warnings(const Config& config, const kernel_model::Screen* screen);

/// How many channels there will be. Drivers may change the queues when a program is attached, so a
/// start asks again then. `warnings` gets what is allowed and probably not meant.
Result<std::uint32_t> channel_count(const Config& config, std::vector<std::string>& warnings);

}  // namespace weir::control
