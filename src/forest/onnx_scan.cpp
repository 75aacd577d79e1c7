// SPDX-License-Identifier: BSD-2-Clause
#include "forest/onnx_scan.h"

#include <fmt/format.h>

#include <cstdint>

#include "forest/import.h"

namespace weir::forest {
namespace {

enum class Kind : std::uint8_t {
  bytes,
  refused,
  model,
  graph,
  node,
  attribute,
  tensor,
  named,
  value_info,
  type,
  tensor_type,
  shape,
  dim
};

struct Field {
  Kind parent;
  std::uint32_t number;
  Kind kind;
  const char* name;
};

/// The length-delimited fields of onnx.proto that are messages, and of what kind.
constexpr Field kFields[] = {
    {Kind::model, 7, Kind::graph, "graph"},
    {Kind::model, 8, Kind::named, "opset_import"},
    {Kind::model, 14, Kind::named, "metadata_props"},
    {Kind::model, 20, Kind::refused, "training_info"},
    {Kind::model, 25, Kind::refused, "functions"},
    {Kind::graph, 1, Kind::node, "node"},
    {Kind::graph, 5, Kind::tensor, "initializer"},
    {Kind::graph, 11, Kind::value_info, "input"},
    {Kind::graph, 12, Kind::value_info, "output"},
    {Kind::graph, 13, Kind::value_info, "value_info"},
    {Kind::graph, 14, Kind::refused, "quantization_annotation"},
    {Kind::graph, 15, Kind::refused, "sparse_initializer"},
    {Kind::node, 5, Kind::attribute, "attribute"},
    {Kind::attribute, 5, Kind::tensor, "t"},
    {Kind::attribute, 6, Kind::refused, "g"},
    {Kind::attribute, 10, Kind::refused, "tensors"},
    {Kind::attribute, 11, Kind::refused, "graphs"},
    {Kind::attribute, 14, Kind::refused, "tp"},
    {Kind::attribute, 15, Kind::refused, "type_protos"},
    {Kind::attribute, 22, Kind::refused, "sparse_tensor"},
    {Kind::attribute, 23, Kind::refused, "sparse_tensors"},
    {Kind::tensor, 3, Kind::refused, "segment"},
    {Kind::tensor, 13, Kind::named, "external_data"},
    {Kind::value_info, 2, Kind::type, "type"},
    {Kind::type, 1, Kind::tensor_type, "tensor_type"},
    {Kind::type, 4, Kind::tensor_type, "sequence_type"},
    {Kind::type, 5, Kind::tensor_type, "map_type"},
    {Kind::type, 8, Kind::refused, "sparse_tensor_type"},
    {Kind::type, 9, Kind::refused, "optional_type"},
    // A map's or a sequence's element type; field 2 of a tensor's type is its shape, and reads the
    // same from outside.
    {Kind::tensor_type, 1, Kind::type, "elem_type"},
    {Kind::tensor_type, 2, Kind::shape, "shape"},
    {Kind::shape, 1, Kind::dim, "dim"},
    {Kind::shape, 4, Kind::tensor_type, "sequence_type"},
    {Kind::shape, 5, Kind::tensor_type, "map_type"},
    {Kind::dim, 2, Kind::shape, "shape"},
};

class Scanner {
 public:
  Scanner(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  Status message(std::size_t end, Kind kind, int level) {
    if (++messages_ > kOnnxMessagesMax)
      return refuse(fmt::format("more than {} messages", kOnnxMessagesMax));
    if (level > 16) return refuse("nested deeper than 16 levels");
    while (at_ < end) {
      WEIR_ASSIGN(const std::uint64_t tag, varint(end));
      const auto number = static_cast<std::uint32_t>(tag >> 3U);
      const auto wire = static_cast<unsigned>(tag & 7U);
      if (number == 0 || (tag >> 3U) > 0x1fffffff) return refuse("no protobuf field begins so");
      if (wire != 2) {
        WEIR_TRY(scalar(wire, end));
        continue;
      }
      WEIR_ASSIGN(const std::uint64_t size, varint(end));
      if (size > end - at_)
        return refuse(fmt::format(
            "a field of {} bytes, {} are left; the file is cut off or damaged", size, end - at_));
      WEIR_TRY(field(kind, number, at_ + static_cast<std::size_t>(size), level));
    }
    return {};
  }

 private:
  [[nodiscard]] tl::unexpected<Error> refuse(const std::string& reason) const {
    return fail(fmt::format("{}: byte {}: {}", name_, at_, reason));
  }

  Status field(Kind parent, std::uint32_t number, std::size_t end, int level) {
    for (const Field& f : kFields) {
      if (f.parent != parent || f.number != number) continue;
      if (f.kind == Kind::refused)
        return refuse(fmt::format("ONNX's \"{}\" is not supported", f.name));
      return message(end, f.kind, level + 1);
    }
    // Texts: names, and the modes of tree nodes.
    if (++texts_ > kNodesMax + kOnnxMessagesMax)
      return refuse(fmt::format("more than {} texts", texts_ - 1));
    at_ = end;
    return {};
  }

  Status scalar(unsigned wire, std::size_t end) {
    if (wire == 0) {
      WEIR_ASSIGN([[maybe_unused]] const std::uint64_t value, varint(end));
      return {};
    }
    if (wire != 1 && wire != 5) return refuse(fmt::format("wire type {}", wire));
    const std::size_t size = wire == 1 ? 8 : 4;
    if (size > end - at_) return refuse("the file is cut off in a number");
    at_ += size;
    return {};
  }

  Result<std::uint64_t> varint(std::size_t end) {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (at_ == end) return refuse("the file is cut off in a number");
      const auto byte = static_cast<std::uint8_t>(bytes_[at_++]);
      value |= std::uint64_t{byte & 0x7fU} << shift;
      if ((byte & 0x80U) == 0) return value;
    }
    return refuse("a number of more than 64 bits");
  }

  std::string_view bytes_;
  const std::string& name_;
  std::size_t at_ = 0;
  std::size_t messages_ = 0;
  std::size_t texts_ = 0;
};

}  // namespace

Status scan_onnx(std::string_view bytes, const std::string& name) {
  return Scanner(bytes, name).message(bytes.size(), Kind::model, 0);
}

}  // namespace weir::forest
