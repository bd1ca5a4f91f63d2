// Runs batches of verifications inside a host. It knows no clock: whoever calls it takes the time.
import { contestants } from "./contestants.mjs";

/** Good tokens that warm whatever there is to warm, also where wrong ones are measured. */
const WARM_UP = 128;
/** Verifications that are under way together in the case `concurrent`. */
const TOGETHER = 100;

export class Runner {
  #fixtures = {};
  #open = new Map();

  /** @param {typeof contestants} more those that only this host has */
  constructor(more = {}) {
    this.contestants = { ...contestants, ...more };
  }

  load(fixtures) {
    Object.assign(this.#fixtures, fixtures);
  }

  /** Who can take part with this algorithm. */
  names(algorithm) {
    return Object.keys(this.contestants).filter((name) => this.contestants[name].can?.(algorithm) ?? true);
  }

  /** `count` verifications beginning with the token at `from`; throws when one of them does not end as it must. */
  async run({ contestant, algorithm, kase, from, count }) {
    const { good, wrong } = this.#fixtures[algorithm];
    const { verify, claims } = await this.#verifier(contestant, algorithm, kase);
    switch (kase) {
      case "distinct":
        for (let index = 0; index < count; index += 1) hold(claims(await verify(good[(from + index) % good.length])));
        break;
      case "repeated":
        for (let index = 0; index < count; index += 1) hold(claims(await verify(good[0])));
        break;
      case "wrong":
        for (let index = 0; index < count; index += 1) {
          if (await isAccepted(verify, wrong[(from + index) % wrong.length])) throw new Error(`${contestant} accepts a wrong signature`);
        }
        break;
      case "concurrent":
        for (let index = 0; index < count; index += TOGETHER) {
          const under = [];
          for (let one = index; one < Math.min(index + TOGETHER, count); one += 1) under.push(verify(good[(from + one) % good.length]));
          for (const result of await Promise.all(under)) hold(claims(result));
        }
        break;
      default:
        throw new Error(`no case ${kase}`);
    }
  }

  async stats({ contestant, algorithm, kase }) {
    return (await this.#verifier(contestant, algorithm, kase)).stats?.() ?? null;
  }

  async #verifier(contestant, algorithm, kase) {
    const key = `${contestant} ${algorithm} ${kase}`;
    let opened = this.#open.get(key);
    if (opened === undefined) {
      const { issuer, audience, jwks, good } = this.#fixtures[algorithm];
      opened = await this.contestants[contestant].open({ algorithm, issuer, audience, jwks, fresh: kase !== "repeated" });
      for (let index = 0; index < WARM_UP; index += 1) hold(opened.claims(await opened.verify(good[index % good.length])));
      this.#open.set(key, opened);
    }
    return opened;
  }
}

async function isAccepted(verify, token) {
  try {
    await verify(token);
    return true;
  } catch {
    return false;
  }
}

function hold(claims) {
  if (typeof claims.sub !== "string") throw new Error("no claims came back");
}
