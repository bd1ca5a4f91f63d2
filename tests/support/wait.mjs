// Waiting for a condition, with a deadline; never for an amount of time.

/**
 * Calls `probe` until it answers with something truthy, and returns that.
 * @param {string} what said when the deadline passes
 * @param {() => any} probe may throw: then it is asked again, and its last error is part of the message
 */
export async function until(what, probe, { seconds = 20, every = 50, giveUp = () => null } = {}) {
  const deadline = Date.now() + seconds * 1000;
  let last;
  for (;;) {
    try {
      const answer = await probe();
      if (answer) return answer;
      last = undefined;
    } catch (error) {
      last = error;
    }
    const reason = giveUp();
    if (reason) throw new Error(`${what}: ${reason}`);
    if (Date.now() > deadline) throw new Error(`${what}: not within ${seconds} s${last ? ` (${last.message})` : ""}`);
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}
