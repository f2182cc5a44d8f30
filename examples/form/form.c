// GET shows a form. POST reads what was filled in and answers with it: decoded, and
// escaped before it goes into HTML.
#include "terrane.h"

static const char page[] =
    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Guest book</title>\n"
    "<link rel=\"stylesheet\" href=\"/style.css\">\n";

static const char form[] =
    "<h1>Guest book</h1>\n"
    "<form method=\"post\">\n"
    "<p><label>Name <input name=\"name\" required></label>\n"
    "<p><label>Message <textarea name=\"message\"></textarea></label>\n"
    "<p><button>Send</button>\n"
    "</form>\n";

static void show(int code, buffer out) {
    reply(code, "text/html; charset=utf-8", out.text.ptr);
}

static void show_form(int code, const char *fault) {
    buffer out = {0};
    put(&out, page);
    if (fault) {
        put(&out, "<p role=\"alert\">");
        put(&out, fault);
        put(&out, "\n");
    }
    put(&out, form);
    show(code, out);
}

static void thank(slice body) {
    slice name = param(body, "name"), message = param(body, "message");
    if (name.len == 0) {
        show_form(422, "Please fill in your name.");
        return;
    }
    buffer out = {0};
    put(&out, page);
    put(&out, "<h1>Thank you, ");
    put_html(&out, name);
    put(&out, "!</h1>\n<blockquote>");
    put_html(&out, message);
    put(&out, "</blockquote>\n<p><a href=\"\">Write another</a>\n");
    show(200, out);
}

void handle(void) {
    slice method = request_method();
    if (same(method, "GET") || same(method, "HEAD")) {
        show_form(200, 0);
    } else if (!same(method, "POST")) {
        response_header("allow", "GET, HEAD, POST");
        reply(405, "text/plain", "GET or POST\n");
    } else {
        thank(request_body());
    }
}
