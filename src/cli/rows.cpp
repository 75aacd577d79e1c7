// SPDX-License-Identifier: BSD-2-Clause
#include "cli/rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <fstream>

#include "forest/evaluate.h"

namespace weir::cli {
namespace {

/// A comma within "quotes" belongs to its field, and a quote is written twice there.
std::vector<std::string> fields(const std::string& line) {
  std::vector<std::string> result(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    std::string& field = result.back();
    if (c == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"') {
      field.push_back(line[++i]);
    } else if (c == '"' && (quoted || field.find_first_not_of(" \t") == std::string::npos)) {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      result.emplace_back();
    } else if (c != '\r') {
      field.push_back(c);
    }
  }
  for (std::string& field : result) {
    const std::size_t first = field.find_first_not_of(" \t");
    field = first == std::string::npos
                ? ""
                : field.substr(first, field.find_last_not_of(" \t") - first + 1);
  }
  return result;
}

constexpr std::size_t kNone = static_cast<std::size_t>(-1);

struct Header {
  std::vector<std::size_t> of_feature;  // its field
  std::size_t expected = kNone, fields = 0;
};

Result<Header> read_header(const std::string& line, const std::string& path,
                           const std::vector<std::string>& features) {
  Header header;
  const std::vector<std::string> names = fields(line);
  header.fields = names.size();
  for (const std::string& feature : features) {
    const auto count = std::count(names.begin(), names.end(), feature);
    if (count != 1)
      return fail(
          fmt::format("{}: line 1: the column '{}' stands {} times, the model needs it once", path,
                      feature, count));
    header.of_feature.push_back(
        static_cast<std::size_t>(std::find(names.begin(), names.end(), feature) - names.begin()));
  }
  for (const char* name : {"label", "expected"}) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found != names.end()) header.expected = static_cast<std::size_t>(found - names.begin());
  }
  return header;
}

Result<float> read_number(const std::string& text) {
  if (text.empty() || text == "nan" || text == "NaN" || text == "NA") return std::nanf("");
  char* end = nullptr;
  const float value = std::strtof(text.c_str(), &end);
  if (end != text.c_str() + text.size())
    return fail(fmt::format("'{}' is no number", text.substr(0, 40)));
  return value;
}

}  // namespace

Result<Rows> read_rows(const std::string& path, const std::vector<std::string>& features) {
  std::ifstream file(path);
  if (!file) return fail_errno(fmt::format("read rows {}", path), errno);
  std::string line;
  if (!std::getline(file, line)) return fail(fmt::format("{}: the file is empty", path));
  WEIR_ASSIGN(const Header header, read_header(line, path, features));
  Rows rows;
  rows.columns.resize(features.size());
  for (std::size_t number = 2; std::getline(file, line); ++number) {
    if (line.empty() || line == "\r") continue;
    const std::vector<std::string> row = fields(line);
    if (row.size() != header.fields)
      return fail(fmt::format("{}: line {}: {} fields, the header has {}", path, number, row.size(),
                              header.fields));
    for (std::size_t f = 0; f < features.size(); ++f) {
      const auto value = read_number(row[header.of_feature[f]]);
      if (!value)
        return fail(fmt::format("{}: line {}, column '{}': {}", path, number, features[f],
                                value.error().message));
      rows.columns[f].push_back(*value);
    }
    if (header.expected != kNone) rows.expected.push_back(row[header.expected]);
    ++rows.count;
  }
  if (rows.count == 0) return fail(fmt::format("{}: no rows behind the header", path));
  for (auto& column : rows.columns)
    column.resize((rows.count + forest::kRowAlign) / forest::kRowAlign * forest::kRowAlign);
  return rows;
}

}  // namespace weir::cli
