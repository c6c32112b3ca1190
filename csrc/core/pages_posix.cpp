#include "core/pages.h"

#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace omni {

void prefer_huge_pages(void * data, size_t n) {
#if defined(__linux__)
    const uintptr_t from = (reinterpret_cast<uintptr_t>(data) + huge_page - 1) / huge_page * huge_page;
    const uintptr_t to   = (reinterpret_cast<uintptr_t>(data) + n) / huge_page * huge_page;
    if (from < to) {
        madvise(reinterpret_cast<void *>(from), to - from, MADV_HUGEPAGE);  // refused, it is as it was
    }
#else
    (void) data;
    (void) n;
#endif
}

} // namespace omni
