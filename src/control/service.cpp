// SPDX-License-Identifier: BSD-2-Clause
#include "control/service.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include "base/seed.h"
#include "control/block_lines.h"
#include "control/enforcer.h"
#include "control/own_addresses.h"
#include "control/preflight.h"
#include "control/privileges.h"
#include "control/report.h"
#include "control/run_files.h"
#include "control/socket_server.h"
#include "control/status.h"
#include "control/why.h"
#include "control/wire.h"
#include "pipeline/bind.h"
#include "pipeline/channel.h"

namespace weir::control {

namespace {

pipeline::Overload overload_of(const std::string& action) noexcept {
  if (action == "drop") return pipeline::Overload::drop;
  return action == "leave" ? pipeline::Overload::leave : pipeline::Overload::forward;
}

}  // namespace

/// In the order in which it is set up; `stop` goes backwards.
struct Service::Impl {
  explicit Impl(const Config& c) : config(c) {}

  Config config;
  PacketTime started = monotonic_now();
  int stop_fd = -1;
  std::atomic<bool> succeeded{false};  // the start, and so what is attached is kept
  std::vector<std::string> warnings;
  std::optional<Lock> lock;
  std::mutex reloading;           // one at a time; a reader of the model never waits for it
  mutable std::mutex model_lock;  // of the next three
  forest::Model model;
  std::string evaluator;
  std::shared_ptr<const kernel_model::Screen> screen;  // none, or what judges first
  pipeline::Bound bound;
  std::unique_ptr<detect::Policy> policy;
  std::unique_ptr<detect::Ledger> ledger;
  std::unique_ptr<Wire> wire;
  BlockLines lines{STDOUT_FILENO};
  std::unique_ptr<Enforcer> enforcer;
  std::vector<std::unique_ptr<pipeline::ChannelLoop>> loops;
  std::unique_ptr<pipeline::Engine> engine;
  std::vector<std::thread> threads;
  std::unique_ptr<SocketServer> server;

  ~Impl() {
    if (stop_fd >= 0) close(stop_fd);
  }

  // Steps of the start. The first three can only find that what was given is wrong.
  Status load_model();
  void make_tables();
  Status attach();
  Status start_engine();
  Status start_threads();
  Status open_control();
  Status follow_lists();
  tl::expected<void, Refused> start();
  void say_hello() const;

  Status stop();
  [[nodiscard]] Result<Json> status() const;
  Status use_screen(const std::shared_ptr<const kernel_model::Screen>& fresh);
  void say_screen(std::string_view before, std::string_view behind) const;
  Answer reload();
  Answer answer(const Json& request);
  Answer report(const Json& request);
  Answer why(const Json& request);
};

Status Service::Impl::load_model() {
  WEIR_ASSIGN(model, load_judge(config, config.model_path));
  warnings = judge_warnings(config, model);
  settle_others(config, model);
  WEIR_ASSIGN(screen, load_screen(config));
  for (std::string& warning : screen_warnings(config, screen.get()))
    warnings.push_back(std::move(warning));
  config.datapath.screen = screen;
  config.tables.hash_seed = random_seed();
  config.policy.hash_seed = random_seed();
  WEIR_ASSIGN(bound, pipeline::bind(&model, config.tables, pipeline::Extract::model_features,
                                    pipeline::scores_of(config.policy)));
  evaluator = bound.evaluator->describe();
  return {};
}

/// Before the interfaces are taken: what is steered waits for none of it.
void Service::Impl::make_tables() {
  if (config.settings.allow_own) config.policy.immune = own_addresses();
  policy = std::make_unique<detect::Policy>(config.policy);
  ledger = std::make_unique<detect::Ledger>(
      detect::LedgerConfig{.columns = bound.columns.extracted,
                           .sources_max = config.settings.tables_report_sources,
                           .blocks_max = config.settings.tables_blocks_kept,
                           .hash_seed = config.policy.hash_seed});
  // A router that looks after itself has little memory, and takes it as it is used.
  if (config.host) return;
  bound.extractor->populate();
  policy->populate();
  ledger->populate();
}

Status Service::Impl::attach() {
  make_tables();
  wire = make_wire(config);
  return wire->attach(warnings);
}

Status Service::Impl::start_engine() {
  WEIR_ASSIGN(enforcer,
              Enforcer::start(wire->tables(), [this](std::span<const datapath::Block> blocks) {
                lines.print(blocks);
              }));
  const auto channels = wire->channels();
  for (std::uint32_t i = 0; i < channels.size(); ++i) {
    const Nanoseconds limit = std::chrono::milliseconds(config.datapath.heartbeat_limit_ms);
    pipeline::ChannelConfig loop{.number = i,
                                 .batches = config.settings.channels_batches,
                                 .batch_packets = config.settings.channels_batch,
                                 .overload = overload_of(config.settings.channels_overload)};
    loop.sleep_max = std::min(loop.sleep_max, limit / 4);
    loop.spin = std::chrono::microseconds(config.settings.channels_spin_us);
    WEIR_ASSIGN(auto made, pipeline::ChannelLoop::make(
                               loop, *channels[i], bound.columns,
                               [this, i](PacketTime now) { wire->heartbeat(i, now); }));
    loops.push_back(std::move(made));
  }
  const pipeline::Judge judge{.extractor = *bound.extractor,
                              .policy = *policy,
                              .evaluator = *bound.evaluator,
                              .sink = *enforcer,
                              .ledger = ledger.get()};
  WEIR_ASSIGN(engine, pipeline::make_engine(config.engine, judge, [this](pipeline::Batch* batch) {
                // One call at a time, behind decide: this is the policy's owner.
                enforcer->desk().publish(*policy);
                loops[batch->channel]->done(batch);
              }));
  return {};
}

Status Service::Impl::start_threads() {
  const auto& cpus = config.settings.channels_io_cpus;
  for (std::size_t i = 0; i < loops.size(); ++i) {
    threads.emplace_back([loop = loops[i].get(), e = engine.get()] { loop->run(*e); });
    const auto handle = threads.back().native_handle();
    pthread_setname_np(handle, fmt::format("weir-io-{}", i).c_str());
    if (cpus.empty()) continue;
    const std::uint32_t cpu = cpus[i % cpus.size()];
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (const int error = pthread_setaffinity_np(handle, sizeof set, &set); error != 0) {
      return fail(fmt::format(
          "I/O thread {} cannot be pinned to CPU {}: {}; is it offline? set channels.io_cpus", i,
          cpu, std::strerror(error)));
    }
  }
  return {};
}

/// Late: until the start can no longer be refused, the lists are an earlier weir's as they were.
Status Service::Impl::follow_lists() {
  Result<std::vector<Prefix>> allow;
  enforcer->call([&](datapath::Datapath& tables) {
    allow = follow_allowlist(tables, config.settings.allow_prefixes, config.state_file + ".allow");
  });
  if (!allow) return tl::unexpected(allow.error());
  enforcer->desk().leave_allow(*allow);
  return {};
}

Status Service::Impl::open_control() {
  stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (stop_fd < 0) return fail_errno("making the stop descriptor (eventfd)", errno);
  WEIR_ASSIGN(server, SocketServer::start(config.settings.control_socket,
                                          [this](const Json& r) { return answer(r); }));
  return {};
}

tl::expected<void, Refused> Service::Impl::start() {
  const auto step = [](Status status, Refusal kind) -> tl::expected<void, Refused> {
    if (status) return {};
    return refuse(kind, std::move(status).error().message);
  };
  auto taken = Lock::take(config.lock_file);
  if (!taken) return refuse(Refusal::bad_request, taken.error().message);
  lock.emplace(std::move(*taken));
  return step(load_model(), Refusal::bad_request)
      .and_then([&] { return step(check_machine(config), Refusal::bad_request); })
      .and_then([&] { return step(attach(), Refusal::bad_request); })
      .and_then([&] { return step(wire->open_channels(warnings), Refusal::bad_request); })
      .and_then([&] { return step(start_engine(), Refusal::failed); })
      .and_then([&] { return step(start_threads(), Refusal::failed); })
      .and_then([&] { return step(open_control(), Refusal::bad_request); })
      .and_then([&] { return step(follow_lists(), Refusal::failed); })
      .and_then([&] { return step(wire->connect(), Refusal::failed); })
      .and_then([&] { return step(wire->keep(), Refusal::failed); });
}

void Service::Impl::say_hello() const {
  for (const auto& warning : config.warnings) spdlog::warn("{}", warning);
  for (const auto& warning : warnings) spdlog::warn("{}", warning);
  wire->say_hello();
  spdlog::info("model {} from {} ({}), sha256 {}", model.name, config.model_path, evaluator,
               model.sha256);
  if (screen) say_screen("", "");
  spdlog::info("{}; {} workers, fail mode {}, policy {}",
               !config.host              ? "forwarding"
               : config.datapath.observe ? "observing"
                                         : "guarding",
               config.engine.workers, config.settings.fail_fail_mode, config.settings.policy_mode);
}

Status Service::Impl::stop() {
  Status first;
  const auto note = [&](const Status& status) {
    if (first && !status) first = status;
  };
  server.reset();
  if (wire) note(wire->disconnect());
  for (const auto& loop : loops) loop->request_stop();
  for (auto& thread : threads) thread.join();
  threads.clear();
  if (engine) engine->drain();
  engine.reset();
  enforcer.reset();
  if (wire && succeeded) note(wire->detach());
  loops.clear();
  if (wire) note(wire->close());
  wire.reset();
  lock.reset();
  return first;
}

Answer Service::Impl::reload() {
  const std::lock_guard one(reloading);
  const auto keep = [&](const Error& error) -> Answer {
    auto message = fmt::format("{}; model {} (sha256 {}) stays in use", error.message, model.name,
                               model.sha256);
    if (screen)
      message += fmt::format(", and screen {} (sha256 {})", screen->plan().model_name,
                             screen->plan().model_sha256);
    spdlog::error("reload: {}", message);
    return refuse(Refusal::bad_request, std::move(message));
  };
  auto read = load_judge(config, config.model_path);
  if (!read) return keep(read.error());
  auto fresh = pipeline::rebind(*read, bound.model_columns, pipeline::scores_of(config.policy));
  if (!fresh) return keep(fresh.error());
  auto fresh_screen = load_screen(config);
  if (!fresh_screen) return keep(fresh_screen.error());
  const bool screen_changed =
      screen && (*fresh_screen)->plan().model_sha256 != screen->plan().model_sha256;
  if (screen_changed)
    if (const Status used = use_screen(*fresh_screen); !used) return keep(used.error());
  try {
    engine->use(**fresh);
  } catch (const std::bad_alloc&) {
    if (screen_changed) static_cast<void>(use_screen(screen));
    return keep({config.model_path + ": no memory is left for it"});
  }
  const bool changed = read->sha256 != model.sha256;
  {
    const std::lock_guard own(model_lock);
    model = std::move(*read);
    evaluator = (*fresh)->describe();
    screen = std::move(*fresh_screen);
  }
  Json answer{{"model", model_json(config, model, evaluator)}, {"changed", changed}};
  spdlog::info("reload: model {} from {} ({}), sha256 {}{}", model.name, config.model_path,
               evaluator, model.sha256, changed ? "" : ", the same as before");
  for (const auto& list : {judge_warnings(config, model), screen_warnings(config, screen.get())})
    for (const std::string& warning : list) spdlog::warn("reload: {}", warning);
  if (screen) {
    answer["screen"] = screen_json(config, *screen);
    answer["screen_changed"] = screen_changed;
    say_screen("reload: ", screen_changed ? "" : ", the same as before");
  }
  return answer;
}

/// Takes its place in the datapath; what is in use stays where that is refused.
Status Service::Impl::use_screen(const std::shared_ptr<const kernel_model::Screen>& fresh) {
  return wire->use_screen(fresh, [this](const std::function<void()>& change) {
    enforcer->call([&](datapath::Datapath&) { change(); });
  });
}

void Service::Impl::say_screen(std::string_view before, std::string_view behind) const {
  spdlog::info("{}screen {} from {} ({}), sha256 {}{}", before, screen->plan().model_name,
               config.screen_path, screen->shape(), screen->plan().model_sha256, behind);
}

Result<Json> Service::Impl::status() const {
  const std::lock_guard own(model_lock);
  return status_document({.config = config,
                          .model = model,
                          .evaluator = evaluator,
                          .screen = screen.get(),
                          .wire = *wire,
                          .loops = loops,
                          .enforcer = *enforcer,
                          .started = started});
}

Answer Service::Impl::answer(const Json& request) {
  const auto verb = request["verb"].get<std::string>();
  if (!succeeded) {
    return refuse(Refusal::failed, "weir is still starting; ask again in a moment");
  }
  if (verb == "status") {
    auto document = status();
    if (!document) return refuse(Refusal::failed, document.error().message);
    return std::move(*document);
  }
  if (verb == "stop") {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto ignored = write(stop_fd, &one, sizeof one);
    return Json{{"stopping", true}};
  }
  if (verb == "reload") return reload();
  if (verb == "report") return report(request);
  if (verb == "why") return why(request);
  std::optional<Answer> answer;
  enforcer->call([&](datapath::Datapath& tables) {
    answer = answer_tables(tables, request, monotonic_now());
  });
  if (!answer) {
    return refuse(Refusal::bad_request, fmt::format("there is no verb '{}'", verb));
  }
  if (verb == "block.list" && *answer && config.datapath.all_ip) (**answer)["steered"] = "all";
  if (is_change(verb) && *answer) {
    spdlog::info("{}: {}", verb, (*answer)->dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  return std::move(*answer);
}

Answer Service::Impl::report(const Json& request) {
  Result<std::vector<datapath::Block>> blocks;
  enforcer->call([&](datapath::Datapath& tables) { blocks = tables.list_blocks(); });
  if (!blocks) return refuse(Refusal::failed, blocks.error().message);
  return report_document({.ledger = ledger->snapshot(),
                          .blocks = *blocks,
                          .shadow = config.policy.shadow,
                          .since = started,
                          .now = monotonic_now(),
                          .sources = request.value("sources", std::size_t{20})});
}

Answer Service::Impl::why(const Json& request) {
  const auto address = Address::parse(request.value("address", std::string{}));
  if (!address) return refuse(Refusal::bad_request, address.error().message);
  std::optional<Answer> blocks;
  enforcer->call([&](datapath::Datapath& tables) {
    blocks = answer_tables(tables, {{"verb", "block.list"}}, monotonic_now());
  });
  if (!*blocks) return tl::unexpected(blocks->error());
  const std::lock_guard own(model_lock);
  Json told = why_address({.model = &model,
                           .columns = bound.model_columns,
                           .threshold = config.policy.threshold,
                           .shadow = config.policy.shadow,
                           .score_alone = config.policy.score_alone,
                           .trees = request.value("trees", std::size_t{3})},
                          *address, *ledger, monotonic_now());
  if (!config.datapath.shadow) agree_with(told, *address, (**blocks)["blocks"]);
  return told;
}

Service::Service(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Service::~Service() {
  if (const Status status = stop(); !status) spdlog::error("{}", status.error().message);
}

tl::expected<std::unique_ptr<Service>, Refused> Service::start(const Config& config) {
  if (auto missing = missing_privileges(); !config.dpdk && !missing.empty()) {
    return refuse(Refusal::not_permitted, missing);
  }
  auto service = std::unique_ptr<Service>(new Service(std::make_unique<Impl>(config)));
  try {
    if (auto started = service->impl_->start(); !started) return tl::unexpected(started.error());
  } catch (const std::exception& fault) {
    return refuse(Refusal::failed, fmt::format("starting: {}", fault.what()));
  }
  service->impl_->succeeded = true;
  service->impl_->say_hello();
  return service;
}

int Service::stop_fd() const noexcept { return impl_->stop_fd; }
Status Service::stop() { return impl_->stop(); }
Result<Json> Service::status() const { return impl_->status(); }
Answer Service::reload() { return impl_->reload(); }

}  // namespace weir::control
