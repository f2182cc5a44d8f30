// Uses what of the library no example does. The path says what.
import {
  Header,
  Level,
  Request,
  Response,
  download,
  edge,
  env,
  escape,
  fetch,
  firstOf,
  kv,
  lastError,
  log,
  logAt,
  lookup,
  now,
  publish,
  random,
  region,
  request,
  requestId,
  resolve,
  serve,
  start,
} from "terrane";

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
  if (req.path == "/all-headers") {
    return Response.text(200, req.headers().map<string>((h) => `${h.name}=${h.value}`).join(";"));
  }
  if (req.path == "/env") return Response.text(200, `${env("NAME") || "none"} ${env("NONE") || "none"}`);
  if (req.path == "/where") {
    logAt(Level.Warning, "careful");
    return Response.text(200, `${edge()} ${region()} ${requestId()}`);
  }
  if (req.path == "/versions") {
    const first = kv.put("v", "one", 0), again = kv.put("v", "two", 0), found = kv.getVersion("v")!;
    const second = kv.put("v", "two", found.version), third = kv.put("v", "three", kv.ANY, 60);
    const same = first != 0 && found.version == first, last = kv.get("v")!;
    return Response.text(200, `${again == 0} ${found.value} ${same} ${second != 0} ${third != 0} ${last} ${!kv.getVersion("w")}`);
  }
  if (req.path == "/timeout") {
    return Response.text(200, fetch("GET", req.query, [], new ArrayBuffer(0), 50) ? "an answer" : "none in time");
  }
  if (req.path == "/stream") {
    const from = download("GET", req.query)!;
    const to = Response.text(201, "").with("x-b", from.response.header("x-a")!);
    const buffer = new ArrayBuffer(64);
    for (let n = from.read(buffer); n > 0; n = from.read(buffer)) to.send(buffer.slice(0, n));
    return to;
  }
  if (req.path == "/async") {
    const urls = req.query.split("&"), pending = [start("GET", urls[0])!, start("GET", urls[1])!];
    const early = pending[0].ready() ? "ready" : "pending", place = firstOf(pending);
    return Response.text(200, `${early} ${place} ${pending[place].response!.status} ${pending[0].wait()!.status}`);
  }
  if (req.path == "/more") {
    let text = "";
    kv.set("v", "no number");
    if (kv.increment("n", 5)) text += `${kv.sum} `;
    if (kv.increment("n", -7, 60)) text += `${kv.sum} `;
    text += kv.increment("v", 1) ? "some " : "none ";
    text += kv.list("").map<string>((key) => key + ";").join("");
    text += ` ${lookup(req.query)[0].byteLength} ${lookup(req.query, true)[0].byteLength}`;
    return Response.text(200, text + (resolve(String.UTF8.encode("no message")) ? " some" : " none"));
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
