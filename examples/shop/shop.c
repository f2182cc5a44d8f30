// A shop: a page that publishes orders, a worker that counts them, a report.
#include "terrane.h"

static const struct {
    const char *name;
    int cents;
} goods[] = {{"tea", 350}, {"coffee", 420}};
enum { GOODS = sizeof goods / sizeof *goods, DAY = 24 * 60 * 60 };

static int find(slice name) {
    for (int i = 0; i < GOODS; i++)
        if (same(name, goods[i].name)) return i;
    return -1;
}

static const char *key(const char *kind, slice of) {
    buffer b = {0};
    put(&b, kind);
    put_slice(&b, of);
    return b.text.ptr;
}

// The front: what visitors see.

static void show(void) {
    buffer out = {0};
    put(&out, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Shop</title>\n<form method=\"post\">\n");
    for (int i = 0; i < GOODS; i++) {
        put(&out, "<p><button name=\"item\" value=\"");
        put(&out, goods[i].name);
        put(&out, "\">");
        put(&out, goods[i].name);
        put(&out, "</button> ");
        put_number(&out, kv_increment(key("sold/", str(goods[i].name)), 0, 0));
        put(&out, " sold\n");
    }
    put(&out, "</form>\n");
    response_header("cache-control", "no-store");
    reply(200, "text/html; charset=utf-8", out.text.ptr);
}

// An order is its number, a space, and the item.
static void order(slice item) {
    if (find(item) < 0) {
        reply(422, "text/plain", "no such item\n");
        return;
    }
    buffer message = {0};
    put_number(&message, (int64_t)(random_u64() >> 1));
    put(&message, " ");
    put_slice(&message, item);
    if (publish("orders.new", message.text))
        reply(202, "text/plain", "ordered\n");
    else
        reply(503, "text/plain", key("not ordered: ", last_error()));
}

static void price(slice item) {
    int answer = request("prices", item);
    if (answer < 0) {
        reply(503, "text/plain", key("nobody knows: ", last_error()));
        return;
    }
    response_status(fetch_status(answer));
    response_body(fetch_response_body(answer));
}

// The worker: what messages and cron start.

static void count(slice message) {
    size_t n = 0;
    while (n < message.len && message.ptr[n] != ' ') n++;
    slice item = {message.ptr + n + 1, message.len - n - 1};
    if (n >= message.len || find(item) < 0) {
        log_line("an order that makes no sense"); // trying again would not help
        return;
    }
    const char *seen = key("seen/", (slice){message.ptr, n});
    if (kv_increment(seen, 0, DAY) == 0) {
        kv_increment(key("sold/", item), 1, 0);
        kv_increment(seen, 1, DAY);
    }
}

static void tell(slice item) {
    int i = find(item);
    if (i < 0) {
        reply(404, "text/plain", "no such item\n");
        return;
    }
    buffer out = {0};
    put_number(&out, goods[i].cents);
    put(&out, " cents\n");
    reply(200, "text/plain", out.text.ptr);
}

static void report(void) {
    buffer out = {0};
    put(&out, "sold so far:");
    for (int i = 0; i < GOODS; i++) {
        put(&out, " ");
        put(&out, goods[i].name);
        put(&out, " ");
        put_number(&out, kv_increment(key("sold/", str(goods[i].name)), 0, 0));
    }
    log_line(out.text.ptr);
}

void handle(void) {
    slice subject = request_header("terrane-subject"), item = request_param("item");
    if (request_header("terrane-cron").ptr)
        report();
    else if (same(subject, "prices"))
        tell(request_body());
    else if (subject.ptr)
        count(request_body());
    else if (same(request_method(), "POST"))
        order(param(request_body(), "item"));
    else if (item.ptr)
        price(item);
    else
        show();
}
