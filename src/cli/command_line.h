// SPDX-License-Identifier: BSD-2-Clause
/// The command line as the commands see it: what they take and how their help reads.
///
/// A handle each for a command and an option, over CLI11, which is named in command_line.cpp only:
/// it is all headers, and half of the time to build weir went into reading it once a command.
///
/// Owner     the handles own nothing; what they name lives as long as the command line. Variables
///           that options fill must live until the command has run.
/// Threads   the main thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace CLI {  // declared only
class App;
class Option;
}  // namespace CLI

namespace weir::cli {

class Option {
 public:
  explicit Option(CLI::Option* option) noexcept : option_(option) {}
  Option required();
  Option type_name(const std::string& name);     ///< what help shows for its value
  Option capture_default_str();                  ///< help shows the variable's value as default
  Option default_str(const std::string& value);  ///< help shows this
  Option delimiter(char between);                ///< several values in one word
  Option allow_extra_args(bool several);         ///< whether one option takes several words
  Option one_of(const std::vector<std::string>& values);
  Option positive();
  Option not_negative();
  Option range(double least, double most);
  Option unit(char letter);  ///< which the number may end in

 private:
  CLI::Option* option_;
};

/// What options of one command ask of each other. What is given and would have no effect is refused:
/// whoever gave it meant something by it.
struct OptionRule {
  enum class Others : std::uint8_t { one_of, none_of };  ///< which must be there beside `option`
  std::string option;                                    ///< as "--screen"
  Others others = Others::one_of;
  std::vector<std::string> names;
  std::string reason;  ///< one_of: how else it is said, or nothing; none_of: why not
};
/// `option` has no effect without one of `names`.
OptionRule needs(std::string option, std::vector<std::string> names, std::string instead = {});
/// `option` and any of `names` do not go together.
OptionRule excludes(std::string option, std::vector<std::string> names, std::string reason);

/// The work of the command that was chosen; returns the exit status.
using Run = std::function<int()>;

class Command {
 public:
  explicit Command(CLI::App* app) noexcept : app_(app) {}

  Command add_subcommand(const std::string& name, const std::string& help);
  void require_subcommand(int count);
  void version(const std::string& text);  ///< what --version prints; of the program itself
  void footer(const std::string& text);
  /// Called where this command was chosen and its options keep the rules.
  void callback(std::function<void()> chosen, std::vector<OptionRule> rules = {});
  [[nodiscard]] bool is_given(const std::string& option) const;  ///< from the callback on

  /// Names as in "-c,--config", or "ADDRESS" for a word by its place. An empty word is no value.
  Option add_option(const std::string& names, std::string& value, const std::string& help);
  Option add_option(const std::string& names, std::vector<std::string>& value,
                    const std::string& help);
  Option add_option(const std::string& names, double& value, const std::string& help);
  Option add_option(const std::string& names, std::uint32_t& value, const std::string& help);
  Option add_option(const std::string& names, std::uint64_t& value, const std::string& help);
  Option add_option(const std::string& names, std::optional<double>& value,
                    const std::string& help);
  Option add_option(const std::string& names, std::optional<std::uint32_t>& value,
                    const std::string& help);
  Option add_flag(const std::string& names, bool& value, const std::string& help);
  /// One of some words, each with the value that it stands for.
  template <typename T>
  Option add_choice(const std::string& names, const std::map<std::string, T>& choices, T& value,
                    const std::string& help) {
    std::vector<std::string> words;
    words.reserve(choices.size());
    for (const auto& [word, unused] : choices) words.push_back(word);
    return add_word(
        names, [choices, &value](const std::string& word) { value = choices.at(word); }, help,
        words);
  }

 private:
  void hold_to(const OptionRule& rule) const;
  Option add_word(const std::string& names, const std::function<void(const std::string&)>& taken,
                  const std::string& help, const std::vector<std::string>& words);

  CLI::App* app_;
};

/// Parses the arguments of a program of this name, with the commands that `add` adds, and runs the
/// command that they name. Prints help where it is asked for (`help COMMAND` is `COMMAND --help`) or
/// no command is named; a wrong argument is refused in one sentence on stderr, with the nearest word that is known.
int run_command_line(const std::string& name, const std::string& description, int argc,
                     const char* const* argv, const std::function<void(Command, Run&)>& add);

}  // namespace weir::cli
