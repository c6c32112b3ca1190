// How many cores this process may use, which can be fewer than the machine has: of each core counts once, however many
// threads it runs at a time, since all of them share the units that products are made with.
#pragma once

namespace omni {

int usable_cores();  // at least 1

} // namespace omni
