// SPDX-License-Identifier: BSD-2-Clause
#include "cli/command_line.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include "base/nearest.h"
#include "cli/command.h"

namespace weir::cli {

namespace {

/// Of numbers, which `number` has left as from_chars reads them.
CLI::Validator where(std::function<bool(double)> holds, const std::string& expected,
                     const std::string& help) {
  return {[holds = std::move(holds), expected](const std::string& word) {
            double value = 0;
            std::from_chars(word.data(), word.data() + word.size(), value);
            return holds(value) ? std::string() : fmt::format("it is {}: {}", word, expected);
          },
          help};
}

}  // namespace

Option Option::required() { return Option(option_->required()); }
Option Option::type_name(const std::string& name) { return Option(option_->type_name(name)); }
Option Option::capture_default_str() { return Option(option_->capture_default_str()); }
Option Option::default_str(const std::string& value) { return Option(option_->default_str(value)); }
Option Option::delimiter(char between) { return Option(option_->delimiter(between)); }
Option Option::allow_extra_args(bool several) { return Option(option_->allow_extra_args(several)); }
namespace {

/// What help shows of them, and what is said of another word.
CLI::Validator among(const std::vector<std::string>& values) {
  return {[values](const std::string& word) {
            if (std::find(values.begin(), values.end(), word) != values.end()) return std::string();
            const std::vector<std::string_view> names(values.begin(), values.end());
            return fmt::format("'{}' is none of {}{}", word, fmt::join(values, ", "),
                               did_you_mean(word, names));
          },
          fmt::format("{{{}}}", fmt::join(values, ","))};
}

}  // namespace

Option Option::one_of(const std::vector<std::string>& values) {
  return Option(option_->check(among(values)));
}
Option Option::positive() {
  return Option(option_->check(
      where([](double value) { return value > 0; }, "more than 0 is expected", "POSITIVE")));
}
Option Option::not_negative() {
  return Option(
      option_->check(where([](double value) { return value >= 0; }, "0 or more is expected", "")));
}
Option Option::range(double least, double most) {
  const std::string bounds = fmt::format("{:.10g} to {:.10g}", least, most);
  return Option(
      option_->check(where([least, most](double value) { return value >= least && value <= most; },
                           bounds + " is expected", bounds)));
}

Option Option::unit(char letter) {
  // CLI11 has the latest transformation run first: the number is read without its unit.
  return Option(option_->transform(CLI::Validator(
      [letter](std::string& word) {
        if (word.size() > 1 && word.back() == letter) word.pop_back();
        return std::string();
      },
      "")));
}

Command Command::add_subcommand(const std::string& name, const std::string& help) {
  return Command(app_->add_subcommand(name, help));
}
void Command::require_subcommand(int count) { app_->require_subcommand(count); }
void Command::version(const std::string& text) { app_->set_version_flag("-V,--version", text); }
void Command::footer(const std::string& text) { app_->footer(text); }
void Command::callback(std::function<void()> chosen, std::vector<OptionRule> rules) {
  app_->callback([this_command = *this, chosen = std::move(chosen), rules = std::move(rules)] {
    for (const OptionRule& rule : rules) this_command.hold_to(rule);
    chosen();
  });
}
bool Command::is_given(const std::string& option) const {
  return app_->get_option(option)->count() > 0;
}
void Command::hold_to(const OptionRule& rule) const {
  if (!is_given(rule.option)) return;
  const auto other = std::find_if(rule.names.begin(), rule.names.end(),
                                  [this](const std::string& name) { return is_given(name); });
  const bool there = other != rule.names.end();
  if (there == (rule.others == OptionRule::Others::one_of)) return;
  const std::string message =
      there ? fmt::format("{} and {} do not go together: {}; leave one of them out", rule.option,
                          *other, rule.reason)
            : fmt::format("{} has no effect without {}{}{}", rule.option,
                          fmt::join(rule.names, " or "), rule.reason.empty() ? "" : "; ",
                          rule.reason);
  throw CLI::ValidationError(message);
}

namespace {

/// Nothing is named by an empty word, and a script's unset variable is one.
CLI::Option* not_empty(CLI::Option* option) {
  return option->check(CLI::Validator(
      [](const std::string& word) { return std::string(word.empty() ? "its value is empty" : ""); },
      ""));
}

/// All of `word` as a T, decimal, with a sign or without; what is said where it is none. CLI11, which
/// would take 010 for 8, gets the number as it is printed.
template <typename T>
CLI::Option* number(CLI::Option* option, const std::string& expected) {
  const auto read = [expected](std::string& word) {
    T value = 0;
    const char* const end = word.data() + word.size();
    const bool plus = word.size() > 1 && word[0] == '+' && word[1] != '-';
    const auto [stop, error] = std::from_chars(word.data() + (plus ? 1 : 0), end, value);
    bool good = error == std::errc{} && stop == end;
    if constexpr (std::is_floating_point_v<T>) good = good && std::isfinite(value);
    if (!good) return fmt::format("'{}' is no {}", word, expected);
    word = fmt::format("{}", value);
    return std::string();
  };
  return option->transform(CLI::Validator(read, "", "number"));
}

template <typename T>
CLI::Option* whole(CLI::Option* option) {
  return number<T>(option, fmt::format("whole number from 0 to {}", std::numeric_limits<T>::max()));
}

CLI::Option* finite(CLI::Option* option) { return number<double>(option, "number"); }

}  // namespace

OptionRule needs(std::string option, std::vector<std::string> names, std::string instead) {
  return {std::move(option), OptionRule::Others::one_of, std::move(names), std::move(instead)};
}
OptionRule excludes(std::string option, std::vector<std::string> names, std::string reason) {
  return {std::move(option), OptionRule::Others::none_of, std::move(names), std::move(reason)};
}

Option Command::add_option(const std::string& names, std::string& value, const std::string& help) {
  return Option(not_empty(app_->add_option(names, value, help)));
}
Option Command::add_option(const std::string& names, std::vector<std::string>& value,
                           const std::string& help) {
  return Option(not_empty(app_->add_option(names, value, help)));
}
Option Command::add_option(const std::string& names, double& value, const std::string& help) {
  return Option(finite(app_->add_option(names, value, help)));
}
Option Command::add_option(const std::string& names, std::uint32_t& value,
                           const std::string& help) {
  return Option(whole<std::uint32_t>(app_->add_option(names, value, help)));
}
Option Command::add_option(const std::string& names, std::uint64_t& value,
                           const std::string& help) {
  return Option(whole<std::uint64_t>(app_->add_option(names, value, help)));
}
Option Command::add_option(const std::string& names, std::optional<double>& value,
                           const std::string& help) {
  return Option(finite(app_->add_option(names, value, help)));
}
Option Command::add_option(const std::string& names, std::optional<std::uint32_t>& value,
                           const std::string& help) {
  return Option(whole<std::uint32_t>(app_->add_option(names, value, help)));
}
Option Command::add_flag(const std::string& names, bool& value, const std::string& help) {
  return Option(app_->add_flag(names, value, help));
}
Option Command::add_word(const std::string& names,
                         const std::function<void(const std::string&)>& taken,
                         const std::string& help, const std::vector<std::string>& words) {
  return Option(app_->add_option_function<std::string>(names, taken, help)
                    ->check(among(words))
                    ->option_text("NAME"));
}

namespace {

/// The innermost command that the arguments name: whose help is meant, and where a word was wrong.
CLI::App* chosen(CLI::App& app) {
  CLI::App* command = &app;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  return command;
}

std::string path_of(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent == nullptr ? command.get_name() : path_of(*parent) + " " + command.get_name();
}

void print_help(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  fmt::print("{}", command.help(parent == nullptr ? "" : path_of(*parent)));
}

/// What CLI11 says in its own words of a value that is no number, or is not there.
std::string plain(const CLI::ParseError& error) {
  std::string said = error.what();
  constexpr std::string_view kConvert = "Could not convert: ";
  const auto equals = said.find(" = ");
  if (said.starts_with(kConvert) && equals != std::string::npos) {
    return fmt::format("{}: '{}' is no number that it may have",
                       said.substr(kConvert.size(), equals - kConvert.size()),
                       said.substr(equals + 3));
  }
  constexpr std::string_view kOnce = ": At Most 1 required but received ";
  if (const auto at = said.find(kOnce); at != std::string::npos)
    return fmt::format("{} is given {} times; once is expected", said.substr(0, at),
                       said.substr(at + kOnce.size()));
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr && said.ends_with(" missing")) {
    return said.substr(0, said.find(':')) + ": its value is missing";
  }
  return said;
}

/// CLI11's complaint as one sentence, with the nearest command or option where a word is unknown.
int refuse(CLI::App& app, const CLI::ParseError& error) {
  CLI::App* command = chosen(app);
  std::string message = plain(error);
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr &&
      !command->get_subcommands({}).empty()) {
    message = fmt::format("'{}' needs a command", path_of(*command));
  }
  const auto rest = command->remaining();
  if (!rest.empty() || dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const std::string word = rest.empty() ? "" : rest.front();
    std::vector<std::string> names;
    if (word.starts_with("-")) {
      for (const CLI::Option* option : command->get_options()) {
        for (const auto& name : option->get_lnames()) names.push_back("--" + name);
      }
    } else {
      for (const CLI::App* sub : command->get_subcommands({})) names.push_back(sub->get_name());
    }
    const std::vector<std::string_view> views(names.begin(), names.end());
    const std::string_view what = word.starts_with("-") ? "option"
                                  : names.empty()       ? "further argument"
                                                        : "command";
    message = fmt::format("'{}' knows no {} '{}'{}", path_of(*command), what, word,
                          did_you_mean(word, views));
  }
  report({fmt::format("{} (see {} --help)", message, path_of(*command))}, kBadInput);
  return kBadInput;
}

/// What is on its way to stdout counts as done when it is there: a full disk is a failure.
int written(const Run& work) {
  int status = kOk;
  try {
    status = work();
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return status;
  } catch (const std::system_error& fault) {  // fmt's, for output larger than stdout's buffer
    if (std::ferror(stdout) == 0) throw;
    errno = fault.code().value();
  }
  if (status != kOk) return status;  // which has been told already
  return report({fmt::format("cannot write to stdout: {}", std::strerror(errno))}, kFailure);
}

}  // namespace

int run_command_line(const std::string& name, const std::string& description, int argc,
                     const char* const* argv, const std::function<void(Command, Run&)>& add) {
  CLI::App app{description, name};
  app.require_subcommand(0, 1);
  Run run;
  add(Command(&app), run);
  const Run help = [&app] {
    print_help(*chosen(app));
    return kOk;
  };
  std::vector<const char*> words(argv, argv + argc);
  if (words.size() > 1 && std::string_view(words[1]) == "help") {  // help run: run --help
    words.erase(words.begin() + 1);
    words.push_back("--help");
  }
  try {
    app.parse(static_cast<int>(words.size()), words.data());
  } catch (const CLI::CallForHelp&) {
    return written(help);
  } catch (const CLI::CallForVersion& asked) {
    return written([&asked] {
      fmt::print("{}\n", asked.what());
      return static_cast<int>(kOk);
    });
  } catch (const CLI::ParseError& error) {
    return refuse(app, error);
  }
  return written(run ? run : help);
}

}  // namespace weir::cli
