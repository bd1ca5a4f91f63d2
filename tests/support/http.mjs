// HTTP for tests: one request, everything visible, a CA and a client certificate when asked for.

import { request as http } from "node:http";
import { request as https } from "node:https";

/**
 * @param {string} url
 * @param {{method?: string, headers?: object | string[], body?: string | object, ca?: string, cert?: string, key?: string, agent?: any, socketPath?: string, localAddress?: string, seconds?: number}} [options]
 *   `headers` as a flat array sends them as they are, duplicates included
 * @returns {Promise<{status: number, headers: Record<string, string>, text: string, json: any}>}
 */
export function call(url, { method, headers = {}, body, ca, cert, key, agent, socketPath, localAddress, seconds = 20 } = {}) {
  const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  if (text !== undefined && !Array.isArray(headers)) headers = { "content-type": "application/json", ...headers };
  return new Promise((resolve, reject) => {
    const target = new URL(url);
    // Node adds Host to an object of headers only.
    if (Array.isArray(headers)) headers = ["host", target.host, ...headers];
    const send = target.protocol === "https:" ? https : http;
    // "localhost" may mean ::1 first; everything here listens on 127.0.0.1.
    const request = send(url, { method: method ?? (text === undefined ? "GET" : "POST"), headers, ca, cert, key, agent: agent ?? false, socketPath, localAddress, family: 4, signal: AbortSignal.timeout(seconds * 1000) }, (response) => {
      let received = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => { received += chunk; });
      response.on("error", reject);
      response.on("end", () => resolve({
        status: response.statusCode,
        headers: response.headers,
        text: received,
        get json() { return JSON.parse(received); },
      }));
    });
    request.on("error", reject);
    request.end(text);
  });
}
