#include "core/cores.h"

#include "core/windows.h"

namespace omni {

// Of the process's group, which has at most 64 processors: threads stay in it unless they are told otherwise.
int usable_cores() {
    DWORD_PTR ours = 0, all = 0;
    int n = 0;
    if (GetProcessAffinityMask(GetCurrentProcess(), &ours, &all)) {
        for (; ours; ours &= ours - 1) {
            n++;
        }
    }
    if (n == 0) {  // a process in several groups has no mask
        n = int(GetActiveProcessorCount(ALL_PROCESSOR_GROUPS));
    }
    return n > 0 ? n : 1;
}

} // namespace omni
