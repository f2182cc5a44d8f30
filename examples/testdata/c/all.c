// Uses what of the library no example does. The path says what.
#include "terrane.h"

static void put_slices(buffer *out, slices list) {
    for (size_t i = 0; i < list.len; i++) {
        put(out, i ? "," : "");
        put_slice(out, list.ptr[i]);
    }
    put(out, ";");
}

static void put_value(buffer *out, slice value) {
    if (value.ptr)
        put_slice(out, value);
    else
        put(out, "none");
    put(out, ";");
}

static void versions(buffer *out) {
    uint64_t none = 1, version = 0;
    uint64_t first = kv_put("v", str("one"), 0, 0);
    put(out, kv_put("v", str("two"), 0, 0) == 0 ? "true " : "false ");
    put_slice(out, kv_get_version("v", &version));
    put(out, version == first && first ? " true" : " false");
    put(out, kv_put("v", str("two"), version, 0) ? " true" : " false");
    put(out, kv_put("v", str("three"), KV_ANY, 60) ? " true " : " false ");
    put_slice(out, kv_get("v"));
    put(out, kv_get_version("w", &none).ptr == NULL && none == 0 ? " true" : " false");
}

static void stream(const char *url) {
    int from = fetch_stream(fetch_new("GET", url));
    response_status(201);
    response_header("x-b", fetch_response_header(from, "x-a").ptr);
    char buffer[64];
    for (int n; (n = fetch_read(from, buffer, sizeof buffer)) > 0;) response_chunk((slice){buffer, n});
}

static void async(buffer *out, slice urls) {
    char *second = urls.ptr;
    while (*second != '&') second++;
    *second++ = '\0';
    int pending[] = {fetch_start(fetch_new("GET", urls.ptr)), fetch_start(fetch_new("GET", second))}, done = 0;
    put(out, fetch_poll(pending[0]) == FETCH_PENDING ? "pending " : "ready ");
    int response = fetch_select(pending, 2, &done);
    put_number(out, done == pending[1]);
    put(out, " ");
    put_number(out, fetch_status(response));
    put(out, " ");
    put_number(out, fetch_status(fetch_wait(pending[0])));
}

static void more(buffer *out, const char *name) {
    put_number(out, kv_increment("n", 5, 0));
    put(out, " ");
    put_number(out, kv_increment("n", -7, 60));
    kv_set("v", str("no number"));
    put(out, kv_increment("v", 1, 0) ? " some " : " none ");
    slices keys = kv_list("", "", 10);
    for (size_t i = 0; i < keys.len; i++) {
        put_slice(out, keys.ptr[i]);
        put(out, ";");
    }
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        slices found = dns_lookup(name, ipv6);
        put(out, " ");
        put_number(out, found.len == 1 ? found.ptr[0].len : 0);
    }
    put(out, dns_query(str("no message")).ptr ? " some" : " none");
}

void handle(void) {
    slice path = request_path();
    buffer out = {0};
    if (same(path, "/headers")) {
        put_slices(&out, request_headers());
        put_slices(&out, request_header_values("x-two"));
        put_value(&out, request_header("x-three"));
    } else if (same(path, "/kv")) {
        bool writes[] = {kv_add("k", str("a")), kv_add("k", str("b")), kv_append("k", str("c")), kv_set("k2", str("")),
                         kv_set("k2", str("d"))};
        for (int i = 0; i < 5; i++) put_number(&out, writes[i]);
        put_value(&out, kv_get("k"));
        put_value(&out, kv_get("k2"));
        put_value(&out, kv_get("k3"));
        put_number(&out, kv_remove("k"));
        put_number(&out, kv_remove("k"));
    } else if (same(path, "/wait")) {
        int request = fetch_new("POST", request_query().ptr);
        fetch_header(request, "x-own", "1");
        fetch_body(request, str("text"));
        int response = fetch_wait(fetch_start(request));
        put_number(&out, fetch_status(response));
        put_value(&out, fetch_response_header(response, "x-two"));
        put_slices(&out, fetch_response_headers(response));
        put_slice(&out, fetch_response_body(response));
    } else if (same(path, "/refused")) {
        if (fetch_send(fetch_new("GET", "nowhere")) < 0) put_slice(&out, last_error());
    } else if (same(path, "/large")) {
        for (int i = 0; i < 200; i++) put(&out, "x");
        put(&out, response_body(out.text) ? "?" : "");
        log_line(last_error().ptr);
        return;
    } else if (same(path, "/sent")) {
        int request = fetch_new("GET", "http://192.0.2.1/");
        put_number(&out, fetch_header(request, "x", "\n"));
        put_number(&out, fetch_send(request));
    } else if (same(path, "/messages")) {
        put(&out, publish("orders.new", str("7")) ? "true " : "false ");
        int answer = request("orders.ask", str("8"));
        put_number(&out, fetch_status(answer));
        put(&out, " ");
        put_slice(&out, fetch_response_body(answer));
        put(&out, publish("refused", str("")) ? "?" : " ");
        put_slice(&out, last_error());
        put(&out, request("refused", str("")) >= 0 ? "?" : " ");
        put_slice(&out, last_error());
    } else if (same(path, "/where")) {
        put_slice(&out, edge_name());
        put(&out, " ");
        put_slice(&out, edge_region());
        put(&out, " ");
        put_slice(&out, request_id());
        log_at(LOG_WARNING, "careful");
    } else if (same(path, "/versions")) {
        versions(&out);
    } else if (same(path, "/timeout")) {
        int request = fetch_new("GET", request_query().ptr);
        fetch_timeout(request, 50);
        put(&out, fetch_send(request) < 0 ? "none in time" : "an answer");
    } else if (same(path, "/stream")) {
        stream(request_query().ptr);
        return;
    } else if (same(path, "/async")) {
        async(&out, request_query());
    } else if (same(path, "/more")) {
        more(&out, request_query().ptr);
    } else if (same(path, "/panic")) {
        panic("on purpose");
    } else if (same(path, "/extras")) {
        put_value(&out, env("NAME"));
        put_value(&out, env("NONE"));
        put_number(&out, kv_increment("n", 5, 0));
        put_number(&out, kv_increment("n", -7, 60));
    } else if (same(path, "/time")) {
        put_number(&out, time_now());
        put(&out, random_u64() == random_u64() ? " same" : " different");
    } else if (same(path, "/numbers")) {
        int64_t numbers[] = {0, -7, INT64_MIN, INT64_MAX};
        for (int i = 0; i < 4; i++) {
            put_number(&out, numbers[i]);
            put(&out, " ");
        }
    } else {
        log_line("nothing there");
        response_status(404);
        return;
    }
    response_body(out.text);
}
