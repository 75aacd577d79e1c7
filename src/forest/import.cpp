// SPDX-License-Identifier: BSD-2-Clause
#include "forest/import.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "forest/formats.h"
#include "forest/sha256.h"
#include "forest/validate.h"

namespace weir::forest {
namespace {

bool starts_with_any(std::string_view bytes, std::initializer_list<std::string_view> heads) {
  for (const std::string_view head : heads)
    if (bytes.starts_with(head)) return true;
  return false;
}

/// Pickles of protocol 2 and later begin with PROTO; older ones are a program that begins with a
/// class, a mark, a list or a dictionary, and all end with STOP. joblib may wrap them in zlib, gzip,
/// bz2, xz, lzma or lz4.
bool is_pickle(std::string_view bytes) {
  if (bytes.size() >= 2 && bytes[0] == '\x80' && bytes[1] >= 2 && bytes[1] <= 5) return true;
  using namespace std::string_view_literals;
  if (starts_with_any(bytes, {"c"sv, "("sv, "]"sv, "}"sv}) && bytes.ends_with('.')) return true;
  return starts_with_any(bytes, {"\x78\x01"sv, "\x78\x5e"sv, "\x78\x9c"sv, "\x78\xda"sv,
                                 "\x1f\x8b"sv, "BZh"sv, "\xfd\x37zXZ"sv, "\x5d\0\0"sv,
                                 "\x04\x22\x4d\x18"sv, "ccopy_reg"sv, "c__builtin__"sv, "ZF"sv});
}

std::string_view skip_space(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view{} : text.substr(first);
}

Result<Model> import_json(std::string_view text, const std::string& name) {
  WEIR_ASSIGN(const Json document, read_json(text, name));
  if (document.is_object() && document.value("format", Json()) == "weir-model")
    return import_weir_json(document, text, name);
  if (document.contains("learner")) return import_xgboost(document, "XGBoost JSON", name);
  return fail(fmt::format(
      "{}: a JSON file, but no model that weir knows: neither \"format\": \"weir-model\" nor "
      "XGBoost's \"learner\" is in it",
      name));
}

/// A ModelProto begins with its field 1, the version of the format, a small number.
bool is_onnx(std::string_view bytes) {
  return bytes.size() >= 2 && bytes[0] == '\x08' && bytes[1] > 0 && bytes[1] < 0x40;
}

/// A key's length follows the brace where JSON has a quote or a space.
bool is_ubjson(std::string_view bytes) {
  return bytes.size() >= 2 && bytes[0] == '{' && std::string_view("iUIlL$#").find(bytes[1]) < 7;
}

Result<Model> import_ubjson(std::string_view bytes, const std::string& name) {
  WEIR_ASSIGN(const Json document, read_ubjson(bytes, name));
  if (document.contains("learner")) return import_xgboost(document, "XGBoost UBJSON", name);
  return fail(fmt::format("{}: a UBJSON file without XGBoost's \"learner\"", name));
}

Result<Model> import_by_content(std::string_view bytes, const std::string& name) {
  if (bytes.empty())
    return fail(fmt::format("{}: the file is empty; write or copy it again", name));
  if (is_pickle(bytes))
    return fail(fmt::format(
        "{}: this is a Python pickle (or a compressed one); reading it would run code from the "
        "file, so weir refuses it: convert it with scripts/export_sklearn.py",
        name));
  if (bytes.starts_with("binf"))
    return fail(
        fmt::format("{}: XGBoost's old binary format, which is not supported: save the booster as "
                    ".json or .ubj",
                    name));
  if (is_ubjson(bytes)) return import_ubjson(bytes, name);
  if (is_onnx(bytes)) return import_onnx(bytes, name);
  const std::string_view text = skip_space(bytes);
  if (text.starts_with('{')) return import_json(bytes, name);
  if (text.starts_with("tree\n") || text.starts_with("tree\r\n"))
    return import_lightgbm(bytes, name);
  if (text.starts_with('<')) return import_pmml(bytes, name);
  return fail(
      fmt::format("{}: not a model file that weir knows; supported are weir JSON, XGBoost JSON and "
                  "UBJSON, ONNX, LightGBM text, PMML",
                  name));
}

/// What a file says about itself may come into a sentence: that stays one line, and moves no
/// cursor.
Error printable(Error error) {
  for (char& c : error.message) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return error;
}

Result<Model> import_and_check(std::string_view bytes, const std::string& name) {
  WEIR_ASSIGN(Model model, import_by_content(bytes, name));
  WEIR_TRY(validate(model, name));
  return model;
}

}  // namespace

std::string one_sided(const Model& model) {
  double total = 0;
  for (const ClassShare& share : model.classes) total += share.rows;
  for (const ClassShare& share : model.classes)
    if (total > 0 && share.rows / total > kOneSided)
      return fmt::format(
          "{:.2f} % of the model's training rows are of class '{}': a model learns little of what "
          "it "
          "hardly saw; train it with more of the others",
          100 * share.rows / total, share.name);
  return {};
}

Status put_attack_last(Model& model, const std::string& attack) {
  if (attack.empty()) return {};
  if (model.classes.size() != 2 ||
      (model.classes[0].name != attack && model.classes[1].name != attack)) {
    std::string names;
    for (const ClassShare& share : model.classes)
      names += (names.empty() ? "" : ", ") + ("'" + share.name + "'");
    return fail(
        fmt::format("model '{}' has the classes {}, and the attack is to be '{}'; name one of "
                    "two classes",
                    model.name, names.empty() ? "of a regression" : names, attack));
  }
  if (model.classes[1].name == attack) return {};
  const bool pairs =
      model.kind == Model::Kind::trees && model.outputs == 2 && model.decision.usual() &&
      std::all_of(model.trees.begin(), model.trees.end(),
                  [](const Tree& tree) { return tree.output == Tree::kAllOutputs; }) &&
      std::all_of(model.nodes.begin(), model.nodes.end(),
                  [](const Node& node) { return node.feature >= 0 || node.value % 2 == 0; });
  if (!pairs)
    return fail(
        fmt::format("model '{}' says only how likely its last class is, '{}'; train it with "
                    "'{}' as the last",
                    model.name, model.classes[1].name, attack));
  for (std::size_t i = 0; i + 1 < model.values.size(); i += 2)
    std::swap(model.values[i], model.values[i + 1]);
  if (model.bias.size() == 2) std::swap(model.bias[0], model.bias[1]);
  std::swap(model.classes[0], model.classes[1]);
  return {};
}

Result<Model> parse_model(std::string_view bytes, const std::string& name) {
  if (bytes.size() > kModelFile_bytes)
    return fail(
        fmt::format("{}: {} bytes, at most {} are read", name, bytes.size(), kModelFile_bytes));
  // Libraries that read a format throw; what they throw ends here.
  try {
    Result<Model> model = import_and_check(bytes, name);
    if (!model) return tl::unexpected<Error>(printable(std::move(model).error()));
    model->sha256 = sha256(bytes);
    if (model->name.empty()) model->name = name.substr(name.find_last_of('/') + 1);
    return model;
  } catch (const std::exception& e) {
    return fail(fmt::format("{}: {}", name, e.what()));
  }
}

Result<Model> load_model(const std::string& path) {
  // A FIFO or a device might never answer or never end, and a running weir would wait for it.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(fd < 0 ? nullptr : fdopen(fd, "rb"),
                                                             &std::fclose);
  if (!file)
    return fail(fmt::format("read model {}: {}; name a model file that is there and may be read",
                            path, std::strerror(errno)));
  struct stat status {};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
    return fail(fmt::format("read model {}: it is {}; name a regular file", path,
                            S_ISDIR(status.st_mode) ? "a folder" : "a pipe, socket or device"));
  std::string bytes;
  std::string chunk(std::size_t{1} << 16U, '\0');
  while (const std::size_t got = std::fread(chunk.data(), 1, chunk.size(), file.get())) {
    bytes.append(chunk, 0, got);
    if (bytes.size() > kModelFile_bytes)
      return fail(fmt::format("{}: larger than {} bytes, which is the most that is read", path,
                              kModelFile_bytes));
  }
  if (std::ferror(file.get()) != 0)
    return fail(fmt::format("read model {}: {}", path, std::strerror(errno)));
  return parse_model(bytes, path);
}

}  // namespace weir::forest
