// Starts the emulator with the people, the channel, the app and the tokens that its first argument says, and does on its
// side what it leaves to others. Its address, and ours, are the first line on stdout.
//
//   /api/METHOD       the emulator's, which has no GET for what Slack reads by GET too: a query goes as a form there
//   /deliver/PATH     posts the body, signed as Slack signs, to the app's /slack/PATH; ?secret= signs with another one
//   /respond          a response URL; GET says what came
//   /subscribe        the emulator's own events go to the app from now on; GET says what became of them

import { createHmac } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const { app, seed } = JSON.parse(process.argv[2]);

// Its events go to subscribers, and no setting of 0.12.2 makes one for Slack: its own dispatcher is asked.
const dist = join(import.meta.dirname, "node_modules/emulate/dist");
const isSlack = (name) => /^dist-.*\.js$/.test(name) && readFileSync(join(dist, name), "utf8").includes("var slackPlugin");
const chunk = readdirSync(dist).find(isSlack);
const { slackPlugin } = await import(pathToFileURL(join(dist, chunk)));
const { createEmulator } = await import(pathToFileURL(join(dist, "api.js")));
let events;
const register = slackPlugin.register;
slackPlugin.register = (server, store, webhooks, ...rest) => {
  events = webhooks;
  return register.call(slackPlugin, server, store, webhooks, ...rest);
};

const free = await new Promise((found) => {
  const probe = createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => found(port));
  });
});
const emulator = await createEmulator({ service: "slack", port: free, seed: { slack: seed } });

const responded = [];

const read = async (request) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
};

const relay = async (request, url, body) => {
  const headers = { authorization: request.headers.authorization ?? "" };
  if (request.method === "GET") {
    headers["content-type"] = "application/x-www-form-urlencoded";
    return fetch(`${emulator.url}${url.pathname}`, { method: "POST", headers, body: url.searchParams.toString() });
  }
  headers["content-type"] = request.headers["content-type"] ?? "application/json";
  return fetch(`${emulator.url}${url.pathname}`, { method: "POST", headers, body });
};

const deliver = async (request, url, body) => {
  const secret = url.searchParams.get("secret") ?? seed.signing_secret;
  const timestamp = Math.floor(Date.now() / 1000);
  const signature = createHmac("sha256", secret).update(`v0:${timestamp}:${body}`).digest("hex");
  const headers = {
    "content-type": request.headers["content-type"],
    "x-slack-request-timestamp": String(timestamp),
    "x-slack-signature": `v0=${signature}`,
  };
  return fetch(`${app}slack/${url.pathname.split("/").pop()}`, { method: "POST", headers, body });
};

const answer = (value) => new Response(JSON.stringify(value), { headers: { "content-type": "application/json" } });

const serve = async (request) => {
  const url = new URL(request.url, "http://127.0.0.1");
  const body = await read(request);
  if (url.pathname.startsWith("/api/")) return relay(request, url, body);
  if (url.pathname.startsWith("/deliver/")) return deliver(request, url, body);
  if (url.pathname === "/respond") {
    if (request.method === "POST") responded.push(JSON.parse(body));
    return answer(responded);
  }
  if (url.pathname === "/subscribe") {
    if (request.method === "POST") {
      events.register({ url: `${app}slack/events`, events: ["*"], active: true, owner: "slack" });
    }
    return answer(events.getDeliveries());
  }
  return new Response("", { status: 404 });
};

const server = createServer(async (request, response) => {
  try {
    const answered = await serve(request);
    response.writeHead(answered.status, { "content-type": answered.headers.get("content-type") ?? "text/plain" });
    response.end(Buffer.from(await answered.arrayBuffer()));
  } catch (error) {
    response.writeHead(502).end(String(error));
  }
});
server.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ ours: `http://127.0.0.1:${server.address().port}/`, emulator: emulator.url }));
});
// It ends with whoever started it.
process.stdin.on("end", () => process.exit(0)).resume();
