#include "terrane.h"

void handle(void) {
    slice name = request_param("name");
    buffer out = {0};
    put(&out, "Hello, ");
    put_slice(&out, name.ptr ? name : str("world"));
    put(&out, " from C!\n");
    reply(200, "text/plain; charset=utf-8", out.text.ptr);
}
