#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# usage: as_text.sh NAME FILE... [-- NAME FILE...]...
# Writes files as constants of C++, one behind the other, without what they include of each other.
while [ $# -gt 0 ]; do
  echo "constexpr const char* $1 = R\"bpf("
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    grep -v '#include "' "$1"
    shift
  done
  echo ')bpf";'
  if [ $# -gt 0 ]; then shift; fi
done
