// SPDX-License-Identifier: BSD-2-Clause
#include "cli/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/nearest.h"
#include "cli/command.h"

namespace weir::cli {

Option Option::required() { return Option(option_->required()); }
Option Option::type_name(const std::string& name) { return Option(option_->type_name(name)); }
Option Option::capture_default_str() { return Option(option_->capture_default_str()); }
Option Option::default_str(const std::string& value) { return Option(option_->default_str(value)); }
Option Option::delimiter(char between) { return Option(option_->delimiter(between)); }
Option Option::allow_extra_args(bool several) { return Option(option_->allow_extra_args(several)); }
Option Option::one_of(const std::vector<std::string>& values) {
  return Option(option_->check(CLI::IsMember(values)));
}
Option Option::positive() { return Option(option_->check(CLI::PositiveNumber)); }
Option Option::not_negative() { return Option(option_->check(CLI::NonNegativeNumber)); }
Option Option::range(double least, double most) {
  return Option(option_->check(CLI::Range(least, most)));
}

Command Command::add_subcommand(const std::string& name, const std::string& help) {
  return Command(app_->add_subcommand(name, help));
}
void Command::require_subcommand(int count) { app_->require_subcommand(count); }
void Command::footer(const std::string& text) { app_->footer(text); }
void Command::callback(std::function<void()> chosen) { app_->callback(std::move(chosen)); }

Option Command::add_option(const std::string& names, std::string& value, const std::string& help) {
  return Option(app_->add_option(names, value, help));
}
Option Command::add_option(const std::string& names, std::vector<std::string>& value,
                           const std::string& help) {
  return Option(app_->add_option(names, value, help));
}
Option Command::add_option(const std::string& names, double& value, const std::string& help) {
  return Option(app_->add_option(names, value, help));
}
Option Command::add_option(const std::string& names, std::uint32_t& value,
                           const std::string& help) {
  return Option(app_->add_option(names, value, help));
}
Option Command::add_option(const std::string& names, std::uint64_t& value,
                           const std::string& help) {
  return Option(app_->add_option(names, value, help));
}
Option Command::add_option(const std::string& names, std::optional<double>& value,
                           const std::string& help) {
  return Option(app_->add_option(names, value, help));
}
Option Command::add_option(const std::string& names, std::optional<std::uint32_t>& value,
                           const std::string& help) {
  return Option(app_->add_option(names, value, help));
}
Option Command::add_flag(const std::string& names, bool& value, const std::string& help) {
  return Option(app_->add_flag(names, value, help));
}
Option Command::add_word(const std::string& names,
                         const std::function<void(const std::string&)>& taken,
                         const std::string& help, const std::vector<std::string>& words) {
  return Option(app_->add_option_function<std::string>(names, taken, help)
                    ->check(CLI::IsMember(words))
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
  const std::string said = error.what();
  constexpr std::string_view kConvert = "Could not convert: ";
  const auto equals = said.find(" = ");
  if (said.starts_with(kConvert) && equals != std::string::npos) {
    return fmt::format("{}: '{}' is no number that it may have",
                       said.substr(kConvert.size(), equals - kConvert.size()),
                       said.substr(equals + 3));
  }
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
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return written(help);
  } catch (const CLI::ParseError& error) {
    return refuse(app, error);
  }
  return written(run ? run : help);
}

}  // namespace weir::cli
