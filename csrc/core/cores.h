// How many processors this process may use, which can be less than the machine has.
#pragma once

namespace omni {

int usable_cores();  // at least 1

} // namespace omni
