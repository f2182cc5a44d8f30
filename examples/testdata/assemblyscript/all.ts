// Uses what of the library no example does. The path says what.
import { Header, Request, Response, escape, fetch, kv, lastError, log, now, publish, random, request, serve } from "terrane";

export function run(): void {
  serve(handle);
}

function handle(req: Request): Response {
  if (req.path == "/headers") {
    const own = req.header("X-Own") || "none";
    return Response.text(200, `${own} ${req.header("x-three") || "none"}`).with("x-two", "1").with("X-Two", "2");
  }
  if (req.path == "/kv") {
    const writes = [kv.add("k", "a"), kv.add("k", "b"), kv.append("k", "c"), kv.set("k2", ""), kv.set("k2", "d")];
    const values = `${kv.get("k") || "none"} ${kv.get("k2") || "none"} ${kv.get("k3") || "none"}`;
    return Response.text(200, `${writes.toString()} ${values} ${kv.remove("k")} ${kv.remove("k")}`);
  }
  if (req.path == "/large") return Response.text(200, "x".repeat(200));
  if (req.path == "/sent") {
    const response = fetch("GET", "http://192.0.2.1/", [new Header("x", "\n")]);
    return Response.text(200, response ? "?" : lastError());
  }
  if (req.path == "/fetch") {
    const response = fetch("POST", req.query, [new Header("x-own", "1")], String.UTF8.encode("text"));
    if (!response) return Response.text(502, "none");
    return new Response(response.status, response.body).with("x-first", response.header("X-Two") || "none");
  }
  if (req.path == "/messages") {
    const kept = publish("orders.new", String.UTF8.encode("7"));
    const answer = request("orders.ask", String.UTF8.encode("8"));
    if (!answer) return Response.text(502, lastError());
    let text = `${kept} ${answer.status} ${answer.text()}`;
    if (!publish("refused", new ArrayBuffer(0))) text += " " + lastError();
    if (!request("refused", new ArrayBuffer(0))) text += " " + lastError();
    return Response.text(200, text);
  }
  if (req.path == "/time") {
    return Response.json(200, `[${now()}, ${random() != random()}]`);
  }
  if (req.path == "/escape") {
    return Response.html(200, escape(req.method + req.text()));
  }
  log("nothing there");
  throw new Error("no " + req.path);
}
