// Pages of memory.
#pragma once

#include <cstddef>

namespace omni {

constexpr size_t huge_page = size_t(2) << 20;

// Asks for huge pages where whole ones fit between the two ends, for what is read from end to end, over and over:
// there are fewer to look up. For memory that nobody has touched yet.
void prefer_huge_pages(void * data, size_t n);

} // namespace omni
