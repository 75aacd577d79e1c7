// SPDX-License-Identifier: BSD-2-Clause
// The program `weir`: parses the command line, runs the command that it names.
#include <fmt/core.h>

#include <exception>
#include <vector>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/model.h"
#include "cli/replay.h"
#include "control/nearest.h"

namespace {

using weir::cli::Run;

void add_commands(CLI::App& app, Run& run) {
  weir::cli::add_run(app, run);
  weir::cli::add_check(app, run);
  weir::cli::add_status(app, run);
  weir::cli::add_block(app, run);
  weir::cli::add_allow(app, run);
  weir::cli::add_detach(app, run);
  weir::cli::add_replay(app, run);
  weir::cli::add_model(app, run);
  weir::cli::add_synth(app, run);
  weir::cli::add_version(app, run);
}

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

/// CLI11's complaint as one sentence, with the nearest command or option where a word is unknown.
int refuse(CLI::App& app, const CLI::ParseError& error) {
  CLI::App* command = chosen(app);
  std::string message = error.what();
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
                          weir::control::did_you_mean(word, views));
  }
  weir::cli::report({fmt::format("{} (see {} --help)", message, path_of(*command))},
                    weir::cli::kBadInput);
  return weir::cli::kBadInput;
}

int parse_and_run(int argc, char** argv) {
  CLI::App app{"weir: an inline appliance that stops SSDP reflection floods and lets SSDP work",
               "weir"};
  app.footer("Each command has its own help: weir COMMAND --help\n");
  app.require_subcommand(0, 1);
  Run run;
  add_commands(app, run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    print_help(*chosen(app));
    return weir::cli::kOk;
  } catch (const CLI::ParseError& error) {
    return refuse(app, error);
  }
  if (!run) {
    print_help(*chosen(app));
    return weir::cli::kOk;
  }
  return run();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return parse_and_run(argc, argv);
  } catch (const std::exception& fault) {  // no module throws: memory is out, or a library's fault
    return weir::cli::report({fmt::format("ended by a fault: {}", fault.what())},
                             weir::cli::kFailure);
  }
}
