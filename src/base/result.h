// SPDX-License-Identifier: BSD-2-Clause
/// Set-up errors, and the check for programmer errors: the two kinds of failure that are not a
/// packet's.
///
/// `Result<T>` holds a T or an `Error`: one sentence with what was tried, what was found, what was
/// expected, and what to do. Packet trouble is neither of these: it is an outcome counter
/// (bpf/outcomes.h).
///
/// Threads   values; no shared state.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace weir {

/// One sentence for a person, on one line, without a full stop at its end or "error:" before it.
struct Error {
  std::string message;
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

/// Makes the error side of a `Result`: `return fail("model 'x': tree 3 has no leaf; retrain it");`
inline tl::unexpected<Error> fail(std::string message) {
  return tl::unexpected<Error>(Error{std::move(message)});
}

/// `what`, followed by the text of `error_number` (an errno value, positive): "attach to eth0:
/// Device or resource busy".
tl::unexpected<Error> fail_errno(std::string what, int error_number);

/// Prints the expression with its place on stderr and aborts. For faults of the program, never of
/// its input.
[[noreturn]] void check_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace weir

/// Aborts where `expression` is false, in every build.
#define WEIR_CHECK(expression) \
  ((expression) ? static_cast<void>(0) : ::weir::check_failed(#expression, __FILE__, __LINE__))

/// The same in debug builds only (no NDEBUG): for checks that would cost on the packet path.
#ifdef NDEBUG
#define WEIR_DCHECK(expression) static_cast<void>(0)
#else
#define WEIR_DCHECK(expression) WEIR_CHECK(expression)
#endif

#define WEIR_CONCAT_INNER(a, b) a##b
#define WEIR_CONCAT(a, b) WEIR_CONCAT_INNER(a, b)

/// Evaluates a `Status` expression; its error, if there is one, is returned from the caller.
#define WEIR_TRY(expression)                                                  \
  do {                                                                        \
    if (auto weir_status = (expression); !weir_status)                        \
      return ::tl::unexpected<::weir::Error>(std::move(weir_status).error()); \
  } while (false)

/// Declares `target` as the value of a `Result` expression, or returns its error from the caller.
#define WEIR_ASSIGN(target, expression)                          \
  auto WEIR_CONCAT(weir_result_, __LINE__) = (expression);       \
  if (!WEIR_CONCAT(weir_result_, __LINE__))                      \
    return ::tl::unexpected<::weir::Error>(                      \
        std::move(WEIR_CONCAT(weir_result_, __LINE__)).error()); \
  target = std::move(*WEIR_CONCAT(weir_result_, __LINE__))
