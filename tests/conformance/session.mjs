// Judges a whole corpus on one host: in chunks, with a limit of time for every line, and in spite of panics and hangs.

/** Milliseconds that one line may take; more is a failure. */
export const LINE_LIMIT = 250;
/** Milliseconds, beside the lines' own, after which a host that does not answer is ended. */
const HANG_LIMIT = 10_000;
/** How often a line that was too slow is tried again, since other programs run on this machine too. */
const RETRIES = 4;

/**
 * @param {object} host see hosts/index.mjs
 * @param {Uint8Array[]} lines
 * @param {{mode?: object}} [options] mode: see hosts/modes.mjs; a warm one is asked twice, so that caches and tables of hot keys are in
 * use
 * @returns {Promise<{id: string | null, v: string, code: string | null, ms?: number}[]>} one verdict for each line; `v` is `"error"`
 * where the host gave none, gave none in time, or gave something else; `ms` where the host has a clock
 */
export async function judgeAll(host, lines, { hangLimit = HANG_LIMIT, mode = {} } = {}) {
  const how = { hangLimit, mode };
  let verdicts;
  await host.start();
  try {
    verdicts = await round(host, lines, how);
    // The first round is the one that warms: the second must say the same.
    if (mode.warm) verdicts = merged(verdicts, await round(host, lines, how));
  } finally {
    await host.stop();
  }
  return verdicts;
}

async function round(host, lines, how) {
  const verdicts = [];
  for (const chunk of chunks(lines, host.chunk)) verdicts.push(...(await judgeChunk(host, chunk, how)));
  return verdicts;
}

function merged(first, second) {
  return first.map((verdict, index) => {
    const again = second[index];
    if (again.v === verdict.v && again.code === verdict.code) return verdict;
    return { id: verdict.id, v: "error", code: `${verdict.code ?? verdict.v} at first, ${again.code ?? again.v} when asked again` };
  });
}

function* chunks(lines, limit) {
  let chunk = [];
  let size = 0;
  for (const line of lines) {
    if (chunk.length > 0 && (chunk.length === limit.lines || size + line.length > limit.bytes)) {
      yield chunk;
      chunk = [];
      size = 0;
    }
    chunk.push(line);
    size += line.length;
  }
  if (chunk.length > 0) yield chunk;
}

async function judgeChunk(host, lines, how) {
  let answer;
  try {
    answer = await ask(host, lines, how);
  } catch (error) {
    // A panic, a hang or a missing verdict: the host starts afresh, and the chunk is halved until the line is found.
    await restart(host);
    if (lines.length > 1) return halves(host, lines, how);
    return [{ id: null, v: "error", code: error.message }];
  }
  const { verdicts, elapsed } = answer;
  if (verdicts.every(({ ms }) => typeof ms === "number")) {
    const judged = [];
    for (const [index, verdict] of verdicts.entries()) judged.push(verdict.ms > LINE_LIMIT ? await again(host, lines[index], how) : plain(verdict));
    return judged;
  }
  // No clock inside: the chunk's time is the only one.
  if (elapsed <= LINE_LIMIT) return verdicts.map(plain);
  return lines.length > 1 ? halves(host, lines, how) : [await again(host, lines[0], how)];
}

async function halves(host, lines, how) {
  const middle = lines.length >> 1;
  const first = await judgeChunk(host, lines.slice(0, middle), how);
  return [...first, ...(await judgeChunk(host, lines.slice(middle), how))];
}

/** A line that took too long, alone: slow only if it is slow every time. */
async function again(host, line, how) {
  let fastest = Infinity;
  let last;
  for (let attempt = 0; attempt < RETRIES && fastest > LINE_LIMIT; attempt += 1) {
    try {
      const { verdicts, elapsed } = await ask(host, [line], how);
      last = plain(verdicts[0]);
      fastest = Math.min(fastest, verdicts[0].ms ?? elapsed);
    } catch (error) {
      await restart(host);
      return { id: null, v: "error", code: error.message };
    }
  }
  return fastest > LINE_LIMIT ? { id: last.id, v: "error", code: `took ${Math.round(fastest)} ms, at most ${LINE_LIMIT} ms are allowed` } : last;
}

async function ask(host, lines, { hangLimit, mode }) {
  const began = performance.now();
  const verdicts = await inTime(host.judge(join(lines), mode), hangLimit + lines.length * LINE_LIMIT);
  if (!Array.isArray(verdicts) || verdicts.length !== lines.length) {
    throw new Error(`${verdicts?.length ?? "no"} verdicts for ${lines.length} lines`);
  }
  return { verdicts, elapsed: performance.now() - began };
}

async function inTime(promise, limit) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${limit} ms`)), limit);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
    // A late failure of an abandoned host is no news.
    promise.catch(() => {});
  }
}

async function restart(host) {
  await host.stop();
  await host.start();
}

function plain({ id, v, code, ms }) {
  return { id, v, code, ms };
}

function join(lines) {
  return Buffer.concat(lines.flatMap((line) => [line, Buffer.from("\n")]));
}
