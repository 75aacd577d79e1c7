// SPDX-License-Identifier: BSD-2-Clause
/// Keeps what a sender sets freely (TTL, lengths, banners: `SetBy::sender`) from clearing a packet.
///
///   score = max(model(row), model(row with its sender's features at their neutral values))
///
/// So the score of a packet is never below what the box's own counts alone say of it: whatever a
/// sender writes into its packets can speak against it and never for it.
/// Alone     without the policy's rules (policy.rules = false) the model's own score is what was asked
///           for, and nothing is guarded (bind.h).
/// Headers   a model that asks for features of the group `header` alone has nothing of the box's to
///           lean on: it is taken as it was trained, as the kernel takes it (bpf/header_features.h).
/// Neutral   detect::FeatureInfo::neutral: what most real devices send.
/// Cost      nothing where no node of the model asks for such a feature, as in the shipped one;
///           else the forest runs twice.
/// Threads   as forest::Evaluator.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "forest/evaluate.h"
#include "forest/model.h"

namespace weir::pipeline {

/// The model's features that its sender sets freely and that it really asks for; none where it asks
/// for features of the headers alone.
std::vector<std::uint32_t> sender_features(const forest::Model& model);

/// `row`, by the model's feature, with these at their neutral values.
std::vector<float> neutral_row(const forest::Model& model, std::vector<float> row);

/// `evaluator` of this model, guarded where it has to be.
std::unique_ptr<forest::Evaluator> guard(std::unique_ptr<forest::Evaluator> evaluator,
                                         const forest::Model& model);

}  // namespace weir::pipeline
