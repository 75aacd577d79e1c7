// SPDX-License-Identifier: BSD-2-Clause
// Runs a fuzz target on its seeds, on all their beginnings, and on mutations of them: the part of
// fuzzing that can be in a test suite. Usage: NAME [RUNS [SEED]]
// NAME --write FOLDER writes the seeds as files, which libFuzzer can begin from.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <string>

#include "fuzz.h"

namespace {

using Input = std::vector<std::uint8_t>;
using Random = std::mt19937_64;

std::size_t below(Random& random, std::size_t limit) { return limit == 0 ? 0 : random() % limit; }

/// Numbers at which code goes wrong: limits of widths and signs, and small ones.
std::uint32_t interesting(Random& random) {
  constexpr std::uint32_t kNumbers[] = {
      0,      1,      2,          3,          4,          7,          8,
      12,     13,     16,         20,         28,         32,         0x7f,
      0x80,   0xff,   0x100,      0x7fff,     0x8000,     0xffff,     0x10000,
      262144, 262145, 0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffffc, 0xffffffff};
  const std::uint32_t number = kNumbers[below(random, std::size(kNumbers))];
  return random() % 2 == 0 ? number : __builtin_bswap32(number);
}

void mutate_once(Input& input, const std::vector<Input>& seeds, Random& random) {
  const std::size_t at = below(random, input.size());
  switch (random() % 7) {
    case 0:
      if (!input.empty()) input[at] ^= static_cast<std::uint8_t>(1U << random() % 8);
      break;
    case 1:
      if (!input.empty()) input[at] = static_cast<std::uint8_t>(random());
      break;
    case 2: {  // a number, most often where numbers stand
      const std::uint32_t number = interesting(random);
      const std::size_t place = random() % 4 == 0 ? at : at / 4 * 4;
      const std::size_t width = std::size_t{1} << random() % 3;
      if (place + width <= input.size()) std::memcpy(&input[place], &number, width);
      break;
    }
    case 3:
      input.resize(at);
      break;
    case 4: {  // a piece is taken out
      const std::size_t length = below(random, std::min<std::size_t>(input.size() - at, 64) + 1);
      input.erase(input.begin() + static_cast<long>(at),
                  input.begin() + static_cast<long>(at + length));
      break;
    }
    case 5: {  // a piece comes twice
      const std::size_t length = below(random, std::min<std::size_t>(input.size() - at, 64) + 1);
      const Input piece(input.begin() + static_cast<long>(at),
                        input.begin() + static_cast<long>(at + length));
      input.insert(input.begin() + static_cast<long>(at), piece.begin(), piece.end());
      break;
    }
    default: {  // the rest is another seed's
      const Input& other = seeds[below(random, seeds.size())];
      const std::size_t from = below(random, other.size());
      input.resize(at);
      input.insert(input.end(), other.begin() + static_cast<long>(from), other.end());
      break;
    }
  }
}

/// A copy of exactly its size on the heap, so that a sanitizer sees a read behind the end.
void run(const Input& input) {
  const std::unique_ptr<std::uint8_t[]> copy(new std::uint8_t[input.size()]);
  std::copy(input.begin(), input.end(), copy.get());
  LLVMFuzzerTestOneInput(copy.get(), input.size());
}

int write_seeds(const std::string& folder) {
  std::size_t number = 0;
  for (const Input& input : fuzz_seeds()) {
    std::ofstream file(folder + "/seed" + std::to_string(number++), std::ios::binary);
    file.write(reinterpret_cast<const char*>(input.data()),
               static_cast<std::streamsize>(input.size()));
    if (!file.flush()) {
      std::fprintf(stderr, "cannot write into %s\n", folder.c_str());
      return 1;
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--write") == 0) return write_seeds(argv[2]);
  const unsigned long runs = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 100'000;
  const unsigned long seed = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1;
  std::printf("%lu runs from seed %lu\n", runs, seed);
  std::fflush(stdout);
  const std::vector<Input> seeds = fuzz_seeds();
  for (const Input& input : seeds) {
    for (std::size_t size = 0; size <= input.size(); ++size) {
      run({input.begin(), input.begin() + static_cast<long>(size)});
    }
  }
  Random random(seed);
  for (unsigned long i = 0; i < runs; ++i) {
    Input input = seeds[below(random, seeds.size())];
    for (std::size_t j = 0; j <= random() % 6; ++j) mutate_once(input, seeds, random);
    run(input);
  }
  return 0;
}
