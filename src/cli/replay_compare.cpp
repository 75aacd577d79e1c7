// SPDX-License-Identifier: BSD-2-Clause
#include "cli/replay_compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>

#include "cli/csv_file.h"
#include "cli/daemon.h"
#include "cli/progress.h"
#include "cli/skx.h"
#include "forest/evaluate.h"
#include "pipeline/replay_labels.h"

namespace weir::cli {
namespace {

constexpr std::size_t kFeatures = WEIR_HEADER_FEATURE_COUNT;
constexpr std::size_t kRows = forest::kRowAlign;
constexpr std::uint64_t kProgress_packets = 16'384;

struct FeatureText {
  const char* name;
  const char* skx;
};
constexpr std::array<FeatureText, kFeatures> kTexts = {{
#define WEIR_FEATURE_TEXT(name, unit, help, skx) {#name, skx},
    WEIR_HEADER_FEATURES(WEIR_FEATURE_TEXT)
#undef WEIR_FEATURE_TEXT
}};

/// Causes that are no single feature's; those follow, by feature.
enum Cause : std::size_t {
  kFamily,
  kLink,
  kShort,
  kNoIp,
  kFeaturesTogether,
  kVote,
  kThreshold,
  kCoefficient,
  kArithmetic,
  kFirstFeature
};
constexpr std::size_t kCauses = kFirstFeature + kFeatures;
constexpr std::array<FeatureText, kFirstFeature> kCauseTexts = {{
    {"not judged: IPv6", "SkimXDP passes all that is not IPv4"},
    {"not judged: tag or PPPoE", "SkimXDP looks for IPv4 right behind Ethernet's addresses"},
    {"not judged: short", "SkimXDP passes frames of less than 54 bytes"},
    {"no IP packet", "its IP header is broken, and SkimXDP reads it as one"},
    {"features together", "no single feature's reading changes the verdict, all of them do"},
    {"vote", "most trees are of that opinion, the mean of their probabilities is not"},
    {"threshold", "thresholds are cut to integers"},
    {"coefficient", "coefficients are cut after four digits"},
    {"arithmetic", "the sum overflows 32 bits, or C takes it for unsigned: above 0 unless it is 0"},
}};

FeatureText text_of(std::size_t cause) {
  return cause < kFirstFeature ? kCauseTexts[cause] : kTexts[cause - kFirstFeature];
}

/// A packet in both readings.
struct Packet {
  std::uint64_t number = 0;
  PacketTime time;
  packet::Headers headers;
  packet::HeaderFeatures exact, skx;
  bool judged = false, judged_by_skx = false;
  bool drop = false, drop_by_skx = false;
  float score = 0;
  std::size_t cause = kCauses;  // none: the verdicts are the same
};

struct Tally {
  std::uint64_t packets = 0, dropped_here = 0;  // of both verdicts; the others SkimXDP drops
};

struct Comparison {
  std::uint64_t packets = 0, ip = 0, judged_by_skx = 0;
  std::uint64_t dropped = 0, dropped_by_skx = 0;
  std::array<Tally, kCauses> causes{};
  std::array<std::uint64_t, kFeatures> read_differently{};  // of packets that both judge

  [[nodiscard]] Tally differ() const {
    Tally sum;
    for (const Tally& cause : causes) {
      sum.packets += cause.packets;
      sum.dropped_here += cause.dropped_here;
    }
    return sum;
  }
};

/// The exact model, a block of rows at a time.
class Exact {
 public:
  Exact(std::unique_ptr<forest::Evaluator> evaluator, std::vector<weir_header_feature> places)
      : evaluator_(std::move(evaluator)), places_(std::move(places)), lines_(places_.size()) {
    for (const Line& line : lines_) columns_.push_back(line.values.data());
  }

  void set(std::size_t row, const packet::HeaderFeatures& features) {
    for (std::size_t f = 0; f < places_.size(); ++f)
      lines_[f].values[row] = static_cast<float>(features.value[places_[f]]);
  }
  void set(std::size_t row, std::size_t feature, std::uint32_t value) {
    lines_[feature].values[row] = static_cast<float>(value);
  }
  std::span<const float> evaluate(std::size_t rows) {
    evaluator_->evaluate(columns_.data(), rows, scores_.data());
    return {scores_.data(), rows};
  }
  [[nodiscard]] const std::vector<weir_header_feature>& places() const { return places_; }

 private:
  struct alignas(64) Line {
    std::array<float, kRows> values{};
  };
  std::unique_ptr<forest::Evaluator> evaluator_;
  std::vector<weir_header_feature> places_;
  std::vector<Line> lines_;
  std::vector<const float*> columns_;
  std::array<float, kRows> scores_{};
};

bool is_drop(float score) { return score > 0.5F; }  // forest/evaluate.h

class Comparer {
 public:
  Comparer(Exact exact, Skx skx, bool linear)
      : exact_(std::move(exact)), skx_(std::move(skx)), linear_(linear) {}

  /// At most kRows packets.
  void judge(std::span<Packet> packets) {
    for (std::size_t i = 0; i < packets.size(); ++i) exact_.set(i, packets[i].exact);
    const std::span<const float> scores = exact_.evaluate(packets.size());
    for (std::size_t i = 0; i < packets.size(); ++i) {
      Packet& packet = packets[i];
      packet.score = packet.judged ? scores[i] : 0;
      packet.drop = packet.judged && is_drop(scores[i]);
      packet.drop_by_skx = packet.judged_by_skx && skx_.drops(packet.skx);
    }
    for (Packet& packet : packets)
      if (packet.drop != packet.drop_by_skx) packet.cause = cause_of(packet);
  }

 private:
  std::size_t cause_of(const Packet& packet) {
    if (!packet.judged_by_skx) {
      if (packet.headers.family == 6) return kFamily;
      return packet.headers.l3_offset != WEIR_ETHERNET_BYTES ? kLink : kShort;
    }
    if (!packet.judged) return kNoIp;
    if (const std::size_t cause = reading_of(packet); cause != kCauses) return cause;
    const bool rule_explains = skx_.drops_by_rule(packet.skx) == packet.drop_by_skx;
    if (linear_) return rule_explains ? kCoefficient : kArithmetic;
    return rule_explains ? kVote : kThreshold;
  }

  /// The feature whose other reading alone changes the exact model's verdict; all of them together;
  /// or none, where the exact model says the same of both readings.
  std::size_t reading_of(const Packet& packet) {
    const auto& places = exact_.places();
    for (std::size_t first = 0; first < places.size(); first += kRows) {
      const std::size_t rows = std::min(kRows, places.size() - first);
      for (std::size_t i = 0; i < rows; ++i) {
        exact_.set(i, packet.exact);
        exact_.set(i, first + i, packet.skx.value[places[first + i]]);
      }
      const std::span<const float> scores = exact_.evaluate(rows);
      for (std::size_t i = 0; i < rows; ++i)
        if (is_drop(scores[i]) == packet.drop_by_skx)
          return kFirstFeature + std::size_t{places[first + i]};
    }
    exact_.set(0, packet.skx);
    return is_drop(exact_.evaluate(1)[0]) == packet.drop_by_skx ? std::size_t{kFeaturesTogether}
                                                                : kCauses;
  }

  Exact exact_;
  Skx skx_;
  bool linear_;
};

Result<std::vector<weir_header_feature>> header_places(const forest::Model& model) {
  std::vector<weir_header_feature> places;
  for (const std::string& name : model.features) {
    const auto* const found = std::find_if(
        kTexts.begin(), kTexts.end(), [&](const FeatureText& text) { return name == text.name; });
    if (found == kTexts.end())
      return fail(
          fmt::format("model '{}' asks for '{}': --compare judges each packet by its headers "
                      "alone, so a model of the group 'header' is needed (weir model "
                      "features)",
                      model.name, name));
    places.push_back(static_cast<weir_header_feature>(found - kTexts.begin()));
  }
  return places;
}

void count(const Packet& packet, Comparison& comparison) {
  if (packet.judged) ++comparison.ip;
  if (packet.judged_by_skx) ++comparison.judged_by_skx;
  if (packet.drop) ++comparison.dropped;
  if (packet.drop_by_skx) ++comparison.dropped_by_skx;
  if (packet.judged && packet.judged_by_skx)
    for (std::size_t f = 0; f < kFeatures; ++f)
      if (packet.exact.value[f] != packet.skx.value[f]) ++comparison.read_differently[f];
  if (packet.cause == kCauses) return;
  ++comparison.causes[packet.cause].packets;
  if (packet.drop) ++comparison.causes[packet.cause].dropped_here;
}

std::string rows_header() {
  std::string line = "number,time_ns,verdict,score,skx_verdict,cause";
  for (const FeatureText& text : kTexts) line += fmt::format(",{0},skx_{0}", text.name);
  return line + "\n";
}

void write_row(CsvFile& file, const Packet& packet) {
  const auto verdict = [](bool drop) { return drop ? "drop" : "forward"; };
  fmt::format_to(file.out(), "{},{},{},{},{},{}", packet.number, packet.time.ns,
                 verdict(packet.drop), packet.score, verdict(packet.drop_by_skx),
                 packet.cause == kCauses ? "" : text_of(packet.cause).name);
  for (std::size_t f = 0; f < kFeatures; ++f) {
    fmt::format_to(file.out(), ",{},", packet.exact.value[f]);
    if (packet.judged_by_skx) fmt::format_to(file.out(), "{}", packet.skx.value[f]);
  }
  fmt::format_to(file.out(), "\n");
}

Packet read(const pipeline::ReplayPacket& from, std::uint64_t number) {
  Packet packet;
  const std::span<const std::uint8_t> bytes = from.captured.bytes;
  packet.number = number;
  packet.time = from.captured.time;
  packet.headers = packet::parse(bytes);
  packet.judged = packet::header_features(bytes, packet.headers, WEIR_READING_exact, packet.exact);
  packet.judged_by_skx =
      packet::header_features(bytes, packet.headers, WEIR_READING_skx, packet.skx);
  return packet;
}

Result<Comparison> run(pipeline::ReplaySource& source, Comparer& comparer, CsvFile* rows) {
  Comparison comparison;
  std::vector<Packet> packets;
  Progress progress("weir replay");
  const auto flush = [&] {
    comparer.judge(packets);
    for (const Packet& packet : packets) {
      count(packet, comparison);
      if (rows != nullptr) write_row(*rows, packet);
    }
    if (rows != nullptr) rows->flush();
    packets.clear();
  };
  pipeline::ReplayPacket next;
  io::Step step;
  while ((step = source.next(next)) == io::Step::packet) {
    const Packet packet = read(next, comparison.packets++);
    if (packet.judged || packet.judged_by_skx) packets.push_back(packet);
    if (packets.size() == kRows) flush();
    if (comparison.packets % kProgress_packets == 0) progress.show(source.fraction());
  }
  if (step == io::Step::error) return tl::unexpected<Error>(source.error());
  flush();
  return comparison;
}

/// Causes with packets, most first.
std::vector<std::size_t> causes_by_packets(const Comparison& comparison) {
  std::vector<std::size_t> causes;
  for (std::size_t c = 0; c < kCauses; ++c)
    if (comparison.causes[c].packets != 0) causes.push_back(c);
  std::stable_sort(causes.begin(), causes.end(), [&](std::size_t a, std::size_t b) {
    return comparison.causes[a].packets > comparison.causes[b].packets;
  });
  return causes;
}

std::string kind_of(std::size_t cause) {
  return cause < kFirstFeature ? text_of(cause).name
                               : fmt::format("feature {}", text_of(cause).name);
}

std::string text(const Comparison& c, const forest::Model& model,
                 const std::vector<weir_header_feature>& places) {
  const Tally differ = c.differ();
  const double share =
      c.ip == 0 ? 0 : 100 * static_cast<double>(differ.packets) / static_cast<double>(c.ip);
  std::string out = fmt::format(
      "model     {}\npackets   {}, {} of IP, {} that SkimXDP judges\n"
      "dropped   {} by weir, {} by SkimXDP\n"
      "differ    {} verdicts ({:.2f} % of IP): {} dropped by weir alone, {} by SkimXDP alone\n",
      model.name, c.packets, c.ip, c.judged_by_skx, c.dropped, c.dropped_by_skx, differ.packets,
      share, differ.dropped_here, differ.packets - differ.dropped_here);
  std::vector<std::vector<std::string>> rows{
      {"WHY", "PACKETS", "WEIR ALONE DROPS", "SKIMXDP ALONE DROPS", "IN SKIMXDP"}};
  for (const std::size_t cause : causes_by_packets(c)) {
    const Tally& tally = c.causes[cause];
    rows.push_back({kind_of(cause), fmt::format("{}", tally.packets),
                    fmt::format("{}", tally.dropped_here),
                    fmt::format("{}", tally.packets - tally.dropped_here), text_of(cause).skx});
  }
  if (rows.size() > 1) out += "\n" + columns(rows, {false, true, true, true, false});
  rows = {{"READ DIFFERENTLY", "PACKETS", "IN SKIMXDP"}};
  for (const weir_header_feature place : places)
    if (c.read_differently[place] != 0)
      rows.push_back(
          {kTexts[place].name, fmt::format("{}", c.read_differently[place]), kTexts[place].skx});
  if (rows.size() > 1) out += "\n" + columns(rows, {false, true, false});
  return out;
}

std::string json(const Comparison& c, const forest::Model& model,
                 const std::vector<weir_header_feature>& places) {
  const Tally differ = c.differ();
  nlohmann::ordered_json document = {{"compare", "skx"},
                                     {"model", model.name},
                                     {"model_sha256", model.sha256},
                                     {"packets", c.packets},
                                     {"judged", c.ip},
                                     {"judged_by_skx", c.judged_by_skx},
                                     {"dropped", c.dropped},
                                     {"dropped_by_skx", c.dropped_by_skx},
                                     {"differ", differ.packets},
                                     {"dropped_alone", differ.dropped_here},
                                     {"dropped_by_skx_alone", differ.packets - differ.dropped_here},
                                     {"causes", nlohmann::ordered_json::array()},
                                     {"read_differently", nlohmann::ordered_json::array()}};
  for (const std::size_t cause : causes_by_packets(c)) {
    const Tally& tally = c.causes[cause];
    nlohmann::ordered_json entry = {
        {"cause", cause < kFirstFeature ? text_of(cause).name : "feature"},
        {"packets", tally.packets},
        {"dropped_alone", tally.dropped_here},
        {"dropped_by_skx_alone", tally.packets - tally.dropped_here},
        {"in_skx", text_of(cause).skx}};
    if (cause >= kFirstFeature) entry["feature"] = text_of(cause).name;
    document["causes"].push_back(std::move(entry));
  }
  for (const weir_header_feature place : places)
    if (c.read_differently[place] != 0)
      document["read_differently"].push_back({{"feature", kTexts[place].name},
                                              {"packets", c.read_differently[place]},
                                              {"in_skx", kTexts[place].skx}});
  return document.dump() + "\n";
}

}  // namespace

Status compare_skx(const CompareOptions& options, const forest::Model& model) {
  WEIR_ASSIGN(const auto places, header_places(model));
  WEIR_ASSIGN(Skx skx, Skx::make(model, places));
  WEIR_ASSIGN(auto evaluator, forest::make_evaluator(model));
  WEIR_ASSIGN(auto source, pipeline::ReplaySource::open(options.captures));
  std::unique_ptr<CsvFile> rows;
  if (!options.features.empty()) {
    WEIR_ASSIGN(rows, CsvFile::create(options.features));
    fmt::format_to(rows->out(), "{}", rows_header());
  }
  Comparer comparer(Exact(std::move(evaluator), places), std::move(skx),
                    model.kind == forest::Model::Kind::linear);
  WEIR_ASSIGN(const Comparison comparison, run(source, comparer, rows.get()));
  if (rows) WEIR_TRY(rows->close());
  fmt::print("{}",
             options.json ? json(comparison, model, places) : text(comparison, model, places));
  return {};
}

Status write_header_rows(const CompareOptions& options) {
  WEIR_ASSIGN(auto source, pipeline::ReplaySource::open(options.captures));
  WEIR_ASSIGN(const auto file, CsvFile::create(options.features));
  fmt::format_to(file->out(), "number,time_ns,source,destination,label,kind");
  for (const FeatureText& text : kTexts) fmt::format_to(file->out(), ",{}", text.name);
  pipeline::ReplayLabels labels;
  Progress progress("weir replay");
  std::uint64_t packets = 0, rows = 0;
  pipeline::ReplayPacket next;
  io::Step step;
  while ((step = source.next(next)) == io::Step::packet) {
    const Packet packet = read(next, packets++);
    if (packets % kProgress_packets == 0) progress.show(source.fraction());
    if (!packet.judged) continue;
    const std::int32_t place = labels.of(next.captured.comment);
    const pipeline::LabelTally label = place < 0 ? pipeline::LabelTally{} : labels[place];
    fmt::format_to(file->out(), "\n{},{},{},{},{},{}", packet.number, packet.time.ns,
                   packet::source(next.captured.bytes, packet.headers).text(),
                   packet::destination(next.captured.bytes, packet.headers).text(), label.label,
                   label.kind);
    for (std::size_t f = 0; f < kFeatures; ++f)
      fmt::format_to(file->out(), ",{}", packet.exact.value[f]);
    if (++rows % kRows == 0) file->flush();
  }
  if (step == io::Step::error) return tl::unexpected<Error>(source.error());
  fmt::format_to(file->out(), "\n");
  WEIR_TRY(file->close());
  if (options.json)
    fmt::print("{}\n", nlohmann::ordered_json{{"packets", packets}, {"rows", rows}}.dump());
  else
    fmt::print("packets   {}, {} of IP: a row each in {}\n", packets, rows, options.features);
  return {};
}

}  // namespace weir::cli
