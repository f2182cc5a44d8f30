// A vote counter. The store adds, so that no vote is lost when many come at a time, at
// any edge.
#include "terrane.h"

static const char *const options[] = {"tabs", "spaces"};
enum { OPTIONS = sizeof options / sizeof *options };

static void show(void) {
    buffer out = {0};
    put(&out, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Vote</title>\n"
              "<link rel=\"stylesheet\" href=\"/style.css\">\n<h1>Which?</h1>\n<form method=\"post\">\n");
    for (int i = 0; i < OPTIONS; i++) {
        put(&out, "<p><button name=\"for\" value=\"");
        put(&out, options[i]);
        put(&out, "\">");
        put(&out, options[i]);
        put(&out, "</button> ");
        put_number(&out, kv_increment(options[i], 0, 0));
        put(&out, "\n");
    }
    put(&out, "</form>\n");
    response_header("cache-control", "no-store");
    reply(200, "text/html; charset=utf-8", out.text.ptr);
}

static void vote(slice option) {
    for (int i = 0; i < OPTIONS; i++) {
        if (same(option, options[i])) {
            kv_increment(options[i], 1, 0);
            response_header("location", request_path().ptr); // a reload then votes no second time
            reply(303, "text/plain", "counted\n");
            return;
        }
    }
    reply(422, "text/plain", "no such option\n");
}

void handle(void) {
    if (same(request_method(), "POST"))
        vote(param(request_body(), "for"));
    else
        show();
}
