#include "core/cores.h"

#include "core/windows.h"

#include <vector>

namespace omni {

// Of the process's group, which has at most 64 processors: threads stay in it unless they are told otherwise.
int usable_cores() {
    DWORD_PTR ours = 0, all = 0;
    if (!GetProcessAffinityMask(GetCurrentProcess(), &ours, &all)) {
        ours = 0;
    }
    DWORD bytes = 0;
    GetLogicalProcessorInformation(nullptr, &bytes);
    std::vector<SYSTEM_LOGICAL_PROCESSOR_INFORMATION> parts(bytes / sizeof(SYSTEM_LOGICAL_PROCESSOR_INFORMATION));
    int n = 0;
    if (!parts.empty() && GetLogicalProcessorInformation(parts.data(), &bytes)) {
        for (const SYSTEM_LOGICAL_PROCESSOR_INFORMATION & part : parts) {
            n += part.Relationship == RelationProcessorCore && (ours == 0 || (part.ProcessorMask & ours));
        }
    }
    if (n == 0) {  // a process in several groups has no mask
        n = int(GetActiveProcessorCount(ALL_PROCESSOR_GROUPS));
    }
    return n > 0 ? n : 1;
}

} // namespace omni
