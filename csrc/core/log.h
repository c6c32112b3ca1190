// ggml's log lines, queued for Python to drain: C never calls Python, and nothing is printed behind the user's back.
#pragma once

#include <string>

namespace omni {

void        log_install();  // idempotent
std::string log_take();     // everything queued since the last call

} // namespace omni
