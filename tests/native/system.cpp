// What csrc has one file a system for, tried on its own (.ci/windows.sh): prints what it found, which every system should
// say alike of one machine. In the folder that it runs in lies a large file, whose name is not ASCII.
#include "core/cores.h"
#include "core/file.h"
#include "core/mapped_file.h"
#include "core/pages.h"
#include "kernels/x86.h"

#include <cstdio>
#include <string>
#include <vector>

using namespace omni;

static const std::string large = "gro\xc3\x9f \xe2\x98\x83.bin";  // with a sharp s and a snowman, in UTF-8

static void look(const std::string & path) {
    const bool folder = file_is_folder(path);
    const file_ptr f = folder ? nullptr : file_open(path);
    const auto map = mapped_file::open(path);
    uint64_t n = 0;
    std::printf("%s: folder %d, opened %d, mapped %d\n", path == large ? "the file" : path.c_str(), folder, bool(f), bool(map));
    if (!f || !map || !file_size(f.get(), &n)) {
        return;
    }
    std::printf("size %llu, mapped %llu\n", (unsigned long long) n, (unsigned long long) map->size());
    for (const uint64_t at : {uint64_t(0), n / 2, n - 4}) {  // the last lies beyond 32 bits
        char read[5] = {};
        const bool sought = file_seek(f.get(), at);
        const size_t got = std::fread(read, 1, 4, f.get());
        std::printf("at %llu: sought %d, read %zu '%s', mapped '%s'\n", (unsigned long long) at, sought, got, read,
                    std::string(map->data() + at, 4).c_str());
    }
    std::printf("nowhere: sought %d\n", file_seek(f.get(), UINT64_MAX));
}

int main() {
    look(large);
    look("nowhere.bin");
    look(".");
    look("\xff\xfe");  // no UTF-8
    std::vector<char> memory(3 * huge_page, 1);
    prefer_huge_pages(memory.data(), memory.size());
    std::printf("pages: %d\n", memory[memory.size() - 1]);
    std::printf("cores: %d\n", usable_cores());
    for (const cpu_variant v : {cpu_variant::scalar, cpu_variant::avx2, cpu_variant::avx512, cpu_variant::avx512_bf16}) {
        std::printf("x86 %d: %d\n", int(v), x86_runs(v));
    }
    std::printf("intel: %d\n", x86_is_intel());
    return 0;
}
