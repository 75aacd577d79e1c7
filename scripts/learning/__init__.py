# SPDX-License-Identifier: BSD-2-Clause
"""What scripts/train and scripts/evaluate share."""
