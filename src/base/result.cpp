// SPDX-License-Identifier: BSD-2-Clause
#include "base/result.h"

#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace weir {

tl::unexpected<Error> fail_errno(std::string what, int error_number) {
  return fail(std::move(what) + ": " + std::system_category().message(error_number));
}

void check_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "weir: fault in the program: %s does not hold at %s:%d\n", expression, file,
               line);
  std::abort();
}

}  // namespace weir
