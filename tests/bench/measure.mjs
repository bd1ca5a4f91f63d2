// Rounds and their statistics. In every round each contestant has one batch of each case, in an order that turns from round to round,
// so that what disturbs the machine disturbs all of them; a ratio is taken within a round.

/** Verifications in the first, unmeasured batch, and in any batch at least. */
const WARM_UP = 64;

/**
 * @param {object} host see hosts/
 * @param {{algorithm: string, cases: string[], names: string[], rounds: number, batchMs: number}} plan
 * @returns {Promise<{kase: string, us: Record<string, number[]>}[]>} microseconds per verification, for every contestant one a round
 */
export async function measure(host, { algorithm, cases, names, rounds, batchMs }) {
  const cells = [];
  // Each batch goes on with the token after the last one of the batch before: the last ones may still be in a cache.
  const run = async (cell, count) => {
    const ms = await host.run({ ...cell.what, from: cell.next, count });
    cell.next += count;
    return ms / count;
  };
  for (const kase of cases) {
    for (const contestant of names) {
      const cell = { what: { contestant, algorithm, kase }, next: 0, us: [] };
      // Warm-up, ever longer: what is compiled while it runs takes its time.
      let each = await run(cell, WARM_UP);
      for (const share of [0.25, 1]) {
        cell.count = Math.max(WARM_UP, Math.min(100_000, Math.round((share * batchMs) / Math.max(each, 1e-4))));
        each = await run(cell, cell.count);
      }
      cell.count = Math.max(WARM_UP, Math.min(100_000, Math.round(batchMs / Math.max(each, 1e-4))));
      cells.push(cell);
    }
  }
  for (let round = 0; round < rounds; round += 1) {
    for (let index = 0; index < cells.length; index += 1) {
      const cell = cells[round % 2 ? cells.length - 1 - index : index];
      cell.us.push((await run(cell, cell.count)) * 1_000);
    }
  }
  return cases.map((kase) => ({
    kase,
    us: Object.fromEntries(cells.filter(({ what }) => what.kase === kase).map(({ what, us }) => [what.contestant, us])),
  }));
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** @returns {{median: number, min: number, max: number}} */
export function summary(values) {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** How many times as fast `ours` is as `theirs`, round by round. */
export function speedup(ours, theirs) {
  return summary(ours.map((value, round) => theirs[round] / value));
}
