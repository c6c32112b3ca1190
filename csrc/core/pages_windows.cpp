#include "core/pages.h"

namespace omni {

void prefer_huge_pages(void *, size_t) {}  // large pages take a right there that few users have, and are locked in memory

} // namespace omni
