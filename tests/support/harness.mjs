// One scratch directory and one mark per test file; whatever was started is ended and checked to be gone.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after } from "node:test";
import { openBrowser } from "./browser.mjs";
import { call } from "./http.mjs";
import { target } from "./paths.mjs";
import { freePorts } from "./ports.mjs";
import { endMarked } from "./processes.mjs";
import { issue, startSigner } from "./signer.mjs";
import { startWorker } from "./worker.mjs";

export const AUDIENCE = "https://api.example.com";

/** @param {string} name of the test file: its scratch directory under target/e2e */
export function bench(name) {
  const directory = join(target, "e2e", name);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const mark = `e2e-${name}-${randomUUID()}`;
  const cleanups = [];
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
    await endMarked(mark);
  });

  let count = 0;
  return {
    directory,
    mark,
    cleanup: (work) => cleanups.push(work),

    async signer(options = {}) {
      const [publicPort, agentsPort] = await freePorts(2);
      const signer = await startSigner({ directory: join(directory, `signer-${(count += 1)}`), publicPort, agentsPort, mark, ...options });
      cleanups.push(async () => assert.equal(await signer.stop(), "exit 0", `the signer ends gracefully\n${signer.output().slice(-500)}`));
      return signer;
    },

    async worker(settings, { port, ...options } = {}) {
      port ??= (await freePorts(1))[0];
      const worker = await startWorker({ directory: join(directory, `worker-${(count += 1)}`), port, settings, mark, ...options });
      cleanups.push(() => worker.stop());
      return worker;
    },

    async browser() {
      const browser = await openBrowser();
      cleanups.push(() => browser.close());
      return browser;
    },

    /** An HTTP server of the test on a free loopback port; `requests` is what it saw. */
    async server(answer) {
      const requests = [];
      const server = createServer(async (request, response) => {
        const chunks = [];
        for await (const chunk of request) chunks.push(chunk);
        const seen = { method: request.method, url: request.url, headers: request.headers, rawHeaders: request.rawHeaders, body: Buffer.concat(chunks).toString("utf8") };
        requests.push(seen);
        try {
          await answer(seen, response);
        } catch (error) {
          response.writeHead(500).end(String(error));
        }
      });
      const listen = (port) => new Promise((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
      const stop = () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); });
      await listen(0);
      const { port } = server.address();
      cleanups.push(stop);
      return { url: `http://127.0.0.1:${port}`, port, requests, stop, resume: () => listen(port) };
    },

    /** The signer's JWK Set passed on, each fetch counted: the counter of the acceptance tests. */
    async countingJwks(signer) {
      return this.server(async (_, response) => {
        const upstream = await call(signer.ready.jwks_uri, { ca: signer.ca });
        const headers = { "content-type": upstream.headers["content-type"] };
        response.writeHead(upstream.status, headers).end(upstream.text);
      });
    },
  };
}

export const profileOf = (signer, algorithm) => {
  const profile = signer.ready.profiles.find((one) => one.algorithm === algorithm);
  assert.ok(profile, `the signer has a profile for ${algorithm}`);
  return profile.name;
};

export const algorithmsOf = (signer) => signer.ready.profiles.map(({ algorithm }) => algorithm);

/** A token of the signer, ES256 for AUDIENCE unless said otherwise. */
export const tokenOf = (signer, { algorithm = "ES256", ...more } = {}) =>
  issue(signer.ready, { profile: profileOf(signer, algorithm), audience: AUDIENCE, ttl: "10m", claims: { sub: "alice" }, ...more });

/** A problem document (RFC 9457) as the Worker gives it. */
export function assertProblem(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers["content-type"] ?? "", /^application\/problem\+json/);
  const problem = answer.json;
  assert.equal(problem.status, status);
  assert.equal(problem.code, code);
  assert.equal(typeof problem.title, "string");
  assert.equal(typeof problem.type, "string");
}
