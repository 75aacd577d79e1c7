// SPDX-License-Identifier: BSD-2-Clause
/// Host mode's second program, on what this host sends: a filter at the interface's egress, by which
/// its searches and the flows that it opens are known.
///
/// Order     in the place of an earlier weir's filter at once; other filters on the interface keep
///           their say, before it or behind it.
/// Pinned    `own`: the program, by which a later run knows the filter as its own; `own_qdisc`: the
///           same once more, where the queueing discipline that holds filters (clsact) is ours too.
///           That one goes with the filter, unless somebody else has put one of his into it since.
/// Killed    the filter stays and copies nothing: nobody beats.
/// Errors    one sentence; a failure puts back what was there.
/// Threads   one owner.
#pragma once

#include "datapath/kernel_links.h"

namespace weir::datapath {

Status watch_own(int program_fd, const Port& port, const Pins& pins, Undo& undo);
/// Takes the filter off its interface, which is that of the pinned link: so before the link goes.
/// True where there was one.
bool unwatch_own(const Pins& pins);

}  // namespace weir::datapath
