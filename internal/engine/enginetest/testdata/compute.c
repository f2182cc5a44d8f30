// The guest of the benchmarks: the host calls its functions from within its entry.
#include "../../prepare/testdata/compute.c"

__attribute__((import_module("test"), import_name("repeat"))) void repeat(void);
EXPORT("run") void run(void) { repeat(); }
