// The native signer, driven as its users do: `edgeseal dev`, the agents' listener, `edgeseal verify`.

import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { call } from "./http.mjs";
import { edgeseal } from "./paths.mjs";
import { start } from "./processes.mjs";
import { until } from "./wait.mjs";

/** Runs the `edgeseal` binary to its end: {code, out, err}. */
export function cli(args, { env = {}, cwd, input, seconds = 60 } = {}) {
  return new Promise((resolve, reject) => {
    const child = execFile(edgeseal, args, { env: { ...process.env, ...env }, cwd, timeout: seconds * 1000, maxBuffer: 1 << 26 }, (error, out, err) => {
      if (error && typeof error.code !== "number") {
        return reject(new Error(`edgeseal ${args.join(" ")}: ${error.code === "ENOENT" ? `${edgeseal} is not built: run \`make signer\`` : error.signal ? `ended by ${error.signal}: ${err.trim()}` : error.message}`));
      }
      resolve({ code: error ? error.code : 0, out, err });
    });
    child.stdin.on("error", () => {}); // it may end without reading
    child.stdin.end(input ?? "");
  });
}

/**
 * Starts `edgeseal dev` and waits until it serves.
 * @param {{directory: string, publicPort: number, agentsPort: number, mark: string, env?: object, args?: string[], seconds?: number}} options
 */
export async function startSigner({ directory, publicPort, agentsPort, mark, env, args = [], seconds = 120, onStart }) {
  mkdirSync(directory, { recursive: true });
  const readyFile = join(directory, "ready.json");
  rmSync(readyFile, { force: true });
  const signer = start({
    name: "edgeseal dev",
    command: edgeseal,
    args: ["dev", "--dir", join(directory, "state"), "--ready-file", readyFile, "--public", `127.0.0.1:${publicPort}`, "--agents", `127.0.0.1:${agentsPort}`, ...args],
    log: join(directory, "signer.log"),
    mark,
    env,
  });
  onStart?.(signer);
  try {
    await until("the signer is ready", () => existsSync(readyFile) && readFileSync(readyFile, "utf8").trimEnd().endsWith("}"), { seconds, giveUp: () => signer.trouble });
  } catch (error) {
    await signer.stop();
    throw error;
  }
  const ready = JSON.parse(readFileSync(readyFile, "utf8"));
  return Object.assign(signer, { ready, state: join(directory, "state"), ca: readFileSync(ready.ca, "utf8") });
}

/** Starts `edgeseal agent` on what `edgeseal dev` wrote, and waits until it answers: {socket, stop}. */
export async function startAgent({ directory, ready, mark, onStart }) {
  const agent = start({ name: "edgeseal agent", command: edgeseal, args: ["agent", "--config", ready.config], log: join(directory, "agent.log"), mark });
  onStart?.(agent);
  const socket = ready.agent_socket;
  try {
    await until("the agent answers", () => call("http://agent/", { socketPath: socket }).catch(() => null), { seconds: 30, giveUp: () => agent.trouble });
  } catch (error) {
    await agent.stop();
    throw error;
  }
  return Object.assign(agent, { socket });
}

/** A token from an agent's socket, or an error that says why not. */
export async function issueThrough(agent, request) {
  const answer = await call("http://agent/v1/tokens", { socketPath: agent.socket, body: request });
  if (answer.status !== 200) throw new Error(`the agent refused a token: ${answer.status} ${answer.text}`);
  return answer.json.token;
}

/** A token from the agents' listener, with the agent's certificate: the whole answer. */
export function askForToken(ready, request, { identity = true } = {}) {
  return call(`${ready.agent}/v1/tokens`, {
    body: request,
    ca: readFileSync(ready.ca, "utf8"),
    ...(identity && { cert: readFileSync(ready.agent_cert, "utf8"), key: readFileSync(ready.agent_key, "utf8") }),
  });
}

/** A token, or an error that says why not. */
export async function issue(ready, request) {
  const answer = await askForToken(ready, request);
  if (answer.status !== 200 && answer.status !== 201) throw new Error(`the signer refused a token: ${answer.status} ${answer.text}`);
  return answer.json.token;
}

/** The JWK Set as served. */
export async function jwks(ready) {
  const answer = await call(ready.jwks_uri, { ca: readFileSync(ready.ca, "utf8") });
  if (answer.status !== 200) throw new Error(`the JWK Set answered ${answer.status}`);
  return answer;
}

/**
 * What `edgeseal verify` says of a token: {code, claims}.
 * @param {{token: string, jwksUri: string, ca: string, issuer: string, audience: string, algorithms: string[], leeway?: number}} input `ca` is a path
 */
export async function verifyNatively({ token, jwksUri, ca, issuer, audience, algorithms, leeway = 60 }) {
  const args = ["verify", "-", "--jwks", jwksUri, "--ca", ca, "--issuer", issuer, "--audience", audience, "--leeway", String(leeway), "--json"];
  for (const name of algorithms) args.push("--alg", name);
  const { code, out, err } = await cli(args, { input: token });
  let verdict;
  try {
    verdict = JSON.parse(out);
  } catch {
    throw new Error(`edgeseal verify gave no verdict (exit ${code}): ${(err || out).trim()}`);
  }
  if ((code === 0) !== (verdict.verdict === "accept")) throw new Error(`edgeseal verify says ${verdict.verdict} and exits with ${code}`);
  return { code: verdict.code ?? null, claims: verdict.claims ?? null };
}

/** Runs a command whose answer is JSON; refuses a non-zero exit. */
async function jsonOf(args) {
  const { code, out, err } = await cli(args);
  if (code !== 0) throw new Error(`edgeseal ${args.join(" ")}: exit ${code}: ${(err || out).trim()}`);
  return out.trim() ? JSON.parse(out) : null;
}

/** `edgeseal keys list` of a running `dev`. */
export const keysList = (signer) => jsonOf(["keys", "list", "--dir", signer.state, "--json"]);
/** A second key of the profile, published: its kid. */
export const keysGenerate = async (signer, profile) => (await jsonOf(["keys", "generate", "--profile", profile, "--dir", signer.state, "--json"])).kid;
/** The published key becomes the one that signs. */
export const keysActivate = (signer, kid) => jsonOf(["keys", "activate", kid, "--dir", signer.state, "--json"]);
