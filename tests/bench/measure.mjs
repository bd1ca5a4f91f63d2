// Rounds and their statistics. In every round each contestant has one batch of each case, in an order that turns from round to round,
// so that what disturbs the machine disturbs all of them; a ratio is taken within a round.

/** Verifications that warm one contestant's case up, after the runner's own. */
const WARM_UP = 512;

/**
 * @param {object} host see hosts/
 * @param {{algorithm: string, cases: string[], names: string[], rounds: number, batchMs: number}} plan
 * @returns {Promise<{kase: string, us: Record<string, number[]>}[]>} microseconds per verification, for every contestant one a round
 */
export async function measure(host, { algorithm, cases, names, rounds, batchMs }) {
  const cells = [];
  for (const kase of cases) {
    for (const contestant of names) {
      const cell = { contestant, algorithm, kase, from: 0 };
      await host.run({ ...cell, count: Math.min(WARM_UP, 4 * batchMs) });
      const probe = Math.min(256, 2 * batchMs);
      const each = (await host.run({ ...cell, count: probe })) / probe;
      cells.push({ ...cell, count: Math.max(64, Math.min(100_000, Math.round(batchMs / Math.max(each, 1e-4)))), us: [] });
    }
  }
  for (let round = 0; round < rounds; round += 1) {
    for (let index = 0; index < cells.length; index += 1) {
      const { us, ...cell } = cells[round % 2 ? cells.length - 1 - index : index];
      us.push(((await host.run(cell)) / cell.count) * 1_000);
    }
  }
  return cases.map((kase) => ({
    kase,
    us: Object.fromEntries(cells.filter((cell) => cell.kase === kase).map(({ contestant, us }) => [contestant, us])),
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
