// SPDX-License-Identifier: BSD-2-Clause
// SSDP comes from strangers: whatever stands in a payload, the reader stays inside it, its views
// too, and what it says holds together.
#include "packet/ssdp.h"

#include <cstring>
#include <string>

#include "base/result.h"
#include "fuzz.h"

namespace {

using weir::packet::Method;
using weir::packet::Ssdp;

bool inside(std::string_view view, const std::uint8_t* data, std::size_t size) {
  const auto* const begin = reinterpret_cast<const char*>(data);
  return view.empty() || (view.data() >= begin && view.data() + view.size() <= begin + size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Ssdp ssdp = weir::packet::parse_ssdp({data, size});
  for (const std::string_view view : {ssdp.st, ssdp.usn, ssdp.location, ssdp.server}) {
    WEIR_CHECK(inside(view, data, size));
    WEIR_CHECK(view.find('\n') == std::string_view::npos);
  }
  WEIR_CHECK(ssdp.headers <= Ssdp::kHeadersMax);
  WEIR_CHECK(ssdp.mx >= -1 && ssdp.mx <= 120);
  WEIR_CHECK(ssdp.method != Method::none || (ssdp.anomalies == 0 && ssdp.headers == 0));
  WEIR_CHECK(ssdp.method != Method::malformed || ssdp.anomalies != 0);
  WEIR_CHECK((size > Ssdp::kRead_bytes) ||
             (ssdp.anomalies & static_cast<unsigned>(weir::packet::kTooLong)) == 0);
  // What stands behind the part that is read changes nothing.
  if (size > Ssdp::kRead_bytes + 1) {
    const Ssdp less = weir::packet::parse_ssdp({data, Ssdp::kRead_bytes + 1});
    WEIR_CHECK(less.method == ssdp.method && less.anomalies == ssdp.anomalies &&
               less.headers == ssdp.headers && less.st == ssdp.st);
  }
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  std::string many = "NOTIFY * HTTP/1.1\r\n";
  for (int i = 0; i < 45; ++i) many += "X-" + std::to_string(i) + ": 1\r\n";
  for (const std::string& text : {
           std::string(
               "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n"
               "MX: 3\r\nST: ssdp:all\r\nUSER-AGENT: a/1 b/2\r\n\r\n"),
           std::string(
               "NOTIFY * HTTP/1.1\r\nHost:[FF02::C]:1900\r\nNT:uuid:1\r\nNTS:ssdp:byebye\r\n"
               "USN:uuid:1\r\nSERVER:x\r\nLOCATION:http://y/\r\n\r\nmore"),
           std::string("HTTP/1.1 200 OK\nST: urn:a:device:b:1\n folded\nUSN: c\nEXT:\n\n"),
           many + "\r\n",
           "M-SEARCH * HTTP/1.1\r\nST: " + std::string(3'000, 'x') + "\r\n\r\n",
       }) {
    seeds.emplace_back(text.begin(), text.end());
  }
  return seeds;
}
