// A guest that exports run and uses wasi-libc: what it prints goes to the log.

#include <stdio.h>
#include <stdlib.h>

__attribute__((import_module("env"), import_name("hostcall_resp_set_body"))) int resp_set_body(int, const char *, size_t);

__attribute__((export_name("run"))) void run(void) {
    const char *greeting = getenv("GREETING");
    printf("printed by %s\n", greeting ? greeting : "nobody");
    fflush(stdout);
    fputs("half a line", stderr);
    resp_set_body(0, "mixed", 5);
}
