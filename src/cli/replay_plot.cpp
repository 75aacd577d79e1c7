// SPDX-License-Identifier: BSD-2-Clause
#include "cli/replay_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <iterator>

#include "base/whole_file.h"
#include "cli/replay_report.h"

namespace weir::cli {

namespace {

using pipeline::TimelineStep;

// The drawing, in its own units.
constexpr double kLeft = 70, kTop = 40, kWidth = 860, kHeight = 320, kBottom = kTop + kHeight;

/// What is stacked, from the bottom up. Colours from Okabe and Ito's palette, which people with any
/// colour vision tell apart.
struct Layer {
  const char* name;
  const char* colour;
  std::uint64_t (*packets)(const TimelineStep& step);
};
constexpr std::array<Layer, 3> kLayers = {
    Layer{"forwarded", "#009e73",
          [](const TimelineStep& s) { return s.packets - s.dropped_judged - s.dropped_datapath; }},
    Layer{"dropped by policy", "#e69f00", [](const TimelineStep& s) { return s.dropped_judged; }},
    Layer{"dropped by blocks", "#d55e00",
          [](const TimelineStep& s) { return s.dropped_datapath; }}};
constexpr const char* kBlocksColour = "#0072b2";

/// 1, 2 or 5 times a power of ten, at least `value`.
double round_up(double value) {
  if (value <= 0) return 1;
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= value) return factor * power;
  return 10 * power;
}

class Plot {
 public:
  explicit Plot(const pipeline::ReplayReport& report)
      : report_(report),
        steps_(report.timeline.steps()),
        step_s_(seconds(report.timeline.step_length())) {
    std::uint64_t most = 0;
    std::uint64_t blocks = 0;
    for (const TimelineStep& step : steps_) {
      most = std::max(most, step.packets);
      blocks += step.blocks;
    }
    top_ = round_up(static_cast<double>(most) / step_s_);
    blocks_ = std::max<std::uint64_t>(blocks, 1);
  }

  std::string html() {
    fmt::format_to(out_, R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>weir replay</title>
<style>body{{font:14px sans-serif;margin:2em;max-width:64em}}svg{{width:100%;height:auto}}text{{font-size:12px}}
@media(prefers-color-scheme:dark){{body{{background:#111;color:#ddd}}text{{fill:#ddd}}}}</style></head><body>
<h1>weir replay</h1>
<p>{} packets in {}: {} forwarded, {} dropped; {} blocks. Digest {:016x}.</p>
<svg viewBox="0 0 1000 430" role="img" aria-label="packets a second over time, by their end">
)",
                   report_.packets, span_text(report_.last - report_.first), report_.forwarded,
                   report_.dropped, report_.blocks.size(), report_.verdict_digest);
    axes();
    layers();
    blocks();
    legend();
    fmt::format_to(out_, "</svg>\n<p>One step is {}.</p>\n</body></html>\n",
                   span_text(report_.timeline.step_length()));
    return std::move(text_);
  }

 private:
  [[nodiscard]] double x(std::size_t step) const {
    return kLeft + kWidth * static_cast<double>(step) /
                       static_cast<double>(std::max<std::size_t>(steps_.size(), 1));
  }
  [[nodiscard]] double y(std::uint64_t packets) const {
    return kBottom - kHeight * (static_cast<double>(packets) / step_s_) / top_;
  }

  void axes() {
    for (int i = 0; i <= 4; ++i) {
      const double at = kBottom - kHeight * i / 4;
      fmt::format_to(out_,
                     "<line x1=\"{0}\" y1=\"{2:.1f}\" x2=\"{1}\" y2=\"{2:.1f}\" stroke=\"#8884\"/>"
                     "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:g}</text>\n",
                     kLeft, kLeft + kWidth, at, kLeft - 6, at + 4, top_ * i / 4);
    }
    fmt::format_to(out_, "<text x=\"{}\" y=\"{}\">packets a second</text>\n", kLeft - 60,
                   kTop - 16);
    const double length_s = step_s_ * static_cast<double>(steps_.size());
    for (int i = 0; i <= 4; ++i)
      fmt::format_to(out_, "<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                     kLeft + kWidth * i / 4, kBottom + 18,
                     span_text(Nanoseconds{static_cast<std::int64_t>(length_s * 1e9 * i / 4)}));
  }

  void layers() {
    std::vector<std::uint64_t> below(steps_.size(), 0);
    for (const Layer& layer : kLayers) {
      fmt::format_to(out_, "<path fill=\"{}\" d=\"M{:.1f} {:.1f}", layer.colour, x(0), kBottom);
      std::vector<std::uint64_t> above = below;
      for (std::size_t i = 0; i < steps_.size(); ++i) {
        above[i] += layer.packets(steps_[i]);
        fmt::format_to(out_, "L{0:.1f} {1:.1f}L{2:.1f} {1:.1f}", x(i), y(above[i]), x(i + 1));
      }
      for (std::size_t i = steps_.size(); i-- > 0;)
        fmt::format_to(out_, "L{0:.1f} {1:.1f}L{2:.1f} {1:.1f}", x(i + 1), y(below[i]), x(i));
      fmt::format_to(out_, "Z\"/>\n");
      below = std::move(above);
    }
  }

  /// Their sum so far, on a scale of its own: from none to all of them.
  void blocks() {
    fmt::format_to(out_, "<path fill=\"none\" stroke=\"{}\" stroke-width=\"2\" d=\"M{:.1f} {:.1f}",
                   kBlocksColour, x(0), kBottom);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      sum += steps_[i].blocks;
      fmt::format_to(out_, "L{:.1f} {:.1f}", x(i + 1),
                     kBottom - kHeight * static_cast<double>(sum) / static_cast<double>(blocks_));
    }
    fmt::format_to(out_, "\"/>\n");
  }

  void legend() {
    double at = kLeft;
    const auto entry = [&](const char* colour, const std::string& name) {
      fmt::format_to(out_,
                     "<rect x=\"{0}\" y=\"{1}\" width=\"12\" height=\"12\" fill=\"{2}\"/>"
                     "<text x=\"{3}\" y=\"{4}\">{5}</text>\n",
                     at, kBottom + 36, colour, at + 18, kBottom + 46, name);
      at += 200;
    };
    for (const Layer& layer : kLayers) entry(layer.colour, layer.name);
    entry(kBlocksColour, fmt::format("blocks made, of {}", report_.blocks.size()));
  }

  const pipeline::ReplayReport& report_;
  const std::vector<TimelineStep>& steps_;
  const double step_s_;
  double top_ = 1;  // of the axis, packets a second
  std::uint64_t blocks_ = 1;
  std::string text_;
  std::back_insert_iterator<std::string> out_{text_};
};

}  // namespace

std::string plot_html(const pipeline::ReplayReport& report) { return Plot(report).html(); }

Status write_plot(const std::string& path, const pipeline::ReplayReport& report) {
  const int error = write_whole(path, plot_html(report));
  if (error == 0) return {};
  return fail(fmt::format("drawing into '{}': {}; name a file that can be written", path,
                          std::strerror(error)));
}

}  // namespace weir::cli
