// The Worker's entry: hands the runtime's events to the WebAssembly, and throws its instance away after a trap.
//
// A request is answered in the call that brings it, where nothing has to be waited for; else the WebAssembly says for which promise
// (`wait`, host.mjs), and is called again with what came of it.
import * as glue from "glue";
import { taken, wasForwarded } from "host";

import module from "./index_bg.wasm";

const encoder = new TextEncoder();
let { memory } = glue.initSync({ module });
/** Where heads are written; a view without length where there is none in this instance's memory as it is now. */
let room = new Uint8Array(0);
/** Counts the instances. */
let instance = 0;

export default {
  fetch: answer,
  scheduled: (event, env, context) => run(() => glue.scheduled(event, env, context)),
};

/** Of the class that the WebAssembly has under this name. Its object lives as long as the instance. */
const durable = (name) =>
  class {
    #state;
    #env;
    #object;
    #of = -1;

    constructor(state, env) {
      this.#state = state;
      this.#env = env;
    }

    fetch(request) {
      return run(() => {
        if (this.#of !== instance) [this.#object, this.#of] = [new glue[name](this.#state, this.#env), instance];
        return this.#object.fetch(request);
      });
    }
  };

export const EdgesealReplays = durable("EdgesealReplays");
export const EdgesealRevocations = durable("EdgesealRevocations");

// Tasks of the WebAssembly run by themselves as well.
addEventListener("error", ({ error }) => {
  if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) renew(error);
});

function answer(request, env, context) {
  const authorization = request.headers.get("authorization");
  const length = write(authorization === null ? `${request.method} ${request.url}` : `${request.method} ${request.url}\n${authorization}`);
  const answered = run(() => glue.fetch(request, env, context, length));
  return answered ?? later(request, () => answer(request, env, context));
}

/** Goes on once the promise has settled. A request whose instance is gone by then begins again, unless the origin has it already. */
function later(request, again) {
  const { promise, later: rest } = taken();
  const mine = instance;
  const go = (value, isGood) => {
    if (mine === instance) return run(() => rest.resume(value, isGood)) ?? later(request, again);
    return wasForwarded(request) ? new Response(null, { status: 502 }) : again();
  };
  return promise.then(
    (value) => go(value, true),
    (error) => go(error, false),
  );
}

/** Writes a text into the WebAssembly's memory; the octets that it takes. */
function write(text) {
  // At most three octets for each unit of UTF-16.
  const most = text.length * 3;
  if (room.length < most) {
    const place = run(() => glue.room(most));
    // Only now: making room may have moved the memory.
    room = new Uint8Array(memory.buffer, place, most);
  }
  return encoder.encodeInto(text, room).written;
}

function run(call) {
  try {
    return call();
  } catch (error) {
    // Refusals are answers, so this is a trap, or a stack that overflowed.
    renew(error);
    throw error;
  }
}

/** Nothing in the old instance's memory is to be believed: the next call is one of a new instance of the same module. */
function renew({ message }) {
  console.error(JSON.stringify({ level: "error", event: "instance_renewed", reason: message }));
  glue.renew(true);
  glue.renew(false);
  ({ memory } = glue.initSync({ module }));
  room = new Uint8Array(0);
  instance += 1;
}
