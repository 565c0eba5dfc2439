// PIPESERVE_DCHECK: for what no input can cause. Checked in debug and sanitizer builds only.
#pragma once

#include <cassert>

#define PIPESERVE_DCHECK(condition) assert(condition)
