// What an x86-64 processor can do, and of it what the system lets a process use. All false on another processor.
#pragma once

#include "kernels/cpu.h"

namespace omni {

bool x86_runs(cpu_variant v);
bool x86_tiles();     // AMX with BF16 products; asks the system for the state they need
bool x86_is_intel();

} // namespace omni
